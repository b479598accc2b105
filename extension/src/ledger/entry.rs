//! Transactions and entries as they are written.

use uuid::Uuid;

use crate::amount::Amount;
use crate::book::Book;
use crate::db::{self, args, pg_uuid};
use crate::instant::Instant;
use crate::reply::Failure;

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
    pub(super) overdraws: bool,
}

impl Posting {
    /// Refused (2002) where the account would fall below its limit.
    pub fn new(account_id: Uuid, amount: Amount) -> Posting {
        Posting { account_id, amount, overdraws: false }
    }

    /// For what has happened already: booked even where the account falls below its limit.
    pub fn overdrawing(account_id: Uuid, amount: Amount) -> Posting {
        Posting { account_id, amount, overdraws: true }
    }
}

/// A running balance: that of a wallet or of a customer's account.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub account_id: Uuid,
    pub balance: Amount,
    /// The number of its last entry.
    pub version: i64,
}

const WRITE: &str = "
    with posted as (
        select * from unnest($8::uuid[], $9::text[], $10::bigint[], $11::text[])
                 as p (account_id, amount, account_version, balance_after)),
    header as (
        insert into topup.transaction (tenant_id, transaction_id, environment, kind, top_up_id, reference, detail, created_at)
        values ($1, $2, $3::topup.environment, $4, $5, $6, $7::jsonb, $12)),
    moved as (
        update topup.balance b set balance = p.balance_after::numeric, version = p.account_version
          from posted p
         where b.tenant_id = $1 and b.account_id = p.account_id and p.account_version is not null)
    insert into topup.entry (tenant_id, transaction_id, account_id, amount, account_version, balance_after)
    select $1, $2, account_id, amount::numeric, account_version, balance_after::numeric from posted";

/// Writes a transaction and its entries; `after` is how the running balances among its accounts stand with it.
pub fn write(
    book: &Book,
    header: &Header,
    at: Instant,
    after: &[Running],
    postings: &[Posting],
) -> Result<(), Failure> {
    let running = |posting: &Posting| after.iter().find(|account| account.account_id == posting.account_id);
    let accounts: Vec<pgrx::Uuid> = postings.iter().map(|posting| pg_uuid(posting.account_id)).collect();
    let amounts: Vec<String> = postings.iter().map(|posting| posting.amount.to_string()).collect();
    let versions: Vec<Option<i64>> =
        postings.iter().map(|posting| running(posting).map(|account| account.version)).collect();
    let balances: Vec<Option<String>> =
        postings.iter().map(|posting| running(posting).map(|account| account.balance.to_string())).collect();
    db::execute(
        WRITE,
        args![
            book.tenant_id,
            header.transaction_id,
            book.environment.as_str(),
            header.kind,
            header.top_up_id,
            header.reference,
            header.detail.as_deref(),
            accounts,
            amounts,
            versions,
            balances,
            at
        ],
    )?;
    Ok(())
}
