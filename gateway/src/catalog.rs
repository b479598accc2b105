//! The catalog that the extension publishes: its operations and codes, read at start-up and again
//! whenever the extension's version changes. The gateway owns no list of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::http::Method;
use metrics::gauge;
use serde_json::Value;

use crate::database::{Database, Fault};
use crate::routes::Routes;
use crate::schema::{self, Kinds};
use crate::{docs, openapi};

/// How often the extension's version is looked at, and how often Postgres is tried while it is away.
const EARLY_LOAD_TIMEOUT: Duration = Duration::from_secs(2);
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

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

/// Everything that is made from one version of the extension.
pub struct Catalog {
    pub version: String,
    pub routes: Routes,
    pub openapi: String,
    pub docs: String,
}

/// The catalog of the moment; empty until Postgres has answered once.
pub type CatalogCell = Arc<ArcSwapOption<Catalog>>;

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

/// Reads the catalog before anybody asks for it. Where Postgres is slow or away, serving does not wait.
pub async fn load_early(database: &Database, cell: &CatalogCell) {
    if let Ok(Err(fault)) = tokio::time::timeout(EARLY_LOAD_TIMEOUT, refresh(database, cell)).await {
        tracing::debug!(%fault, "the catalog is not read yet");
    }
}

/// Keeps the cell up to date for as long as the process lives.
pub async fn watch(database: Database, cell: CatalogCell) {
    let mut was_up = None;
    loop {
        let result = refresh(&database, &cell).await;
        gauge!("topup_postgres_up").set(if result.is_ok() { 1.0 } else { 0.0 });
        match &result {
            Ok(()) if was_up != Some(true) => tracing::info!("postgres answers"),
            Err(fault) if was_up != Some(false) => {
                tracing::warn!(%fault, "the catalog cannot be read; trying again until it can");
            }
            _ => {}
        }
        was_up = Some(result.is_ok());
        let wait = if result.is_ok() { WATCH_INTERVAL } else { RETRY_INTERVAL };
        tokio::time::sleep(wait).await;
    }
}

async fn refresh(database: &Database, cell: &CatalogCell) -> Result<(), Fault> {
    let version = database.extension_version().await?;
    if cell.load().as_ref().is_some_and(|known| known.version == version) {
        return Ok(());
    }
    let operations: Vec<_> = database.operations().await?.into_iter().map(Arc::new).collect();
    let codes = database.codes().await?;
    tracing::info!(version, operations = operations.len(), "catalog loaded");
    let catalog = Catalog {
        routes: Routes::new(&operations),
        openapi: openapi::document(&version, &operations, &codes).to_string(),
        docs: docs::page(&version, &operations, &codes)
            .map_err(|error| Fault::internal(error.to_string()))?,
        version,
    };
    cell.store(Some(Arc::new(catalog)));
    Ok(())
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
