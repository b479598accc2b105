//! The one door: who is calling, may they, was this asked before, what is asked, and the reply as text.

use std::ops::Deref;
use std::rc::Rc;

use pg_topup_contract::Code;
use pgrx::prelude::*;
use serde::Serialize;

use crate::api::catalog;
use crate::ledger;
use crate::ledger::early_release;
use crate::operation::replayed;
use crate::operation::response_format::ResponseFormat;
use crate::pg::bound::{elements, refuse_argument};
use crate::pg::interrupt;
use crate::tenant::caller::{Caller, Scope};
use crate::top_up::send::{self, SendCall};
use crate::value::id::Kind;
use crate::value::reply::{self, Failure, Refusal, Rendered, Reply};

/// Calls in one batch, at most.
const BATCH_MAX: usize = 1000;

/// Runs an operation by name for whoever `caller` turns out to be. A refusal is a reply; only a fault,
/// which aborts the caller's statement, is an error.
pub fn answer(
    caller: impl FnOnce() -> Result<Rc<Caller>, Failure>,
    name: &str,
    text: &str,
    idempotency_key: Option<&str>,
) -> Rendered {
    interrupt::check();
    let attempt = || {
        let caller = caller()?;
        let operation = catalog::find(name)
            .ok_or_else(|| Refusal::new(Code::UnknownEndpoint, format!("There is no operation '{name}'.")))?;
        let reply = (operation.run)(&caller, operation.terms, text, idempotency_key);
        // A send tells of nothing that it has not seen under the wallet's lock.
        if name != send::NAME {
            early_release::before_reply(&caller)?;
        }
        reply
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
    let surface = catalog::find(operation).map_or(ResponseFormat::Envelope, |operation| operation.surface);
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
    replayed::report(std::slice::from_ref(&reply));
    TableIterator::once((reply.http_status, reply.body))
}

/// One reply for each call, in order, in one transaction: what one refuses does not touch the others.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn call_many(
    api_keys: Array<&str>,
    operations: Array<&str>,
    requests: Array<&str>,
    idempotency_keys: Array<&str>,
    client_ips: Array<&str>,
) -> TableIterator<'static, (name!(status, i16), name!(body, String), name!(replayed, bool))> {
    let api_keys = elements("api_keys", &api_keys, BATCH_MAX);
    let operations = elements("operations", &operations, BATCH_MAX);
    let requests = elements("requests", &requests, BATCH_MAX);
    let idempotency_keys = elements("idempotency_keys", &idempotency_keys, BATCH_MAX);
    let client_ips = elements("client_ips", &client_ips, BATCH_MAX);
    let count = operations.len();
    let lengths = [api_keys.len(), requests.len(), idempotency_keys.len(), client_ips.len()];
    if lengths.iter().any(|length| *length != count) {
        refuse_argument("call_many takes five arrays of one length".to_owned());
    }
    let call = |n: usize| WireCall {
        api_key: api_keys[n].unwrap_or_default(),
        operation: operations[n].unwrap_or_default(),
        request: requests[n].unwrap_or_default(),
        idempotency_key: idempotency_keys[n],
        client_ip: client_ips[n],
    };
    let calls: Vec<WireCall> = (0..count).map(call).collect();
    let both_send = |a: &WireCall, b: &WireCall| a.operation == send::NAME && b.operation == send::NAME;
    let replies: Vec<_> = calls
        .chunk_by(both_send)
        .flat_map(|calls| match calls {
            [call] => vec![call.answer()],
            sends => reply::or_error(answer_sends(sends)),
        })
        .map(|reply| (reply.http_status, reply.body, reply.replayed))
        .collect();
    TableIterator::new(replies)
}

/// A call as the wire brings it.
struct WireCall<'a> {
    api_key: &'a str,
    operation: &'a str,
    request: &'a str,
    idempotency_key: Option<&'a str>,
    client_ip: Option<&'a str>,
}

impl WireCall<'_> {
    fn answer(&self) -> Rendered {
        answer_wire(Some(self.api_key), self.operation, self.request, self.idempotency_key, self.client_ip)
    }
}

/// Sends that follow one another. Those of one key are one batch, as long as no other key's come between: two keys may
/// have one wallet. Several wallets are locked in one order beforehand.
fn answer_sends(calls: &[WireCall]) -> Result<Vec<Rendered>, Failure> {
    let mut callers: Vec<(&WireCall, Result<Rc<Caller>, Failure>)> = Vec::new();
    let mut placed: Vec<(usize, SendCall)> = Vec::with_capacity(calls.len());
    for call in calls {
        let is_callers = |(first, caller): &(&WireCall, Result<Rc<Caller>, Failure>)| {
            let from_anywhere = caller.as_ref().is_ok_and(|caller| caller.from_anywhere);
            first.api_key == call.api_key && (from_anywhere || first.client_ip == call.client_ip)
        };
        let place = callers.iter().position(is_callers).unwrap_or_else(|| {
            callers.push((call, Caller::by_key(call.api_key, call.client_ip)));
            callers.len() - 1
        });
        placed.push((place, SendCall { text: call.request, idempotency_key: call.idempotency_key }));
    }
    let senders = || callers.iter().filter_map(|(_, caller)| caller.as_ref().ok());
    if senders().any(|caller| senders().any(|other| caller.wallet_id != other.wallet_id)) {
        let may_send = |caller: &&Rc<Caller>| caller.require(Scope::Send).is_ok();
        ledger::lock_wallets(senders().filter(may_send).map(|caller| caller.deref().deref()))?;
    }
    let mut replies = Vec::with_capacity(calls.len());
    for send_calls in placed.chunk_by(|a, b| a.0 == b.0) {
        let caller = send_calls.first().and_then(|(place, _)| callers.get(*place));
        let (_, caller) = caller.ok_or_else(|| Failure::Fault("a call without a caller".to_owned()))?;
        let send_calls: Vec<SendCall> = send_calls.iter().map(|(_, call)| *call).collect();
        replies.extend(answer_batch(caller.as_deref(), &send_calls)?);
    }
    Ok(replies)
}

/// Answers sends of one caller, in order.
pub fn answer_batch(
    caller: Result<&Caller, &Failure>,
    send_calls: &[SendCall],
) -> Result<Vec<Rendered>, Failure> {
    let operation = catalog::find(send::NAME).ok_or_else(|| Failure::Fault("no send".to_owned()))?;
    let replies = match caller {
        Ok(caller) => match send::send_all(caller, operation.terms, send_calls) {
            Ok(replies) => replies,
            Err(Failure::Refused(refusal)) => return send_calls.iter().map(|_| refusal.render()).collect(),
            Err(fault) => return Err(fault),
        },
        Err(Failure::Refused(refusal)) => return send_calls.iter().map(|_| refusal.render()).collect(),
        Err(Failure::Fault(fault)) => return Err(Failure::Fault(fault.clone())),
    };
    replies.into_iter().map(|reply| reply.or_else(|refusal| refusal.render())).collect()
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
        let data = KeyOwner {
            key_id: Kind::Key.text(caller.key.id),
            tenant_id: Kind::Tenant.text(caller.tenant_id),
            environment: caller.environment.as_str(),
        };
        Reply::new(Code::Success, data).render()
    };
    let reply = reply::finish(judge());
    TableIterator::once((reply.http_status, reply.body))
}

/// Whose key it is.
#[derive(Serialize)]
struct KeyOwner {
    key_id: String,
    tenant_id: String,
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
