//! The one door: who is calling, may they, was this asked before, what is asked, and the reply as text.

use pg_topup_contract::Code;
use pgrx::prelude::*;
use serde::Serialize;

use crate::caller::Caller;
use crate::catalog;
use crate::id::Kind;
use crate::reply::{self, Failure, Refusal, Rendered, Reply};
use crate::surface::Surface;

/// Calls in one batch, at most.
const BATCH_MAX: usize = 1000;

/// Runs an operation by name for whoever `caller` turns out to be. A refusal is a reply; only a fault,
/// which aborts the caller's statement, is an error.
pub fn answer(
    caller: impl FnOnce() -> Result<Caller, Failure>,
    name: &str,
    text: &str,
    idempotency_key: Option<&str>,
) -> Rendered {
    let attempt = || {
        let caller = caller()?;
        let operation = catalog::find(name)
            .ok_or_else(|| Refusal::new(Code::UnknownEndpoint, format!("There is no operation '{name}'.")))?;
        (operation.run)(&caller, operation.terms, text, idempotency_key)
    };
    reply::finish(attempt())
}

/// The same for a request as the wire brings it.
fn answer_wire(
    api_key: Option<&str>,
    operation: &str,
    request: &str,
    idempotency_key: Option<&str>,
    client_ip: Option<&str>,
) -> Rendered {
    let reply = answer(
        || Caller::by_key(api_key.unwrap_or_default(), client_ip),
        operation,
        request,
        idempotency_key,
    );
    let surface = catalog::find(operation).map_or(Surface::Envelope, |operation| operation.surface);
    reply::or_error(surface.show(reply))
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn call(
    api_key: Option<&str>,
    operation: Option<&str>,
    request: Option<&str>,
    idempotency_key: default!(Option<&str>, "NULL"),
    client_ip: default!(Option<pgrx::Inet>, "NULL"),
) -> TableIterator<'static, (name!(status, i16), name!(body, String))> {
    let client_ip = client_ip.map(|ip| ip.0);
    let operation = operation.unwrap_or_default();
    let reply =
        answer_wire(api_key, operation, request.unwrap_or_default(), idempotency_key, client_ip.as_deref());
    TableIterator::once((reply.http_status, reply.body))
}

/// One reply for each call, in order, in one transaction: what one refuses does not touch the others.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn call_many(
    api_keys: Vec<Option<String>>,
    operations: Vec<Option<String>>,
    requests: Vec<Option<String>>,
    idempotency_keys: Vec<Option<String>>,
    client_ips: Vec<Option<String>>,
) -> TableIterator<'static, (name!(status, i16), name!(body, String), name!(replayed, bool))> {
    let count = operations.len();
    let lengths = [api_keys.len(), requests.len(), idempotency_keys.len(), client_ips.len()];
    if count > BATCH_MAX || lengths.iter().any(|length| *length != count) {
        error!("call_many takes five arrays of one length, at most {BATCH_MAX}");
    }
    let replies: Vec<_> = (0..count)
        .map(|n| {
            let client_ip = client_ips[n].as_deref();
            let operation = operations[n].as_deref().unwrap_or_default();
            let request = requests[n].as_deref().unwrap_or_default();
            let idempotency_key = idempotency_keys[n].as_deref();
            let reply = answer_wire(api_keys[n].as_deref(), operation, request, idempotency_key, client_ip);
            (reply.http_status, reply.body, reply.replayed)
        })
        .collect();
    TableIterator::new(replies)
}

/// Judges a key and the address that it comes from, and does nothing else: code 1000, or the refusal that
/// any operation would give.
#[pg_extern(schema = "topup", stable, parallel_safe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn authenticate(
    api_key: Option<&str>,
    client_ip: default!(Option<pgrx::Inet>, "NULL"),
) -> TableIterator<'static, (name!(status, i16), name!(body, String))> {
    let client_ip = client_ip.map(|ip| ip.0);
    let judge = || {
        let caller = Caller::by_key(api_key.unwrap_or_default(), client_ip.as_deref())?;
        let data =
            KeyOwner { key_id: Kind::Key.text(caller.key.id), environment: caller.environment.as_str() };
        Reply::new(Code::Success, data).render()
    };
    let reply = reply::finish(judge());
    TableIterator::once((reply.http_status, reply.body))
}

/// Whose key it is.
#[derive(Serialize)]
struct KeyOwner {
    key_id: String,
    environment: &'static str,
}

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn codes() -> TableIterator<
    'static,
    (name!(code, i16), name!(meaning, String), name!(http_status, i16), name!(success, bool)),
> {
    TableIterator::new(Code::ALL.iter().map(|code| {
        let http_status = i16::try_from(code.http_status()).unwrap_or(i16::MAX);
        (code.number(), code.meaning().to_owned(), http_status, code.is_success())
    }))
}
