//! What the webhooks say of a dispute.

use pg_topup_contract::{Code, Envelope};
use serde::Serialize;
use uuid::Uuid;

use super::{Dispute, Status};
use crate::amount::Amount;
use crate::event;
use crate::id::Kind;
use crate::payment::row::{Origin, Payment};
use crate::reply::Failure;

/// The top-up, and the dispute.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    customer_id: Option<String>,
    /// `{name}:{asset}`; null: the tenant's own wallet.
    account_id: Option<String>,
    asset: &'a str,
    credit: Amount,
    amount: Amount,
    currency: &'a str,
    origin: Origin,
    dispute: Facts<'a>,
}

#[derive(Serialize)]
struct Facts<'a> {
    id: String,
    provider_dispute_id: &'a str,
    status: &'static str,
    /// In the top-up's currency.
    amount: Amount,
    reason: Option<&'a str>,
    /// What of the credit is taken by now.
    taken_credit: Amount,
    /// What was given back with this event.
    returned_credit: Amount,
}

/// Tells the tenant; `moved` is what of the credit the transaction took or gave back.
pub fn tell(
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
    let customer = payment.customer_id;
    let status = dispute.status.as_str();
    let data = Told {
        id: payment.text_id(),
        customer_id: customer.map(|id| Kind::Customer.text(id)),
        account_id: customer.map(|_| format!("{}:{}", payment.account_name, payment.asset)),
        asset: &payment.asset,
        credit: payment.credit,
        amount: payment.amount,
        currency: &payment.currency,
        origin: payment.origin,
        dispute: Facts {
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
