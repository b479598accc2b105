//! What the catalog says of an operation.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::caller::{Caller, Scope};
use crate::handler::{self, Handler, Terms};
use crate::idempotency::Keeps;
use crate::reply::{Failure, Rendered};
use crate::surface::Surface;
use crate::tool::Tool;

/// A row of the catalog.
pub struct Operation {
    pub name: &'static str,
    /// Method and path; names in braces are fields of the request.
    pub http: Option<(&'static str, &'static str)>,
    /// The shape of its replies over HTTP.
    pub surface: Surface,
    pub terms: Terms,
    /// A field with a URL whose host the gateway resolves beforehand, into `resolved_addresses`.
    pub resolves: Option<&'static str>,
    /// The operation that tells the result of one that is answered with 202 first.
    pub completes_with: Option<&'static str>,
    pub mcp_tool: Option<&'static Tool>,
    pub summary: &'static str,
    pub description: &'static str,
    pub request_schema: fn() -> Value,
    pub reply_schema: fn() -> Value,
    pub run: Run,
}

/// How an operation is run: for whom, on which terms, the request as text, the Idempotency-Key.
pub type Run = fn(&Caller, Terms, &str, Option<&str>) -> Result<Rendered, Failure>;

/// A row for a handler, with what is usual.
pub const fn of<H: Handler>() -> Operation {
    shaped::<H::Request, H::Data>(H::NAME, handler::run::<H>)
}

/// A row for what is run in a way of its own.
pub const fn shaped<Q: JsonSchema, D: JsonSchema>(name: &'static str, run: Run) -> Operation {
    Operation {
        name,
        http: None,
        surface: Surface::Envelope,
        terms: Terms { scope: Scope::Read, keeps: Keeps::Nothing },
        resolves: None,
        completes_with: None,
        mcp_tool: None,
        summary: "",
        description: "",
        request_schema: schema_of::<Q>,
        reply_schema: schema_of::<D>,
        run,
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}
