//! The billing portal.

use pgrx::prelude::*;

use super::{Fields, perform};
use crate::pg::jsonb::JsonbText;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_session_create(
    customer_id: Option<&str>,
    return_url: Option<&str>,
    failure_url: Option<&str>,
) -> JsonbText {
    let fields = Fields::default()
        .with("customer_id", customer_id)
        .with("return_url", return_url)
        .with("failure_url", failure_url);
    perform("portal_session_create", fields, None)
}
