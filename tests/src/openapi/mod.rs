//! The documents that the gateway serves, and every operation called as they say.

mod account;
mod billing;
mod client;
pub mod document;
mod example;
mod funding;
mod hold;
mod payment;
mod reference;
