//! What a session may see: the rows of its key's environment, or all for an administrator.

use pgrx::prelude::*;
use uuid::Uuid;

use crate::pg::db::{self, DbResult, args, pg_uuid};
use crate::pg::settings;
use crate::tenant::caller::{self, Caller, Scope};
use crate::value::reply::Failure;

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
