//! pg_topup: prepaid AI credit inside Postgres. This file is the map.
//!
//! ```text
//! face, call ─► catalog ─► send, cancel, … ─► ledger ─► entries and balances
//!      │                          └──────────► event ──► effects ◄─ effect ◄─ the gateway's worker
//!      └─ caller, request, idempotency, reply
//! ```

// How an operation comes in and goes out.
mod book;
mod call;
mod caller;
mod catalog;
mod face;
mod handler;
mod idempotency;
mod operation;
mod page;
mod reply;
mod request;
mod surface;
mod tool;

// The operations.
mod adjust;
mod balance;
mod cancel;
mod delivery;
mod fulfil;
mod history;
mod ping;
mod redeem;
mod send;
mod validate;
mod webhook;

// The wallets of customers.
mod wallet;

// Who else calls: administrators, the gateway's worker, and Postgres before a drop.
mod admin;
mod drop_guard;
mod effect;
mod fund;

// What they stand on.
mod account;
mod amount;
mod customer;
mod db;
mod event;
mod id;
mod jsonb;
mod ledger;
mod price;
mod settings;
mod sign;
mod top_up;
mod usage;

use pgrx::prelude::*;

::pgrx::pg_module_magic!();

/// Tells pgrx of the schema that role.sql makes, so that functions can be put into it by name.
#[pg_schema]
mod topup {}

// The schema, in reading order. Functions written in Rust come between topup's tables and what uses both.
extension_sql_file!("../../sql/role.sql", name = "role", bootstrap);
extension_sql_file!("../../sql/tenant.sql", name = "tenant", requires = ["role"]);
extension_sql_file!("../../sql/ledger.sql", name = "ledger", requires = ["tenant"]);
extension_sql_file!("../../sql/top_up.sql", name = "top_up", requires = ["ledger"]);
extension_sql_file!("../../sql/webhook.sql", name = "webhook", requires = ["top_up"]);
extension_sql_file!("../../sql/admin.sql", name = "admin", requires = ["webhook"]);
extension_sql_file!(
    "../../sql/view.sql",
    name = "view",
    requires = ["admin", admin::visible, id::sql_format_id]
);
extension_sql_file!(
    "../../sql/check.sql",
    name = "check",
    requires = ["view", admin::founding_accounts, admin::customer_account_id]
);
extension_sql_file!("../../sql/access.sql", name = "access", finalize);

/// Called by Postgres when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
}
