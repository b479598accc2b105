//! Top-ups that customers pay for.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use super::{Fields, number, perform, time};
use crate::pg::jsonb::JsonbText;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn top_up_create(
    customer_id: Option<&str>,
    amount: Option<AnyNumeric>,
    currency: Option<&str>,
    return_url: Option<&str>,
    failure_url: Option<&str>,
    description: default!(Option<&str>, "NULL"),
    destination: default!(Option<JsonbText>, "NULL"),
    credit_expires_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("customer_id", customer_id)
        .json("amount", number(amount))
        .with("currency", currency)
        .with("return_url", return_url)
        .with("failure_url", failure_url)
        .with("description", description)
        .json("destination", destination)
        .with("credit_expires_at", time(credit_expires_at))
        .json("metadata", metadata);
    perform("top_up_create", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn top_up_get(top_up_id: Option<&str>) -> JsonbText {
    perform("top_up_get", Fields::default().with("top_up_id", top_up_id), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn top_up_refund(
    top_up_id: Option<&str>,
    amount: default!(Option<AnyNumeric>, "NULL"),
    description: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("top_up_id", top_up_id)
        .json("amount", number(amount))
        .with("description", description);
    perform("top_up_refund", fields, idempotency_key)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn set_auto_top_up(
    amount: Option<AnyNumeric>,
    threshold: Option<AnyNumeric>,
    customer_id: default!(Option<&str>, "NULL"),
    account_name: default!(Option<&str>, "'default'"),
    asset: default!(Option<&str>, "'USD'"),
    currency: default!(Option<&str>, "'USD'"),
    max_purchases: default!(Option<i32>, "10"),
    window_s: default!(Option<i32>, "86400"),
) -> JsonbText {
    let fields = Fields::default()
        .json("amount", number(amount))
        .json("threshold", number(threshold))
        .with("customer_id", customer_id)
        .with("account_name", account_name)
        .with("asset", asset)
        .with("currency", currency)
        .with("max_purchases", max_purchases)
        .with("window_s", window_s);
    perform("set_auto_top_up", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn remove_auto_top_up(
    customer_id: default!(Option<&str>, "NULL"),
    account_name: default!(Option<&str>, "'default'"),
    asset: default!(Option<&str>, "'USD'"),
) -> JsonbText {
    perform("remove_auto_top_up", account(customer_id, account_name, asset), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn auto_top_up(
    customer_id: default!(Option<&str>, "NULL"),
    account_name: default!(Option<&str>, "'default'"),
    asset: default!(Option<&str>, "'USD'"),
) -> JsonbText {
    perform("auto_top_up", account(customer_id, account_name, asset), None)
}

fn account(customer_id: Option<&str>, account_name: Option<&str>, asset: Option<&str>) -> Fields {
    Fields::default().with("customer_id", customer_id).with("account_name", account_name).with("asset", asset)
}
