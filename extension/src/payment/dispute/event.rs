//! What the webhooks say of a dispute.

use pg_topup_contract::{Code, Envelope};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{Dispute, Status};
use crate::event;
use crate::payment::model::{Origin, Payment};
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::reply::Failure;

/// What the webhooks say of a dispute: the top-up, and how the dispute stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DisputeTold")]
pub struct DisputeEvent<'a> {
    /// `top_…`; `in_…` of your own wallet's.
    id: String,
    /// Who paid: `cust_…`; null: your own wallet.
    customer_id: Option<String>,
    /// `{name}:{asset}`; null: your own wallet.
    account_id: Option<String>,
    /// What was credited.
    asset: &'a str,
    /// How much of it, in major units.
    credit: Amount,
    /// What was charged, in major units of the currency.
    amount: Amount,
    /// ISO 4217.
    currency: &'a str,
    /// Whether somebody asked for it, or an auto top-up.
    origin: Origin,
    /// How the dispute stands.
    dispute: DisputeFacts<'a>,
}

/// How a dispute stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DisputeFacts")]
struct DisputeFacts<'a> {
    /// `dp_…`
    id: String,
    /// What the payment provider calls it.
    provider_dispute_id: &'a str,
    /// `inquiry` (the bank has taken no money), `open`, `won` or `lost`.
    status: &'static str,
    /// What the payer wants back, in major units of the top-up's currency.
    amount: Amount,
    /// In the payment provider's words.
    reason: Option<&'a str>,
    /// What of the credit is taken by now, in major units of the asset.
    taken_credit: Amount,
    /// What was given back with this event, in major units of the asset.
    returned_credit: Amount,
}

/// Emits the event of how a dispute stands; `moved` is what of the credit the transaction took or gave back.
pub(super) fn emit(
    payment: &Payment,
    dispute: &Dispute,
    transaction_id: Option<Uuid>,
    moved: Amount,
) -> Result<(), Failure> {
    let before = dispute.taken - dispute.returned;
    let (event_type, taken, returned) = match dispute.status {
        Status::Inquiry | Status::Open => ("wallet.topup.disputed", before + moved, Amount::ZERO),
        Status::Lost => ("wallet.topup.dispute.lost", before + moved, Amount::ZERO),
        Status::Won => ("wallet.topup.dispute.won", before - moved, moved),
    };
    let status = dispute.status.as_str();
    let data = DisputeEvent {
        id: payment.text_id(),
        customer_id: payment.text_customer_id(),
        account_id: payment.text_account_id(),
        asset: &payment.asset,
        credit: payment.credit,
        amount: payment.amount,
        currency: &payment.currency,
        origin: payment.origin,
        dispute: DisputeFacts {
            id: Kind::Dispute.text(dispute.id),
            provider_dispute_id: &dispute.provider_dispute_id,
            status,
            amount: dispute.amount,
            reason: dispute.reason.as_deref(),
            taken_credit: taken,
            returned_credit: returned,
        },
    };
    let id = transaction_id.map(|id| Kind::Transaction.text(id));
    let envelope = Envelope::new(Code::Success, id, Some(status), data);
    event::emit(&payment.book, event_type, transaction_id, &envelope)
}
