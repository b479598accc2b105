//! The one writer of the ledger: takes balanced postings, checks limits under lock, writes.
//!
//! ```text
//! journal ─► post ─► lock ─► due ─► entry
//! ```

pub mod account;
pub mod asset;
pub mod credit;
pub mod due;
pub mod early_release;
mod entry;
pub mod grant;
mod journal;
mod lock;
mod post;

pub use entry::{Header, Posting};
pub use journal::Journal;
pub use lock::{Locked, lock, lock_present, lock_wallet, lock_wallets, sweep_due};
pub use post::{Meaning, post, post_granting, post_meaning};
