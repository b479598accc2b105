//! An operation and a code as the extension describes them.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::Value;

use crate::response_format::ResponseFormat;
use crate::schema::{self, Kinds};
use crate::shape::Shape;

/// The field that the gateway itself adds where an operation `resolves` a URL's host.
pub const RESOLVED_FIELD: &str = "resolved_addresses";
/// The field that the gateway adds from a header: how often the client sent the request before.
pub const RETRY_FIELD: &str = "retry_count";

/// One operation as `topup.operations()` describes it.
#[derive(Debug, Default)]
pub struct Operation {
    pub name: String,
    /// None where HTTP cannot reach the operation.
    pub method: Option<Method>,
    pub path: Option<String>,
    pub format: ResponseFormat,
    /// The HTTP status of a success; in the envelope a code may have another.
    pub success_status: u16,
    /// What the body of a success is.
    pub media_type: String,
    pub scope: Option<String>,
    pub idempotent: bool,
    /// The request field with a URL whose host is to be resolved before the call.
    pub resolves: Option<String>,
    /// The operation to repeat while the reply is 202.
    pub completes_with: Option<String>,
    /// Whether calls of one key that wait for one another share a transaction.
    pub batched: bool,
    /// How agents see the operation, where they may call it.
    pub mcp_tool: Option<Value>,
    pub summary: String,
    pub description: String,
    pub request_schema: Value,
    pub reply_schema: Value,
    /// The group of operations to which it belongs.
    pub section: String,
    pub section_description: String,
    /// HTTP statuses of its own refusals, as its surface tells them.
    pub refusal_statuses: Vec<i16>,
    /// All fields of a request that works, in one object; null where there is none.
    pub request_example: Value,
    /// The body that answers it.
    pub reply_example: Value,
    pub kinds_by_field: HashMap<String, Kinds>,
    /// What a request may have, at every depth.
    pub shape: Shape,
}

/// One code as `topup.codes()` describes it.
#[derive(Clone, Debug)]
pub struct CodeRow {
    pub code: i16,
    pub meaning: String,
    pub http_status: i16,
    pub success: bool,
}

/// One type of event as `topup.event_types()` describes it.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub name: String,
    pub meaning: String,
    pub data_schema: Value,
    /// The body as it is sent.
    pub example: Value,
}

impl Operation {
    /// Whether the request travels in a body; otherwise it stands in the path and the query.
    pub fn takes_body(&self) -> bool {
        matches!(self.method, Some(Method::POST | Method::PATCH | Method::PUT))
    }

    /// What a field of the request may be; nothing for a field that the schema does not know.
    pub fn kinds(&self, field: &str) -> Option<&Kinds> {
        self.kinds_by_field.get(field)
    }

    /// Completes an operation with what follows from its request schema, which then shows
    /// only what clients send.
    pub fn with_kinds(mut self) -> Self {
        let root = &self.request_schema;
        self.kinds_by_field = schema::fields(root)
            .into_iter()
            .map(|(name, field, _)| (name.to_owned(), schema::kinds(field, root)))
            .collect();
        if let Some(properties) = self.request_schema["properties"].as_object_mut() {
            properties.remove(RETRY_FIELD);
            if self.resolves.is_some() {
                properties.remove(RESOLVED_FIELD);
            }
        }
        self.shape = Shape::of(&self.request_schema, &self.request_schema);
        self
    }
}

#[cfg(test)]
impl Operation {
    pub fn for_test(request_schema: Value) -> Self {
        Operation { request_schema, ..Operation::default() }.with_kinds()
    }

    pub fn for_route(name: &str, method: Method, path: &str) -> Self {
        let (method, path) = (Some(method), Some(path.to_owned()));
        Operation { name: name.to_owned(), method, path, ..Operation::default() }
    }
}
