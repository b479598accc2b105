//! Refunds of payments: the money goes back to the payer, and what is left of its credit is taken back.

pub mod clawback;
pub mod create;
mod record;
pub mod work;

pub use record::{refunded, share_left};
pub use work::{catch_up, failed, reported};
