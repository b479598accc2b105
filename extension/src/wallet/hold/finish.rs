//! Settle and release: the ends of a hold. And how it stands.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Hold, HoldData, Status, end, find};
use crate::ledger::account::{self, System};
use crate::ledger::grant::{self, View};
use crate::ledger::{self, Header, Locked, Meaning, Posting};
use crate::operation::handler::Handler;
use crate::operation::request;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::amount::Amount;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::wallet::movement;

/// What a call really cost.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SettleRequest {
    /// The `hold_…` of an open hold, or your own transaction_id of it.
    pub hold_id: String,
    /// The customer whose hold it is; any if not given.
    pub customer_id: Option<String>,
    /// What was used, 0 or more; the rest of the hold goes back to where it came from.
    pub amount: Amount,
    /// Whether the amount may be more than was held; the excess is then taken from what is available.
    pub allow_over: Option<bool>,
    /// For people, at most 500 characters.
    pub description: Option<String>,
}

/// Which hold.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldIdRequest {
    /// A `hold_…`, or your own transaction_id of it.
    pub hold_id: String,
    /// The customer whose hold it is; any if not given.
    pub customer_id: Option<String>,
}

/// A hold with its account locked and up to date.
struct Open {
    hold: Hold,
    locked: Vec<Locked>,
}

fn lock(caller: &Caller, hold_id: &str, customer_id: Option<&str>) -> Result<Open, Failure> {
    let account_id = find(caller, hold_id, customer_id, false)?.account_id;
    let locked = ledger::lock(caller, &[account_id])?;
    // As it is now that nobody else can end it, and if its time has come, that has been booked.
    Ok(Open { hold: find(caller, hold_id, customer_id, true)?, locked })
}

fn reply(hold: Hold) -> Reply<HoldData> {
    Reply::of(Code::Success, hold.transaction_id, Some(hold.status.as_str()), hold.data)
}

/// The refusal of an ending that comes after another.
fn ended(hold: &Hold, message: String) -> Refusal {
    Refusal::of_field(Code::DuplicateTransaction, "hold_id", message)
        .about(hold.transaction_id, hold.status.as_str())
}

pub struct Settle;

impl Handler for Settle {
    const NAME: &'static str = "settle";
    type Request = SettleRequest;
    type Data = HoldData;

    fn handle(caller: &Caller, request: &SettleRequest) -> Outcome<HoldData> {
        request::check_description(request.description.as_deref())?;
        let Open { hold, locked } = lock(caller, &request.hold_id, request.customer_id.as_deref())?;
        if request.amount != Amount::ZERO {
            movement::check_debit(caller, &hold.data.asset, request.amount)?;
        }
        match (hold.status, hold.data.settled_amount) {
            (Status::Open, _) => {}
            (Status::Settled, Some(settled)) if settled == request.amount => return Ok(reply(hold)),
            (Status::Settled, settled) => {
                let settled = settled.unwrap_or_default();
                return Err(ended(&hold, format!("This hold is settled already, with {settled}.")).into());
            }
            (status, _) => {
                return Err(ended(&hold, format!("This hold is {} already.", status.as_str())).into());
            }
        }
        let over = request.amount - hold.data.amount;
        if over > Amount::ZERO && request.allow_over != Some(true) {
            let message =
                format!("At most the {} that are held, unless allow_over is true.", hold.data.amount);
            return Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message).into());
        }
        if over > Amount::ZERO && !locked.iter().all(|account| account.covers(over)) {
            return Err(movement::not_covered().into());
        }
        let description = request.description.as_deref();
        finish(caller, &hold, &locked, Status::Settled, Some(request.amount), description)?;
        Ok(reply(find(caller, &request.hold_id, None, true)?))
    }
}

pub struct Release;

impl Handler for Release {
    const NAME: &'static str = "release";
    type Request = HoldIdRequest;
    type Data = HoldData;

    fn handle(caller: &Caller, request: &HoldIdRequest) -> Outcome<HoldData> {
        let Open { hold, locked } = lock(caller, &request.hold_id, request.customer_id.as_deref())?;
        match hold.status {
            Status::Open => {}
            // The credit is back, which is what was asked for.
            Status::Released | Status::Expired => return Ok(reply(hold)),
            Status::Settled => return Err(ended(&hold, "This hold is settled already.".to_owned()).into()),
        }
        finish(caller, &hold, &locked, Status::Released, None, None)?;
        Ok(reply(find(caller, &request.hold_id, None, true)?))
    }
}

pub struct Get;

impl Handler for Get {
    const NAME: &'static str = "hold_status";
    type Request = HoldIdRequest;
    type Data = HoldData;

    fn handle(caller: &Caller, request: &HoldIdRequest) -> Outcome<HoldData> {
        let hold = find(caller, &request.hold_id, request.customer_id.as_deref(), false)?;
        Ok(reply(hold.at(PgTimestamp::now())))
    }
}

const POSTED_AT: &str = "
    select created_at from topup.transaction where tenant_id = $1 and transaction_id = $2";

/// Ends a hold: what was used becomes revenue, the rest goes back to the grants it came from.
fn finish(
    caller: &Caller,
    hold: &Hold,
    locked: &[Locked],
    status: Status,
    settled: Option<Amount>,
    description: Option<&str>,
) -> Result<(), Failure> {
    let (asset, held, account_id) = (&hold.data.asset, hold.data.amount, hold.account_id);
    let used = settled.unwrap_or_default();
    let system = |system| account::system_id(caller.tenant_id, caller.environment, system, asset);
    let postings = [
        Posting::new(system(System::Held), -held),
        Posting::new(system(System::Revenue), used),
        Posting::new(account_id, held - used),
    ];
    let taken = grant::taken(caller, View::Locked, account_id, hold.transaction_id)?;
    let meaning = Meaning::GivesBack { of_transaction: hold.transaction_id, taken: &taken, was_held: held };
    let transaction_id: Uuid = id::new();
    let kind = if status == Status::Settled { "settle" } else { "release" };
    let detail = Some(serde_json::to_string(
        &serde_json::json!({ "hold_id": hold.data.id, "description": description }),
    )?);
    let header = Header { transaction_id, kind, top_up_id: None, reference: None, detail };
    ledger::post_meaning(caller, header, locked, &postings, &[(account_id, meaning)])?;
    let at = db::write(POSTED_AT, args![caller.tenant_id, transaction_id], |row| row.timestamp(1))?;
    let at = at.into_iter().next().unwrap_or_else(PgTimestamp::now);
    end(caller, hold.id, status, settled, transaction_id, at)
}
