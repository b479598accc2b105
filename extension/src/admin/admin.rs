//! What administrators' SQL functions need from Rust: new keys, hashes, ids of accounts, and play money.

use pgrx::prelude::*;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ledger::account::{self, System, USD};
use crate::pg::db::{self, DbResult, args, from_pg, pg_uuid};
use crate::pg::settings;
use crate::tenant::caller::{self, Caller, Scope};
use crate::value::book::Environment;
use crate::value::reply::Failure;

const SECRET_BYTES: usize = 32;
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[pg_extern(schema = "topup", volatile, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn new_api_key(environment: &str) -> String {
    let mut random = [0; SECRET_BYTES];
    if let Err(fault) = getrandom::fill(&mut random) {
        error!("{fault}");
    }
    format!("ak_{environment}_{}", base_x::encode(BASE62, &random))
}

#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn hash_api_key(api_key: &str) -> Vec<u8> {
    Sha256::digest(api_key.as_bytes()).to_vec()
}

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

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn staging_credit_cents() -> i64 {
    settings::staging_credit_cents()
}

/// The environments whose rows the session may see: its key's, or all for an administrator without one.
#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn visible() -> TableIterator<
    'static,
    (
        name!(tenant_id, pgrx::Uuid),
        name!(environment, String),
        name!(key_id, Option<pgrx::Uuid>),
        name!(sees_vouchers, bool),
    ),
> {
    let rows = visible_books().into_iter();
    TableIterator::new(
        rows.map(|book| (book.tenant_id, book.environment, book.key_id.map(pg_uuid), book.sees_vouchers)),
    )
}

/// An environment whose rows the session may see.
pub struct VisibleBook {
    pub tenant_id: pgrx::Uuid,
    pub environment: String,
    /// None: an administrator's.
    key_id: Option<Uuid>,
    /// Whether the voucher codes of what other keys sent are shown.
    sees_vouchers: bool,
}

pub fn visible_books() -> Vec<VisibleBook> {
    match Caller::of_session() {
        Ok(caller) => vec![VisibleBook {
            tenant_id: pg_uuid(caller.tenant_id),
            environment: caller.environment.as_str().to_owned(),
            key_id: Some(caller.key.id),
            sees_vouchers: caller.has(Scope::Vouchers),
        }],
        // A key that is wrong opens nothing, not even to an administrator.
        Err(Failure::Refused(_)) if settings::api_key().is_some() => Vec::new(),
        Err(Failure::Refused(_)) => every_book_for_an_admin().unwrap_or_else(|fault| error!("{fault}")),
        Err(Failure::Fault(fault)) => error!("{fault}"),
    }
}

const EVERY_BOOK: &str = "select tenant_id, environment::text from topup.tenant_environment";

fn every_book_for_an_admin() -> DbResult<Vec<VisibleBook>> {
    if !caller::is_admin()? {
        return Ok(Vec::new());
    }
    db::read(EVERY_BOOK, args![], |row| {
        let (tenant_id, environment) = (row.get(1)?, row.get(2)?);
        Ok(VisibleBook { tenant_id, environment, key_id: None, sees_vouchers: true })
    })
}
