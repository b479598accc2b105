//! Auto top-ups: an account that falls below a threshold is filled from a saved card.
//!
//! An account is watched while `topup.balance.auto_top_up_below` has its threshold. A deferred trigger compares when
//! a transaction ends, and what fires stops the watch in the same transaction, so that two never fire. The end of the
//! charge watches again, or says when that is to be tried. Rows here are locked after payments and accounts.

pub mod change;
pub mod end;
pub mod fire;
pub mod state;
mod watch;

pub use end::{arm_payer, failed, lock_of, succeeded};
pub use watch::run_due;
