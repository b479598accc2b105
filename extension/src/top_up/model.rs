//! The top-up itself: its row, its states, and how a reply shows it.

use pg_topup_contract::Code;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::table::{NewRow, Table, row};
use crate::tenant::caller::Caller;
use crate::tenant::key_usage::Days;
use crate::value::amount::{Bps, Cents};
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Refusal, Reply};

/// Where a top-up stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Delivered,
    Failed,
    Cancelled,
}

impl Status {
    /// As the database and the clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Delivered => "delivered",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The code of a top-up in this state.
    pub fn code(self) -> Code {
        match self {
            Status::Pending => Code::Pending,
            Status::Delivered => Code::Delivered,
            Status::Failed => Code::Failed,
            Status::Cancelled => Code::Cancelled,
        }
    }

    /// The type of the event that tells of this state.
    pub fn event_type(self) -> &'static str {
        match self {
            Status::Pending => "topup.pending",
            Status::Delivered => "topup.delivered",
            Status::Failed => "topup.failed",
            Status::Cancelled => "topup.cancelled",
        }
    }

    fn parse(text: &str) -> DbResult<Status> {
        match text {
            "pending" => Ok(Status::Pending),
            "delivered" => Ok(Status::Delivered),
            "failed" => Ok(Status::Failed),
            "cancelled" => Ok(Status::Cancelled),
            _ => Err(SpiError::InvalidPosition),
        }
    }
}

/// A top-up as a reply shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TopUpData {
    /// `ATU-XXXX-XXXX-XXXX-XXXX`; null until the top-up is delivered, and for other keys than the one that sent it unless
    /// they have the scope `vouchers`.
    pub voucher_code: Option<String>,
    /// The platform whose credit it is.
    pub platform: String,
    /// List price: what the recipient receives, in US cents.
    pub amount_cents: Cents,
    /// The sender's wallet after the debit, rounded down to the cent.
    pub new_balance_cents: Cents,
    /// What the wallet was debited, in US cents.
    pub cost_cents: Cents,
    /// The key's wholesale discount in basis points.
    pub discount_bps: Bps,
    /// Whose wallet receives it; null for a voucher.
    pub recipient_email: Option<String>,
    /// Why it failed; only where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}

/// A row of `topup.top_up`.
#[derive(Clone, Debug)]
pub struct TopUp {
    pub transaction_id: Uuid,
    pub key_id: Uuid,
    pub status: Status,
    /// The account that received the amount; none while a voucher or a pending top-up holds it.
    pub account_id: Option<Uuid>,
    pub created_at: TimestampWithTimeZone,
    pub data: TopUpData,
}

impl TopUp {
    /// The top-up as a caller may see it: a voucher's code is for the key that sent it, and for those that
    /// see all.
    pub fn seen_by(mut self, caller: &Caller) -> TopUp {
        if !caller.sees_vouchers_of(self.key_id) {
            self.data.voucher_code = None;
        }
        self
    }

    /// The envelope of the top-up as it stands; its code follows its status.
    pub fn reply(&self) -> Reply<TopUpData> {
        reply(PgTimestamp::now(), self.status, self.transaction_id, self.data.clone())
    }
}

/// The envelope of a top-up at a time; its code follows its status.
pub fn reply(at: PgTimestamp, status: Status, transaction_id: Uuid, data: TopUpData) -> Reply<TopUpData> {
    Reply::at(at.rfc3339(), status.code(), transaction_id, Some(status.as_str()), data)
}

/// The columns that [`read`] expects; `$1` is the tenant, `$2` the environment, `$3` the wallet's account.
macro_rules! select_top_up {
    ($rest:literal) => {
        concat!(
            "select t.transaction_id, t.key_id, t.status, t.account_id, t.created_at,
                    t.voucher_code, t.platform, t.amount_cents, e.balance_after::text, t.cost_cents, t.discount_bps,
                    t.recipient_email, t.failure_reason
               from topup.top_up t
               join topup.entry e on e.tenant_id = t.tenant_id and e.transaction_id = t.transaction_id
                                 and e.account_id = $3
              where t.tenant_id = $1 and t.environment = $2::topup.environment ",
            $rest
        )
    };
}
pub(crate) use select_top_up;

