//! What administrators do: keys, money from outside, and the guard before a drop.

pub mod admin;
pub mod drop_guard;
pub mod fund;
