//! The one writer of the ledger: takes balanced postings, checks limits under lock, writes.
//!
//! ```text
//! post ─► lock ─► due ─► entry
//! ```

mod due;
mod entry;
mod lock;
mod post;

pub use entry::{Header, Posting};
pub use lock::{Locked, lock, lock_wallet, sweep_due};
pub use post::{Meaning, post, post_granting, post_meaning};
