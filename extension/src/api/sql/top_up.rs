//! The top-up surface.

use pgrx::prelude::*;
use serde_json::value::RawValue;

use super::{Fields, perform};
use crate::api::call;
use crate::operation::replayed;
use crate::pg::bound::{AtMost, refuse_argument};
use crate::pg::jsonb::JsonbText;
use crate::tenant::caller::Caller;
use crate::top_up::send::SendCall;
use crate::value::reply::or_error;

/// Top-ups in one `send_many`, at most.
const SEND_MANY_MAX: usize = 1000;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn send(
    platform: Option<&str>,
    amount_cents: Option<i64>,
    recipient_email: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    perform("send", top_up(platform, amount_cents, recipient_email, metadata), idempotency_key)
}

fn top_up(
    platform: Option<&str>,
    amount_cents: Option<i64>,
    recipient_email: Option<&str>,
    metadata: Option<JsonbText>,
) -> Fields {
    Fields::default()
        .with("platform", platform)
        .with("amount_cents", amount_cents)
        .with("recipient_email", recipient_email)
        .json("metadata", metadata)
}

/// One reply a request, in order, in one transaction; what one refuses does not touch the others.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn send_many(requests: JsonbText) -> SetOfIterator<'static, JsonbText> {
    let Ok(AtMost(requests)) = serde_json::from_str::<AtMost<&RawValue, SEND_MANY_MAX>>(&requests.0) else {
        refuse_argument(format!("send_many takes a JSON array of at most {SEND_MANY_MAX} requests"));
    };
    let requests: Vec<_> = requests.iter().map(|request| split_idempotency_key(request.get())).collect();
    let send_calls: Vec<SendCall> =
        requests.iter().map(|(text, key)| SendCall { text, idempotency_key: key.as_deref() }).collect();
    let replies = or_error(call::answer_batch(Caller::of_session().as_deref(), &send_calls));
    replayed::report(&replies);
    SetOfIterator::new(replies.into_iter().map(|reply| JsonbText(reply.body)))
}

/// Takes `idempotency_key` out of a request of a batch. A key that is no text stays in, to be refused.
fn split_idempotency_key(request: &str) -> (String, Option<String>) {
    let Ok(mut fields) = serde_json::from_str::<std::collections::BTreeMap<String, Box<RawValue>>>(request)
    else {
        return (request.to_owned(), None);
    };
    match fields.get("idempotency_key").and_then(|key| serde_json::from_str::<Option<String>>(key.get()).ok())
    {
        None => (request.to_owned(), None),
        Some(key) => {
            fields.remove("idempotency_key");
            (serde_json::to_string(&fields).unwrap_or_default(), key)
        }
    }
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn validate(
    platform: Option<&str>,
    amount_cents: Option<i64>,
    recipient_email: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    perform("validate", top_up(platform, amount_cents, recipient_email, metadata), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn cancel(transaction_id: Option<&str>, idempotency_key: default!(Option<&str>, "NULL")) -> JsonbText {
    perform("cancel", Fields::default().with("transaction_id", transaction_id), idempotency_key)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn status(transaction_id: Option<&str>) -> JsonbText {
    perform("status", Fields::default().with("transaction_id", transaction_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn balance() -> JsonbText {
    perform("balance", Fields::default(), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn history(
    page_size: default!(Option<i64>, "NULL"),
    cursor: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    platform: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let page = Fields::default().with("limit", page_size).with("cursor", cursor);
    perform("history", page.with("status", status).with("platform", platform), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn redeem(
    voucher_code: Option<&str>,
    customer_id: default!(Option<&str>, "NULL"),
    email: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let voucher = Fields::default().with("voucher_code", voucher_code);
    perform("redeem", voucher.with("customer_id", customer_id).with("email", email), idempotency_key)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn deliver(transaction_id: Option<&str>, voucher_code: default!(Option<&str>, "NULL")) -> JsonbText {
    let ending = Fields::default().with("transaction_id", transaction_id);
    perform("deliver", ending.with("voucher_code", voucher_code), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn fail(transaction_id: Option<&str>, reason: Option<&str>) -> JsonbText {
    perform("fail", Fields::default().with("transaction_id", transaction_id).with("reason", reason), None)
}
