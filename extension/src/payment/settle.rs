//! What the provider answered to the requests that the gateway claimed (`claim`): the outcome of each is
//! applied to its payment or its refund.

use pgrx::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use super::dispute;
use super::ending;
use super::fault::PaymentFault;
use super::model::{self, Method, Payment, Status};
use super::provider_request::{PAUSE_S, PAUSES_S, STUCK_S};
use super::refund::{self, RefundAnswer};
use crate::pg::bound::AtMost;
use crate::pg::db::{self, args};
use crate::pg::jsonb::JsonbText;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, or_error};

const OUTCOMES_MAX: usize = 10_000;
/// After so long without an answer the payment ends. Should the provider call it paid later, it is credited
/// all the same.
const GIVE_UP_S: i32 = 3 * 86_400;

/// What the provider said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProviderAnswer {
    Succeeded,
    Failed,
    /// The payer would have to confirm it, and is not there.
    RequiresAction,
    /// No answer, or none that decides.
    Unknown,
    /// The money is on its way back.
    Refunded,
}

#[derive(Debug, Deserialize)]
struct ProviderOutcome {
    tenant_id: Uuid,
    payment_id: Uuid,
    fence: i64,
    refund_id: Option<Uuid>,
    result: ProviderAnswer,
    provider_payment_id: Option<String>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

/// Returns how many outcomes changed a payment.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn settle_payments(outcomes: JsonbText) -> i32 {
    or_error(settle(&outcomes.0))
}

fn settle(text: &str) -> Result<i32, Failure> {
    let AtMost(mut outcomes): AtMost<ProviderOutcome, OUTCOMES_MAX> = serde_json::from_str(text)?;
    // Several at once: all payments first, then all accounts, each in one order, so that no two calls meet.
    outcomes.sort_by_key(|outcome| (outcome.tenant_id, outcome.payment_id));
    let mut payments = Vec::with_capacity(outcomes.len());
    for outcome in &outcomes {
        if let Some(payment) = model::lock(outcome.tenant_id, outcome.payment_id)? {
            payments.push((payment.book.tenant_id, payment.account_id, outcome));
        }
    }
    payments.sort_by_key(|(tenant_id, account_id, _)| (*tenant_id, *account_id));
    let mut changed = 0;
    for (_, _, outcome) in payments {
        // As it is now: one payment may be in the list twice.
        let Some(payment) = model::lock(outcome.tenant_id, outcome.payment_id)? else { continue };
        changed += i32::from(apply(&payment, outcome)?);
    }
    Ok(changed)
}

fn apply(payment: &Payment, outcome: &ProviderOutcome) -> Result<bool, Failure> {
    if let Some(refund_id) = outcome.refund_id {
        let answer = match outcome.result {
            ProviderAnswer::Succeeded | ProviderAnswer::Refunded => RefundAnswer::Refunded,
            ProviderAnswer::Failed => RefundAnswer::Refused,
            ProviderAnswer::RequiresAction | ProviderAnswer::Unknown => RefundAnswer::Unknown,
        };
        let fault = PaymentFault::reported(outcome.code.as_deref(), outcome.message.as_deref());
        return refund::settle(payment, (refund_id, outcome.fence), answer, &fault);
    }
    let provider_id = outcome.provider_payment_id.as_deref();
    match outcome.result {
        // Of a checkout the report says who paid what, and credits it where it is right.
        ProviderAnswer::Succeeded if payment.method == Method::Checkout => put_off(payment, outcome),
        ProviderAnswer::Succeeded => {
            if !payment.is_paid_by(outcome.amount_minor, outcome.currency.as_deref()) {
                return put_off(payment, outcome);
            }
            let is_new = payment.status != Status::Succeeded;
            ending::succeed(payment, provider_id)?;
            refund::catch_up(&payment.book, payment.id)?;
            dispute::catch_up(&payment.book, payment.id)?;
            Ok(is_new)
        }
        ProviderAnswer::Failed if payment.method == Method::Checkout => ending::expire(payment),
        ProviderAnswer::Failed => {
            let fault = PaymentFault::reported(outcome.code.as_deref(), outcome.message.as_deref());
            ending::fail(payment, &fault, provider_id)
        }
        // The payer of a session may be about to confirm.
        ProviderAnswer::RequiresAction if payment.method == Method::Checkout => put_off(payment, outcome),
        ProviderAnswer::RequiresAction => {
            let message = "The card asks its holder to confirm, who is not there.";
            let message = outcome.message.as_deref().unwrap_or(message);
            ending::fail(
                payment,
                &PaymentFault::reported(Some("authentication_required"), Some(message)),
                provider_id,
            )
        }
        ProviderAnswer::Unknown | ProviderAnswer::Refunded => put_off(payment, outcome),
    }
}

/// A checkout's session is looked up once more when it ends.
const PUT_OFF: &str = "
    update topup.payment
       set provider_payment_id = coalesce(provider_payment_id, $5),
           due_at = case when expires_at > clock_timestamp()
                         then least(expires_at, clock_timestamp() + make_interval(secs => pause_s))
                         else clock_timestamp() + make_interval(secs => pause_s) end
      from (select coalesce(($6::int[])[greatest(p.attempts, 1)], $7) as pause_s,
                   extract(epoch from clock_timestamp()
                           - coalesce(p.expires_at, p.first_claimed_at, p.created_at)) as waited_s
              from topup.payment p
             where p.tenant_id = $1 and p.environment = $2::topup.environment and p.payment_id = $3) w
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3
       and status = 'pending' and fence = $4
    returning w.waited_s::bigint";

/// Nothing is decided: the provider is asked again later. Only whoever holds the lease says so.
fn put_off(payment: &Payment, outcome: &ProviderOutcome) -> Result<bool, Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let (provider_id, pauses) = (outcome.provider_payment_id.as_deref(), PAUSES_S.to_vec());
    let arguments = args![tenant_id, environment, payment.id, outcome.fence, provider_id, pauses, PAUSE_S];
    let waited = db::write(PUT_OFF, arguments, |row| row.get::<i64>(1))?;
    let Some(waited_s) = waited.into_iter().next() else { return Ok(false) };
    if waited_s >= GIVE_UP_S.into() {
        warning!("{} is given up: the provider did not report what became of it", payment.text_id());
        return give_up(payment);
    }
    if waited_s >= STUCK_S.into() {
        warning!("{} waits for the provider's answer since {waited_s} s", payment.text_id());
    }
    Ok(true)
}

fn give_up(payment: &Payment) -> Result<bool, Failure> {
    if payment.method == Method::Checkout && payment.status_at(PgTimestamp::now()) == Status::Expired {
        return ending::expire(payment);
    }
    let message = "The payment provider did not tell what became of the charge.";
    ending::fail(payment, &PaymentFault::reported(Some("unresolved"), Some(message)), None)
}
