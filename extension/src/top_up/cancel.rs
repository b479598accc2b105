//! Cancel: takes a pending top-up back. What pending money returns to the wallet is written here, for fail too.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::event;
use crate::ledger::account::{self, System, USD};
use crate::ledger::{self, Header, Locked, Posting};
use crate::operation::handler::Handler;
use crate::operation::idempotency::Shares;
use crate::pg::db::{self, args};
use crate::tenant::caller::{Caller, Scope};
use crate::tenant::key_usage;
use crate::top_up::history::TransactionRequest;
use crate::top_up::model::{self, Status, TopUp};
use crate::value::amount::{Amount, Cents};
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

/// What came back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CancelData {
    /// The cost, returned to the wallet, in US cents.
    pub refunded_cents: Cents,
    /// The wallet after the refund, rounded down to the cent.
    pub new_balance_cents: Cents,
}

pub struct Cancel;

impl Handler for Cancel {
    const NAME: &'static str = "cancel";
    const SHARES: Shares = Shares::With(Scope::CancelAny);
    type Request = TransactionRequest;
    type Data = CancelData;

    fn handle(caller: &Caller, request: &TransactionRequest) -> Outcome<CancelData> {
        let wallet = ledger::lock_wallet(caller)?;
        let top_up = model::lock(caller, &request.transaction_id)?;
        if top_up.key_id != caller.key.id {
            caller.require(Scope::CancelAny)?;
        }
        let new_balance_cents = match top_up.status {
            Status::Pending => give_back(caller, &top_up, wallet, Status::Cancelled, None)?,
            Status::Cancelled => balance_after_refund(caller, top_up.transaction_id)?,
            Status::Delivered => return Err(already(Code::AlreadyDelivered, &top_up).into()),
            Status::Failed => return Err(already(Code::AlreadyFailed, &top_up).into()),
        };
        let data = CancelData { refunded_cents: top_up.data.cost_cents, new_balance_cents };
        Ok(Reply::of(Code::Cancelled, top_up.transaction_id, Some(Status::Cancelled.as_str()), data))
    }
}

/// The refusal of an ending that comes after another.
pub fn already(code: Code, top_up: &TopUp) -> Refusal {
    let refusal = Refusal::of_field(code, "transaction_id", format!("{}.", code.meaning()));
    refusal.about(top_up.transaction_id, top_up.status.as_str())
}

const END: &str = "
    update topup.top_up set status = $4, failure_reason = $5, ended_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and transaction_id = $3 and status = 'pending'
    returning true";

/// Ends a pending, locked top-up without delivery: cost to the wallet and out of the key's cap, and the
/// event that tells of it. Returns the wallet after it.
pub fn give_back(
    book: &Book,
    top_up: &TopUp,
    wallet: Locked,
    status: Status,
    reason: Option<&str>,
) -> Result<Cents, Failure> {
    let system = |system| account::system_id(book.tenant_id, book.environment, system, USD);
    let list = Amount::from_cents(top_up.data.amount_cents);
    let cost = Amount::from_cents(top_up.data.cost_cents);
    let discount = list.plus(-cost).ok_or_else(|| Failure::Fault("a discount that cannot be".to_owned()))?;
    let postings = [
        Posting::new(system(System::Pending), -list),
        Posting::new(book.wallet_id, cost),
        Posting::new(system(System::Discount), discount),
    ];
    let header = Header {
        transaction_id: id::new(),
        kind: if status == Status::Failed { "fail" } else { "cancel" },
        top_up_id: Some(top_up.transaction_id),
        reference: None,
        detail: None,
    };
    let after = ledger::post(book, header, &[wallet], &postings)?;
    let (tenant_id, environment, transaction_id) =
        (book.tenant_id, book.environment.as_str(), top_up.transaction_id);
    let arguments = args![tenant_id, environment, transaction_id, status.as_str(), reason];
    model::must_change(db::write(END, arguments, |_| Ok(()))?)?;
    let (cost, list) = (Cents(-top_up.data.cost_cents.0), Cents(-top_up.data.amount_cents.0));
    key_usage::add(book, top_up.key_id, top_up.created_at, cost, list)?;
    let mut ended = TopUp { status, ..top_up.clone() };
    ended.data.failure_reason = reason.map(str::to_owned);
    event::emit(book, status.event_type(), transaction_id, &ended.reply().envelope)?;
    Ok(after.first().map_or(Cents(0), |balance| balance.floor_cents()))
}

const AFTER_REFUND: &str = "
    select e.balance_after::text
      from topup.transaction t
      join topup.entry e on e.tenant_id = t.tenant_id and e.transaction_id = t.transaction_id and e.account_id = $2
     where t.tenant_id = $1 and t.top_up_id = $3 and t.top_up_id <> t.transaction_id and t.kind = 'cancel'";

fn balance_after_refund(book: &Book, transaction_id: Uuid) -> Result<Cents, Failure> {
    let found =
        db::write(AFTER_REFUND, args![book.tenant_id, book.wallet_id, transaction_id], |row| row.amount(1))?;
    let after = found
        .into_iter()
        .next()
        .ok_or_else(|| Failure::Fault("a cancellation without a refund".to_owned()))?;
    Ok(after.floor_cents())
}
