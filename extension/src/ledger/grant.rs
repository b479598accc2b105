//! Grants and holds in the database: loads what an account holds into memory, and writes what became of it.

use pg_topup_contract::Code;
use pgrx::spi::SpiError;
use uuid::Uuid;

use crate::ledger::credit::{Account, Grant, Hold, Taken, Use};
use crate::pg::db::{self, Arg, DbResult, Row, args, pg_uuid};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Refusal};

pub use crate::ledger::credit::Purpose;

/// Grants with something left that an account may have at a time: each debit looks at all of them.
const GRANTS_OPEN_MAX: usize = 1000;

/// On which terms a credit is given.
#[derive(Clone, Copy, Debug)]
pub struct GrantTerms {
    pub purpose: Purpose,
    /// Lower burns earlier.
    pub priority: i32,
    /// None, or a time that has come: at once. Until then the credit is set aside.
    pub effective_at: Option<PgTimestamp>,
    /// None: never.
    pub expires_at: Option<PgTimestamp>,
}

/// How to look: as the calling statement sees it, or as it is once locks are held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum View {
    Snapshot,
    Locked,
}

fn query<T>(
    view: View,
    sql: &'static str,
    args: &[Arg],
    map: impl Fn(&Row) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    match view {
        View::Snapshot => db::read(sql, args, map),
        View::Locked => db::write(sql, args, map),
    }
}

/// The columns that [`read_grant`] expects, of a grant `g`.
macro_rules! grant_columns {
    () => {
        "g.grant_id, g.purpose, g.priority, g.remaining::text, g.effective_at, g.expires_at, g.pending"
    };
}

pub(crate) use grant_columns;

/// One row at least: the holds' columns are the same in each.
const LOAD: &str = concat!(
    "select h.next_at, h.held::text, ",
    grant_columns!(),
    " from (select min(expires_at) as next_at, coalesce(sum(amount), 0) as held
              from topup.hold where tenant_id = $1 and account_id = $2 and is_open) h
      left join topup.credit_grant g on g.tenant_id = $1 and g.account_id = $2 and g.is_open"
);

const DUE_HOLDS: &str = "
    select hold_id, transaction_id, amount::text, greatest(expires_at, created_at)
      from topup.hold where tenant_id = $1 and account_id = $2 and is_open and expires_at <= $3";

const NEXT_HOLD: &str = "
    select min(expires_at) from topup.hold
     where tenant_id = $1 and account_id = $2 and is_open and expires_at > $3";

/// What an account holds: its open grants, and the holds that are due by `until`.
pub fn load(
    book: &Book,
    view: View,
    account_id: Uuid,
    balance: Amount,
    until: PgTimestamp,
) -> Result<Account, Failure> {
    let arguments = args![book.tenant_id, account_id];
    let rows = query(view, LOAD, arguments, |row| {
        let grant = row.maybe_uuid(3)?.map(|_| read_grant(row, 3)).transpose()?;
        Ok((row.maybe_timestamp(1)?, row.amount(2)?, grant))
    })?;
    let (next_hold_at, held) = rows.first().map_or((None, Amount::ZERO), |row| (row.0, row.1));
    let grants = rows.into_iter().filter_map(|row| row.2).collect();
    let mut account = Account { balance, grants, holds: Vec::new(), next_hold_at, held };
    add_due_holds(book, view, account_id, &mut account, until)?;
    Ok(account)
}

/// Reads the holds of an account that are due by `until`, if there are any.
pub fn add_due_holds(
    book: &Book,
    view: View,
    account_id: Uuid,
    account: &mut Account,
    until: PgTimestamp,
) -> Result<(), Failure> {
    if account.next_hold_at.is_some_and(|at| at <= until) {
        let arguments = args![book.tenant_id, account_id, until];
        let due = query(view, DUE_HOLDS, arguments, |row| {
            Ok((row.uuid(1)?, row.uuid(2)?, row.amount(3)?, row.timestamp(4)?))
        })?;
        for (id, transaction_id, amount, expires_at) in due {
            let taken = taken(book, view, account_id, transaction_id)?;
            account.holds.push(Hold { id, transaction_id, amount, expires_at, taken });
        }
        let next = query(view, NEXT_HOLD, arguments, |row| row.maybe_timestamp(1))?;
        account.next_hold_at = next.into_iter().next().flatten();
    }
    Ok(())
}

