//! Webhooks and their log.

use pgrx::prelude::*;

use super::{Fields, perform, time};
use crate::pg::bound::elements;
use crate::pg::jsonb::JsonbText;
use crate::webhook::endpoint::{ATTEMPTS_MAX, EVENTS_MAX};

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_register(
    url: Option<&str>,
    events: default!(Option<Array<&str>>, "NULL"),
    description: default!(Option<&str>, "NULL"),
    retry_schedule_s: default!(Option<Array<i32>>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let events = events.as_ref().map(|events| elements("events", events, EVENTS_MAX));
    let schedule = retry_schedule_s.as_ref();
    let schedule = schedule.map(|schedule| elements("retry_schedule_s", schedule, ATTEMPTS_MAX));
    let endpoint = Fields::default().with("url", url).with("events", events).with("description", description);
    perform("webhook_register", endpoint.with("retry_schedule_s", schedule), idempotency_key)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_list() -> JsonbText {
    perform("webhook_list", Fields::default(), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn webhook_update(
    id: Option<&str>,
    url: default!(Option<&str>, "NULL"),
    events: default!(Option<Array<&str>>, "NULL"),
    description: default!(Option<&str>, "NULL"),
    retry_schedule_s: default!(Option<Array<i32>>, "NULL"),
    enabled: default!(Option<bool>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let events = events.as_ref().map(|events| elements("events", events, EVENTS_MAX));
    let schedule = retry_schedule_s.as_ref();
    let schedule = schedule.map(|schedule| elements("retry_schedule_s", schedule, ATTEMPTS_MAX));
    let change = Fields::default().with("id", id).with("url", url).with("events", events);
    let change = change.with("description", description).with("retry_schedule_s", schedule);
    perform("webhook_update", change.with("enabled", enabled), idempotency_key)
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
    let range = Fields::default().with("id", id).with("since", time(since));
    let range = range.with("until", time(until)).with("status", status);
    perform("webhook_replay", range, idempotency_key)
}
