//! Accounts under lock, and up to date: what has begun or expired by then is booked. Whoever locks an account
//! does that first; the worker does it for accounts that nobody touches. Balances are right without it.

use pgrx::datum::TimestampWithTimeZone;
use uuid::Uuid;

use super::due;
use super::entry::{BALANCE, Running};
use crate::ledger::credit::Account;
use crate::ledger::early_release;
use crate::ledger::grant::{self, View};
use crate::pg::db::{self, DbResult, Row, args, from_pg, pg_uuid};
use crate::pg::table::{self, Found, LockedRow, Place, row};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// A running balance, locked until the transaction ends, and up to date: what had begun or expired by then is booked.
#[derive(Clone, Debug)]
pub struct Locked {
    pub account_id: Uuid,
    pub balance: Amount,
    pub(super) version: i64,
    /// Where its row is, if it was locked without a statement.
    place: Option<Place>,
    pub(super) credit_limit: Amount,
    pub(super) low_balance_threshold: Option<Amount>,
    /// When the lock was held and the account up to date; never before its last entry, whatever the clock says.
    pub(super) as_of: PgTimestamp,
    /// The time of its last entry.
    posted_at: Option<PgTimestamp>,
    /// No later than the next change that time alone brings; none: the account has no grants and no holds.
    pub(super) next_due_at: Option<PgTimestamp>,
    /// Its grants and holds, where it has any.
    pub(super) credit: Option<Box<Account>>,
}

impl Locked {
    /// Whether the account can give an amount without falling below its limit.
    pub fn covers(&self, amount: Amount) -> bool {
        self.balance.plus(-amount).is_some_and(|after| after >= -self.credit_limit)
    }

    /// The time for which the balance stands.
    pub fn as_of(&self) -> PgTimestamp {
        self.as_of
    }

    /// The time of its last entry, if it has one.
    pub fn posted_at(&self) -> Option<PgTimestamp> {
        self.posted_at
    }

    /// Books what time alone has changed; tells how many changes there were.
    pub(super) fn bring_up_to_date(&mut self, book: &Book, now: PgTimestamp) -> Result<usize, Failure> {
        self.as_of = now;
        if self.next_due_at.is_none() {
            return Ok(0);
        }
        let credit = grant::load(book, View::Locked, self.account_id, self.balance, now)?;
        let noted = self.next_due_at;
        self.credit = Some(Box::new(credit));
        let changes = self.advance_to(book, self.posted_at.unwrap_or(PgTimestamp::BEGINNING), now)?;
        if changes == 0 && noted != self.next_due_at && noted <= Some(now) {
            grant::note_next(book, self.account_id, self.next_due_at)?;
        }
        Ok(changes)
    }

    /// Lets time pass for what the account holds, and books how that changes it; tells how many changes there were.
    pub(super) fn advance_to(
        &mut self,
        book: &Book,
        from: PgTimestamp,
        until: PgTimestamp,
    ) -> Result<usize, Failure> {
        let Some(credit) = &mut self.credit else { return Ok(0) };
        let changes = credit.advance_to(from, until);
        self.next_due_at = credit.next_due();
        let mut running = self.running();
        due::write(book, &mut running, &changes, self.next_due_at)?;
        (self.balance, self.version) = (running.balance, running.version);
        self.posted_at = changes.last().map(|change| change.at).or(self.posted_at);
        Ok(changes.len())
    }

    pub(super) fn running(&self) -> Running {
        let (account_id, balance, version) = (self.account_id, self.balance, self.version);
        Running { account_id, balance, version, posted_at: self.posted_at, place: self.place }
    }
}

const LOCK: &str = "
    select account_id, balance::text, version, credit_limit::text, low_balance_threshold::text, next_due_at, xmin,
           posted_at
      from topup.balance where tenant_id = $1 and account_id = any ($2) order by account_id for update";

/// Locks running balances in id order, reads them as they are once the locks are held, and brings those with
/// grants or holds up to date. The accounts of one operation are locked together.
pub fn lock(book: &Book, account_ids: &[Uuid]) -> Result<Vec<Locked>, Failure> {
    Ok(lock_counting(book, account_ids)?.0)
}

/// The same, with how many changes were booked.
fn lock_counting(book: &Book, account_ids: &[Uuid]) -> Result<(Vec<Locked>, usize), Failure> {
    let (locked, changes) = lock_present_counting(book, account_ids)?;
    if locked.len() != account_ids.len() {
        return Err(Failure::Fault("an account to be locked does not exist".to_owned()));
    }
    Ok((locked, changes))
}

/// The same of accounts that may not be there yet.
pub fn lock_present(book: &Book, account_ids: &[Uuid]) -> Result<Vec<Locked>, Failure> {
    Ok(lock_present_counting(book, account_ids)?.0)
}

