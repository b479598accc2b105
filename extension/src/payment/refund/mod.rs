//! Refunds of payments: the money goes back to the payer, and what is left of its credit is taken back.

pub mod claim;
pub mod clawback;
pub mod create;
mod record;
mod settle;

pub use record::{refunded, share_left};
pub use settle::{RefundAnswer, catch_up, failed, reported, settle};
