//! What the provider answered to a refund, and the refunds that it made by itself.

use pgrx::prelude::*;
use uuid::Uuid;

use super::clawback;
use super::record::{self, Origin};
use crate::payment::currency;
use crate::payment::dispute;
use crate::payment::fault::PaymentFault;
use crate::payment::model::{self, Payment, Status};
use crate::payment::provider_request::{PAUSE_S, PAUSES_S, STUCK_S};
use crate::pg::db::{self, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::reply::Failure;

/// What a provider answered to a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundAnswer {
    Refunded,
    Refused,
    Unknown,
}

const OPEN: &str = "
    select true from topup.payment_refund
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3 and refund_id = $4
       and status = 'pending'";

const END: &str = "
    update topup.payment_refund
       set status = $4, ended_at = clock_timestamp(), due_at = null, reversal_id = $5, failure_code = $6, failure_message = $7
     where tenant_id = $1 and environment = $2::topup.environment and refund_id = $3 and status <> 'failed'";

const PUT_OFF: &str = "
    update topup.payment_refund
       set due_at = clock_timestamp() + make_interval(secs => coalesce(($5::int[])[greatest(attempts, 1)], $6))
     where tenant_id = $1 and environment = $2::topup.environment and refund_id = $3 and status = 'pending' and fence = $4
    returning extract(epoch from clock_timestamp() - created_at)::bigint";

/// Books what the provider answered. The payment is locked. Tells whether that changed the refund.
pub fn settle(
    payment: &Payment,
    (refund_id, fence): (Uuid, i64),
    answer: RefundAnswer,
    fault: &PaymentFault,
) -> Result<bool, Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let arguments = args![tenant_id, environment, payment.id, refund_id];
    if db::write(OPEN, arguments, |_| Ok(()))?.is_empty() {
        return Ok(false);
    }
    match answer {
        RefundAnswer::Refunded => {
            let nothing = None::<&str>;
            let arguments =
                args![tenant_id, environment, refund_id, "succeeded", None::<Uuid>, nothing, nothing];
            db::execute(END, arguments)?;
        }
        RefundAnswer::Refused => return failed(payment, None, Some(refund_id), fault),
        RefundAnswer::Unknown => return put_off(payment, refund_id, fence),
    }
    Ok(true)
}

fn put_off(payment: &Payment, refund_id: Uuid, fence: i64) -> Result<bool, Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let arguments = args![tenant_id, environment, refund_id, fence, PAUSES_S.to_vec(), PAUSE_S];
    let waited = db::write(PUT_OFF, arguments, |row| row.get::<i64>(1))?;
    let Some(waited_s) = waited.into_iter().next() else { return Ok(false) };
    if waited_s >= STUCK_S.into() {
        let id = Kind::PaymentRefund.text(refund_id);
        warning!("{id} waits for the provider's answer since {waited_s} s");
    }
    Ok(true)
}

/// By its id; or else one that the provider made by itself, of as much as is booked here and no longer stands
/// there.
const FIND: &str = "
    select refund_id, transaction_id from topup.payment_refund
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3 and status <> 'failed'
       and case when $4 is null then origin = 'provider' and amount = $5::numeric else refund_id = $4 end
     order by refund_id desc limit 1";

/// A refund did not go through, or came back later: its credit is given back. Tells whether that is new.
/// `remaining_minor`: all that is refunded at the provider without it.
pub fn failed(
    payment: &Payment,
    remaining_minor: Option<i64>,
    refund_id: Option<Uuid>,
    fault: &PaymentFault,
) -> Result<bool, Failure> {
    if let Some(remaining_minor) = remaining_minor {
        record_reported(payment, remaining_minor, true)?;
    }
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let remaining = remaining_minor.and_then(|minor| currency::from_minor(minor, &payment.currency));
    let booked = record::refunded(&payment.book, payment.id, true)?.amount;
    let amount = remaining.map(|remaining| (booked - remaining).to_string());
    let arguments = args![tenant_id, environment, payment.id, refund_id, amount];
    let found = db::write(FIND, arguments, |row| Ok((row.uuid(1)?, row.maybe_uuid(2)?)))?;
    let Some((refund_id, taken_by)) = found.into_iter().next() else { return Ok(false) };
    let reversal = match taken_by {
        Some(taken_by) => clawback::undo(payment, refund_id, taken_by)?,
        None => None,
    };
    let (code, message) = (fault.code.as_str(), fault.message.as_str());
    db::execute(END, args![tenant_id, environment, refund_id, "failed", reversal, code, message])?;
    catch_up(&payment.book, payment.id)?;
    dispute::claw_back_again(payment)?;
    Ok(true)
}

/// Books the refunds that the provider made and that are not known here yet, by how much of the payment it has
/// refunded in all. The payment is locked.
pub fn reported(payment: &Payment, refunded_minor: i64, refund_id: Option<Uuid>) -> Result<bool, Failure> {
    record_reported(payment, refunded_minor, false)?;
    let settled = match refund_id {
        Some(refund_id) => {
            settle(payment, (refund_id, 0), RefundAnswer::Refunded, &PaymentFault::reported(None, None))?
        }
        None => false,
    };
    Ok(catch_up(&payment.book, payment.id)? || settled)
}

const RECORD_REPORTED: &str = "
    update topup.payment
       set refunded_told = case when $5 then $4::numeric else greatest(refunded_told, $4::numeric) end
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3";

/// Keeps what the provider called refunded, also of a payment that has not succeeded here yet. It becomes
/// less only where a refund failed (`is_less`).
fn record_reported(payment: &Payment, minor: i64, is_less: bool) -> Result<(), Failure> {
    let reported = currency::from_minor(minor, &payment.currency).unwrap_or_default().min(payment.amount);
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    Ok(db::execute(
        RECORD_REPORTED,
        args![tenant_id, environment, payment.id, reported.to_string(), is_less],
    )?)
}

/// Books what the provider has refunded of a payment and is not booked yet, once that has succeeded. Tells
/// whether there was any.
pub fn catch_up(book: &Book, payment_id: Uuid) -> Result<bool, Failure> {
    let no_payment = || Failure::Fault("the payment is gone".to_owned());
    let payment = model::find(book, payment_id)?.ok_or_else(no_payment)?;
    let amount = payment.refunded_reported - record::refunded(book, payment_id, true)?.amount;
    if payment.status != Status::Succeeded || amount <= Amount::ZERO {
        return Ok(false);
    }
    record::insert(&payment, amount, Origin::Provider, None)?;
    Ok(true)
}
