//! The rows of the catalog, as `topup.operations()`, `topup.codes()` and `topup.event_types()` return them. A value that
//! this gateway does not know is an error: to guess what is meant would serve it wrongly.

use std::fmt;

use axum::http::{Method, StatusCode};
use serde_json::Value;
use tokio_postgres::{Error, Row};

use crate::operation::{CodeRow, EventRow, Operation};
use crate::postgres::fault::Fault;
use crate::response_format::ResponseFormat;

pub const OPERATIONS: &str = "select name, method, path, scope, idempotent, resolves, completes_with, summary, description, \
     request_schema, reply_schema, mcp_tool, surface, success_status, media_type, section, section_description, \
     refusal_statuses, request_example, reply_example, batched from topup.operations()";

pub const CODES: &str = "select code, meaning, http_status, success from topup.codes() order by code";

pub const EVENTS: &str = "select name, meaning, data_schema, example from topup.event_types()";

/// Why the catalog cannot be used.
#[derive(Debug)]
pub enum CatalogFault {
    /// It could not be read.
    Unread(Fault),
    /// It says something that this gateway does not know.
    Unknown(String),
}

impl CatalogFault {
    /// What an operation says that is not known here.
    pub fn unknown(operation: &str, what: &str, value: &str) -> Self {
        CatalogFault::Unknown(format!(
            "operation {operation} of the extension has {what} {value:?}, which this gateway does not know: install the \
             gateway of the extension's version"
        ))
    }
}

impl fmt::Display for CatalogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogFault::Unread(fault) => fault.fmt(f),
            CatalogFault::Unknown(what) => f.write_str(what),
        }
    }
}

impl From<Fault> for CatalogFault {
    fn from(fault: Fault) -> Self {
        CatalogFault::Unread(fault)
    }
}

impl From<Error> for CatalogFault {
    fn from(error: Error) -> Self {
        CatalogFault::Unread(error.into())
    }
}

/// A row of [`OPERATIONS`].
pub fn operation(row: &Row) -> Result<Operation, CatalogFault> {
    let name: String = row.try_get(0)?;
    let unknown = |what: &str, value: &str| CatalogFault::unknown(&name, what, value);
    let method: Option<&str> = row.try_get(1)?;
    let method =
        method.map(|method| known_method(method).ok_or_else(|| unknown("the method", method))).transpose()?;
    let format: &str = row.try_get(12)?;
    let status: i16 = row.try_get(13)?;
    let operation = Operation {
        method,
        path: row.try_get(2)?,
        scope: row.try_get(3)?,
        idempotent: row.try_get(4)?,
        resolves: row.try_get(5)?,
        completes_with: row.try_get(6)?,
        summary: row.try_get(7)?,
        description: row.try_get(8)?,
        request_schema: row.try_get(9)?,
        reply_schema: row.try_get(10)?,
        mcp_tool: row.try_get(11)?,
        format: ResponseFormat::parse(format).ok_or_else(|| unknown("the response format", format))?,
        success_status: success(status)
            .ok_or_else(|| unknown("the status of a success", &status.to_string()))?,
        media_type: row.try_get(14)?,
        section: row.try_get(15)?,
        section_description: row.try_get(16)?,
        refusal_statuses: row.try_get(17)?,
        request_example: example(row.try_get(18)?),
        reply_example: example(row.try_get(19)?),
        batched: row.try_get(20)?,
        name,
        ..Operation::default()
    };
    Ok(operation.with_kinds())
}

fn known_method(name: &str) -> Option<Method> {
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
        .into_iter()
        .find(|method| method == name)
}

fn success(status: i16) -> Option<u16> {
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    status.is_success().then_some(status.as_u16())
}

/// An example as the catalog has it: JSON, or a text that is none.
fn example(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
}

/// A row of [`CODES`].
pub fn code(row: &Row) -> Result<CodeRow, Error> {
    Ok(CodeRow {
        code: row.try_get(0)?,
        meaning: row.try_get(1)?,
        http_status: row.try_get(2)?,
        success: row.try_get(3)?,
    })
}

/// A row of [`EVENTS`].
pub fn event(row: &Row) -> Result<EventRow, Error> {
    Ok(EventRow {
        name: row.try_get(0)?,
        meaning: row.try_get(1)?,
        data_schema: row.try_get(2)?,
        example: example(row.try_get(3)?),
    })
}
