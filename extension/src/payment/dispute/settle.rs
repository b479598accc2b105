//! Posts what a dispute means: takes back what is left of the payment's credit, or returns it.

use uuid::Uuid;

use super::{Dispute, Status, event, read, select_dispute};
use crate::payment::auto;
use crate::payment::model::{self, Payment};
use crate::payment::refund::{self, clawback};
use crate::pg::db::{self, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::reply::Failure;

const KIND: &str = "top_up_dispute";

const UNREPORTED: &str = select_dispute!("and d.told is distinct from d.status order by d.dispute_id");

/// Settles the disputes of a payment whose meaning is not done yet, once it has succeeded. The payment is
/// locked. Tells whether there was any.
pub fn catch_up(book: &Book, payment_id: Uuid) -> Result<bool, Failure> {
    let no_payment = || Failure::Fault("the payment is gone".to_owned());
    let payment = model::find(book, payment_id)?.ok_or_else(no_payment)?;
    if payment.status != model::Status::Succeeded {
        return Ok(false);
    }
    let disputes = db::write(UNREPORTED, args![book.tenant_id, book.environment.as_str(), payment_id], read)?;
    for dispute in &disputes {
        settle(&payment, dispute)?;
    }
    Ok(!disputes.is_empty())
}

fn settle(payment: &Payment, dispute: &Dispute) -> Result<(), Failure> {
    auto::lock_of(payment)?;
    mark_reported(payment, dispute)?;
    let (transaction_id, moved) = match dispute.status {
        Status::Inquiry => (None, Amount::ZERO),
        Status::Open | Status::Lost => claw_back_left(payment, dispute)?,
        Status::Won => give_back(payment, dispute)?,
    };
    event::emit(payment, dispute, transaction_id, moved)
}

const REPORTED: &str =
    select_dispute!("and d.told in ('open', 'lost') and d.status = d.told order by d.dispute_id");

/// Takes what has come back to the credit of a payment that is disputed, such as by a refund that failed.
pub fn claw_back_again(payment: &Payment) -> Result<(), Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    for dispute in db::write(REPORTED, args![tenant_id, environment, payment.id], read)? {
        claw_back_left(payment, &dispute)?;
    }
    Ok(())
}

const CLAWED_BACK: &str = "
    update topup.payment_dispute set taken = taken + $4::numeric, taken_by = taken_by || $5
     where tenant_id = $1 and environment = $2::topup.environment and dispute_id = $3";

/// What the disputed amount bought and is not refunded, as much as is left of it.
fn claw_back_left(payment: &Payment, dispute: &Dispute) -> Result<(Option<Uuid>, Amount), Failure> {
    let bought = refund::share_left(payment, dispute.amount)?;
    let wanted = (bought - dispute.taken).max(Amount::ZERO);
    let reference = reference(dispute, "taken", dispute.taken_by.len() + 1);
    let (taken, transaction_id) = clawback::claw_back(payment, KIND, &reference, wanted)?;
    if let Some(transaction_id) = transaction_id {
        let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
        db::execute(
            CLAWED_BACK,
            args![tenant_id, environment, dispute.id, taken.to_string(), transaction_id],
        )?;
    }
    Ok((transaction_id, taken))
}

/// What was refunded since the dispute began and found no credit: that was the credit which the dispute
/// holds.
const REFUNDED_SINCE: &str = "
    select coalesce(sum(r.credit - r.recovered), 0)::text
      from topup.payment_refund r
      join topup.payment_dispute d
        on d.tenant_id = r.tenant_id and d.environment = r.environment and d.payment_id = r.payment_id
     where d.tenant_id = $1 and d.environment = $2::topup.environment and d.dispute_id = $3
       and r.status <> 'failed' and r.created_at >= d.created_at";

const RETURNED: &str = "
    update topup.payment_dispute set returned = returned + $4::numeric
     where tenant_id = $1 and environment = $2::topup.environment and dispute_id = $3";

/// Gives back what was taken, but for what was refunded meanwhile.
fn give_back(payment: &Payment, dispute: &Dispute) -> Result<(Option<Uuid>, Amount), Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let refunded = db::write(REFUNDED_SINCE, args![tenant_id, environment, dispute.id], |row| row.amount(1))?;
    let refunded = refunded.into_iter().next().unwrap_or_default();
    let whole = (dispute.taken - dispute.returned - refunded).max(Amount::ZERO);
    let (mut left, mut first) = (whole, None);
    for (n, taken_by) in dispute.taken_by.iter().enumerate() {
        let reference = reference(dispute, "returned", n + 1);
        let (returned, transaction_id) = clawback::restore(payment, KIND, &reference, *taken_by, left)?;
        (left, first) = (left - returned, first.or(transaction_id));
    }
    db::execute(RETURNED, args![tenant_id, environment, dispute.id, (whole - left).to_string()])?;
    Ok((first, whole - left))
}

fn reference(dispute: &Dispute, what: &str, n: usize) -> String {
    format!("{}/{what}/{n}", Kind::Dispute.text(dispute.id))
}

const MARK_REPORTED: &str = "
    update topup.payment_dispute set told = $4
     where tenant_id = $1 and environment = $2::topup.environment and dispute_id = $3";

fn mark_reported(payment: &Payment, dispute: &Dispute) -> Result<(), Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    Ok(db::execute(MARK_REPORTED, args![tenant_id, environment, dispute.id, dispute.status.as_str()])?)
}
