//! The typed SQL functions: each puts its named arguments into the request of an operation, and runs it
//! for whoever the session speaks for. The reply comes back as `jsonb`; a refusal is a reply too.

use pgrx::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::call;
use crate::caller::Caller;
use crate::jsonb::JsonbText;

/// Top-ups in one `send_many`, at most.
const SEND_MANY_MAX: usize = 1000;

/// A request being written: arguments that are null are left out.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn with<T: Serialize>(mut self, name: &'static str, value: Option<T>) -> Self {
        if let Some(text) = value.and_then(|value| serde_json::to_string(&value).ok()) {
            self.0.push((name, text));
        }
        self
    }

    fn json(mut self, name: &'static str, value: Option<JsonbText>) -> Self {
        if let Some(JsonbText(text)) = value {
            self.0.push((name, text));
        }
        self
    }

    fn text(&self) -> String {
        let fields: Vec<String> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn perform(operation: &str, fields: Fields, idempotency_key: Option<&str>) -> JsonbText {
    JsonbText(call::answer(Caller::of_session, operation, &fields.text(), idempotency_key).body)
}

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
    let Ok(requests) = serde_json::from_str::<Vec<Box<RawValue>>>(&requests.0) else {
        error!("send_many takes a JSON array of requests");
    };
    if requests.len() > SEND_MANY_MAX {
        error!("send_many takes at most {SEND_MANY_MAX} requests");
    }
    let replies: Vec<JsonbText> = requests
        .iter()
        .map(|request| {
            let (text, idempotency_key) = split_idempotency_key(request.get());
            JsonbText(call::answer(Caller::of_session, "send", &text, idempotency_key.as_deref()).body)
        })
        .collect();
    SetOfIterator::new(replies)
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

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn adjust(
    transaction_id: Option<&str>,
    asset: Option<&str>,
    amount: Option<AnyNumeric>,
    reason: Option<&str>,
    customer_id: default!(Option<&str>, "NULL"),
    account_name: default!(Option<&str>, "'default'"),
    description: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    let amount = amount.map(|amount| match amount.to_string() {
        // NaN and infinities are no JSON numbers: as text, they are refused as an amount.
        text if text.contains(char::is_alphabetic) => JsonbText(format!("\"{text}\"")),
        text => JsonbText(text),
    });
    let fields = Fields::default()
        .with("transaction_id", transaction_id)
        .with("asset", asset)
        .json("amount", amount)
        .with("reason", reason)
        .with("customer_id", customer_id)
        .with("account_name", account_name.filter(|name| *name != "default"))
        .with("description", description)
        .json("metadata", metadata);
    perform("adjust", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_register(
    url: Option<&str>,
    events: default!(Option<Vec<String>>, "NULL"),
    description: default!(Option<&str>, "NULL"),
    retry_schedule_s: default!(Option<Vec<i32>>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let endpoint = Fields::default().with("url", url).with("events", events).with("description", description);
    perform("webhook_register", endpoint.with("retry_schedule_s", retry_schedule_s), idempotency_key)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_list() -> JsonbText {
    perform("webhook_list", Fields::default(), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_delete(id: Option<&str>) -> JsonbText {
    perform("webhook_delete", Fields::default().with("id", id), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_rotate(
    id: Option<&str>,
    overlap_seconds: default!(Option<i32>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let rotation = Fields::default().with("id", id).with("overlap_seconds", overlap_seconds);
    perform("webhook_rotate", rotation, idempotency_key)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_test(id: Option<&str>) -> JsonbText {
    perform("webhook_test", Fields::default().with("id", id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_test_result(delivery_id: Option<&str>) -> JsonbText {
    perform("webhook_test_result", Fields::default().with("delivery_id", delivery_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn delivery_list(
    status: default!(Option<&str>, "NULL"),
    event: default!(Option<&str>, "NULL"),
    page_size: default!(Option<i64>, "NULL"),
    cursor: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let filter = Fields::default().with("status", status).with("event", event);
    perform("delivery_list", filter.with("limit", page_size).with("cursor", cursor), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn delivery_replay(id: Option<&str>, idempotency_key: default!(Option<&str>, "NULL")) -> JsonbText {
    perform("delivery_replay", Fields::default().with("id", id), idempotency_key)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_replay(
    id: Option<&str>,
    since: Option<TimestampWithTimeZone>,
    until: default!(Option<TimestampWithTimeZone>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let time = |at: TimestampWithTimeZone| at.to_iso_string_with_timezone("UTC").ok();
    let range = Fields::default().with("id", id).with("since", since.and_then(time));
    let range = range.with("until", until.and_then(time)).with("status", status);
    perform("webhook_replay", range, idempotency_key)
}
