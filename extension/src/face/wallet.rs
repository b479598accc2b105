//! The customer-wallet surface.

use pgrx::prelude::*;

use super::{Fields, perform};
use crate::jsonb::JsonbText;

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

#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn account_self() -> JsonbText {
    perform("account_self", Fields::default(), None)
}
