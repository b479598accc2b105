//! In and out, for the gateway: a link becomes a session, and a session ends.

use pgrx::prelude::*;
use serde::Serialize;

use super::session;
use crate::jsonb::JsonbText;
use crate::reply::{Failure, or_error};

/// What becomes of a link that is known.
#[derive(Default, Serialize)]
struct Entered {
    /// The session's token; null: the link is over.
    session: Option<String>,
    failure_url: Option<String>,
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_enter(token: &str) -> Option<JsonbText> {
    or_error(enter(token))
}

fn enter(token: &str) -> Result<Option<JsonbText>, Failure> {
    let entered = match session::enter(token)? {
        Some(session) => Entered { session: Some(session), ..Entered::default() },
        None => match session::failure_url(token)? {
            Some(url) => Entered { failure_url: Some(url), ..Entered::default() },
            None => return Ok(None),
        },
    };
    Ok(Some(JsonbText(serde_json::to_string(&entered)?)))
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_leave(session: &str) -> Option<String> {
    or_error(session::leave(session).map_err(Failure::from))
}
