//! What the catalog says of an operation, and how it tells the gateway.

use pgrx::JsonB;
use pgrx::prelude::*;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::caller::{Caller, Scope};
use crate::catalog;
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
    pub run: fn(&Caller, Terms, &str, Option<&str>) -> Result<Rendered, Failure>,
}

/// A row for a handler, with what is usual.
pub const fn of<H: Handler>() -> Operation {
    Operation {
        name: H::NAME,
        http: None,
        surface: Surface::Envelope,
        terms: Terms { scope: Scope::Read, keeps: Keeps::Nothing },
        resolves: None,
        completes_with: None,
        mcp_tool: None,
        summary: "",
        description: "",
        request_schema: schema_of::<H::Request>,
        reply_schema: schema_of::<H::Data>,
        run: handler::run::<H>,
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Operation> {
    catalog::all().find(|operation| operation.name == name)
}

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn operations() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(surface, String),
        name!(success_status, i16),
        name!(method, Option<String>),
        name!(path, Option<String>),
        name!(scope, String),
        name!(idempotent, bool),
        name!(resolves, Option<String>),
        name!(completes_with, Option<String>),
        name!(mcp_tool, Option<JsonB>),
        name!(summary, String),
        name!(description, String),
        name!(request_schema, JsonB),
        name!(reply_schema, JsonB),
    ),
> {
    TableIterator::new(catalog::all().map(|operation| {
        let own = |text: &str| text.to_owned();
        (
            own(operation.name),
            own(operation.surface.as_str()),
            operation.surface.success_status(),
            operation.http.map(|(method, _)| own(method)),
            operation.http.map(|(_, path)| own(path)),
            own(operation.terms.scope.as_str()),
            operation.terms.keeps != Keeps::Nothing,
            operation.resolves.map(own),
            operation.completes_with.map(own),
            operation.mcp_tool.map(|tool| JsonB(tool.to_json())),
            own(operation.summary),
            own(operation.description),
            JsonB((operation.request_schema)()),
            JsonB((operation.reply_schema)()),
        )
    }))
}
