//! What every request needs: the catalog of the moment, the way to Postgres, and the settings.

use ipnet::IpNet;

use crate::catalog::CatalogCell;
use crate::database::Database;
use crate::limit::Limiter;

/// What every request needs.
pub struct App {
    pub catalog: CatalogCell,
    pub database: Database,
    pub limiter: Option<Limiter>,
    pub trusted_proxies: Vec<IpNet>,
    pub body_bytes_max: usize,
    pub allow_private_webhooks: bool,
}
