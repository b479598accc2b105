//! Cancel: takes a pending top-up back.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::ledger;
use crate::operation::handler::Handler;
use crate::operation::idempotency::Shares;
use crate::pg::db::{self, args};
use crate::tenant::caller::{Caller, Scope};
use crate::top_up::history::TransactionRequest;
use crate::top_up::model::{self, Status, already};
use crate::top_up::reversal;
use crate::value::amount::Cents;
use crate::value::book::Book;
use crate::value::reply::{Failure, Outcome, Reply};

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
            Status::Pending => reversal::reverse(caller, &top_up, wallet, Status::Cancelled, None)?,
            Status::Cancelled => balance_after_refund(caller, top_up.transaction_id)?,
            Status::Delivered => return Err(already(Code::AlreadyDelivered, &top_up).into()),
            Status::Failed => return Err(already(Code::AlreadyFailed, &top_up).into()),
        };
        let data = CancelData { refunded_cents: top_up.data.cost_cents, new_balance_cents };
        Ok(Reply::of(Code::Cancelled, top_up.transaction_id, Some(Status::Cancelled.as_str()), data))
    }
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
