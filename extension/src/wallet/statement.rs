//! Statements: what an account had, what moved it and why, and what it has; as JSON or as CSV.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::{self, Locked};
use crate::operation::handler::Handler;
use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::interrupt;
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::WireTime;
use crate::wallet::account;

/// A statement has no more entries than this; what is longer is asked for in parts.
const ENTRIES_MAX: usize = 10_000;
/// The first line opens a statement, the last one closes it.
const BALANCE_LINES: usize = 2;

/// Which account, and which time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatementRequest {
    /// `cust_…`.
    pub customer_id: String,
    /// `{name}:{asset}`.
    pub account_id: String,
    /// From this time on; from the account's beginning if not given.
    pub from: Option<WireTime>,
    /// Before this time; up to now if not given.
    pub to: Option<WireTime>,
}

/// What an account had, what moved it, and what it had then.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatementData {
    /// `cust_…`
    pub customer_id: String,
    /// `{name}:{asset}`.
    pub account_id: String,
    /// Null: from the account's beginning.
    pub from: Option<String>,
    /// Before this time. RFC 3339, UTC.
    pub to: String,
    /// The account at `from`.
    pub opening_balance: Amount,
    /// The account at `to`: the opening balance and all entries.
    pub closing_balance: Amount,
    /// In the order in which they were booked, at most 10,000.
    pub entries: Vec<StatementEntry>,
}

/// One movement and its cause.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatementEntry {
    /// When it was booked. RFC 3339, UTC.
    pub at: String,
    /// What moved the account, as the journal names it: `adjust`, `charge`, `refund`, `send`, …
    pub kind: String,
    /// `txn_…`.
    pub transaction_id: String,
    /// Your own id of it, or the top-up that it belongs to.
    pub reference: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What the account gained, or lost where it is negative.
    pub amount: Amount,
    /// The account after it.
    pub balance: Amount,
}

/// A line as the database gives it: amount and transaction are those of an entry.
struct Line {
    at: Option<String>,
    kind: String,
    transaction_id: Option<String>,
    reference: Option<String>,
    description: Option<String>,
    amount: Option<Amount>,
    balance: Amount,
}

const LINES: &str = "
    select topup.rfc3339(at), kind, transaction_id, reference, description, amount::text, balance::text
      from topup.account_lines($1, $2, $3, $4, $5) order by line";

/// The lines of a statement, and the end of its period.
fn read(caller: &Caller, request: &StatementRequest) -> Result<(Vec<Line>, PgTimestamp), Failure> {
    let now = WireTime::now();
    let customer_id = customer::require(caller, &request.customer_id)?;
    let account_id = account::require(caller, customer_id, &request.account_id)?;
    if request.from.is_some_and(|from| from > request.to.unwrap_or(now)) {
        let message = "A statement must not end before it begins.";
        return Err(Refusal::of_field(Code::InvalidRequest, "to", message).into());
    }
    // Brings the account up to date: what expired by now is in the journal afterwards. Where nothing can be booked, such as
    // on a standby, an account that is up to date is read as it is, and for any other Postgres says that it only reads.
    let only_reads = db::only_reads() && !is_due(caller, account_id)?;
    let locked = if only_reads { Vec::new() } else { ledger::lock(caller, &[account_id])? };
    // Where the clock was set back, the last posting is ahead of it, and a statement up to now tells of it all the same.
    let last_posting = locked.first().and_then(Locked::posted_at);
    let end = last_posting.map(PgTimestamp::just_after).max(Some(now.into())).unwrap_or(PgTimestamp::NEVER);
    let end = request.to.map_or(end, PgTimestamp::from);
    let one_more = i64::try_from(ENTRIES_MAX + 1).unwrap_or(i64::MAX);
    let arguments = args![caller.tenant_id, account_id, request.from, end, one_more];
    let lines = match only_reads {
        true => db::read_by_key(LINES, arguments, read_line)?,
        // With a snapshot of its own: the lock may have been waited for.
        false => db::write(LINES, arguments, read_line)?,
    };
    if lines.len() > ENTRIES_MAX + BALANCE_LINES {
        let message = "A statement has at most 10,000 entries: ask for a shorter time.";
        return Err(Refusal::of_field(Code::InvalidRequest, "to", message).into());
    }
    Ok((lines, end))
}

