//! Takes back what is left of the credit that a payment bought, and gives it back where the provider refuses.

use pgrx::spi::SpiError;
use uuid::Uuid;

use crate::ledger::grant::{self, View};
use crate::ledger::{self, Header, Meaning};
use crate::payment::model::Payment;
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Amount;
use crate::value::id::{self, Kind};
use crate::value::reply::Failure;

/// The kind of the ledger's transactions for refunds.
pub const REFUND: &str = "top_up_refund";

/// The grant that the payment became and what is left of it. Plain credit is what is in no grant; whatever
/// has been spent since the payment may have been its own, so that no more than the lowest balance since is
/// still there.
const LEFT: &str = "
    select g.grant_id,
           coalesce(g.remaining, greatest(0, least(
               b.balance - coalesce((
                   select sum(o.remaining) from topup.credit_grant o
                    where o.tenant_id = $1 and o.account_id = $2 and o.is_open and not o.pending), 0),
               (select min(e.balance_after) from topup.entry e
                 where e.tenant_id = $1 and e.account_id = $2
                   and e.account_version >= (select p.account_version from topup.entry p
                                              where p.tenant_id = $1 and p.account_id = $2
                                                and p.transaction_id = $3)))))::text
      from topup.balance b
      left join topup.credit_grant g on g.tenant_id = $1 and g.account_id = $2 and g.transaction_id = $3
     where b.tenant_id = $1 and b.account_id = $2";

/// Takes back as much of a credit as is left; tells how much, and the transaction of this kind and reference
/// that did.
pub fn claw_back(
    payment: &Payment,
    kind: &'static str,
    reference: &str,
    credit: Amount,
) -> Result<(Amount, Option<Uuid>), Failure> {
    let (book, account_id) = (&payment.book, payment.account_id);
    let locked = ledger::lock(book, &[account_id])?;
    let arguments = args![book.tenant_id, account_id, payment.transaction_id];
    let read = |row: &Row| -> DbResult<(Option<Uuid>, Amount)> { Ok((row.maybe_uuid(1)?, row.amount(2)?)) };
    let left = db::write(LEFT, arguments, read)?;
    let (grant_id, left) = left.into_iter().next().ok_or(SpiError::InvalidPosition)?;
    let recovered = credit.min(left);
    if recovered <= Amount::ZERO {
        return Ok((Amount::ZERO, None));
    }
    let header = header(payment, kind, reference)?;
    let transaction_id = header.transaction_id;
    let meaning = Meaning::TakesBack { grant_id };
    ledger::post_meaning(book, header, &locked, &payment.postings(-recovered), &[(account_id, meaning)])?;
    Ok((recovered, Some(transaction_id)))
}

/// Gives back what a transaction took, or as much of it as is asked for, to the grant that it came from;
/// tells how much, and the transaction.
pub fn restore(
    payment: &Payment,
    kind: &'static str,
    reference: &str,
    taken_by: Uuid,
    most: Amount,
) -> Result<(Amount, Option<Uuid>), Failure> {
    let (book, account_id) = (&payment.book, payment.account_id);
    let locked = ledger::lock(book, &[account_id])?;
    let taken = grant::taken(book, View::Locked, account_id, taken_by)?;
    let amount = taken.sum().min(most);
    if amount <= Amount::ZERO {
        return Ok((Amount::ZERO, None));
    }
    let header = header(payment, kind, reference)?;
    let transaction_id = header.transaction_id;
    let meaning = Meaning::GivesBack { of_transaction: taken_by, taken: &taken, was_held: Amount::ZERO };
    ledger::post_meaning(book, header, &locked, &payment.postings(amount), &[(account_id, meaning)])?;
    Ok((amount, Some(transaction_id)))
}

/// Gives back what a refund took; gives the transaction.
pub fn undo(payment: &Payment, refund_id: Uuid, taken_by: Uuid) -> Result<Option<Uuid>, Failure> {
    let reference = format!("{}/failed", Kind::PaymentRefund.text(refund_id));
    Ok(restore(payment, REFUND, &reference, taken_by, payment.credit)?.1)
}

fn header<'a>(payment: &Payment, kind: &'static str, reference: &'a str) -> Result<Header<'a>, Failure> {
    let detail = serde_json::json!({ "payment_id": payment.text_id(), "description": payment.description });
    Ok(Header {
        transaction_id: id::new(),
        kind,
        top_up_id: None,
        reference: Some(reference),
        detail: Some(serde_json::to_string(&detail)?),
    })
}
