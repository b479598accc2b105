//! The customer-wallet surface, billing: products, subscriptions and usage.

use pgrx::prelude::*;

use super::{Fields, perform, time};
use crate::pg::jsonb::JsonbText;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_create(
    name: Option<&str>,
    code: Option<&str>,
    prices: Option<JsonbText>,
    entitlements: default!(Option<JsonbText>, "NULL"),
    publish: default!(Option<bool>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("name", name).with("code", code).json("prices", prices);
    perform("product_create", fields.json("entitlements", entitlements).with("publish", publish), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_list(
    code: default!(Option<&str>, "NULL"),
    page_offset: default!(Option<i64>, "NULL"),
    page_size: default!(Option<i64>, "NULL"),
) -> JsonbText {
    let page = Fields::default().with("offset", page_offset).with("limit", page_size);
    perform("product_list", page.with("code", code), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_get(product_id: Option<&str>) -> JsonbText {
    perform("product_get", Fields::default().with("product_id", product_id), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_delete(product_id: Option<&str>) -> JsonbText {
    perform("product_delete", Fields::default().with("product_id", product_id), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_version_create(
    product_id: Option<&str>,
    prices: Option<JsonbText>,
    entitlements: default!(Option<JsonbText>, "NULL"),
    publish: default!(Option<bool>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("product_id", product_id).json("prices", prices);
    perform(
        "product_version_create",
        fields.json("entitlements", entitlements).with("publish", publish),
        None,
    )
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_version_get(product_id: Option<&str>, version: Option<i32>) -> JsonbText {
    perform("product_version_get", of_version(product_id, version), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_version_update(
    product_id: Option<&str>,
    version: Option<i32>,
    publish: default!(Option<bool>, "NULL"),
    make_default: default!(Option<bool>, "NULL"),
) -> JsonbText {
    let fields = of_version(product_id, version).with("publish", publish);
    perform("product_version_update", fields.with("make_default", make_default), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_version_archive(product_id: Option<&str>, version: Option<i32>) -> JsonbText {
    perform("product_version_archive", of_version(product_id, version), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn simulate_usage(product_id: Option<&str>, version: Option<i32>, events: Option<JsonbText>) -> JsonbText {
    perform("simulate_usage", of_version(product_id, version).json("events", events), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn product_subscribers(
    product_id: Option<&str>,
    page_offset: default!(Option<i64>, "NULL"),
    page_size: default!(Option<i64>, "NULL"),
) -> JsonbText {
    let page = Fields::default().with("offset", page_offset).with("limit", page_size);
    perform("product_subscribers", page.with("product_id", product_id), None)
}

fn of_version(product_id: Option<&str>, version: Option<i32>) -> Fields {
    Fields::default().with("product_id", product_id).with("version", version)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn subscription_create(
    customer_id: Option<&str>,
    products: Option<JsonbText>,
    starts_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    renews_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    return_url: default!(Option<&str>, "NULL"),
    failure_url: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("customer_id", customer_id)
        .json("products", products)
        .with("starts_at", time(starts_at))
        .with("renews_at", time(renews_at))
        .with("return_url", return_url)
        .with("failure_url", failure_url);
    perform("subscription_create", fields, idempotency_key)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn subscription_update(
    customer_id: Option<&str>,
    subscription_id: Option<&str>,
    status: Option<&str>,
) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("subscription_id", subscription_id);
    perform("subscription_update", fields.with("status", status), None)
}

/// Without a version, the default one.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn subscription_product_update(
    customer_id: Option<&str>,
    subscription_id: Option<&str>,
    product_id: Option<&str>,
    version: default!(Option<i32>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("subscription_id", subscription_id);
    let fields = fields.with("product_id", product_id);
    let fields = match version {
        Some(version) => fields.with("version", Some(version)),
        None => fields.with("version", Some("default")),
    };
    perform("subscription_product_update", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn record_usage(
    customer_id: Option<&str>,
    events: Option<JsonbText>,
    customer_external_id: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).json("events", events);
    perform("record_usage", fields.with("customer_external_id", customer_external_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn usage_event_list(
    customer_id: default!(Option<&str>, "NULL"),
    customer_external_id: default!(Option<&str>, "NULL"),
    event_id: default!(Option<&str>, "NULL"),
    subject: default!(Option<&str>, "NULL"),
    period_from: default!(Option<Date>, "NULL"),
    period_to: default!(Option<Date>, "NULL"),
    event_types: default!(Option<&str>, "NULL"),
    has_fees: default!(Option<bool>, "NULL"),
    page_offset: default!(Option<i64>, "NULL"),
    page_size: default!(Option<i64>, "NULL"),
) -> JsonbText {
    let day = |day: Option<Date>| day.map(|day| day.to_iso_string());
    let fields = Fields::default()
        .with("offset", page_offset)
        .with("limit", page_size)
        .with("customer_id", customer_id)
        .with("customer_external_id", customer_external_id)
        .with("event_id", event_id)
        .with("subject", subject)
        .with("period_from", day(period_from))
        .with("period_to", day(period_to))
        .with("event_types", event_types)
        .with("has_fees", has_fees);
    perform("usage_event_list", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn usage_event_get(event_id: Option<&str>) -> JsonbText {
    perform("usage_event_get", Fields::default().with("event_id", event_id), None)
}
