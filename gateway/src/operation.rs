//! An operation and a code as the extension describes them.

use std::collections::HashMap;

use axum::http::Method;
use serde_json::Value;

use crate::schema::{self, Kinds};

/// The field that the gateway itself adds where an operation `resolves` a URL's host.
pub const RESOLVED_FIELD: &str = "resolved_addresses";

/// One operation as `topup.operations()` describes it.
#[derive(Debug, Default)]
pub struct Operation {
    pub name: String,
    /// None where HTTP cannot reach the operation.
    pub method: Option<Method>,
    pub path: Option<String>,
    pub scope: Option<String>,
    pub idempotent: bool,
    /// The request field with a URL whose host is to be resolved before the call.
    pub resolves: Option<String>,
    /// The operation to repeat while the reply is 202.
    pub completes_with: Option<String>,
    /// How agents see the operation, where they may call it.
    pub mcp_tool: Option<Value>,
    pub summary: String,
    pub description: String,
    pub request_schema: Value,
    pub reply_schema: Value,
    pub kinds_by_field: HashMap<String, Kinds>,
}

/// One code as `topup.codes()` describes it.
#[derive(Clone, Debug)]
pub struct CodeRow {
    pub code: i16,
    pub meaning: String,
    pub http_status: i16,
    pub success: bool,
}

impl Operation {
    /// What a field of the request may be; nothing for a field that the schema does not know.
    pub fn kinds(&self, field: &str) -> Option<&Kinds> {
        self.kinds_by_field.get(field)
    }

    /// Completes an operation with what follows from its request schema, which then shows
    /// only what clients send.
    pub fn with_kinds(mut self) -> Self {
        if self.resolves.is_some()
            && let Some(properties) = self.request_schema["properties"].as_object_mut()
        {
            properties.remove(RESOLVED_FIELD);
        }
        let root = &self.request_schema;
        self.kinds_by_field = schema::fields(root)
            .into_iter()
            .map(|(name, field, _)| (name.to_owned(), schema::kinds(field, root)))
            .collect();
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
