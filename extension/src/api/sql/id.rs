//! Ids for SQL: made, written and read.

use pgrx::prelude::*;

use crate::pg::db::{from_pg, pg_uuid};
use crate::value::id;

#[pg_extern(schema = "topup", name = "new_id", volatile, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn sql_new_id() -> pgrx::Uuid {
    pg_uuid(id::new())
}

#[pg_extern(schema = "topup", name = "format_id", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn sql_format_id(prefix: &str, id: pgrx::Uuid) -> String {
    id::format(prefix, from_pg(id))
}

/// Null where the text is not an id with that prefix.
#[pg_extern(schema = "topup", name = "parse_id", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn sql_parse_id(prefix: &str, id: &str) -> Option<pgrx::Uuid> {
    id::parse(prefix, id).map(pg_uuid)
}
