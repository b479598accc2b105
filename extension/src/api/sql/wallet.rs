//! Assets, customers, wallets, adjustments, charges and statements.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use super::{Fields, number, perform, time};
use crate::pg::jsonb::JsonbText;

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn asset_create(
    code: Option<&str>,
    name: Option<&str>,
    decimals: default!(Option<i32>, "2"),
    label: default!(Option<&str>, "NULL"),
    symbol: default!(Option<&str>, "NULL"),
    rates: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("code", code).with("name", name).with("precision", decimals);
    let fields = fields.with("label", label).with("symbol", symbol).json("rates", rates);
    perform("asset_create", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn asset_list(
    page_size: default!(Option<i64>, "NULL"),
    page_offset: default!(Option<i64>, "NULL"),
) -> JsonbText {
    perform("asset_list", Fields::default().with("limit", page_size).with("offset", page_offset), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn asset_get(code: Option<&str>) -> JsonbText {
    perform("asset_get", Fields::default().with("code", code), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn asset_add_rate(
    code: Option<&str>,
    source: Option<&str>,
    rate: Option<AnyNumeric>,
    valid_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    valid_to: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("code", code).with("source", source).json("rate", number(rate));
    let fields = fields.with("valid_from", time(valid_from)).with("valid_to", time(valid_to));
    perform("asset_add_rate", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn asset_quote(
    code: Option<&str>,
    source: Option<&str>,
    amount: Option<AnyNumeric>,
    exchange_at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("code", code).with("source", source).json("amount", number(amount));
    perform("asset_quote", fields.with("exchange_at", time(exchange_at)), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn customer_create(
    name: Option<&str>,
    external_id: default!(Option<&str>, "NULL"),
    email: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
    subscriptions: default!(Option<JsonbText>, "NULL"),
    external_accounts: default!(Option<JsonbText>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("name", name).with("external_id", external_id).with("email", email);
    let fields = fields.json("metadata", metadata).json("subscriptions", subscriptions);
    perform("customer_create", fields.json("external_accounts", external_accounts), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn customer_list(
    customer_id: default!(Option<&str>, "NULL"),
    external_id: default!(Option<&str>, "NULL"),
    email: default!(Option<&str>, "NULL"),
    name: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    page_size: default!(Option<i64>, "NULL"),
    page_offset: default!(Option<i64>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("external_id", external_id);
    let fields = fields.with("email", email).with("name", name).with("status", status);
    perform("customer_list", fields.with("limit", page_size).with("offset", page_offset), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn customer_get(customer_id: Option<&str>) -> JsonbText {
    perform("customer_get", Fields::default().with("customer_id", customer_id), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn customer_update(
    customer_id: Option<&str>,
    name: default!(Option<&str>, "NULL"),
    external_id: default!(Option<&str>, "NULL"),
    email: default!(Option<&str>, "NULL"),
    clear: default!(Option<Vec<Option<String>>>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("name", name);
    let fields = fields.with("external_id", external_id).with("email", email).with("clear", clear);
    perform("customer_update", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn wallet(customer_id: Option<&str>) -> JsonbText {
    perform("wallet", Fields::default().with("customer_id", customer_id), None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn wallet_account(customer_id: Option<&str>, account_id: Option<&str>) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("account_id", account_id);
    perform("wallet_account", fields, None)
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn wallet_transaction(customer_id: Option<&str>, transaction_id: Option<&str>) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("transaction_id", transaction_id);
    perform("wallet_transaction", fields, None)
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
    effective_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    expires_at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("transaction_id", transaction_id)
        .with("asset", asset)
        .json("amount", number(amount))
        .with("reason", reason)
        .with("customer_id", customer_id)
        .with("account_name", account_name.filter(|name| *name != "default"))
        .with("description", description)
        .json("metadata", metadata)
        .with("effective_at", time(effective_at))
        .with("expires_at", time(expires_at));
    perform("adjust", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn charge(
    customer_id: Option<&str>,
    transaction_id: Option<&str>,
    asset: Option<&str>,
    amount: Option<AnyNumeric>,
    account_name: default!(Option<&str>, "'default'"),
    subject: default!(Option<&str>, "NULL"),
    description: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbText>, "NULL"),
    input_units: default!(Option<AnyNumeric>, "NULL"),
    input_volume: default!(Option<AnyNumeric>, "NULL"),
    unit_price: default!(Option<AnyNumeric>, "NULL"),
    volume_rate: default!(Option<AnyNumeric>, "NULL"),
    package_size: default!(Option<AnyNumeric>, "NULL"),
) -> JsonbText {
    let fields = Fields::default()
        .with("customer_id", customer_id)
        .with("transaction_id", transaction_id)
        .with("asset", asset)
        .json("amount", number(amount))
        .with("account_name", account_name.filter(|name| *name != "default"))
        .with("subject", subject)
        .with("description", description)
        .json("metadata", metadata)
        .json("input_units", number(input_units))
        .json("input_volume", number(input_volume))
        .json("unit_price", number(unit_price))
        .json("volume_rate", number(volume_rate))
        .json("package_size", number(package_size));
    perform("charge", fields, None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn refund(
    customer_id: Option<&str>,
    charge_id: Option<&str>,
    transaction_id: default!(Option<&str>, "NULL"),
    amount: default!(Option<AnyNumeric>, "NULL"),
    description: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let fields = Fields::default().with("customer_id", customer_id).with("charge_id", charge_id);
    let fields = fields.with("transaction_id", transaction_id).json("amount", number(amount));
    perform("refund", fields.with("description", description), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn statement(
    customer_id: Option<&str>,
    account_id: Option<&str>,
    period_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    period_to: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> JsonbText {
    perform("statement", period(customer_id, account_id, period_from, period_to), None)
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn statement_csv(
    customer_id: Option<&str>,
    account_id: Option<&str>,
    period_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    period_to: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> JsonbText {
    perform("statement_csv", period(customer_id, account_id, period_from, period_to), None)
}

fn period(
    customer_id: Option<&str>,
    account_id: Option<&str>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
) -> Fields {
    let fields = Fields::default().with("customer_id", customer_id).with("account_id", account_id);
    fields.with("from", time(from)).with("to", time(to))
}

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn account_self() -> JsonbText {
    perform("account_self", Fields::default(), None)
}
