//! The positions of accounts at this moment, for readers: what is available, what comes in and what is set
//! aside.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use uuid::Uuid;

use crate::ledger::credit::{Account, Change};
use crate::ledger::grant::{self, View, grant_columns};
use crate::pg::db::{self, DbResult, args, from_pg, pg_uuid};
use crate::tenant::visible;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, or_error};

/// An account at an instant, swept or not.
#[derive(Clone, Debug)]
pub struct Position {
    pub name: String,
    pub asset: String,
    /// What can be spent; below zero where usage has overdrawn the account.
    pub available: Amount,
    /// Grants that are not in effect yet.
    pub pending_in: Amount,
    /// Open holds.
    pub pending_out: Amount,
    /// Open grants, and what is left of each.
    pub credit: Account,
}

impl Position {
    /// The account's id as clients see it.
    pub fn id(&self) -> String {
        format!("{}:{}", self.name, self.asset)
    }
}

/// Balances, holds and grants in one statement: what moves between them is never seen twice or not at all.
const OF_CUSTOMER: &str = concat!(
    "select a.name, a.asset, b.account_id, b.balance::text, b.next_due_at, h.next_at, h.held::text, ",
    grant_columns!(),
    " from topup.account a
      join topup.balance b on b.tenant_id = a.tenant_id and b.account_id = a.account_id
     cross join lateral (select min(o.expires_at) as next_at, coalesce(sum(o.amount), 0) as held
                           from topup.hold o
                          where o.tenant_id = a.tenant_id and o.account_id = a.account_id and o.is_open) h
      left join topup.credit_grant g on g.tenant_id = a.tenant_id and g.account_id = a.account_id and g.is_open
     where a.tenant_id = $1 and a.environment = $2::topup.environment and a.customer_id = $3
       and ($4::uuid is null or a.account_id = $4)
     order by a.created_at, a.name, a.asset"
);

/// The accounts of a customer as they stand now, oldest first, or the one of them. Takes no locks.
pub fn of_customer(book: &Book, customer_id: Uuid, only: Option<Uuid>) -> Result<Vec<Position>, Failure> {
    let now = PgTimestamp::now();
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, only];
    let rows = db::read(OF_CUSTOMER, arguments, |row| {
        let account = (row.uuid(3)?, row.get::<String>(1)?, row.get::<String>(2)?);
        let credit = Account {
            balance: row.amount(4)?,
            next_hold_at: row.maybe_timestamp(6)?,
            held: row.amount(7)?,
            ..Account::default()
        };
        let grant = row.maybe_uuid(8)?.map(|_| grant::read_grant(row, 8)).transpose()?;
        Ok((account, credit, grant))
    })?;
    let mut found: Vec<((Uuid, String, String), Account)> = Vec::new();
    for (account, credit, grant) in rows {
        match found.last_mut().filter(|(last, _)| last.0 == account.0) {
            Some((_, credit)) => credit.grants.extend(grant),
            None => found.push((account, Account { grants: grant.into_iter().collect(), ..credit })),
        }
    }
    let stand = |((account_id, name, asset), mut credit): ((Uuid, String, String), Account)| {
        grant::add_due_holds(book, View::Snapshot, account_id, &mut credit, now)?;
        credit.advance_to(PgTimestamp::BEGINNING, now);
        let (pending_in, pending_out) = (credit.pending_in(), credit.held);
        Ok(Position { name, asset, available: credit.balance, pending_in, pending_out, credit })
    };
    found.into_iter().map(stand).collect()
}

/// A balance as its row has it: right until something is due.
struct StoredBalance {
    account_id: Uuid,
    balance: Amount,
    next_due_at: Option<PgTimestamp>,
}

impl StoredBalance {
    fn read(row: &db::Row, first: usize) -> DbResult<StoredBalance> {
        Ok(StoredBalance {
            account_id: row.uuid(first)?,
            balance: row.amount(first + 1)?,
            next_due_at: row.maybe_timestamp(first + 2)?,
        })
    }

    /// The account at an instant, and what time has changed by then that is not booked yet.
    fn at(&self, book: &Book, at: PgTimestamp) -> Result<(Account, Vec<Change>), Failure> {
        if self.next_due_at.is_none() {
            return Ok((Account { balance: self.balance, ..Account::default() }, Vec::new()));
        }
        let mut credit = grant::load(book, View::Snapshot, self.account_id, self.balance, at)?;
        let changes = credit.advance_to(PgTimestamp::BEGINNING, at);
        Ok((credit, changes))
    }
}

const STORED_BALANCE: &str = "
    select e.tenant_id, e.environment::text, e.wallet_id, b.account_id, b.balance::text, b.next_due_at
      from topup.balance b
      join topup.account a on a.tenant_id = b.tenant_id and a.account_id = b.account_id
      join topup.tenant_environment e on e.tenant_id = a.tenant_id and e.environment = a.environment
     where b.tenant_id = $1 and b.account_id = $2";

/// What time has changed of an account by an instant and nobody has booked yet, in order: for the views and
/// for statements. Nothing for what the session may not see.
#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn due_changes(
    tenant_id: pgrx::Uuid,
    account_id: pgrx::Uuid,
    until: TimestampWithTimeZone,
) -> TableIterator<
    'static,
    (
        name!(at, TimestampWithTimeZone),
        name!(kind, String),
        name!(of, String),
        name!(amount, AnyNumeric),
        name!(balance, AnyNumeric),
    ),
> {
    let until = PgTimestamp::from(until).min(PgTimestamp::now());
    let rows = or_error(unbooked(from_pg(tenant_id), from_pg(account_id), until));
    TableIterator::new(rows.into_iter().filter_map(|(change, balance)| {
        let (kind, of) = change.cause.kind_and_id();
        let number = |amount: Amount| AnyNumeric::try_from(amount.to_string().as_str()).ok();
        Some((change.at.datum(), kind.to_owned(), of, number(change.amount)?, number(balance)?))
    }))
}

/// The changes, each with the balance after it.
fn unbooked(tenant_id: Uuid, account_id: Uuid, until: PgTimestamp) -> Result<Vec<(Change, Amount)>, Failure> {
    let found = db::read(STORED_BALANCE, args![tenant_id, account_id], |row| {
        Ok((row.book()?, StoredBalance::read(row, 4)?))
    })?;
    let visible = visible::visible_books();
    let sees = |book: &Book| {
        visible.iter().any(|seen| {
            seen.tenant_id == pg_uuid(book.tenant_id) && seen.environment == book.environment.as_str()
        })
    };
    let Some((book, kept)) = found.into_iter().find(|(book, _)| sees(book)) else { return Ok(Vec::new()) };
    let (_, changes) = kept.at(&book, until)?;
    let balances = changes.iter().scan(kept.balance, |balance, change| {
        *balance = *balance + change.amount;
        Some(*balance)
    });
    let balances: Vec<Amount> = balances.collect();
    Ok(changes.into_iter().zip(balances).collect())
}
