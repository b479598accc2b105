//! pg_topup: prepaid AI credit inside Postgres. This file is the map.
//!
//! ```text
//! apps ─ typed SQL functions ─┐
//! gateway ─ topup.call ───────┴► api ─► a handler in top_up, wallet, billing, … ─► ledger ─► entries and balances
//!                                │         └─► event ─► outbox ─► webhook (queue) ◄─ the gateway's worker
//!                                └─ operation, tenant: who calls, what the request says, whether it came before
//! ```
//!
//! A module depends on those below it in this list, and on none above it.

/// The SQL files of the schema, and their order.
mod schema;

/// How calls come in: the catalog, `topup.call`, the typed SQL functions, and what the worker has done when it is due.
mod api;

// What the operations decide, a module a subject.
mod admin;
mod funding;
mod portal;

mod payment;

mod wallet;

mod billing;
mod top_up;
mod webhook;

/// What an operation is: its definition, handler, request, repetition and response format.
mod operation;

/// The only writer of balances and entries.
mod ledger;
/// Who calls, and what they may.
mod tenant;

/// What happened, and who is told.
mod event;

/// The only module that knows Postgres's insides.
mod pg;

/// Amounts, ids, times, replies. Knows no statements.
mod value;

use pgrx::prelude::*;

::pgrx::pg_module_magic!();

/// Tells pgrx of the schema that `sql/schema/role.sql` makes, so that functions can be put into it by name.
#[pg_schema]
mod topup {}

/// Called by Postgres when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::settings::define();
    pg::planner::install();
    ledger::early_release::define();
}
