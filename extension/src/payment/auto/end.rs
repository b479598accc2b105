//! What the end of a payment means for auto top-ups: the next watch, a pause after a decline, the end after
//! the third.

use pg_topup_contract::{Code, Envelope};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::watch::watch;
use crate::event;
use crate::ledger::{self, Locked};
use crate::payment::fault::PaymentFault;
use crate::payment::model::{Method, Origin, Payment};
use crate::pg::db::{self, DbResult, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// How long it waits after a decline: 1 hour.
const PAUSE_S: i32 = 3600;
/// So many in a row disable it.
const DECLINES_MAX: i32 = 3;
const THREE_DECLINES: &str = "three_declines";

const KNOWN: &str = "select true from topup.auto_top_up where tenant_id = $1 and account_id = $2";
const LOCK: &str = "
    select true from topup.auto_top_up where tenant_id = $1 and account_id = $2 for update";

/// Locks a payment's account and the account's auto top-up, where it has one. Returns the account if it
/// locked it.
pub fn lock_of(payment: &Payment) -> Result<Option<Vec<Locked>>, Failure> {
    let (book, account_id) = (&payment.book, payment.account_id);
    if db::write(KNOWN, args![book.tenant_id, account_id], |_| Ok(()))?.is_empty() {
        return Ok(None);
    }
    let locked = ledger::lock(book, &[account_id])?;
    db::execute(LOCK, args![book.tenant_id, account_id])?;
    Ok(Some(locked))
}

const PAID: &str = "
    update topup.auto_top_up
       set failures = 0, not_before = null, disabled_reason = null, error = null, last_failed_at = null
     where tenant_id = $1 and account_id = $2";

/// A charge of its own came through: the account is watched again.
pub fn succeeded(payment: &Payment) -> Result<(), Failure> {
    if payment.origin != Origin::Auto {
        return Ok(());
    }
    db::execute(PAID, args![payment.book.tenant_id, payment.account_id])?;
    watch(&payment.book, payment.account_id)
}

const DECLINED: &str = "
    update topup.auto_top_up
       set failures = failures + 1, error = $3, last_failed_at = clock_timestamp(),
           disabled_reason = case when failures + 1 >= $4 then $5 end,
           not_before = case when failures + 1 < $4 then clock_timestamp() + make_interval(secs => $6) end, due_at = null
     where tenant_id = $1 and account_id = $2 and disabled_reason is null
       -- What an earlier card did says nothing about the one that is saved by now.
       and exists (select from topup.payment p
                     join topup.payment_method m
                       on m.tenant_id = p.tenant_id and m.environment = p.environment and m.method_id = p.method_id
                    where p.tenant_id = $1 and p.environment = $7::topup.environment and p.payment_id = $8
                      and m.replaced_at is null)
    returning disabled_reason is not null, threshold::text, last_failed_at";

/// A charge did not come through. If it was its own, it waits or ends; if another, it no longer counts on
/// that.
pub fn failed(payment: &Payment, fault: &PaymentFault) -> Result<(), Failure> {
    if payment.method != Method::OffSession {
        return Ok(());
    }
    if payment.origin == Origin::Auto {
        let (book, error) = (&payment.book, fault.message.as_str());
        let arguments = args![
            book.tenant_id,
            payment.account_id,
            error,
            DECLINES_MAX,
            THREE_DECLINES,
            PAUSE_S,
            book.environment.as_str(),
            payment.id
        ];
        let noted = db::write(DECLINED, arguments, |row| {
            Ok((row.get::<bool>(1)?, row.amount(2)?, row.timestamp(3)?))
        })?;
        if let Some((true, threshold, last_failed_at)) = noted.into_iter().next() {
            emit_disabled(payment, fault, threshold, last_failed_at)?;
        }
    }
    watch(&payment.book, payment.account_id)
}

/// An auto top-up that is switched off.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AutoTopUpDisabled")]
pub struct Disabled<'a> {
    /// `cust_…`; null: your own wallet.
    customer_id: Option<String>,
    /// `{name}:{asset}`; null: your own wallet.
    account_id: Option<String>,
    /// The asset of the account.
    asset: &'a str,
    /// What it charges each time, in major units of the currency.
    amount: Amount,
    /// ISO 4217.
    currency: &'a str,
    /// Below which balance, in major units of the asset.
    threshold: Amount,
    /// `three_declines`
    reason: &'static str,
    /// What the last decline said.
    error: &'a str,
    /// RFC 3339, UTC.
    last_failed_at: String,
}

fn emit_disabled(
    payment: &Payment,
    fault: &PaymentFault,
    threshold: Amount,
    last_failed_at: PgTimestamp,
) -> Result<(), Failure> {
    let data = Disabled {
        customer_id: payment.text_customer_id(),
        account_id: payment.text_account_id(),
        asset: &payment.asset,
        amount: payment.amount,
        currency: &payment.currency,
        threshold,
        reason: THREE_DECLINES,
        error: &fault.message,
        last_failed_at: last_failed_at.rfc3339(),
    };
    let envelope = Envelope::new(Code::Success, None, None, data);
    event::emit(&payment.book, "wallet.auto_topup.disabled", None::<Uuid>, &envelope)
}

/// The worker watches them: their accounts must not be locked one after the other in one transaction.
const ARM_PAYER: &str = "
    with
    -- The payer's auto top-ups, locked in the order of their accounts.
    config as (
        select tenant_id, account_id from topup.auto_top_up
         where tenant_id = $1 and environment = $2::topup.environment and customer_id is not distinct from $3
         order by account_id for update)
    update topup.auto_top_up a
       set failures = 0, not_before = null, disabled_reason = null, error = null, last_failed_at = null,
           due_at = clock_timestamp()
      from config c where a.tenant_id = c.tenant_id and a.account_id = c.account_id";

/// The payer has a new card: what an earlier one led to is forgotten.
pub fn arm_payer(book: &Book, customer_id: Option<Uuid>) -> DbResult<()> {
    db::execute(ARM_PAYER, args![book.tenant_id, book.environment.as_str(), customer_id])
}
