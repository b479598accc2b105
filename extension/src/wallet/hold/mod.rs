//! Holds: credit that is set aside before it is known what a call costs. Rows and states; the operations
//! are in `reserve` and `finish`.

pub mod finish;
pub mod reserve;

use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Refusal};

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Open,
    Settled,
    Released,
    Expired,
}

impl Status {
    /// As the database and the clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Settled => "settled",
            Status::Released => "released",
            Status::Expired => "expired",
        }
    }

    fn parse(text: &str) -> Option<Status> {
        [Status::Open, Status::Settled, Status::Released, Status::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A hold as it is kept.
#[derive(Clone, Debug)]
pub struct Hold {
    pub id: Uuid,
    pub account_id: Uuid,
    /// The ledger transaction that set the amount aside.
    pub transaction_id: Uuid,
    pub status: Status,
    pub data: HoldData,
    expires_at: PgTimestamp,
}

/// A hold as a reply shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HoldData {
    /// `hold_…`
    pub id: String,
    /// Whose credit it is: `cust_…`.
    pub customer_id: String,
    /// `{name}:{asset}`
    pub account_id: String,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// What is or was set aside.
    pub amount: Amount,
    /// Where it stands now.
    pub status: Status,
    /// What was really used; null unless it is settled.
    pub settled_amount: Option<Amount>,
    /// Your own id of it.
    pub transaction_id: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// RFC 3339, UTC.
    pub expires_at: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Null while it is open.
    pub ended_at: Option<String>,
}

macro_rules! select_hold {
    ($which:literal) => {
        concat!(
            "select h.account_id, h.transaction_id, h.status, a.customer_id, a.name, a.asset, h.amount::text,
                    h.settled_amount::text, h.reference, h.description, h.expires_at, h.created_at, h.ended_at, h.hold_id
               from topup.hold h join topup.account a on a.tenant_id = h.tenant_id and a.account_id = h.account_id
              where h.tenant_id = $1 and h.environment = $2::topup.environment and ",
            $which
        )
    };
}

const BY_ID: &str = select_hold!("h.hold_id = $3");
const BY_OWN_ID: &str = select_hold!("h.reference = $3");

/// How to find a hold: as the calling statement sees it, or as it is once its account is locked.
type Query = fn(&'static str, &[db::Arg], fn(&Row) -> DbResult<Hold>) -> DbResult<Vec<Hold>>;

/// The caller's hold of that id, which is ours (`hold_…`) or its own. Where a customer is named too, it must be that one's.
pub fn find(book: &Book, hold_id: &str, customer_id: Option<&str>, locked: bool) -> Result<Hold, Failure> {
    let no_hold = || Refusal::not_found("hold_id", "There is no such hold.");
    let query: Query = if locked { db::write } else { db::read };
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let mut found = match Kind::Hold.parse(hold_id) {
        Some(id) => query(BY_ID, args![tenant_id, environment, id], read)?,
        None => Vec::new(),
    };
    if found.is_empty() {
        found = query(BY_OWN_ID, args![tenant_id, environment, hold_id], read)?;
    }
    let hold = found.into_iter().next().ok_or_else(no_hold)?;
    if customer_id.is_some_and(|customer_id| customer_id != hold.data.customer_id) {
        return Err(no_hold().into());
    }
    Ok(hold)
}

fn read(row: &Row) -> DbResult<Hold> {
    let amount = |column| row.maybe_amount(column);
    let status = Status::parse(&row.get::<String>(3)?).ok_or(SpiError::InvalidPosition)?;
    let (name, asset): (String, String) = (row.get(5)?, row.get(6)?);
    let expires_at = row.timestamp(11)?;
    let data = HoldData {
        id: Kind::Hold.text(row.uuid(14)?),
        customer_id: Kind::Customer.text(row.uuid(4)?),
        account_id: format!("{name}:{asset}"),
        asset,
        amount: amount(7)?.unwrap_or_default(),
        status,
        settled_amount: amount(8)?,
        transaction_id: row.maybe(9)?,
        description: row.maybe(10)?,
        expires_at: expires_at.rfc3339(),
        created_at: row.timestamp(12)?.rfc3339(),
        ended_at: row.maybe_timestamp(13)?.map(PgTimestamp::rfc3339),
    };
    let (account_id, transaction_id) = (row.uuid(1)?, row.uuid(2)?);
    Ok(Hold { id: row.uuid(14)?, account_id, transaction_id, status, data, expires_at })
}

impl Hold {
    /// The same as it stands at an instant, whether anybody has swept it or not.
    pub fn at(mut self, now: PgTimestamp) -> Hold {
        if self.status == Status::Open && self.expires_at <= now {
            self.status = Status::Expired;
            self.data.status = Status::Expired;
            self.data.ended_at = Some(self.data.expires_at.clone());
        }
        self
    }
}

const END: &str = "
    update topup.hold
       set status = $4, settled_amount = $5::numeric, end_transaction_id = $6, ended_at = $7
     where tenant_id = $1 and environment = $2::topup.environment and hold_id = $3 and status = 'open'
    returning true";

fn end(
    book: &Book,
    hold_id: Uuid,
    status: Status,
    settled: Option<Amount>,
    transaction_id: Uuid,
    at: PgTimestamp,
) -> Result<(), Failure> {
    let settled = settled.map(|amount| amount.to_string());
    let (environment, settled) = (book.environment.as_str(), settled.as_deref());
    let arguments = args![book.tenant_id, environment, hold_id, status.as_str(), settled, transaction_id, at];
    if db::write(END, arguments, |_| Ok(()))?.len() == 1 {
        return Ok(());
    }
    Err(Failure::Fault("the hold that was to end is not open".to_owned()))
}
