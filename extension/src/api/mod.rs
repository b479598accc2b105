//! How calls come in: over topup.call, and as the typed SQL functions; and the catalog of what there is to call.

pub mod call;
pub mod catalog;
mod due;
pub mod sql;
