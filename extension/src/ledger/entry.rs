//! Transactions and entries as they are written.

use std::ffi::CStr;

use uuid::Uuid;

use crate::pg::db::{self, DbResult, args};
use crate::pg::table::{self, Found, NewRow, Place, Table, row};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

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
    /// The time of its last entry.
    pub(super) posted_at: Option<PgTimestamp>,
    /// Where its row was when it was locked.
    pub(super) place: Option<Place>,
}

const TRANSACTION: Table<8> = Table {
    name: c"transaction",
    columns: [
        "tenant_id",
        "transaction_id",
        "environment",
        "kind",
        "top_up_id",
        "reference",
        "detail",
        "created_at",
    ],
};

const ENTRY: Table<6> = Table {
    name: c"entry",
    columns: ["tenant_id", "transaction_id", "account_id", "amount", "account_version", "balance_after"],
};

pub(super) const BALANCE: &CStr = c"balance";

const MOVE: &str = "
    update topup.balance set balance = $3::numeric, version = $4, posted_at = $5 where tenant_id = $1 and account_id = $2
    returning coalesce(balance < auto_top_up_below, false)";

/// Has the auto top-up of an account begin as the transaction ends, if it is below its threshold then.
const NOTE_LOW: &str =
    "insert into topup.low_account (tenant_id, account_id) values ($1, $2) on conflict do nothing";

/// Transactions with their entries, written together.
#[derive(Default)]
pub struct Lines {
    transactions: Vec<NewRow<8>>,
    entries: Vec<NewRow<6>>,
    /// How the running balances stand after the last of them.
    running: Vec<Running>,
}

impl Lines {
    /// Adds a transaction and its entries; `after` is how the running balances among its accounts stand with it.
    pub fn push(
        &mut self,
        book: &Book,
        header: Header,
        at: PgTimestamp,
        after: &[Running],
        postings: &[Posting],
    ) {
        let (tenant_id, transaction_id) = (book.tenant_id, header.transaction_id);
        self.transactions.push(row![
            tenant_id,
            transaction_id,
            book.environment.as_str(),
            header.kind,
            header.top_up_id,
            header.reference.map(str::to_owned),
            header.detail,
            at,
        ]);
        for posting in postings {
            let running = after.iter().find(|account| account.account_id == posting.account_id);
            self.entries.push(row![
                tenant_id,
                transaction_id,
                posting.account_id,
                posting.amount.to_string(),
                running.map(|account| account.version),
                running.map(|account| account.balance.to_string()),
            ]);
            if let Some(running) = running {
                self.running.retain(|known| known.account_id != running.account_id);
                self.running.push(Running { posted_at: Some(at), ..*running });
            }
        }
    }

    /// Writes them.
    pub fn write(self, book: &Book) -> Result<(), Failure> {
        TRANSACTION.insert(&self.transactions)?;
        ENTRY.insert(&self.entries)?;
        self.running.iter().try_for_each(|account| account.write(book))
    }
}

impl Running {
    fn write(&self, book: &Book) -> Result<(), Failure> {
        match self.change(book)? {
            Some(true) => Ok(db::execute(NOTE_LOW, args![book.tenant_id, self.account_id])?),
            Some(false) => Ok(()),
            None => Err(Failure::Fault("an account that was locked is gone".to_owned())),
        }
    }

    /// Whether the account is below the threshold of its auto top-up now; none where there is no such account.
    fn change(&self, book: &Book) -> DbResult<Option<bool>> {
        let (balance, version) = (self.balance.to_string(), self.version);
        let kept = self.place.and_then(|place| table::locked_at(BALANCE, place)).map(Found::Row);
        match kept.unwrap_or_else(|| table::lock(BALANCE, &row![book.tenant_id, self.account_id])) {
            Found::Row(row) => {
                let threshold = row.maybe_amount("auto_top_up_below")?;
                let posted_at = self.posted_at.into();
                row.update(&[
                    ("balance", balance.into()),
                    ("version", version.into()),
                    ("posted_at", posted_at),
                ]);
                Ok(Some(threshold.is_some_and(|threshold| self.balance < threshold)))
            }
            Found::NoRow => Ok(None),
            Found::ByStatement => {
                let arguments = args![book.tenant_id, self.account_id, balance, version, self.posted_at];
                Ok(db::write(MOVE, arguments, |row| row.get(1))?.pop())
            }
        }
    }
}

/// Writes one transaction.
pub fn write(
    book: &Book,
    header: Header,
    at: PgTimestamp,
    after: &[Running],
    postings: &[Posting],
) -> Result<(), Failure> {
    let mut lines = Lines::default();
    lines.push(book, header, at, after, postings);
    lines.write(book)
}
