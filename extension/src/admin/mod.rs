//! What administrators do: keys, money from outside, and the guard before a drop.

mod account;
pub mod drop_guard;
pub mod fund;
mod key;
