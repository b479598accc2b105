//! pg_topup: prepaid AI credit inside Postgres. This file is the map.
//!
//! ```text
//! face, call ─► catalog ─► send, cancel, … ─► ledger ─► entries and balances
//!      │                          └──► event ──► outbox ──► effects ◄─ effect ◄─ the gateway's worker
//!      └─ caller, request, idempotency, reply
//! ```
//!
//! All reach the database through `db`, by statements; what every send finds and writes, through `table`, without.

// How an operation comes in and goes out.
mod operation;
mod schema;

// The operations.
mod webhook;

// The wallets of customers.
mod billing;
mod funding;
mod wallet;

// What is paid for, and where customers see it.
mod payment;
mod portal;

// Who else calls: administrators, the gateway's worker, and Postgres before a drop.
mod admin;

// What they stand on.
mod event;
mod ledger;

mod api;
mod pg;
mod tenant;
mod top_up;
mod value;
use pgrx::prelude::*;

::pgrx::pg_module_magic!();

/// Tells pgrx of the schema that role.sql makes, so that functions can be put into it by name.
#[pg_schema]
mod topup {}

/// Called by Postgres when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::settings::define();
    pg::planner::install();
    ledger::early_release::define();
}
