//! A refund of a customer's top-up, as the tenant asks for it.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{self, Origin};
use crate::operation::handler::Handler;
use crate::operation::request;
use crate::payment::currency;
use crate::payment::dispute;
use crate::payment::model::{self, Payment, Status};
use crate::tenant::caller::Caller;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

/// Which top-up, and how much of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RefundRequest {
    /// `top_…`, one that succeeded.
    pub top_up_id: String,
    /// What goes back to the payer, in major units of the currency; all that is left of it if not given.
    pub amount: Option<Amount>,
    /// Why, at most 500 characters.
    pub description: Option<String>,
}

/// A refund, and what it took back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RefundData {
    /// `re_…`
    pub id: String,
    /// `top_…`
    pub top_up_id: String,
    /// `pending` until the payment provider has sent the money back.
    pub status: &'static str,
    /// What goes back to the payer, in major units of the currency.
    pub amount: Amount,
    /// ISO 4217.
    pub currency: String,
    /// The asset that was credited.
    pub asset: String,
    /// What of the credit was still there and is taken back, in major units of the asset.
    pub refunded_credit: Amount,
    /// What of it was used already.
    pub not_recovered: Amount,
    /// RFC 3339, UTC.
    pub created_at: String,
}

pub struct Create;

impl Handler for Create {
    const NAME: &'static str = "top_up_refund";
    type Request = RefundRequest;
    type Data = RefundData;

    fn handle(caller: &Caller, request: &RefundRequest) -> Outcome<RefundData> {
        request::check_description(request.description.as_deref())?;
        let payment = lock(caller, &request.top_up_id)?;
        let amount = amount(&payment, request.amount)?;
        let recorded = record::insert(&payment, amount, Origin::Api, request.description.as_deref())?;
        let data = RefundData {
            id: Kind::PaymentRefund.text(recorded.refund_id),
            top_up_id: payment.text_id(),
            status: "pending",
            amount,
            currency: payment.currency,
            asset: payment.asset,
            refunded_credit: recorded.recovered,
            not_recovered: recorded.credit - recorded.recovered,
            created_at: recorded.created_at.rfc3339(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}

/// The caller's top-up, locked, where it was paid.
fn lock(caller: &Caller, top_up_id: &str) -> Result<Payment, Failure> {
    let no_top_up = || Refusal::not_found("top_up_id", "There is no such top-up.");
    let id = Kind::TopUp.parse(top_up_id).ok_or_else(no_top_up)?;
    let is_own = model::read(caller, id)?.is_some_and(|payment| payment.customer_id.is_some());
    let payment = if is_own { model::lock(caller.tenant_id, id)? } else { None };
    let payment = payment.ok_or_else(no_top_up)?;
    if payment.status != Status::Succeeded {
        let message = format!("This top-up is {}: there is nothing to refund.", payment.status.as_str());
        return Err(Refusal::conflict("top_up_id", message).into());
    }
    Ok(payment)
}

/// How much is refunded: whole coins, and no more than is left.
fn amount(payment: &Payment, wanted: Option<Amount>) -> Result<Amount, Failure> {
    let disputed = dispute::summary(payment)?;
    if disputed.is_open {
        let message = "This top-up is disputed: until that has ended, its money cannot be sent back.";
        return Err(Refusal::conflict("top_up_id", message).into());
    }
    let refunded = record::refunded(&payment.book, payment.id, true)?.amount;
    let left = (payment.amount - refunded - disputed.lost).max(Amount::ZERO);
    let amount = wanted.unwrap_or(left);
    let decimals = currency::decimals(&payment.currency);
    let is_whole = u32::try_from(amount.decimals()).is_ok_and(|used| used <= decimals);
    if amount > Amount::ZERO && amount <= left && is_whole {
        return Ok(amount);
    }
    let message = format!(
        "The amount must be more than 0, have at most {decimals} decimals, and be at most what is neither refunded nor lost by a dispute, {left}."
    );
    Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message).into())
}
