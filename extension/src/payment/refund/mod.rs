//! Refunds of payments: the money goes back to the payer, and what is left of its credit is taken back.

pub mod ask;
mod book;
mod take;
pub mod work;

pub use book::refunded;
pub use work::{catch_up, failed, told};