/// Reads a grant from seven columns.
pub fn read_grant(row: &Row, first: usize) -> DbResult<Grant> {
    Ok(Grant {
        id: row.uuid(first)?,
        purpose: Purpose::parse(&row.get::<String>(first + 1)?).ok_or(SpiError::InvalidPosition)?,
        priority: row.get(first + 2)?,
        remaining: row.amount(first + 3)?,
        effective_at: row.timestamp(first + 4)?,
        expires_at: row.maybe_timestamp(first + 5)?,
        pending: row.get(first + 6)?,
    })
}

const TAKEN_FROM_GRANTS: &str = concat!(
    "select (u.used - u.returned - coalesce((
                select sum(r.returned) from topup.credit_return c
                  join topup.grant_use r
                    on r.tenant_id = c.tenant_id and r.transaction_id = c.transaction_id and r.grant_id = u.grant_id
                 where c.tenant_id = $1 and c.of_transaction_id = $3 and c.account_id = $2), 0))::text, ",
    grant_columns!(),
    " from topup.grant_use u
      join topup.credit_grant g on g.tenant_id = $1 and g.account_id = $2 and g.grant_id = u.grant_id
     where u.tenant_id = $1 and u.transaction_id = $3 and u.account_id = $2"
);

const TAKEN_IN_ALL: &str = "
    select (-e.amount - coalesce((
                select sum(c.amount) from topup.credit_return c
                 where c.tenant_id = $1 and c.of_transaction_id = $3 and c.account_id = $2), 0))::text
      from topup.entry e where e.tenant_id = $1 and e.transaction_id = $3 and e.account_id = $2";

/// What a debit of the account took and what is not given back of it yet.
pub fn taken(book: &Book, view: View, account_id: Uuid, transaction_id: Uuid) -> Result<Taken, Failure> {
    let arguments = args![book.tenant_id, account_id, transaction_id];
    let amount = |row: &Row, column| row.amount(column);
    let all = query(view, TAKEN_IN_ALL, arguments, |row| amount(row, 1))?;
    let all = all.into_iter().next().unwrap_or_default().max(Amount::ZERO);
    let grants = query(view, TAKEN_FROM_GRANTS, arguments, |row| Ok((read_grant(row, 2)?, amount(row, 1)?)))?;
    let of_grants = grants.iter().fold(Amount::ZERO, |sum, (_, amount)| sum + *amount);
    Ok(Taken { plain: all - of_grants, grants })
}

const INSERT: &str = "
    insert into topup.credit_grant (tenant_id, account_id, grant_id, transaction_id, purpose, priority, amount, remaining,
                                    pending, effective_at, expires_at, created_at)
    values ($1, $2, $3, $4, $5, $6, $7::numeric, $7::numeric, $8, $9, $10, $11)";

/// Writes a new grant, as it is before anything uses it.
pub fn insert(
    book: &Book,
    account_id: Uuid,
    transaction_id: Uuid,
    grant: &Grant,
    at: PgTimestamp,
) -> DbResult<()> {
    let (purpose, amount) = (grant.purpose.as_str(), grant.remaining.to_string());
    db::execute(
        INSERT,
        args![
            book.tenant_id,
            account_id,
            grant.id,
            transaction_id,
            purpose,
            grant.priority,
            amount,
            grant.pending,
            grant.effective_at,
            grant.expires_at,
            at
        ],
    )
}

const ACTIVATE: &str = "
    update topup.credit_grant set pending = false, activation_id = $4
     where tenant_id = $1 and account_id = $2 and grant_id = $3";

/// A grant's credit has come into its account.
pub fn activate(book: &Book, account_id: Uuid, grant_id: Uuid, transaction_id: Uuid) -> DbResult<()> {
    db::execute(ACTIVATE, args![book.tenant_id, account_id, grant_id, transaction_id])
}

const SAVE: &str = "
    with
    -- What was taken from each grant, and given back to it.
    used as (
        select grant_id, used::numeric, returned::numeric
          from unnest($4::uuid[], $5::text[], $6::text[]) as u (grant_id, used, returned)),
    -- The log, from which a reversal reads where the credit came from.
    logged as (
        insert into topup.grant_use (tenant_id, transaction_id, grant_id, account_id, used, returned)
        select $1, $3, grant_id, $2, used, returned from used),
    -- What is left of the grants.
    changed as (
        update topup.credit_grant g set remaining = g.remaining - u.used + u.returned
          from used u where g.tenant_id = $1 and g.account_id = $2 and g.grant_id = u.grant_id)
    update topup.balance set next_due_at = $7
     where tenant_id = $1 and account_id = $2 and next_due_at is distinct from $7";

