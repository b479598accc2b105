//! Deliver and fail: the two ends of a pending top-up, and the staging ones that fail by themselves.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event;
use crate::ledger::account::{self, System, USD};
use crate::ledger::{self, Header, Posting};
use crate::operation::handler::Handler;
use crate::operation::idempotency::Shares;
use crate::pg::db::{self, args};
use crate::tenant::caller::{Caller, Scope};
use crate::tenant::customer::Email;
use crate::top_up::model::{self, Status, TopUp, TopUpData, already};
use crate::top_up::reversal;
use crate::top_up::send;
use crate::top_up::voucher;
use crate::value::amount::Amount;
use crate::value::id;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

const VOUCHER_LENGTH_MAX: usize = 64;
const REASON_LENGTH_MAX: usize = 500;

/// A delivery by the platform.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliverRequest {
    /// The pending top-up.
    pub transaction_id: String,
    /// The platform's own voucher code: 1 to 64 visible ASCII characters. One is made if not given.
    pub voucher_code: Option<String>,
}

pub struct Deliver;

impl Handler for Deliver {
    const NAME: &'static str = "deliver";
    const SHARES: Shares = Shares::With(Scope::Vouchers);
    type Request = DeliverRequest;
    type Data = TopUpData;

    fn handle(caller: &Caller, request: &DeliverRequest) -> Outcome<TopUpData> {
        let given = request.voucher_code.as_deref();
        if let Some(code) = given {
            check_voucher_code(code)?;
        }
        // The wallet's lock comes first on every path, also where only what follows it moves.
        ledger::lock_wallet(caller)?;
        let top_up = model::lock(caller, &request.transaction_id)?;
        match top_up.status {
            Status::Pending => deliver(caller, top_up, given),
            Status::Delivered if given.is_none() || given == top_up.data.voucher_code.as_deref() => {
                Ok(shown(caller, top_up, given))
            }
            Status::Delivered => Err(already(Code::AlreadyDelivered, &top_up).into()),
            Status::Failed => Err(already(Code::AlreadyFailed, &top_up).into()),
            Status::Cancelled => Err(cancelled().into()),
        }
    }
}

fn check_voucher_code(code: &str) -> Result<(), Refusal> {
    if (1..=VOUCHER_LENGTH_MAX).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let message = format!("A voucher code is 1 to {VOUCHER_LENGTH_MAX} visible ASCII characters.");
    Err(Refusal::of_field(Code::InvalidRequest, "voucher_code", message))
}

fn cancelled() -> Refusal {
    let message = "This top-up was cancelled: nothing is pending.";
    Refusal::of_field(Code::TransactionNotFound, "transaction_id", message)
}

const DELIVERED: &str = "
    update topup.top_up set status = 'delivered', voucher_code = $4, account_id = $5, ended_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and transaction_id = $3 and status = 'pending'
    returning true";

const VOUCHER_TAKEN: &str = "
    select true from topup.top_up
     where tenant_id = $1 and environment = $2::topup.environment and voucher_code = $3";

fn deliver(caller: &Caller, mut top_up: TopUp, given: Option<&str>) -> Outcome<TopUpData> {
    let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
    if let Some(code) = given
        && !db::write(VOUCHER_TAKEN, args![tenant_id, environment, code], |_| Ok(()))?.is_empty()
    {
        let message = "Another top-up has this voucher code.";
        return Err(Refusal::of_field(Code::DuplicateTransaction, "voucher_code", message).into());
    }
    let system = |system| account::system_id(tenant_id, caller.environment, system, USD);
    let recipient = match top_up.data.recipient_email.as_deref() {
        Some(email) => {
            let email = Email::parse(email, "recipient_email")?;
            Some(send::open_recipient(caller, &email, &top_up.data.platform)?.1)
        }
        None => None,
    };
    let locked =
        recipient.map(|account_id| ledger::lock(caller, &[account_id])).transpose()?.unwrap_or_default();
    let list = Amount::from_cents(top_up.data.amount_cents);
    let receiving = recipient.unwrap_or_else(|| system(System::Voucher));
    let postings = [Posting::new(system(System::Pending), -list), Posting::new(receiving, list)];
    let top_up_id = Some(top_up.transaction_id);
    let header =
        Header { transaction_id: id::new(), kind: "deliver", top_up_id, reference: None, detail: None };
    ledger::post(caller, header, &locked, &postings)?;
    let voucher_code = given.map_or_else(voucher::new_code, |code| Ok(code.to_owned()))?;
    let arguments = args![tenant_id, environment, top_up.transaction_id, voucher_code.as_str(), recipient];
    model::must_change(db::write(DELIVERED, arguments, |_| Ok(()))?)?;
    top_up.status = Status::Delivered;
    top_up.data.voucher_code = Some(voucher_code);
    let reply = top_up.reply();
    event::emit(caller, top_up.status.event_type(), top_up.transaction_id, &reply.envelope)?;
    Ok(shown(caller, top_up, given))
}