/// Reads a row of [`select_top_up`].
pub fn read(row: &Row) -> DbResult<TopUp> {
    Ok(TopUp {
        transaction_id: row.uuid(1)?,
        key_id: row.uuid(2)?,
        status: Status::parse(&row.get::<String>(3)?)?,
        account_id: row.maybe_uuid(4)?,
        created_at: row.get(5)?,
        data: TopUpData {
            voucher_code: row.maybe(6)?,
            platform: row.get(7)?,
            amount_cents: Cents(row.get(8)?),
            new_balance_cents: row.amount(9)?.floor_cents(),
            cost_cents: Cents(row.get(10)?),
            discount_bps: Bps(row.get(11)?),
            recipient_email: row.maybe(12)?,
            failure_reason: row.maybe(13)?,
        },
    })
}

const LOCKED_BY_ID: &str = select_top_up!("and t.transaction_id = $4 for update of t");

/// The top-up of an id that a client sent, locked. The wallet must be locked before it.
pub fn lock(book: &Book, transaction_id: &str) -> Result<TopUp, Failure> {
    let id = Kind::Transaction.parse(transaction_id).ok_or_else(not_found)?;
    let arguments = args![book.tenant_id, book.environment.as_str(), book.wallet_id, id];
    Ok(db::write(LOCKED_BY_ID, arguments, read)?.pop().ok_or_else(not_found)?)
}

/// The refusal for a transaction that the caller does not have.
pub fn not_found() -> Refusal {
    Refusal::of_field(Code::TransactionNotFound, "transaction_id", "There is no such top-up.")
}

/// A second guard behind the locks: an update of a top-up's state that found it in another state is a fault,
/// and takes the whole transaction back.
pub fn must_change(changed: Vec<()>) -> Result<(), Failure> {
    if changed.is_empty() {
        return Err(Failure::Fault("the top-up is not in the state that was read".to_owned()));
    }
    Ok(())
}

const TOP_UP: Table<16> = Table {
    name: c"top_up",
    columns: [
        "tenant_id",
        "environment",
        "transaction_id",
        "key_id",
        "status",
        "platform",
        "amount_cents",
        "cost_cents",
        "discount_bps",
        "recipient_email",
        "metadata",
        "voucher_code",
        "account_id",
        "fails_at",
        "created_at",
        "ended_at",
    ],
};

/// Top-ups of one key that are not written yet.
#[derive(Default)]
pub struct NewTopUps {
    rows: Vec<NewRow<16>>,
    days: Days,
}

/// What a reply does not show of a new top-up.
pub struct Unshown<'a> {
    pub metadata: Option<&'a str>,
    /// Whose account the amount goes to.
    pub account_id: Option<Uuid>,
    pub created_at: PgTimestamp,
    /// When it fails by itself.
    pub fails_at: Option<PgTimestamp>,
}

impl NewTopUps {
    pub fn add(
        &mut self,
        caller: &Caller,
        transaction_id: Uuid,
        status: Status,
        data: &TopUpData,
        unshown: &Unshown,
    ) {
        let created_at = unshown.created_at;
        self.rows.push(row![
            caller.tenant_id,
            caller.environment.as_str(),
            transaction_id,
            caller.key.id,
            status.as_str(),
            data.platform.clone(),
            data.amount_cents.0,
            data.cost_cents.0,
            data.discount_bps.0,
            data.recipient_email.clone(),
            unshown.metadata.map(str::to_owned),
            data.voucher_code.clone(),
            unshown.account_id,
            unshown.fails_at,
            created_at,
            (status == Status::Delivered).then_some(created_at),
        ]);
        self.days.add(created_at, data.cost_cents, data.amount_cents);
    }

    /// Writes them, and counts them towards the key's days.
    pub fn write(self, caller: &Caller) -> DbResult<()> {
        TOP_UP.insert(&self.rows)?;
        self.days.write(caller, caller.key.id)
    }
}

/// The refusal of an ending that comes after another.
pub fn already(code: Code, top_up: &TopUp) -> Refusal {
    let refusal = Refusal::of_field(code, "transaction_id", format!("{}.", code.meaning()));
    refusal.about(top_up.transaction_id, top_up.status.as_str())
}
