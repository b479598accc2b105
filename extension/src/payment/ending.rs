//! How a payment ends: paid and credited, failed, or expired. The payment is locked by whoever calls.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::auto;
use super::event;
use super::fault::PaymentFault;
use super::model::{Origin, Payment, Status};
use crate::ledger::account;
use crate::ledger::grant::{GrantTerms, Purpose};
use crate::ledger::{self, Header, Locked};
use crate::pg::db::{self, args};
use crate::value::amount::Amount;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;
use crate::value::wire_time::WireTime;

/// Among paid credit the expiry decides what burns first.
const PRIORITY: i32 = 0;

/// What the journal keeps of a payment.
#[derive(Serialize)]
struct Detail<'a> {
    payment_id: String,
    amount: Amount,
    currency: &'a str,
    exchange_rate: Amount,
    provider: &'static str,
    origin: Origin,
    description: Option<&'a str>,
    metadata: Option<&'a RawValue>,
}

const SUCCEEDED: &str = "
    update topup.payment
       set status = 'succeeded', transaction_id = $4, ended_at = clock_timestamp(), due_at = null,
           provider_payment_id = coalesce($5, provider_payment_id), failure_code = null, failure_message = null
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3 and status <> 'succeeded'
    returning true";

/// The provider has the money: credits it, once. One that failed or expired here is credited too, for the
/// money was taken.
pub fn succeed(payment: &Payment, provider_payment_id: Option<&str>) -> Result<(), Failure> {
    if payment.status == Status::Succeeded {
        return Ok(());
    }
    let book = &payment.book;
    let transaction_id = id::new();
    let locked = lock_account(payment)?;
    credit(payment, transaction_id, &locked)?;
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let arguments = args![tenant_id, environment, payment.id, transaction_id, provider_payment_id];
    if db::write(SUCCEEDED, arguments, |_| Ok(()))?.len() != 1 {
        return Err(Failure::Fault("the payment was credited already".to_owned()));
    }
    event::emit(payment, Status::Succeeded, Some(transaction_id), None)?;
    auto::succeeded(payment)
}

/// Locks the account that is credited, and its auto top-up if it has one; opens the account if there is none
/// yet.
fn lock_account(payment: &Payment) -> Result<Vec<Locked>, Failure> {
    if let Some(locked) = auto::lock_of(payment)? {
        return Ok(locked);
    }
    if let Some(customer_id) = payment.customer_id {
        account::open_for_customer(&payment.book, customer_id, &payment.account_name, &payment.asset)?;
    }
    ledger::lock(&payment.book, &[payment.account_id])
}

fn credit(payment: &Payment, transaction_id: Uuid, locked: &[Locked]) -> Result<(), Failure> {
    let book = &payment.book;
    let reference = payment.text_id();
    let metadata = payment.metadata.clone().map(RawValue::from_string).transpose()?;
    let detail = serde_json::to_string(&Detail {
        payment_id: reference.clone(),
        amount: payment.amount,
        currency: &payment.currency,
        exchange_rate: payment.exchange_rate,
        provider: payment.provider.as_str(),
        origin: payment.origin,
        description: payment.description.as_deref(),
        metadata: metadata.as_deref(),
    })?;
    let header = || Header {
        transaction_id,
        kind: "top_up",
        top_up_id: None,
        reference: Some(&reference),
        detail: Some(detail.clone()),
    };
    let postings = payment.postings(payment.credit);
    let granted = match terms(payment)? {
        Some(terms) => {
            ledger::post_granting(book, header(), locked, &postings, &[(payment.account_id, terms)])
        }
        None => ledger::post(book, header(), locked, &postings),
    };
    match granted {
        // The money is taken: where a grant has no room or would have expired, the credit is plain.
        Err(Failure::Refused(_)) => {
            ledger::post(book, header(), locked, &postings).map(drop).map_err(|failure| match failure {
                Failure::Refused(refusal) => {
                    Failure::Fault(format!("{reference} is paid and cannot be credited: {}", refusal.message))
                }
                fault => fault,
            })
        }
        other => other.map(drop),
    }
}

/// A customer's credit expires, after a year if nothing else was said; the tenant's own does not.
fn terms(payment: &Payment) -> Result<Option<GrantTerms>, Failure> {
    if payment.customer_id.is_none() {
        return Ok(None);
    }
    let expires_at = match payment.credit_expires_at {
        Some(expires_at) => expires_at,
        None => PgTimestamp::from(WireTime::now().plus_a_year()?),
    };
    let (purpose, expires_at) = (Purpose::Paid, Some(expires_at));
    Ok(Some(GrantTerms { purpose, priority: PRIORITY, effective_at: None, expires_at }))
}

const ENDED: &str = "
    update topup.payment
       set status = $4, ended_at = clock_timestamp(), due_at = null, failure_code = $5, failure_message = $6,
           provider_payment_id = coalesce($7, provider_payment_id)
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3
       and status in ('initiated', 'pending')
    returning true";

/// It is over, and no money was taken. One that has ended already stays as it is; tells whether it has not.
pub fn fail(
    payment: &Payment,
    fault: &PaymentFault,
    provider_payment_id: Option<&str>,
) -> Result<bool, Failure> {
    end(payment, Status::Failed, fault, provider_payment_id)
}

/// Nobody paid in time. Tells whether that is new.
pub fn expire(payment: &Payment) -> Result<bool, Failure> {
    let fault = PaymentFault::reported(Some("expired"), Some("The checkout expired before it was paid."));
    end(payment, Status::Expired, &fault, None)
}

fn end(
    payment: &Payment,
    status: Status,
    fault: &PaymentFault,
    provider_payment_id: Option<&str>,
) -> Result<bool, Failure> {
    let book = &payment.book;
    let arguments = args![
        book.tenant_id,
        book.environment.as_str(),
        payment.id,
        status.as_str(),
        fault.code.as_str(),
        fault.message.as_str(),
        provider_payment_id
    ];
    if db::write(ENDED, arguments, |_| Ok(()))?.is_empty() {
        return Ok(false);
    }
    auto::lock_of(payment)?;
    event::emit(payment, status, None, Some(fault))?;
    auto::failed(payment, fault)?;
    Ok(true)
}
