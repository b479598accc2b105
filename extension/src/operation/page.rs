//! Pages of a list: how many rows, from where, and whether there are more.

use pg_topup_contract::Code;
use uuid::Uuid;

use crate::value::id::Kind;
use crate::value::reply::Refusal;

const LIMIT_MAX: i64 = 50;

/// Rows of a page: 1 to 50, 50 if not said.
pub fn limit(wanted: Option<i64>) -> Result<i64, Refusal> {
    let limit = wanted.unwrap_or(LIMIT_MAX);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let message = format!("The limit must be from 1 to {LIMIT_MAX}.");
    Err(Refusal::of_field(Code::InvalidRequest, "limit", message))
}

/// The id after which a page begins.
pub fn cursor(kind: Kind, text: Option<&str>) -> Result<Option<Uuid>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let message = "This is not the next_cursor of an earlier page.";
    kind.parse(text).map(Some).ok_or_else(|| Refusal::of_field(Code::InvalidRequest, "cursor", message))
}

/// Cuts off the one row read too many. Where there was one, the last row kept is where to go on.
pub fn cut<T: Clone>(mut rows: Vec<T>, limit: i64) -> (Vec<T>, Option<T>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let last = rows.last().cloned();
    (rows, last)
}