/// Writes what a transaction took from grants and gave back, and when the account changes next by itself.
pub fn save(
    book: &Book,
    account_id: Uuid,
    transaction_id: Uuid,
    uses: &[Use],
    next_due_at: Option<PgTimestamp>,
) -> DbResult<()> {
    let grants: Vec<pgrx::Uuid> = uses.iter().map(|each| pg_uuid(each.grant_id)).collect();
    let used: Vec<String> = uses.iter().map(|each| each.used.to_string()).collect();
    let returned: Vec<String> = uses.iter().map(|each| each.returned.to_string()).collect();
    let arguments = args![book.tenant_id, account_id, transaction_id, grants, used, returned, next_due_at];
    db::execute(SAVE, arguments)
}

const NOTE_NEXT: &str = "update topup.balance set next_due_at = $3 where tenant_id = $1 and account_id = $2";

/// Writes when the account changes next by itself.
pub fn note_next(book: &Book, account_id: Uuid, next_due_at: Option<PgTimestamp>) -> DbResult<()> {
    db::execute(NOTE_NEXT, args![book.tenant_id, account_id, next_due_at])
}

const NOTE_HOLD: &str = "
    update topup.balance set next_due_at = least(next_due_at, $3) where tenant_id = $1 and account_id = $2";

/// The account has a hold that expires then.
pub fn note_hold(book: &Book, account_id: Uuid, expires_at: PgTimestamp) -> DbResult<()> {
    db::execute(NOTE_HOLD, args![book.tenant_id, account_id, expires_at])
}

/// Whether an account may have so many grants more.
pub fn has_room(account: Option<&Account>, more: usize) -> bool {
    let open = account
        .map_or(0, |account| account.grants.iter().filter(|grant| grant.remaining > Amount::ZERO).count());
    open + more <= GRANTS_OPEN_MAX
}

/// The grant that a credit becomes.
pub fn of_credit(
    account: &Account,
    amount: Amount,
    terms: &GrantTerms,
    at: PgTimestamp,
) -> Result<Grant, Refusal> {
    if !has_room(Some(account), 1) {
        let message = format!("An account has at most {GRANTS_OPEN_MAX} grants with something left.");
        return Err(Refusal::new(Code::InvalidRequest, message));
    }
    let effective_at = terms.effective_at.unwrap_or(at).max(at);
    if terms.expires_at.is_some_and(|end| end <= effective_at) {
        let message = "Credit must expire in the future, and after it takes effect.";
        return Err(Refusal::of_field(Code::InvalidRequest, "expires_at", message));
    }
    Ok(Grant {
        id: crate::value::id::new(),
        purpose: terms.purpose,
        priority: terms.priority,
        remaining: amount,
        effective_at,
        expires_at: terms.expires_at,
        pending: effective_at > at,
    })
}

const RETURNED: &str = "
    insert into topup.credit_return (tenant_id, transaction_id, account_id, of_transaction_id, amount)
    values ($1, $2, $3, $4, $5::numeric)";

/// Remembers that a transaction gave back part of an earlier debit.
pub fn note_return(
    book: &Book,
    account_id: Uuid,
    transaction_id: Uuid,
    of_transaction: Uuid,
    amount: Amount,
) -> DbResult<()> {
    let arguments = args![book.tenant_id, transaction_id, account_id, of_transaction, amount.to_string()];
    db::execute(RETURNED, arguments)
}

const EXPIRE_HOLD: &str = "
    update topup.hold set status = 'expired', end_transaction_id = $4, ended_at = $5
     where tenant_id = $1 and environment = $2::topup.environment and hold_id = $3 and status = 'open'
    returning true";

/// An open hold has come to its end; its credit is back.
pub fn expire_hold(book: &Book, hold_id: Uuid, transaction_id: Uuid, at: PgTimestamp) -> Result<(), Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), hold_id, transaction_id, at];
    if db::write(EXPIRE_HOLD, arguments, |_| Ok(()))?.len() == 1 {
        return Ok(());
    }
    Err(Failure::Fault("the hold that was to expire is not open".to_owned()))
}
