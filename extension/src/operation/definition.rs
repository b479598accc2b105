//! What the catalog says of an operation.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::operation::handler::{self, Handler, OperationTerms};
use crate::operation::idempotency::Keeps;
use crate::operation::response_format::ResponseFormat;
use crate::operation::tool::Tool;
use crate::tenant::caller::{Caller, Scope};
use crate::value::reply::{Failure, Rendered};

/// A row of the catalog.
pub struct Operation {
    pub name: &'static str,
    /// Method and path; names in braces are fields of the request.
    pub http: Option<(&'static str, &'static str)>,
    /// The shape of its replies over HTTP.
    pub surface: ResponseFormat,
    pub terms: OperationTerms,
    /// A field with a URL whose host the gateway resolves beforehand, into `resolved_addresses`.
    pub resolves: Option<&'static str>,
    /// The operation that tells the result of one that is answered with 202 first.
    pub completes_with: Option<&'static str>,
    /// Whether the gateway may put calls of one key that wait for one another into one transaction, by `call_many`: each must
    /// take the key's own wallet before anything else, so that no order of them can lock up.
    pub batched: bool,
    pub mcp_tool: Option<&'static Tool>,
    /// What the typed SQL function is for, as its COMMENT says: shapes, units, refusals.
    pub comment: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    /// The HTTP statuses of its own refusals, as the envelope tells them, beside those that every operation may give.
    pub refuses: &'static [u16],
    pub example: Example,
    pub request_schema: fn() -> Value,
    pub reply_schema: fn() -> Value,
    pub run: Run,
}

/// A request that works, and what it is answered. The tests send each of them.
#[derive(Clone, Copy)]
pub struct Example {
    /// All fields in one JSON object, those of the path and the query too.
    pub request: &'static str,
    /// The body, as it is sent.
    pub reply: &'static str,
}

/// How an operation is run: for whom, on which terms, the request as text, the Idempotency-Key.
pub type Run = fn(&Caller, OperationTerms, &str, Option<&str>) -> Result<Rendered, Failure>;

/// A row for a handler, with what is usual.
pub const fn of<H: Handler>() -> Operation {
    shaped::<H::Request, H::Data>(H::NAME, handler::run::<H>)
}

/// A row for what is run in a way of its own.
pub const fn shaped<Q: JsonSchema, D: JsonSchema>(name: &'static str, run: Run) -> Operation {
    Operation {
        name,
        http: None,
        surface: ResponseFormat::Envelope,
        terms: OperationTerms { scope: Scope::Read, keeps: Keeps::Nothing },
        resolves: None,
        completes_with: None,
        batched: false,
        mcp_tool: None,
        comment: "",
        summary: "",
        description: "",
        refuses: &[],
        example: Example { request: "", reply: "" },
        request_schema: schema_of::<Q>,
        reply_schema: schema_of::<D>,
        run,
    }
}

impl Operation {
    /// The HTTP statuses of its refusals beside those that every operation may give, as its surface tells them.
    pub fn refusal_statuses(&self) -> Vec<i16> {
        let repeated = if self.terms.keeps == Keeps::Nothing { None } else { Some(&CONFLICT) };
        let mut statuses: Vec<i16> = self
            .refuses
            .iter()
            .chain(repeated)
            .map(|status| self.surface.refusal_status(*status))
            .chain(self.surface.field_refusal_status())
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

const CONFLICT: u16 = 409;

/// The JSON Schema of a type, as the catalog publishes it.
pub fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}