fn lock_present_counting(book: &Book, account_ids: &[Uuid]) -> Result<(Vec<Locked>, usize), Failure> {
    let mut locked = read_under_lock(book, account_ids)?;
    // A clock that was set back stands still for an account until it has come to the account's last entry again: what is
    // posted is never before what was.
    let last_posting = locked.iter().filter_map(Locked::posted_at).max();
    let now = last_posting.map_or_else(PgTimestamp::now, |posted_at| PgTimestamp::now().max(posted_at));
    let mut changes = 0;
    for account in &mut locked {
        changes += account.bring_up_to_date(book, now)?;
    }
    Ok((locked, changes))
}

fn read_under_lock(book: &Book, account_ids: &[Uuid]) -> DbResult<Vec<Locked>> {
    let mut in_order = account_ids.to_vec();
    in_order.sort_unstable();
    in_order.dedup();
    let mut locked = Vec::with_capacity(in_order.len());
    for account_id in in_order {
        match table::lock(BALANCE, &row![book.tenant_id, account_id]) {
            Found::Row(row) => locked.push(Locked::of_row(&row)?),
            Found::NoRow => {}
            Found::ByStatement => return db::write(LOCK, args![book.tenant_id, account_ids], read_locked),
        }
    }
    Ok(locked)
}

/// Locks the tenant's own wallet.
pub fn lock_wallet(book: &Book) -> Result<Locked, Failure> {
    let mut locked = lock(book, &[book.wallet_id])?;
    locked.pop().ok_or_else(|| Failure::Fault("the wallet does not exist".to_owned()))
}

const LOCK_WALLETS: &str = "
    select true from topup.balance b
      join unnest($1::uuid[], $2::uuid[]) as w (tenant_id, wallet_id) on b.tenant_id = w.tenant_id and b.account_id = w.wallet_id
     order by b.tenant_id, b.account_id for update of b";

/// Locks the wallets of several books in the one order in which all do, so that nobody waits for somebody who waits for it.
pub fn lock_wallets<'a>(books: impl Iterator<Item = &'a Book>) -> Result<(), Failure> {
    let (tenants, wallets): (Vec<_>, Vec<_>) =
        books.map(|book| (pg_uuid(book.tenant_id), pg_uuid(book.wallet_id))).unzip();
    db::write(LOCK_WALLETS, args![tenants, wallets], |_| Ok(()))?;
    Ok(())
}

fn read_locked(row: &Row) -> DbResult<Locked> {
    early_release::under_lock(row.get(7)?);
    Ok(Locked {
        account_id: row.uuid(1)?,
        balance: row.amount(2)?,
        version: row.get(3)?,
        place: None,
        credit_limit: row.amount(4)?,
        low_balance_threshold: row.maybe_amount(5)?,
        as_of: PgTimestamp::BEGINNING,
        posted_at: row.maybe_timestamp(8)?,
        next_due_at: row.maybe_timestamp(6)?,
        credit: None,
    })
}

impl Locked {
    fn of_row(row: &LockedRow) -> DbResult<Locked> {
        early_release::under_lock(row.writer());
        Ok(Locked {
            account_id: from_pg(row.get("account_id")?),
            balance: row.amount("balance")?,
            version: row.get("version")?,
            place: Some(row.place()),
            credit_limit: row.amount("credit_limit")?,
            low_balance_threshold: row.maybe_amount("low_balance_threshold")?,
            as_of: PgTimestamp::BEGINNING,
            posted_at: row.maybe::<TimestampWithTimeZone>("posted_at")?.map(PgTimestamp::from),
            next_due_at: row.maybe::<TimestampWithTimeZone>("next_due_at")?.map(PgTimestamp::from),
            credit: None,
        })
    }
}

/// An account that a transaction holds is passed over, for who knows how long.
const DUE: &str = "
    select e.tenant_id, e.environment::text, e.wallet_id, b.account_id
      from (select tenant_id, account_id from topup.balance
             where next_due_at <= clock_timestamp()
             order by next_due_at limit $1 for update skip locked) b
      join topup.account a on a.tenant_id = b.tenant_id and a.account_id = b.account_id
      join topup.tenant_environment e on e.tenant_id = a.tenant_id and e.environment = a.environment";

/// Changes after which a sweep leaves the rest to the next one: each statement must end soon.
const CHANGES_ENOUGH: usize = 200;

/// Brings accounts up to date that are overdue; returns how many. All their locks are held already, so
/// that this waits for nobody.
pub fn sweep_due(batch_max: i32) -> Result<i32, Failure> {
    let due = db::write(DUE, args![i64::from(batch_max)], |row| Ok((row.book()?, row.uuid(4)?)))?;
    let (mut swept, mut changes) = (0, 0);
    for (book, account_id) in &due {
        changes += lock_counting(book, &[*account_id])?.1;
        swept += 1;
        if changes >= CHANGES_ENOUGH {
            break;
        }
    }
    Ok(swept)
}
