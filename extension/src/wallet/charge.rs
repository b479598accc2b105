//! Charge: takes what something cost from a customer's account, once for the caller's own transaction_id.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ledger::account::{self, System};
use crate::ledger::{self, Header, Posting};
use crate::operation::handler::Handler;
use crate::operation::idempotency::Namespace;
use crate::operation::request::{self, Metadata};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::id;
use crate::value::reply::{Outcome, Refusal, Reply};
use crate::wallet::movement::{self, Moved};

const SUBJECT_LENGTH_MAX: usize = 255;

/// What a customer owes for something, and how it was reckoned.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChargeRequest {
    /// Whom it is charged to: `cust_…`.
    pub customer_id: String,
    /// Your own id of it, 1 to 255 visible ASCII characters: the same id is the same charge, for good. An
    /// adjustment with that id is another request.
    pub transaction_id: String,
    /// Which of the customer's accounts of the asset; `default` if not given.
    pub account_name: Option<String>,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// More than 0, and never finer than the asset's precision.
    pub amount: Amount,
    /// What it is about, at most 255 characters.
    pub subject: Option<String>,
    /// For people, at most 500 characters.
    pub description: Option<String>,
    /// An object of your own, at most 4 KiB.
    pub metadata: Option<Metadata>,
    /// Kept with the charge, like the next four: how you reckoned it. The amount is what counts.
    pub input_units: Option<Amount>,
    /// The volume, such as tokens.
    pub input_volume: Option<Amount>,
    /// The price of one unit.
    pub unit_price: Option<Amount>,
    /// The price of one unit of volume, or of `package_size` of them.
    pub volume_rate: Option<Amount>,
    /// Units of volume in one package.
    pub package_size: Option<Amount>,
}

/// What the journal keeps of it.
#[derive(Serialize)]
struct Detail<'a> {
    subject: Option<&'a str>,
    description: Option<&'a str>,
    metadata: Option<&'a Metadata>,
    input_units: Option<Amount>,
    input_volume: Option<Amount>,
    unit_price: Option<Amount>,
    volume_rate: Option<Amount>,
    package_size: Option<Amount>,
}

pub struct Charge;

impl Handler for Charge {
    const NAME: &'static str = "charge";
    type Request = ChargeRequest;
    type Data = Moved;

    /// Charges and adjustments share their ids, so that an id alone tells which transaction is meant.
    fn own_id(request: &ChargeRequest) -> Option<(Namespace, &str)> {
        Some((Namespace::Adjust, &request.transaction_id))
    }

    fn handle(caller: &Caller, request: &ChargeRequest) -> Outcome<Moved> {
        let asset = movement::check_debit(caller, &request.asset, request.amount)?.code;
        let name = movement::account_name(request.account_name.as_deref())?;
        check(request)?;
        let customer_id = customer::require(caller, &request.customer_id)?;
        if !account::customer_has(caller, customer_id, name, &asset)? {
            return Err(movement::not_covered().into());
        }
        let account_id = account::customer_account_id(customer_id, name, &asset);
        let locked = ledger::lock(caller, &[account_id])?;
        let revenue = account::system_id(caller.tenant_id, caller.environment, System::Revenue, &asset);
        let postings = [Posting::new(account_id, -request.amount), Posting::new(revenue, request.amount)];
        let transaction_id = id::new();
        let header = Header {
            transaction_id,
            kind: "charge",
            top_up_id: None,
            reference: Some(&request.transaction_id),
            detail: Some(serde_json::to_string(&detail(request))?),
        };
        let after = ledger::post(caller, header, &locked, &postings).map_err(movement::of_amount)?;
        let data = Moved {
            id: request.transaction_id.clone(),
            account_id: Some(format!("{name}:{asset}")),
            asset,
            amount: -request.amount,
            balance: after.first().copied().unwrap_or_default(),
            created_at: movement::created_at(caller, transaction_id)?,
        };
        Ok(Reply::of(Code::Success, transaction_id, None, data))
    }
}

fn check(request: &ChargeRequest) -> Result<(), Refusal> {
    if request.subject.as_ref().is_some_and(|subject| subject.chars().count() > SUBJECT_LENGTH_MAX) {
        let message = "A subject has at most 255 characters.";
        return Err(Refusal::of_field(Code::InvalidRequest, "subject", message));
    }
    for (field, amount) in [
        ("input_units", request.input_units),
        ("input_volume", request.input_volume),
        ("unit_price", request.unit_price),
        ("volume_rate", request.volume_rate),
        ("package_size", request.package_size),
    ] {
        if amount.is_some_and(|amount| !amount.fits()) {
            let message = "This is beyond what can be kept.";
            return Err(Refusal::of_field(Code::InvalidRequest, field, message));
        }
    }
    request::check_description(request.description.as_deref())
}

fn detail(request: &ChargeRequest) -> Detail<'_> {
    Detail {
        subject: request.subject.as_deref(),
        description: request.description.as_deref(),
        metadata: request.metadata.as_ref(),
        input_units: request.input_units,
        input_volume: request.input_volume,
        unit_price: request.unit_price,
        volume_rate: request.volume_rate,
        package_size: request.package_size,
    }
}
