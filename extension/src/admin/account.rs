//! Ids of accounts for the administrators' functions and the audit.

use pgrx::prelude::*;

use crate::ledger::account::{self, System, USD};
use crate::pg::db::{from_pg, pg_uuid};
use crate::value::book::Environment;

/// The accounts that an environment has from its beginning.
#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn founding_accounts(
    tenant_id: pgrx::Uuid,
    environment: &str,
) -> TableIterator<'static, (name!(kind, String), name!(account_id, pgrx::Uuid), name!(asset, String))> {
    let Some(environment) = Environment::parse(environment) else { error!("no such environment") };
    let tenant_id = from_pg(tenant_id);
    let wallet = ("wallet".to_owned(), pg_uuid(account::wallet_id(tenant_id, environment)), USD.to_owned());
    let systems = System::ALL.map(|system| {
        let account_id = account::system_id(tenant_id, environment, system, USD);
        (system.kind().to_owned(), pg_uuid(account_id), USD.to_owned())
    });
    TableIterator::new(std::iter::once(wallet).chain(systems))
}

/// For the audit. Null where there is no such kind.
#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn system_account_id(
    tenant_id: pgrx::Uuid,
    environment: &str,
    kind: &str,
    asset: &str,
) -> Option<pgrx::Uuid> {
    let (environment, system) = (Environment::parse(environment)?, System::parse(kind)?);
    Some(pg_uuid(account::system_id(from_pg(tenant_id), environment, system, asset)))
}

/// For the audit.
#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn customer_account_id(customer_id: pgrx::Uuid, name: &str, asset: &str) -> pgrx::Uuid {
    pg_uuid(account::customer_account_id(from_pg(customer_id), name, asset))
}
