//! The catalog that the extension publishes: its operations and codes, read at start-up and again
//! whenever the extension's version changes. The gateway owns no list of its own.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::gauge;

use crate::docs::openapi;
use crate::postgres::catalog_row::CatalogFault;
use crate::postgres::database::Database;
use crate::routes::Routes;
use crate::tool::Tools;

const EARLY_LOAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the extension's version is looked at, and how often Postgres is tried while it is away.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Everything that is made from one version of the extension.
pub struct Catalog {
    pub version: String,
    pub routes: Routes,
    pub tools: Tools,
    pub openapi: String,
}

/// The catalog of the moment; empty until Postgres has answered once.
pub type CatalogCell = Arc<ArcSwapOption<Catalog>>;

/// Reads the catalog before anybody asks for it. Where Postgres is slow or away, serving does not wait. A catalog that
/// this gateway does not understand is an error.
pub async fn load_early(database: &Database, cell: &CatalogCell) -> Result<(), String> {
    match tokio::time::timeout(EARLY_LOAD_TIMEOUT, refresh(database, cell)).await {
        Ok(Err(CatalogFault::Unknown(what))) => return Err(what),
        Ok(Err(fault)) => tracing::debug!(%fault, "the catalog is not read yet"),
        _ => {}
    }
    Ok(())
}

/// Keeps the cell up to date for as long as the process lives. Where a new version of the extension has a catalog that this
/// gateway does not understand, the one before it goes on being served, and the log says why.
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

async fn refresh(database: &Database, cell: &CatalogCell) -> Result<(), CatalogFault> {
    let version = database.extension_version().await?;
    if cell.load().as_ref().is_some_and(|known| known.version == version) {
        return Ok(());
    }
    let operations: Vec<_> = database.operations().await?.into_iter().map(Arc::new).collect();
    let codes = database.codes().await?;
    let events = database.event_types().await?;
    tracing::info!(version, operations = operations.len(), "catalog loaded");
    let catalog = Catalog {
        routes: Routes::new(&operations)?,
        tools: Tools::new(&operations)?,
        openapi: openapi::document(&version, &operations, &codes, &events).to_string(),
        version,
    };
    cell.store(Some(Arc::new(catalog)));
    Ok(())
}
