//! Transactions and entries as they are written.

use pgrx::datum::TimestampWithTimeZone;
use uuid::Uuid;

use crate::amount::Amount;
use crate::book::Book;
use crate::db::{self, args, pg_uuid, rows};
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

/// `one`: of one transaction that moves one running balance.
macro_rules! write_sql {
    ($form:ident) => {
        concat!(
            "with header as (
                insert into topup.transaction
                       (tenant_id, transaction_id, environment, kind, top_up_id, reference, detail, created_at)
                select $1, transaction_id, $2::topup.environment, kind, top_up_id, reference, detail::jsonb, created_at
                  from ",
            rows!(
                $form,
                (3, "uuid", "transaction_id"),
                (4, "text", "kind"),
                (5, "uuid", "top_up_id"),
                (6, "text", "reference"),
                (7, "text", "detail"),
                (8, "timestamptz", "created_at")
            ),
            "),
            moved as (
                update topup.balance b set balance = r.balance::numeric, version = r.version
                  from ",
            rows!($form, (9, "uuid", "account_id"), (10, "text", "balance"), (11, "bigint", "version")),
            "    where b.tenant_id = $1 and b.account_id = r.account_id)
            insert into topup.entry (tenant_id, transaction_id, account_id, amount, account_version, balance_after)
            select $1, transaction_id, account_id, amount::numeric, account_version, balance_after::numeric
              from ",
            rows!(
                many,
                (12, "uuid", "transaction_id"),
                (13, "uuid", "account_id"),
                (14, "text", "amount"),
                (15, "bigint", "account_version"),
                (16, "text", "balance_after")
            )
        )
    };
}

const WRITE_ONE: &str = write_sql!(one);
const WRITE_MANY: &str = write_sql!(many);

/// Transactions with their entries, as columns: one statement writes however many there are.
#[derive(Default)]
pub struct Lines {
    transaction_id: Vec<pgrx::Uuid>,
    kind: Vec<String>,
    top_up_id: Vec<Option<pgrx::Uuid>>,
    reference: Vec<Option<String>>,
    detail: Vec<Option<String>>,
    created_at: Vec<TimestampWithTimeZone>,
    /// How the running balances stand after the last of them.
    running: Vec<Running>,
    entry_of: Vec<pgrx::Uuid>,
    account_id: Vec<pgrx::Uuid>,
    amount: Vec<String>,
    account_version: Vec<Option<i64>>,
    balance_after: Vec<Option<String>>,
}

impl Lines {
    /// Adds a transaction and its entries; `after` is how the running balances among its accounts stand with it.
    pub fn push(&mut self, header: Header, at: Instant, after: &[Running], postings: &[Posting]) {
        let transaction_id = pg_uuid(header.transaction_id);
        self.transaction_id.push(transaction_id);
        self.kind.push(header.kind.to_owned());
        self.top_up_id.push(header.top_up_id.map(pg_uuid));
        self.reference.push(header.reference.map(str::to_owned));
        self.detail.push(header.detail);
        self.created_at.push(at.datum());
        for posting in postings {
            let running = after.iter().find(|account| account.account_id == posting.account_id);
            self.entry_of.push(transaction_id);
            self.account_id.push(pg_uuid(posting.account_id));
            self.amount.push(posting.amount.to_string());
            self.account_version.push(running.map(|account| account.version));
            self.balance_after.push(running.map(|account| account.balance.to_string()));
            if let Some(running) = running {
                self.running.retain(|known| known.account_id != running.account_id);
                self.running.push(*running);
            }
        }
    }

    /// Writes them.
    pub fn write(self, book: &Book) -> Result<(), Failure> {
        if self.transaction_id.is_empty() {
            return Ok(());
        }
        let running: Vec<pgrx::Uuid> =
            self.running.iter().map(|account| pg_uuid(account.account_id)).collect();
        let balances: Vec<String> = self.running.iter().map(|account| account.balance.to_string()).collect();
        let versions: Vec<i64> = self.running.iter().map(|account| account.version).collect();
        let is_one = self.transaction_id.len() == 1 && running.len() == 1;
        let arguments = args![
            book.tenant_id,
            book.environment.as_str(),
            self.transaction_id,
            self.kind,
            self.top_up_id,
            self.reference,
            self.detail,
            self.created_at,
            running,
            balances,
            versions,
            self.entry_of,
            self.account_id,
            self.amount,
            self.account_version,
            self.balance_after,
        ];
        db::write(if is_one { WRITE_ONE } else { WRITE_MANY }, arguments, |_| Ok(()))?;
        Ok(())
    }
}

/// Writes one transaction.
pub fn write(
    book: &Book,
    header: Header,
    at: Instant,
    after: &[Running],
    postings: &[Posting],
) -> Result<(), Failure> {
    let mut lines = Lines::default();
    lines.push(header, at, after, postings);
    lines.write(book)
}
