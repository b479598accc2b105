//! The one writer of the ledger: takes balanced postings, checks limits under lock, writes.

use pg_topup_contract::Code;
use uuid::Uuid;

use crate::amount::Amount;
use crate::book::Book;
use crate::db::{self, DbResult, Row, args, pg_uuid};
use crate::event;
use crate::reply::{Failure, Refusal};

/// What a transaction is called and what it belongs to.
pub struct Header<'a> {
    pub transaction_id: Uuid,
    pub kind: &'static str,
    pub top_up_id: Option<Uuid>,
    /// The caller's own id of it.
    pub reference: Option<&'a str>,
    /// A JSON object that explains it.
    pub detail: Option<String>,
}

/// One side of a transaction: what an account gains (positive) or gives (negative).
#[derive(Clone, Copy, Debug)]
pub struct Posting {
    pub account_id: Uuid,
    pub amount: Amount,
}

impl Posting {
    pub fn new(account_id: Uuid, amount: Amount) -> Posting {
        Posting { account_id, amount }
    }
}

/// A running balance, locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Locked {
    pub account_id: Uuid,
    pub balance: Amount,
    version: i64,
    credit_limit: Amount,
    low_balance_threshold: Option<Amount>,
}

impl Locked {
    /// Whether the account can give an amount without falling below its limit.
    pub fn covers(&self, amount: Amount) -> bool {
        self.balance.plus(-amount).is_some_and(|after| after >= -self.credit_limit)
    }
}

const LOCK: &str = "
    select account_id, balance::text, version, credit_limit::text, low_balance_threshold::text
      from topup.balance where tenant_id = $1 and account_id = any ($2) order by account_id for update";

/// Locks running balances in id order, and reads them as they are once the locks are held.
pub fn lock(book: &Book, account_ids: &[Uuid]) -> Result<Vec<Locked>, Failure> {
    let locked = db::write(LOCK, args![book.tenant_id, account_ids], read_locked)?;
    if locked.len() != account_ids.len() {
        return Err(Failure::Fault("an account to be locked does not exist".to_owned()));
    }
    Ok(locked)
}

/// Locks the tenant's own wallet.
pub fn lock_wallet(book: &Book) -> Result<Locked, Failure> {
    let mut locked = lock(book, &[book.wallet_id])?;
    locked.pop().ok_or_else(|| Failure::Fault("the wallet does not exist".to_owned()))
}

fn read_locked(row: &Row) -> DbResult<Locked> {
    let amount = |column| -> DbResult<Amount> { parse_amount(&row.get::<String>(column)?) };
    Ok(Locked {
        account_id: row.uuid(1)?,
        balance: amount(2)?,
        version: row.get(3)?,
        credit_limit: amount(4)?,
        low_balance_threshold: row.maybe::<String>(5)?.as_deref().map(parse_amount).transpose()?,
    })
}

/// Reads a `numeric` that the ledger itself wrote.
pub fn parse_amount(text: &str) -> DbResult<Amount> {
    text.parse().map_err(|_| pgrx::spi::SpiError::InvalidPosition)
}

const WRITE: &str = "
    with posted as (
        select * from unnest($8::uuid[], $9::text[], $10::bigint[], $11::text[])
                 as p (account_id, amount, account_version, balance_after)),
    header as (
        insert into topup.transaction (tenant_id, transaction_id, environment, kind, top_up_id, reference, detail)
        values ($1, $2, $3::topup.environment, $4, $5, $6, $7::jsonb)),
    moved as (
        update topup.balance b set balance = p.balance_after::numeric, version = p.account_version
          from posted p
         where b.tenant_id = $1 and b.account_id = p.account_id and p.account_version is not null)
    insert into topup.entry (tenant_id, transaction_id, account_id, amount, account_version, balance_after)
    select $1, $2, account_id, amount::numeric, account_version, balance_after::numeric from posted";

/// Writes one transaction. Postings must sum to zero; those of zero are left out. `locked` holds every
/// running balance among the accounts. An account that would fall below its limit refuses the whole.
/// Returns the locked balances as they are afterwards, in the order given.
pub fn post(
    book: &Book,
    header: Header,
    locked: &[Locked],
    postings: &[Posting],
) -> Result<Vec<Amount>, Failure> {
    let sum = postings.iter().try_fold(Amount::ZERO, |sum, posting| sum.plus(posting.amount));
    if sum != Some(Amount::ZERO) {
        return Err(Failure::Fault(format!("the postings of kind {} do not sum to zero", header.kind)));
    }
    let postings: Vec<&Posting> = postings.iter().filter(|posting| posting.amount != Amount::ZERO).collect();
    let mut after: Vec<Amount> = locked.iter().map(|account| account.balance).collect();
    let mut versions: Vec<Option<i64>> = Vec::with_capacity(postings.len());
    let mut balances: Vec<Option<String>> = Vec::with_capacity(postings.len());
    for posting in &postings {
        let Some(index) = locked.iter().position(|account| account.account_id == posting.account_id) else {
            versions.push(None);
            balances.push(None);
            continue;
        };
        after[index] = balance_after(&locked[index], posting.amount)?;
        versions.push(Some(locked[index].version + 1));
        balances.push(Some(after[index].to_string()));
    }
    let accounts: Vec<pgrx::Uuid> = postings.iter().map(|posting| pg_uuid(posting.account_id)).collect();
    let amounts: Vec<String> = postings.iter().map(|posting| posting.amount.to_string()).collect();
    let transaction_id = header.transaction_id;
    db::execute(
        WRITE,
        args![
            book.tenant_id,
            transaction_id,
            book.environment.as_str(),
            header.kind,
            header.top_up_id,
            header.reference,
            header.detail,
            accounts,
            amounts,
            versions,
            balances
        ],
    )?;
    for (account, after) in locked.iter().zip(&after) {
        warn_when_low(book, transaction_id, account, *after)?;
    }
    Ok(after)
}

fn balance_after(account: &Locked, amount: Amount) -> Result<Amount, Failure> {
    let after = account.balance.plus(amount).ok_or_else(|| {
        Refusal::new(Code::AmountOutOfRange, "The balance would go beyond what an account can hold.")
    })?;
    if amount < Amount::ZERO && after < -account.credit_limit {
        return Err(Refusal::new(Code::InsufficientBalance, "The balance does not cover this amount.").into());
    }
    Ok(after)
}

/// The crossing itself is the state: a balance that falls from at or above its threshold to below it
/// warns once, and can do so again only after it has been back.
fn warn_when_low(book: &Book, transaction_id: Uuid, before: &Locked, after: Amount) -> Result<(), Failure> {
    let Some(threshold) = before.low_balance_threshold else { return Ok(()) };
    if before.balance >= threshold && after < threshold {
        event::balance_low(book, transaction_id, after.floor_cents(), threshold.floor_cents())?;
    }
    Ok(())
}
