//! Payments: money that a provider is to take, and the credit that it buys. Both a customer's top-up
//! (`top_…`) and one of the tenant's own wallet (`in_…`) are payments.
//!
//! ```text
//! create, start ─► topup.payment ─► checkout (the payer's page) ─► report ───┐
//!                        └────────► claim (by the gateway) ───────► settle ──┴─► ending ─► ledger, event
//! ```

pub mod auto;
pub mod card;
pub mod checkout;
pub mod claim;
pub mod create;
pub mod currency;
pub mod dispute;
mod due;
pub mod ending;
pub mod event;
mod fault;
pub mod get;
pub mod model;
pub mod provider;
mod provider_request;
mod rate;
pub mod refund;
pub mod report;
pub mod settle;
pub mod start;

pub use due::expire_due;