const IS_DUE: &str = "
    select coalesce(next_due_at <= clock_timestamp(), false) from topup.balance where tenant_id = $1 and account_id = $2";

/// Whether time has changed an account, and nobody has booked that yet.
fn is_due(caller: &Caller, account_id: Uuid) -> DbResult<bool> {
    Ok(db::read_by_key(IS_DUE, args![caller.tenant_id, account_id], |row| row.get(1))?.contains(&true))
}

fn read_line(row: &Row) -> DbResult<Line> {
    Ok(Line {
        at: row.maybe(1)?,
        kind: row.get(2)?,
        transaction_id: row.maybe_uuid(3)?.map(|id| Kind::Transaction.text(id)),
        reference: row.maybe(4)?,
        description: row.maybe(5)?,
        amount: row.maybe_amount(6)?,
        balance: row.amount(7)?,
    })
}

pub struct Statement;

impl Handler for Statement {
    const NAME: &'static str = "statement";
    type Request = StatementRequest;
    type Data = StatementData;

    fn handle(caller: &Caller, request: &StatementRequest) -> Outcome<StatementData> {
        let (lines, end) = read(caller, request)?;
        let balance = |line: Option<&Line>| line.map(|line| line.balance).unwrap_or_default();
        let (opening_balance, closing_balance) = (balance(lines.first()), balance(lines.last()));
        let entries = lines.into_iter().filter_map(|line| {
            Some(StatementEntry {
                at: line.at?,
                kind: line.kind,
                transaction_id: line.transaction_id?,
                reference: line.reference,
                description: line.description,
                amount: line.amount?,
                balance: line.balance,
            })
        });
        let data = StatementData {
            customer_id: request.customer_id.clone(),
            account_id: request.account_id.clone(),
            from: request.from.map(|from| from.to_string()),
            to: request.to.map_or_else(|| end.rfc3339(), |to| to.to_string()),
            opening_balance,
            closing_balance,
            entries: entries.collect(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}

pub struct StatementCsv;

impl Handler for StatementCsv {
    const NAME: &'static str = "statement_csv";
    type Request = StatementRequest;
    type Data = String;

    fn handle(caller: &Caller, request: &StatementRequest) -> Outcome<String> {
        let (lines, _) = read(caller, request)?;
        Ok(Reply::new(Code::Success, csv(&lines).map_err(|error| Failure::Fault(error.to_string()))?))
    }
}

const COLUMNS: [&str; 7] = ["at", "kind", "transaction_id", "reference", "description", "amount", "balance"];

/// A text that others wrote, for a file that spreadsheets open: what they would take for a formula has an apostrophe
/// before it. Where lists are parted by semicolons, a cell may also begin within the text.
fn cell(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let mut cell = String::with_capacity(text.len() + 1);
    if text.starts_with(['\t', '\r', '\n']) {
        cell.push('\'');
    }
    let mut is_beginning = true;
    for c in text.chars() {
        if is_beginning && begins_formula(c) && !cell.ends_with('\'') {
            cell.push('\'');
        }
        is_beginning = matches!(c, ';' | '\t' | '\r' | '\n') || (is_beginning && is_unseen(c));
        cell.push(c);
    }
    cell
}

/// In ASCII, in full width, and in what programs fold to these.
fn begins_formula(c: char) -> bool {
    matches!(
        c,
        '=' | '+'
            | '-'
            | '@'
            | '＝'
            | '＋'
            | '－'
            | '＠'
            | '﹦'
            | '﹢'
            | '﹣'
            | '﹫'
            | '⁼'
            | '⁺'
            | '⁻'
            | '₌'
            | '₊'
            | '₋'
            | '﬩'
    )
}

/// What a spreadsheet skips before it looks for a formula.
fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The lines as RFC 4180 has them, under the names of their columns.
fn csv(lines: &[Line]) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for line in lines {
        interrupt::check();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        writer.write_record([
            text(&line.at),
            line.kind.clone(),
            text(&line.transaction_id),
            cell(line.reference.as_deref()),
            cell(line.description.as_deref()),
            line.amount.map(|amount| amount.to_string()).unwrap_or_default(),
            line.balance.to_string(),
        ])?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
