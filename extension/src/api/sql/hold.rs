//! Holds and grants of customers' accounts.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use super::{Fields, number, perform, time};
use crate::pg::jsonb::JsonbText;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn hold(
    customer_id: Option<&str>,
    asset: Option<&str>,
    amount: Option<AnyNumeric>,
    expires_at: Option<TimestampWithTimeZone>,
    transaction_id: default!(Option<&str>, "NULL"),
    account_name: default!(Option<&str>, "'default'"),
    description: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("customer_id", customer_id)
        .with("asset", asset)
        .json("amount", number(amount))
        .with("expires_at", time(expires_at))
        .with("transaction_id", transaction_id)
        .with("account_name", account_name.filter(|name| *name != "default"))
        .with("description", description)
        .json("metadata", metadata);
    perform("hold", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn settle(
    hold_id: Option<&str>,
    amount: Option<AnyNumeric>,
    allow_over: default!(Option<bool>, "false"),
    description: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("hold_id", hold_id)
        .json("amount", number(amount))
        .with("allow_over", allow_over)
        .with("description", description);
    perform("settle", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn release(hold_id: Option<&str>) -> JsonbText {
    perform("release", Fields::default().with("hold_id", hold_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn hold_status(hold_id: Option<&str>) -> JsonbText {
    perform("hold_status", Fields::default().with("hold_id", hold_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn grant_list(
    customer_id: Option<&str>,
    account_id: default!(Option<&str>, "'default:USD'"),
    purpose: default!(Option<&str>, "NULL"),
    exclude_expired: default!(Option<bool>, "false"),
    effective_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    effective_to: default!(Option<TimestampWithTimeZone>, "NULL"),
    expired_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    expired_to: default!(Option<TimestampWithTimeZone>, "NULL"),
    page_size: default!(Option<i64>, "NULL"),
    page_offset: default!(Option<i64>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("customer_id", customer_id)
        .with("account_id", account_id)
        .with("purpose", purpose)
        .with("exclude_expired", exclude_expired)
        .with("effective_from", time(effective_from))
        .with("effective_to", time(effective_to))
        .with("expired_from", time(expired_from))
        .with("expired_to", time(expired_to))
        .with("limit", page_size)
        .with("offset", page_offset);
    perform("grant_list", fields, None)
}
