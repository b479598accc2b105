//! A customer's top-up, as the tenant's server asks for it: judged, priced, and begun as a checkout.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::model::{Origin, Status};
use super::rate::{self, Bought};
use super::start::{self, NewPayment};
use crate::ledger::account;
use crate::operation::handler::Handler;
use crate::operation::request;
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::WireTime;
use crate::wallet::metadata::Metadata;
use crate::wallet::movement;

const URL_LENGTH_MAX: usize = 2000;

/// What a customer is to pay, and what that buys.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TopUpRequest {
    /// A customer of yours (`cust_…`).
    pub customer_id: String,
    /// What is charged, in major units of the currency: at least what the payment provider charges (0.50 of dollars), in whole
    /// coins.
    pub amount: Amount,
    /// ISO 4217.
    pub currency: String,
    /// For the payer, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is credited; the currency itself, to the account `default`, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// When what is left of the credit expires; a year after it was paid if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_expires_at: Option<WireTime>,
    /// Where the customer is sent when it has paid: http or https.
    pub return_url: String,
    /// Where the customer is sent when it gives up.
    pub failure_url: String,
    /// Names and texts of your own, at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// What is credited.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// `default` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The currency, or an asset of yours.
    pub asset: String,
    /// Units of the asset for one unit of the currency; the asset's rate of now if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<Amount>,
}

/// A top-up that has begun.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpStarted {
    /// `top_…`
    pub id: String,
    /// Where the payment stands.
    pub status: Status,
    /// Where the customer pays. Whoever has it can see the checkout.
    pub redirect_url: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// When the checkout ends unpaid.
    pub expires_at: String,
}

pub struct Create;

impl Handler for Create {
    const NAME: &'static str = "top_up_create";
    type Request = TopUpRequest;
    type Data = TopUpStarted;

    fn handle(caller: &Caller, request: &TopUpRequest) -> Outcome<TopUpStarted> {
        let bought = check(caller, request)?;
        let customer_id = customer::require(caller, &request.customer_id)?;
        let destination = request.destination.as_ref();
        let account_name = destination.and_then(|destination| destination.account_name.as_deref());
        let account_name = movement::account_name(account_name).map_err(in_destination)?;
        let new = NewPayment {
            customer_id: Some(customer_id),
            account_id: account::customer_account_id(customer_id, account_name, &bought.asset),
            account_name,
            asset: &bought.asset,
            currency: &request.currency,
            amount: request.amount,
            credit: bought.credit,
            exchange_rate: bought.exchange_rate,
            card: None,
            origin: Origin::Manual,
            description: request.description.as_deref(),
            metadata: request.metadata.as_ref().map(serde_json::to_string).transpose()?,
            credit_expires_at: request.credit_expires_at.map(PgTimestamp::from),
            return_url: Some(&request.return_url),
            failure_url: Some(&request.failure_url),
        };
        let started = start::start(caller, &new)?;
        let payment = started.payment;
        let data = TopUpStarted {
            id: payment.text_id(),
            status: payment.status,
            redirect_url: started.redirect_url.unwrap_or_default(),
            created_at: payment.created_at.rfc3339(),
            expires_at: payment.expires_at.map(PgTimestamp::rfc3339).unwrap_or_default(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}

fn invalid(field: &str, message: impl Into<String>) -> Failure {
    Refusal::of_field(Code::InvalidRequest, field, message).into()
}

fn in_destination(refusal: Refusal) -> Refusal {
    refusal.at("destination.account_name")
}

fn check(caller: &Caller, request: &TopUpRequest) -> Result<Bought, Failure> {
    rate::check_amount(&request.currency, request.amount)?;
    request::check_description(request.description.as_deref())?;
    for (field, url) in [("return_url", &request.return_url), ("failure_url", &request.failure_url)] {
        check_url(field, url)?;
    }
    if request.credit_expires_at.is_some_and(|expires_at| expires_at <= WireTime::now()) {
        return Err(invalid("credit_expires_at", "Credit must expire in the future."));
    }
    let destination = request.destination.as_ref();
    let code = destination.map_or(&request.currency, |destination| &destination.asset);
    let given = destination.and_then(|destination| destination.exchange_rate);
    rate::buy(caller, code, &request.currency, request.amount, given)
}

/// Refuses what is not on the web.
pub fn check_url(field: &str, text: &str) -> Result<(), Failure> {
    let is_good = text.len() <= URL_LENGTH_MAX
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_good {
        return Ok(());
    }
    Err(invalid(field, format!("This must be an http or https URL of at most {URL_LENGTH_MAX} characters.")))
}
