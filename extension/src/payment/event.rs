//! The event of a payment that ended: what the webhooks say of it.

use pg_topup_contract::{Code, Envelope};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::fault::PaymentFault;
use super::model::{Origin, Payment, Status};
use crate::event;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::reply::Failure;

/// What the webhooks say of a payment.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PaymentTold")]
pub struct PaymentEvent<'a> {
    /// `top_…`; `in_…` of your own wallet's.
    id: String,
    /// Who pays: `cust_…`; null: your own wallet.
    customer_id: Option<String>,
    /// `{name}:{asset}`; null: your own wallet.
    account_id: Option<String>,
    /// What is credited.
    asset: &'a str,
    /// How much of it, in major units.
    credit: Amount,
    /// What is charged, in major units of the currency.
    amount: Amount,
    /// ISO 4217.
    currency: &'a str,
    /// Whether somebody asked for it, or an auto top-up.
    origin: Origin,
    /// Why it failed; null where it succeeded.
    failure: Option<&'a PaymentFault>,
}

/// Emits the event of how a payment ended.
pub(super) fn emit(
    payment: &Payment,
    status: Status,
    transaction_id: Option<Uuid>,
    failure: Option<&PaymentFault>,
) -> Result<(), Failure> {
    let data = PaymentEvent {
        id: payment.text_id(),
        customer_id: payment.text_customer_id(),
        account_id: payment.text_account_id(),
        asset: &payment.asset,
        credit: payment.credit,
        amount: payment.amount,
        currency: &payment.currency,
        origin: payment.origin,
        failure,
    };
    let event_type =
        if status == Status::Succeeded { "wallet.topup.succeeded" } else { "wallet.topup.failed" };
    let id = transaction_id.map(|id| Kind::Transaction.text(id));
    let envelope = Envelope::new(Code::Success, id, Some(status.as_str()), data);
    event::emit(&payment.book, event_type, transaction_id, &envelope)
}
