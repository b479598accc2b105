//! The typed SQL functions: each puts its named arguments into the request of an operation, and runs it
//! for whoever the session speaks for. The reply comes back as `jsonb`; a refusal is a reply too.

mod billing;
mod funding;
mod hold;
mod id;
mod payment;
mod portal;
mod top_up;
mod wallet;
mod webhook;

use std::io::{self, Write};

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use serde::Serialize;

use crate::api::call;
use crate::operation::replayed;
use crate::operation::request;
use crate::pg::bound::REQUEST_BYTES_MAX;
use crate::pg::jsonb::JsonbText;
use crate::tenant::caller::Caller;
use crate::value::pg_timestamp::PgTimestamp;

/// A request being written: arguments that are null are left out.
#[derive(Default)]
struct Fields {
    written: Vec<(&'static str, String)>,
    /// Whether one was larger than a whole request may be, and was not written.
    is_too_large: bool,
}

impl Fields {
    fn with<T: Serialize>(mut self, name: &'static str, value: Option<T>) -> Self {
        let Some(value) = value else { return self };
        let mut text = Bounded::default();
        match serde_json::to_writer(&mut text, &value) {
            Ok(()) => self.written.extend(String::from_utf8(text.written).ok().map(|text| (name, text))),
            Err(_) => self.is_too_large = true,
        }
        self
    }

    fn json(mut self, name: &'static str, value: Option<JsonbText>) -> Self {
        if let Some(JsonbText(text)) = value {
            self.written.push((name, text));
        }
        self
    }

    fn text(&self) -> String {
        let fields: Vec<String> =
            self.written.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// JSON being written, as long as it does not outgrow a request.
#[derive(Default)]
struct Bounded {
    written: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written.len() + bytes.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    at.map(|at| PgTimestamp::from(at).request_text())
}

fn perform(operation: &str, fields: Fields, idempotency_key: Option<&str>) -> JsonbText {
    let caller = || match fields.is_too_large {
        true => Err(request::too_large().into()),
        false => Caller::of_session(),
    };
    let reply = call::answer(caller, operation, &fields.text(), idempotency_key);
    replayed::report(std::slice::from_ref(&reply));
    JsonbText(reply.body)
}
