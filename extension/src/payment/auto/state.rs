//! An auto top-up as it stands.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;

/// An auto top-up as a reply shows it; all null where none is set.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct AutoTopUp {
    /// What is charged each time, in major units of the currency.
    pub amount: Option<Amount>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Below which balance, in major units of the asset.
    pub threshold: Option<Amount>,
    /// At most so many purchases in any `window_s` seconds.
    pub max_purchases: Option<i32>,
    /// Seconds; goes with `max_purchases`.
    pub window_s: Option<i32>,
    /// `three_declines`; null while it is armed.
    pub disabled_reason: Option<String>,
    /// What the last decline said.
    pub error: Option<String>,
    /// RFC 3339, UTC.
    pub last_failed_at: Option<String>,
    /// No charge before then, after a decline.
    pub not_before: Option<String>,
}

const READ: &str = "
    select amount::text, currency, threshold::text, max_purchases, window_s, disabled_reason, error, last_failed_at, not_before
      from topup.auto_top_up where tenant_id = $1 and account_id = $2";

/// How to look: as the calling statement sees it, or as it is by now.
type Query = fn(&'static str, &[db::Arg], fn(&Row) -> DbResult<AutoTopUp>) -> DbResult<Vec<AutoTopUp>>;

/// The auto top-up of an account; all null where none is set. `is_changed`: by this statement.
pub fn read(book: &Book, account_id: Uuid, is_changed: bool) -> DbResult<AutoTopUp> {
    let query: Query = if is_changed { db::write } else { db::read };
    Ok(query(READ, args![book.tenant_id, account_id], read_row)?.pop().unwrap_or_default())
}

fn read_row(row: &Row) -> DbResult<AutoTopUp> {
    Ok(AutoTopUp {
        amount: row.maybe_amount(1)?,
        currency: row.maybe(2)?,
        threshold: row.maybe_amount(3)?,
        max_purchases: row.maybe(4)?,
        window_s: row.maybe(5)?,
        disabled_reason: row.maybe(6)?,
        error: row.maybe(7)?,
        last_failed_at: row.maybe_timestamp(8)?.map(PgTimestamp::rfc3339),
        not_before: row.maybe_timestamp(9)?.map(PgTimestamp::rfc3339),
    })
}
