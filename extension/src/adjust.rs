//! Adjust: corrections and credit from outside, each once for the caller's own transaction_id.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::{self, System, USD};
use crate::amount::Amount;
use crate::book::Environment;
use crate::caller::{self, Caller};
use crate::customer;
use crate::handler::Handler;
use crate::id::{self, Kind};
use crate::idempotency::Namespace;
use crate::ledger::{self, Header, Posting};
use crate::reply::{Failure, Outcome, Refusal, Reply};
use crate::request::{self, Metadata};

/// The ledger's finest US dollar amount has this many decimals.
const USD_DECIMALS_MAX: usize = 9;
const NAME_LENGTH_MAX: usize = 100;

/// Why a balance is adjusted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Gift,
    ExternalTopup,
    ExternalRefund,
    Other,
}

impl Reason {
    /// Where the value comes from or goes to.
    fn contra(self) -> System {
        match self {
            Reason::Gift | Reason::Other => System::Adjustment,
            Reason::ExternalTopup | Reason::ExternalRefund => System::Cash,
        }
    }
}

/// A change to one account's balance.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustRequest {
    /// Your own id of it, 1 to 255 visible ASCII characters: the same id is the same adjustment, for good.
    pub transaction_id: String,
    /// `USD`.
    pub asset: String,
    /// Positive to add, negative to take; never finer than the asset's precision.
    pub amount: Amount,
    pub reason: Reason,
    /// A customer of yours; without it, your own wallet (in live: administrators only).
    pub customer_id: Option<String>,
    /// Which of the customer's accounts of the asset; `default` if not given.
    pub account_name: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<Metadata>,
}

/// The adjustment and the balance after it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdjustData {
    /// The request's transaction_id.
    pub id: String,
    /// `{name}:{asset}`; null for your own wallet.
    pub account_id: Option<String>,
    pub asset: String,
    pub amount: Amount,
    pub balance: Amount,
}

/// What the journal keeps of the reason, with every digit of the caller's own numbers.
#[derive(Serialize)]
struct Detail<'a> {
    reason: Reason,
    description: Option<&'a str>,
    metadata: Option<&'a Metadata>,
}

pub struct Adjust;

impl Handler for Adjust {
    const NAME: &'static str = "adjust";
    type Request = AdjustRequest;
    type Data = AdjustData;

    fn own_id(request: &AdjustRequest) -> Option<(Namespace, &str)> {
        Some((Namespace::Adjust, &request.transaction_id))
    }

    fn handle(caller: &Caller, request: &AdjustRequest) -> Outcome<AdjustData> {
        check(request)?;
        let name = request.account_name.as_deref().unwrap_or("default");
        let account_id = target(caller, request, name)?;
        let locked = ledger::lock(caller, &[account_id])?;
        let contra = account::system_id(caller.tenant_id, caller.environment, request.reason.contra(), USD);
        let postings = [Posting::new(account_id, request.amount), Posting::new(contra, -request.amount)];
        let transaction_id = id::new();
        let detail = serde_json::to_string(&Detail {
            reason: request.reason,
            description: request.description.as_deref(),
            metadata: request.metadata.as_ref(),
        })?;
        let header = Header {
            transaction_id,
            kind: "adjust",
            top_up_id: None,
            reference: Some(&request.transaction_id),
            detail: Some(detail),
        };
        let after = ledger::post(caller, header, &locked, &postings)?;
        let data = AdjustData {
            id: request.transaction_id.clone(),
            account_id: request.customer_id.as_ref().map(|_| format!("{name}:{USD}")),
            asset: USD.to_owned(),
            amount: request.amount,
            balance: after.first().copied().unwrap_or_default(),
        };
        Ok(Reply::of(Code::Success, transaction_id, None, data))
    }
}

fn check(request: &AdjustRequest) -> Result<(), Refusal> {
    let invalid = |field: &str, message: &str| Err(Refusal::of_field(Code::InvalidRequest, field, message));
    if request.asset != USD {
        return invalid("asset", "There is no such asset.");
    }
    let amount = request.amount;
    if amount == Amount::ZERO || !amount.fits() || amount.decimals() > USD_DECIMALS_MAX {
        let message = format!(
            "The amount must not be zero, beyond what an account can hold, nor finer than {USD_DECIMALS_MAX} decimals."
        );
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message));
    }
    let name = request.account_name.as_deref().unwrap_or("default");
    if name.is_empty() || name.chars().count() > NAME_LENGTH_MAX || name.contains(':') {
        return invalid("account_name", "An account name has 1 to 100 characters and no colon.");
    }
    request::check_description(request.description.as_deref())?;
    Ok(())
}

/// The account to adjust. A customer's is opened here, after everything that could still refuse it
/// but a balance that does not cover: an account that is new covers nothing.
fn target(caller: &Caller, request: &AdjustRequest, name: &str) -> Result<Uuid, Failure> {
    let Some(customer_id) = &request.customer_id else {
        if caller.environment == Environment::Live && !caller::is_admin()? {
            let message = "Your own live wallet is adjusted by an administrator (a member of topup_admin).";
            return Err(Refusal::new(Code::KeyNotPermitted, message).into());
        }
        return Ok(caller.wallet_id);
    };
    let no_customer = || Refusal::not_found("customer_id", "There is no such customer.");
    let customer_id = Kind::Customer.parse(customer_id).ok_or_else(no_customer)?;
    if !customer::exists(caller, customer_id)? {
        return Err(no_customer().into());
    }
    if request.amount < Amount::ZERO && !account::customer_has(caller, customer_id, name, USD)? {
        return Err(Refusal::new(Code::InsufficientBalance, "The balance does not cover this amount.").into());
    }
    Ok(account::open_for_customer(caller, customer_id, name, USD)?)
}
