//! In and out, for the gateway: a link becomes a session, and a session ends.

use pgrx::prelude::*;
use serde::Serialize;

use super::session;
use crate::pg::jsonb::JsonbText;
use crate::value::reply::{Failure, or_error};

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

/// A link that is known, before anybody uses it.
#[derive(Serialize)]
struct LinkView {
    /// Whether it still lets in.
    is_open: bool,
    failure_url: String,
    merchant: String,
    customer: String,
    /// Whose session the browser is in, where that is another customer's.
    instead_of: Option<Whose>,
}

#[derive(Serialize)]
struct Whose {
    merchant: String,
    customer: String,
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_link(token: &str, session: default!(Option<&str>, "NULL")) -> Option<JsonbText> {
    or_error(link(token, session))
}

fn link(token: &str, session: Option<&str>) -> Result<Option<JsonbText>, Failure> {
    let Some(link) = session::of_link(token)? else { return Ok(None) };
    let other = session.map(session::whose).transpose()?.flatten();
    let other = other.filter(|other| !other.is_of(&link.owner));
    let view = LinkView {
        is_open: link.is_open,
        failure_url: link.failure_url,
        merchant: link.owner.merchant,
        customer: link.owner.customer,
        instead_of: other.map(|other| Whose { merchant: other.merchant, customer: other.customer }),
    };
    Ok(Some(JsonbText(serde_json::to_string(&view)?)))
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_leave(session: &str) -> Option<String> {
    or_error(session::leave(session).map_err(Failure::from))
}
