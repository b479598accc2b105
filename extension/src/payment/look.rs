//! How a customer's top-up stands.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::create::Destination;
use super::refund;
use super::row::{self, Status};
use crate::amount::Amount;
use crate::caller::Caller;
use crate::handler::Handler;
use crate::id::Kind;
use crate::instant::Instant;
use crate::reply::{Outcome, Refusal, Reply};

/// Which top-up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TopUpIdRequest {
    /// `top_…`
    pub top_up_id: String,
}

/// A customer's top-up as it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpState {
    /// `top_…`
    pub id: String,
    /// Who pays: `cust_…`.
    pub customer_id: String,
    /// What is charged, in major units of the currency.
    pub amount: Amount,
    /// ISO 4217.
    pub currency: String,
    /// What is credited, to which account, at which rate.
    pub destination: Destination,
    /// What that buys, in major units of the asset.
    pub credit: Amount,
    /// What of the amount is refunded, or about to be.
    pub refunded: Amount,
    /// Where the payment stands.
    pub status: Status,
    /// Why it failed, or why the last attempt did.
    pub failure: Option<TopUpFailure>,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// Why money was not taken.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpFailure {
    /// A word for programs, such as `card_declined`.
    pub code: String,
    /// For the payer.
    pub message: String,
}

pub struct Look;

impl Handler for Look {
    const NAME: &'static str = "top_up_get";
    type Request = TopUpIdRequest;
    type Data = TopUpState;

    fn handle(caller: &Caller, request: &TopUpIdRequest) -> Outcome<TopUpState> {
        let no_top_up = || Refusal::not_found("top_up_id", "There is no such top-up.");
        let id = Kind::TopUp.parse(&request.top_up_id).ok_or_else(no_top_up)?;
        let payment = row::look(caller, id)?.ok_or_else(no_top_up)?;
        let customer_id = payment.customer_id.ok_or_else(no_top_up)?;
        let status = payment.status_at(Instant::now());
        let data = TopUpState {
            id: payment.text_id(),
            customer_id: Kind::Customer.text(customer_id),
            amount: payment.amount,
            currency: payment.currency,
            destination: Destination {
                account_name: Some(payment.account_name),
                asset: payment.asset,
                exchange_rate: Some(payment.exchange_rate),
            },
            credit: payment.credit,
            refunded: refund::refunded(caller, id, false)?.amount,
            status,
            failure: payment
                .failure_code
                .zip(payment.failure_message)
                .map(|(code, message)| TopUpFailure { code, message }),
            created_at: payment.created_at.rfc3339(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}
