//! Adjust: corrections and credit from outside, each once for the caller's own transaction_id.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::billing::renewal;
use crate::ledger::account::{self, System};
use crate::ledger::grant::{GrantTerms, Purpose};
use crate::ledger::{self, Header, Posting};
use crate::operation::handler::Handler;
use crate::operation::idempotency::Namespace;
use crate::operation::request::{self, Metadata};
use crate::tenant::caller::{self, Caller};
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::book::Environment;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::{ComputedTime, WireTime};
use crate::wallet::movement::{self, Moved};

/// Of credit with an expiry, adjustments burn alike; the purpose and the expiry decide.
const PRIORITY: i32 = 0;

/// Why a balance is adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        match self.purpose() {
            Purpose::Paid => System::Cash,
            _ => System::Adjustment,
        }
    }

    /// What credit is for that is given for this reason.
    fn purpose(self) -> Purpose {
        match self {
            Reason::Gift | Reason::Other => Purpose::Promotional,
            Reason::ExternalTopup | Reason::ExternalRefund => Purpose::Paid,
        }
    }
}

/// A change to one account's balance.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdjustRequest {
    /// Your own id of it, 1 to 255 visible ASCII characters: the same id is the same adjustment, for good, also with other
    /// times than the first.
    pub transaction_id: String,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// Positive to add, negative to take; never finer than the asset's precision.
    pub amount: Amount,
    /// Why; it decides whether added credit counts as paid and when it expires.
    pub reason: Reason,
    /// A customer of yours; without it, your own wallet (in live: administrators only).
    pub customer_id: Option<String>,
    /// Which of the customer's accounts of the asset; `default` if not given.
    pub account_name: Option<String>,
    /// For people, at most 500 characters.
    pub description: Option<String>,
    /// An object of your own, at most 4 KiB.
    pub metadata: Option<Metadata>,
    /// From when on added credit can be used; at once if not given, or past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<ComputedTime>,
    /// When what is left of added credit expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<ComputedTime>,
}

/// What the journal keeps of the reason, with every digit of the caller's own numbers.
#[derive(Serialize)]
struct Detail<'a> {
    reason: Reason,
    description: Option<&'a str>,
    metadata: Option<&'a Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

pub struct Adjust;

impl Handler for Adjust {
    const NAME: &'static str = "adjust";
    type Request = AdjustRequest;
    type Data = Moved;

    fn own_id(request: &AdjustRequest) -> Option<(Namespace, &str)> {
        Some((Namespace::Adjust, &request.transaction_id))
    }

    fn handle(caller: &Caller, request: &AdjustRequest) -> Outcome<Moved> {
        let asset = movement::check_amount(caller, &request.asset, request.amount)?.code;
        let name = movement::account_name(request.account_name.as_deref())?;
        request::check_description(request.description.as_deref())?;
        let terms = terms(request)?;
        let account_id = target(caller, request, name)?;
        let locked = ledger::lock(caller, &[account_id])?;
        let contra =
            account::system_id(caller.tenant_id, caller.environment, request.reason.contra(), &asset);
        let postings = [Posting::new(account_id, request.amount), Posting::new(contra, -request.amount)];
        let transaction_id = id::new();
        let header = Header {
            transaction_id,
            kind: "adjust",
            top_up_id: None,
            reference: Some(&request.transaction_id),
            detail: Some(detail(request, terms)?),
        };
        let after = match terms {
            None => ledger::post(caller, header, &locked, &postings),
            Some(terms) => ledger::post_granting(caller, header, &locked, &postings, &[(account_id, terms)]),
        }
        .map_err(movement::of_amount)?;
        let data = Moved {
            id: request.transaction_id.clone(),
            account_id: request.customer_id.as_ref().map(|_| format!("{name}:{asset}")),
            asset,
            amount: request.amount,
            balance: after.first().copied().unwrap_or_default(),
            created_at: movement::created_at(caller, transaction_id)?,
        };
        Ok(Reply::of(Code::Success, transaction_id, None, data))
    }
}

fn detail(request: &AdjustRequest, terms: Option<GrantTerms>) -> Result<String, Failure> {
    Ok(serde_json::to_string(&Detail {
        reason: request.reason,
        description: request.description.as_deref(),
        metadata: request.metadata.as_ref(),
        effective_at: terms.and_then(|terms| terms.effective_at).map(PgTimestamp::request_text),
        expires_at: terms.and_then(|terms| terms.expires_at).map(PgTimestamp::request_text),
    })?)
}

/// The grant that added credit becomes; nothing for plain credit and for what is taken.
///
/// Paid credit without an expiry gets one: a year after it takes effect. Gifts do not expire unless told to;
/// but a gift that takes effect later has to be a grant until then, and so expires a year after that too.
fn terms(request: &AdjustRequest) -> Result<Option<GrantTerms>, Refusal> {
    let invalid = |field: &str, message: &str| Err(Refusal::of_field(Code::InvalidRequest, field, message));
    let now = WireTime::now();
    let (effective_at, expires_at) = (request.effective_at.map(|at| at.0), request.expires_at.map(|at| at.0));
    let effective_at = effective_at.filter(|effective_at| *effective_at > now);
    if request.amount < Amount::ZERO || request.customer_id.is_none() {
        let message = "Only credit that is added to a customer's account takes effect later, or expires.";
        return match (effective_at, expires_at) {
            (None, None) => Ok(None),
            (Some(_), _) => invalid("effective_at", message),
            (None, Some(_)) => invalid("expires_at", message),
        };
    }
    let purpose = request.reason.purpose();
    if expires_at.is_none() && effective_at.is_none() && purpose == Purpose::Promotional {
        return Ok(None);
    }
    let begins_at = effective_at.unwrap_or(now);
    let expires_at = match expires_at {
        Some(expires_at) if expires_at <= begins_at => {
            return invalid("expires_at", "Credit must expire in the future, after it takes effect.");
        }
        Some(expires_at) => expires_at,
        None => begins_at.plus_a_year().map_err(|refusal| refusal.at("effective_at"))?,
    };
    let (effective_at, expires_at) = (effective_at.map(PgTimestamp::from), Some(expires_at.into()));
    Ok(Some(GrantTerms { purpose, priority: PRIORITY, effective_at, expires_at }))
}

/// The account to adjust. A customer's is opened here, after everything that could still refuse it
/// but a balance that does not cover: an account that is new covers nothing.
fn target(caller: &Caller, request: &AdjustRequest, name: &str) -> Result<Uuid, Failure> {
    let Some(customer_id) = &request.customer_id else {
        if request.asset != account::USD {
            let message = "Your own wallet holds US dollars.";
            return Err(Refusal::of_field(Code::InvalidRequest, "asset", message).into());
        }
        if caller.environment == Environment::Live && !caller::is_admin()? {
            let message = "Your own live wallet is adjusted by an administrator (a member of topup_admin).";
            return Err(Refusal::new(Code::KeyNotPermitted, message).into());
        }
        return Ok(caller.wallet_id);
    };
    let customer_id = customer::require(caller, customer_id)?;
    if request.amount < Amount::ZERO && !account::customer_has(caller, customer_id, name, &request.asset)? {
        return Err(movement::not_covered().into());
    }
    if request.amount > Amount::ZERO {
        renewal::try_again(caller, customer_id)?;
    }
    Ok(account::open_for_customer(caller, customer_id, name, &request.asset)?)
}
