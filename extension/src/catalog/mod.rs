//! The catalog: every operation of the system, one row each, a file for each surface. The gateway builds its
//! routes and its documents from it, and a new operation is one handler and one row.

mod top_up;
mod wallet;
mod webhook;

use crate::operation::Operation;

/// Every operation, in the order in which the documents list them.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    [top_up::OPERATIONS, webhook::OPERATIONS, wallet::OPERATIONS].into_iter().flatten()
}
