//! What every request needs: the catalog of the moment, the way to Postgres, the settings, and the limits of a key.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::catalog::CatalogCell;
use crate::completion::Completions;
use crate::config::Settings;
use crate::held::Bodies;
use crate::limit::{Concurrency, Limiter};
use crate::payment::Providers;
use crate::postgres::database::{Database, POOL_WAIT};
use crate::postgres::readiness::Readiness;
use crate::postgres::shares::Shares;
use crate::send_batcher::SendBatcher;

/// What every request needs.
pub struct App {
    pub catalog: CatalogCell,
    pub database: Database,
    /// Where sends wait for each other.
    pub sends: Arc<SendBatcher>,
    /// Where calls wait that are done elsewhere.
    pub completions: Arc<Completions>,
    pub settings: Settings,
    pub payments: Arc<Providers>,
    pub admission: Admission,
    /// Request bodies in memory.
    pub bodies: Bodies,
    pub readiness: Readiness,
    /// Calls of operations, over HTTP and MCP together.
    pub limiter: Option<Limiter>,
    /// MCP messages of every kind: a tool call takes several.
    pub message_limiter: Option<Limiter>,
    /// Tool calls under way.
    pub calls: Concurrency,
    /// Looking up the names of webhooks.
    pub lookups: Shares,
    /// Cancelled when the gateway begins to stop.
    pub stop: CancellationToken,
}

impl App {
    /// Everything as these settings want it; the catalog is not read yet.
    pub fn new(settings: Settings, database: Database, payments: Arc<Providers>) -> Self {
        let (rate, burst) = (settings.rate_limit, settings.rate_burst);
        let messages = |calls: u32| calls.saturating_mul(MESSAGES_PER_CALL);
        App {
            catalog: CatalogCell::default(),
            sends: SendBatcher::new(database.clone()),
            completions: Completions::new(),
            database,
            limiter: Limiter::new(rate, burst),
            message_limiter: Limiter::new(messages(rate), messages(burst)),
            admission: Admission::new(settings.wrong_key_limit, settings.wrong_key_burst),
            bodies: Bodies::new(
                settings.body_budget_bytes as usize,
                settings.body_budget_per_key_bytes as usize,
                settings.body_limit_bytes as usize,
            ),
            readiness: Readiness::default(),
            calls: Concurrency::new(settings.mcp.calls_per_key_max as usize),
            lookups: Shares::new(LOOKUPS_OF_TENANT_MAX, LOOKUPS_OF_TENANT_MAX, POOL_WAIT),
            settings,
            payments,
            stop: CancellationToken::new(),
        }
    }
}

/// Names of webhooks of one tenant that are being looked up at one time.
const LOOKUPS_OF_TENANT_MAX: usize = 8;

/// A client that opens, greets, lists the tools and calls one sends about five messages.
const MESSAGES_PER_CALL: u32 = 10;
