//! What moved an account, page by page, and all of it as a file.

use pgrx::prelude::*;
use serde::Serialize;

use super::session::{self, Session};
use super::view::{self, Names};
use crate::ledger;
use crate::ledger::account::customer_account_id;
use crate::operation::handler::Handler;
use crate::operation::request;
use crate::pg::db::{self, Row, args};
use crate::pg::jsonb::JsonbText;
use crate::value::book::Book;
use crate::value::reply::{self, Failure, or_error};
use crate::wallet::account;
use crate::wallet::statement::{StatementCsv, StatementRequest};

const LINES_MAX: i64 = 25;

/// A page of an account's history.
#[derive(Serialize)]
struct Page {
    names: Names,
    account: Option<AccountLines>,
}

#[derive(Serialize)]
struct AccountLines {
    id: String,
    name: String,
    asset: String,
    decimals: u32,
    /// Newest first.
    lines: Vec<Line>,
    /// The number of the entry before which the next page begins.
    next: Option<i64>,
}

#[derive(Clone, Serialize)]
struct Line {
    #[serde(skip)]
    number: i64,
    at: String,
    kind: String,
    /// Of an adjustment.
    reason: Option<String>,
    description: Option<String>,
    amount: String,
    balance: String,
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_history(
    session: &str,
    account_id: &str,
    before: default!(Option<i64>, "NULL"),
) -> Option<JsonbText> {
    or_error(session::answer(session, |session| page(session, account_id, before)))
}

fn page(session: &Session, account_id: &str, before: Option<i64>) -> Result<JsonbText, Failure> {
    let account = match account::find_position(&session.caller, session.customer_id, account_id) {
        Ok(position) => Some(lines(session, &position.name, &position.asset, before)?),
        Err(Failure::Refused(_)) => None,
        Err(fault) => return Err(fault),
    };
    Ok(JsonbText(serde_json::to_string(&Page { names: view::names(session)?, account })?))
}

const LINES: &str = "
    select e.account_version, t.created_at, t.kind, t.detail ->> 'reason', t.detail ->> 'description', e.amount::text,
           e.balance_after::text
      from topup.entry e
      join topup.transaction t on t.tenant_id = e.tenant_id and t.transaction_id = e.transaction_id
     where e.tenant_id = $1 and e.account_id = $2 and e.account_version < $3
     order by e.account_version desc limit $4";

fn lines(session: &Session, name: &str, asset: &str, before: Option<i64>) -> Result<AccountLines, Failure> {
    let book: &Book = &session.caller;
    let account_id = customer_account_id(session.customer_id, name, asset);
    // Brings the account up to date: what expired by now is in the journal afterwards.
    ledger::lock(book, &[account_id])?;
    let before = before.unwrap_or(i64::MAX);
    let arguments = args![book.tenant_id, account_id, before, LINES_MAX + 1];
    let mut lines = db::write(LINES, arguments, |row: &Row| {
        Ok(Line {
            number: row.get(1)?,
            at: row.timestamp(2)?.rfc3339(),
            kind: row.get(3)?,
            reason: row.maybe(4)?,
            description: row.maybe(5)?,
            amount: row.amount(6)?.to_string(),
            balance: row.amount(7)?.to_string(),
        })
    })?;
    let has_more = i64::try_from(lines.len()).is_ok_and(|count| count > LINES_MAX);
    lines.truncate(usize::try_from(LINES_MAX).unwrap_or(usize::MAX));
    let next = lines.last().map(|line| line.number).filter(|_| has_more);
    let (name, decimals) = (name.to_owned(), view::decimals(asset));
    Ok(AccountLines { id: format!("{name}:{asset}"), name, asset: asset.to_owned(), decimals, lines, next })
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_csv(session: &str, period: JsonbText) -> Option<JsonbText> {
    let answer = |session: &Session| Ok(reply::finish(csv(session, &period.0)));
    or_error(session::answer(session, answer)).map(|reply| JsonbText(reply.body))
}

/// The period names an account, and from when until when. The customer is the session's, whatever it says.
fn csv(session: &Session, period: &str) -> Result<reply::Rendered, Failure> {
    let mut request: serde_json::Map<String, serde_json::Value> = request::parse(period)?;
    request.insert("customer_id".to_owned(), session.customer().into());
    let request: StatementRequest = request::parse(&serde_json::to_string(&request)?)?;
    StatementCsv::handle(&session.caller, &request)?.render()
}
