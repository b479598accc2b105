//! Refunds of payments: the money goes back to the payer, and what is left of its credit is taken back.

pub mod ask;
mod book;
pub mod take;
pub mod work;

pub use book::{refunded, share_left};
pub use work::{catch_up, failed, told};