/// The reply to whoever delivers: with the voucher's code where it gave it, or may see it.
fn shown(caller: &Caller, top_up: TopUp, given: Option<&str>) -> Reply<TopUpData> {
    match given {
        Some(_) => top_up.reply(),
        None => top_up.seen_by(caller).reply(),
    }
}

/// A failure at the platform.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailRequest {
    /// The pending top-up.
    pub transaction_id: String,
    /// What went wrong, in 1 to 500 characters; clients see it.
    pub reason: String,
}

pub struct Fail;

impl Handler for Fail {
    const NAME: &'static str = "fail";
    type Request = FailRequest;
    type Data = TopUpData;

    fn handle(caller: &Caller, request: &FailRequest) -> Outcome<TopUpData> {
        if !(1..=REASON_LENGTH_MAX).contains(&request.reason.chars().count()) {
            let message = format!("The reason must have 1 to {REASON_LENGTH_MAX} characters.");
            return Err(Refusal::of_field(Code::InvalidRequest, "reason", message).into());
        }
        let wallet = ledger::lock_wallet(caller)?;
        let mut top_up = model::lock(caller, &request.transaction_id)?;
        match top_up.status {
            Status::Pending => {
                reversal::reverse(caller, &top_up, wallet, Status::Failed, Some(&request.reason))?;
                top_up.status = Status::Failed;
                top_up.data.failure_reason = Some(request.reason.clone());
                Ok(top_up.reply())
            }
            Status::Failed => Ok(top_up.reply()),
            Status::Delivered => Err(already(Code::AlreadyDelivered, &top_up).into()),
            Status::Cancelled => Err(cancelled().into()),
        }
    }
}

/// The wallet is locked first, as everywhere. A wallet that a transaction holds is passed over: the lock may
/// last long.
const FAILING: &str = "
    select t.tenant_id, t.environment::text, e.wallet_id, t.transaction_id
      from topup.top_up t
      join topup.tenant_environment e using (tenant_id, environment)
      join topup.balance b on b.tenant_id = t.tenant_id and b.account_id = e.wallet_id
     where t.status = 'pending' and t.fails_at is not null and t.fails_at <= clock_timestamp()
     order by t.fails_at limit 1 for update of b skip locked";

/// Fails the staging top-up that is longest due; false where none is. One at a time, so that each
/// transaction holds one wallet only. Where two workers meet, the second finds it ended.
pub fn fail_due() -> Result<bool, Failure> {
    let due = db::write(FAILING, args![], |row| Ok((row.book()?, row.uuid(4)?)))?;
    let Some((book, transaction_id)) = due.into_iter().next() else { return Ok(false) };
    let wallet = ledger::lock_wallet(&book)?;
    let top_up = model::lock(&book, &id::Kind::Transaction.text(transaction_id))?;
    if top_up.status == Status::Pending {
        reversal::reverse(
            &book,
            &top_up,
            wallet,
            Status::Failed,
            Some("Staging: the address asked for a failure."),
        )?;
    }
    Ok(true)
}
