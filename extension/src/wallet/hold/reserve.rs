//! Hold: sets credit of a customer aside, for a time.

use std::time::Duration;

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{HoldData, Status};
use crate::ledger::account::{self, System};
use crate::ledger::grant;
use crate::ledger::{self, Header, Locked, Posting};
use crate::operation::handler::Handler;
use crate::operation::idempotency::Namespace;
use crate::operation::request::{self, Metadata};
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::id::{self, Kind};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::ComputedTime;
use crate::wallet::movement;

/// How far ahead a hold may end: 31 days.
const HOLD_S_MAX: u64 = 31 * 86_400;
/// Open holds that an account may have at a time.
const HOLDS_OPEN_MAX: i64 = 1000;

/// Credit to be set aside.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// The most that the call can cost; more than 0, never finer than the asset's precision.
    pub amount: Amount,
    /// When it is released by itself: in the future, at most 31 days ahead. RFC 3339.
    pub expires_at: ComputedTime,
    /// Your own id of it, 1 to 255 visible ASCII characters: the same id is the same hold, for good, also with another
    /// expires_at than the first; the hold is found by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// Which of the customer's accounts of the asset; `default` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// For people, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An object of your own, at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

pub struct Reserve;

impl Handler for Reserve {
    const NAME: &'static str = "hold";
    type Request = HoldRequest;
    type Data = HoldData;

    fn own_id(request: &HoldRequest) -> Option<(Namespace, &str)> {
        request.transaction_id.as_deref().map(|id| (Namespace::Hold, id))
    }

    fn handle(caller: &Caller, request: &HoldRequest) -> Outcome<HoldData> {
        let expires_at = PgTimestamp::from(request.expires_at.0);
        check_end(expires_at, PgTimestamp::now())?;
        let (customer_id, name) = check(caller, request)?;
        if !account::customer_has(caller, customer_id, name, &request.asset)? {
            return Err(movement::not_covered().into());
        }
        let account_id = account::customer_account_id(customer_id, name, &request.asset);
        let locked = ledger::lock(caller, &[account_id])?;
        // Waiting for the lock takes time too.
        let (now, account_time) =
            (PgTimestamp::now(), locked.first().map_or(PgTimestamp::NEVER, Locked::as_of));
        check_end(expires_at, now)?;
        // While the clock is behind the account, a hold lasts by the account's time as long as was asked for.
        let expires_at =
            if expires_at > account_time { expires_at } else { expires_at.plus(account_time.since(now)) };
        if !locked.iter().all(|account| account.covers(request.amount)) {
            return Err(movement::not_covered().into());
        }
        check_room(caller, account_id)?;
        write(caller, request, (customer_id, name, account_id), &locked, expires_at)
    }
}

const OPEN: &str = "
    select count(*) from (select from topup.hold where tenant_id = $1 and account_id = $2 and is_open limit $3) h";

/// All of them may end at one instant, and whoever comes next books that.
fn check_room(caller: &Caller, account_id: Uuid) -> Result<(), Failure> {
    let open = db::write(OPEN, args![caller.tenant_id, account_id, HOLDS_OPEN_MAX], |row| row.get::<i64>(1))?;
    if open.into_iter().next().is_some_and(|open| open < HOLDS_OPEN_MAX) {
        return Ok(());
    }
    let message = format!("An account has at most {HOLDS_OPEN_MAX} open holds.");
    Err(Refusal::of_field(Code::InvalidRequest, "account_name", message).into())
}

fn check_end(expires_at: PgTimestamp, now: PgTimestamp) -> Result<(), Refusal> {
    if expires_at > now && expires_at <= now.plus(Duration::from_secs(HOLD_S_MAX)) {
        return Ok(());
    }
    let message = "A hold must end in the future, at most 31 days ahead.";
    Err(Refusal::of_field(Code::InvalidRequest, "expires_at", message))
}

fn check<'a>(caller: &Caller, request: &'a HoldRequest) -> Result<(Uuid, &'a str), Failure> {
    movement::check_debit(caller, &request.asset, request.amount)?;
    let name = movement::account_name(request.account_name.as_deref())?;
    request::check_description(request.description.as_deref())?;
    Ok((customer::require(caller, &request.customer_id)?, name))
}

const INSERT: &str = "
    insert into topup.hold (tenant_id, environment, hold_id, account_id, transaction_id, amount, reference, description,
                            metadata, expires_at, created_at)
    select $1, $2::topup.environment, $3, $4, $5, $6::numeric, $7, $8, $9::jsonb, $10, t.created_at
      from topup.transaction t where t.tenant_id = $1 and t.transaction_id = $5
    returning created_at";

fn write(
    caller: &Caller,
    request: &HoldRequest,
    (customer_id, name, account_id): (Uuid, &str, Uuid),
    locked: &[Locked],
    expires_at: PgTimestamp,
) -> Outcome<HoldData> {
    let held = account::system_id(caller.tenant_id, caller.environment, System::Held, &request.asset);
    let postings = [Posting::new(account_id, -request.amount), Posting::new(held, request.amount)];
    let (transaction_id, hold_id) = (id::new(), id::new());
    let reference = request.transaction_id.as_deref();
    let detail = Some(serde_json::to_string(&serde_json::json!({
        "hold_id": Kind::Hold.text(hold_id), "description": request.description }))?);
    let header = Header { transaction_id, kind: "hold", top_up_id: None, reference, detail };
    ledger::post(caller, header, locked, &postings)?;
    let arguments = args![
        caller.tenant_id,
        caller.environment.as_str(),
        hold_id,
        account_id,
        transaction_id,
        request.amount.to_string(),
        reference,
        request.description.as_deref(),
        request.metadata.as_ref().map(Metadata::as_str),
        expires_at
    ];
    let created = db::write(INSERT, arguments, |row| row.timestamp(1))?;
    let created_at =
        created.into_iter().next().ok_or_else(|| Failure::Fault("the hold was not written".to_owned()))?;
    grant::note_hold(caller, account_id, expires_at)?;
    let data = HoldData {
        id: Kind::Hold.text(hold_id),
        customer_id: Kind::Customer.text(customer_id),
        account_id: format!("{name}:{}", request.asset),
        asset: request.asset.clone(),
        amount: request.amount,
        status: Status::Open,
        settled_amount: None,
        transaction_id: request.transaction_id.clone(),
        description: request.description.clone(),
        expires_at: expires_at.rfc3339(),
        created_at: created_at.rfc3339(),
        ended_at: None,
    };
    Ok(Reply::of(Code::Success, transaction_id, Some(Status::Open.as_str()), data))
}
