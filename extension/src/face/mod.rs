//! The typed SQL functions: each puts its named arguments into the request of an operation, and runs it
//! for whoever the session speaks for. The reply comes back as `jsonb`; a refusal is a reply too.

mod billing;
mod funding;
mod hold;
mod payment;
mod portal;
mod top_up;
mod wallet;
mod webhook;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use serde::Serialize;

use crate::call;
use crate::caller::Caller;
use crate::instant::Instant;
use crate::jsonb::JsonbText;

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

/// A number as JSON has it.
fn number(amount: Option<AnyNumeric>) -> Option<JsonbText> {
    amount.map(|amount| match amount.to_string() {
        // NaN and infinities are no JSON numbers: as text, they are refused as an amount.
        text if text.contains(char::is_alphabetic) => JsonbText(format!("\"{text}\"")),
        text => JsonbText(text),
    })
}

/// A time as RFC 3339 has it. Infinity is none: as text, it is refused as a time.
fn time(at: Option<TimestampWithTimeZone>) -> Option<String> {
    at.map(|at| Instant::from(at).request_text())
}

fn perform(operation: &str, fields: Fields, idempotency_key: Option<&str>) -> JsonbText {
    JsonbText(call::answer(Caller::of_session, operation, &fields.text(), idempotency_key).body)
}
