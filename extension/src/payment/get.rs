//! How a customer's top-up stands.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::create::Destination;
use super::model::{self, Status};
use super::refund;
use crate::operation::handler::Handler;
use crate::pg::db::{self, DbResult, args};
use crate::tenant::caller::Caller;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Outcome, Refusal, Reply};

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
    /// The last dispute of it; null where there is none.
    pub dispute: Option<TopUpDispute>,
    /// Why it failed, or why the last attempt did.
    pub failure: Option<TopUpFailure>,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// That the payer's bank asks for the money back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpDispute {
    /// `dp_…`
    pub id: String,
    /// `inquiry` (no money is taken), `open`, `won` or `lost`.
    pub status: String,
    /// In major units of the currency.
    pub amount: Amount,
    /// In the provider's words.
    pub reason: Option<String>,
    /// What of the credit was still there and is taken, in major units of the asset.
    pub taken_credit: Amount,
}

/// Why money was not taken.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpFailure {
    /// A word for programs, such as `card_declined`.
    pub code: String,
    /// For the payer.
    pub message: String,
}

pub struct Get;

const DISPUTE: &str = "
    select dispute_id, status, amount::text, reason, (taken - returned)::text from topup.payment_dispute
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3 and told is not null
     order by dispute_id desc limit 1";

fn dispute(caller: &Caller, payment_id: Uuid) -> DbResult<Option<TopUpDispute>> {
    let arguments = args![caller.tenant_id, caller.environment.as_str(), payment_id];
    let found = db::read(DISPUTE, arguments, |row| {
        Ok(TopUpDispute {
            id: Kind::Dispute.text(row.uuid(1)?),
            status: row.get(2)?,
            amount: row.amount(3)?,
            reason: row.maybe(4)?,
            taken_credit: row.amount(5)?,
        })
    })?;
    Ok(found.into_iter().next())
}

impl Handler for Get {
    const NAME: &'static str = "top_up_get";
    type Request = TopUpIdRequest;
    type Data = TopUpState;

    fn handle(caller: &Caller, request: &TopUpIdRequest) -> Outcome<TopUpState> {
        let no_top_up = || Refusal::not_found("top_up_id", "There is no such top-up.");
        let id = Kind::TopUp.parse(&request.top_up_id).ok_or_else(no_top_up)?;
        let payment = model::read(caller, id)?.ok_or_else(no_top_up)?;
        let customer_id = payment.customer_id.ok_or_else(no_top_up)?;
        let status = payment.status_at(PgTimestamp::now());
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
            dispute: dispute(caller, id)?,
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
