//! The funding surface: the session's own tenant.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use super::{Fields, perform};
use crate::pg::jsonb::JsonbText;
use crate::value::pg_timestamp::PgTimestamp;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn funding_top_up(
    amount_cents: Option<i64>,
    payment_method_id: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("amount", amount_cents).with("payment_method_id", payment_method_id);
    perform("funding_top_up", fields, idempotency_key)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn funding_top_up_status(payment_intent_id: Option<&str>) -> JsonbText {
    perform("funding_top_up_status", Fields::default().with("payment_intent_id", payment_intent_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn funding_config_get() -> JsonbText {
    perform("funding_config_get", Fields::default(), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn funding_config_set(amount_cents: Option<i64>, threshold_cents: Option<i64>) -> JsonbText {
    let fields = Fields::default().with("amount", amount_cents).with("threshold", threshold_cents);
    perform("funding_config_set", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn funding_config_delete() -> JsonbText {
    perform("funding_config_delete", Fields::default(), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn credit_balance() -> JsonbText {
    perform("credit_balance", Fields::default(), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn payment_methods() -> JsonbText {
    perform("payment_methods", Fields::default(), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn payment_method_replace(
    amount_cents: Option<i64>,
    idempotency_key: default!(Option<&str>, "NULL"),
) -> JsonbText {
    perform("payment_method_replace", Fields::default().with("amount", amount_cents), idempotency_key)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn payment_method_remove(payment_method_id: Option<&str>) -> JsonbText {
    perform("payment_method_remove", Fields::default().with("payment_method_id", payment_method_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn invoice_history(
    invoice_type: default!(Option<&str>, "'all'"),
    page: default!(Option<i64>, "1"),
    per_page: default!(Option<i64>, "20"),
) -> JsonbText {
    let fields = Fields::default().with("type", invoice_type).with("page", page).with("per_page", per_page);
    perform("invoice_history", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn invoice_preview() -> JsonbText {
    perform("invoice_preview", Fields::default(), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn usage_history(
    value_grouping_window: default!(Option<&str>, "'day'"),
    start_time: default!(Option<TimestampWithTimeZone>, "NULL"),
    end_time: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> JsonbText {
    let unix_ms = |at: Option<TimestampWithTimeZone>| at.map(|at| PgTimestamp::from(at).unix_ms());
    let fields = Fields::default().with("value_grouping_window", value_grouping_window);
    let fields = fields.with("start_time", unix_ms(start_time)).with("end_time", unix_ms(end_time));
    perform("usage_history", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn spending_limit_get() -> JsonbText {
    perform("spending_limit_get", Fields::default(), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn spending_limit_set(
    amount_cents: Option<i64>,
    duration: default!(Option<&str>, "'monthly'"),
    strategy: default!(Option<&str>, "'fixed'"),
) -> JsonbText {
    let fields = Fields::default().with("amount", amount_cents).with("duration", duration);
    perform("spending_limit_set", fields.with("strategy", strategy), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn spending_limit_delete() -> JsonbText {
    perform("spending_limit_delete", Fields::default(), None)
}
