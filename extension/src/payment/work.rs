//! What the gateway asks the provider: charges and look-ups, claimed with a lease; and what the provider said.

use pgrx::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use super::currency;
use super::dispute;
use super::ending;
use super::fault::PaymentFault;
use super::model::{self, Method, Payment, Status, text_id};
use super::provider_request::{PAUSE_S, PAUSES_S, ProviderRequest, REPEAT_S, STUCK_S};
use super::refund;
use crate::pg::bound::AtMost;
use crate::pg::db::{self, DbResult, Row, args, pg_uuid};
use crate::pg::jsonb::JsonbText;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, or_error};

const CLAIM_MAX: i32 = 1000;
const LEASE_S_MAX: i32 = 3600;
const OUTCOMES_MAX: usize = 10_000;
/// After so long it ends. Should the provider call it paid later, it is credited all the same.
const GIVE_UP_S: i32 = 3 * 86_400;

/// A charge names the card that it named first. A claim is an attempt.
const CLAIM: &str = "
    with due as (
        select tenant_id, environment, payment_id from topup.payment
         where due_at <= now() order by due_at limit $1 for update skip locked),
    claimed as (
        update topup.payment p
           set due_at = now() + make_interval(secs => $2), fence = p.fence + 1, attempts = p.attempts + 1,
               first_claimed_at = coalesce(p.first_claimed_at, now())
          from due
         where p.tenant_id = due.tenant_id and p.environment = due.environment and p.payment_id = due.payment_id
        returning p.*)
    select c.tenant_id, c.environment::text, c.payment_id, c.fence, c.customer_id, c.method, c.provider, c.amount::text,
           c.currency, c.description, c.provider_payment_id, m.provider_customer_id, m.provider_method_id,
           c.method = 'checkout' or c.provider_payment_id is not null
               or c.first_claimed_at < now() - make_interval(secs => $3)
      from claimed c
      left join topup.payment_method m
        on m.tenant_id = c.tenant_id and m.environment = c.environment and m.method_id = c.method_id";

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn claim_payments(
    batch_max: i32,
    lease_s: i32,
) -> TableIterator<
    'static,
    (
        name!(tenant_id, pgrx::Uuid),
        name!(payment_id, pgrx::Uuid),
        name!(fence, i64),
        name!(request, JsonbText),
    ),
> {
    let (batch_max, lease_s) = (batch_max.clamp(1, CLAIM_MAX), lease_s.clamp(1, LEASE_S_MAX));
    let claimed = or_error(claim(batch_max, lease_s));
    TableIterator::new(claimed.into_iter().map(|(tenant_id, payment_id, fence, request)| {
        let request = JsonbText(or_error(serde_json::to_string(&request).map_err(Failure::from)));
        (pg_uuid(tenant_id), pg_uuid(payment_id), fence, request)
    }))
}

/// Charges and look-ups first, refunds with what room is left.
fn claim(batch_max: i32, lease_s: i32) -> Result<Vec<(Uuid, Uuid, i64, ProviderRequest)>, Failure> {
    let arguments = args![i64::from(batch_max), lease_s, REPEAT_S];
    let mut claimed = db::write(CLAIM, arguments, read_claimed)?;
    let room = batch_max - i32::try_from(claimed.len()).unwrap_or(batch_max);
    if room > 0 {
        claimed.extend(refund::work::claim(room, lease_s)?);
    }
    Ok(claimed)
}

fn read_claimed(row: &Row) -> DbResult<(Uuid, Uuid, i64, ProviderRequest)> {
    let (tenant_id, payment_id, customer_id) = (row.uuid(1)?, row.uuid(3)?, row.maybe_uuid(5)?);
    let (amount, currency): (Amount, String) = (row.amount(8)?, row.get(9)?);
    let id = text_id(customer_id, payment_id);
    let action = if row.get(14)? { "look_up" } else { "charge" };
    let request = ProviderRequest {
        action,
        provider: row.get(7)?,
        environment: row.get(2)?,
        idempotency_key: id.clone(),
        payment_id: id,
        tenant_id: Kind::Tenant.text(tenant_id),
        customer_id: customer_id.map(|id| Kind::Customer.text(id)),
        method: row.get(6)?,
        amount,
        amount_minor: currency::whole_minor(amount, &currency),
        currency,
        description: row.maybe(10)?,
        provider_customer_id: row.maybe(12)?,
        provider_method_id: row.maybe(13)?,
        provider_payment_id: row.maybe(11)?,
        refund_id: None,
    };
    Ok((tenant_id, payment_id, row.get(4)?, request))
}

/// What the provider said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
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
    result: Answer,
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
            Answer::Succeeded | Answer::Refunded => refund::work::Answer::Refunded,
            Answer::Failed => refund::work::Answer::Refused,
            Answer::RequiresAction | Answer::Unknown => refund::work::Answer::Unknown,
        };
        let fault = PaymentFault::reported(outcome.code.as_deref(), outcome.message.as_deref());
        return refund::work::settle(payment, (refund_id, outcome.fence), answer, &fault);
    }
    let provider_id = outcome.provider_payment_id.as_deref();
    match outcome.result {
        // Of a checkout the report says who paid what, and credits it where it is right.
        Answer::Succeeded if payment.method == Method::Checkout => put_off(payment, outcome),
        Answer::Succeeded => {
            if !payment.is_paid_by(outcome.amount_minor, outcome.currency.as_deref()) {
                return put_off(payment, outcome);
            }
            let is_new = payment.status != Status::Succeeded;
            ending::succeed(payment, provider_id)?;
            refund::catch_up(&payment.book, payment.id)?;
            dispute::catch_up(&payment.book, payment.id)?;
            Ok(is_new)
        }
        Answer::Failed if payment.method == Method::Checkout => ending::expire(payment),
        Answer::Failed => {
            let fault = PaymentFault::reported(outcome.code.as_deref(), outcome.message.as_deref());
            ending::fail(payment, &fault, provider_id)
        }
        // The payer of a session may be about to confirm.
        Answer::RequiresAction if payment.method == Method::Checkout => put_off(payment, outcome),
        Answer::RequiresAction => {
            let message = "The card asks its holder to confirm, who is not there.";
            let message = outcome.message.as_deref().unwrap_or(message);
            ending::fail(
                payment,
                &PaymentFault::reported(Some("authentication_required"), Some(message)),
                provider_id,
            )
        }
        Answer::Unknown | Answer::Refunded => put_off(payment, outcome),
    }
}

/// A session is asked for once more when it ends.
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

const NEXT_DUE: &str = "
    select greatest(0, extract(epoch from due_at - clock_timestamp()))::double precision
      from topup.payment where due_at is not null order by due_at limit 1";

/// Seconds until something is to be claimed; null where nothing is open.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn next_payment_due() -> Option<f64> {
    let attempt = || -> Result<Option<f64>, Failure> {
        let payment = db::read_by_key(NEXT_DUE, args![], |row| row.get::<f64>(1))?.into_iter().next();
        let due = [payment, refund::work::next_due()?];
        Ok(due.into_iter().flatten().min_by(f64::total_cmp))
    };
    or_error(attempt())
}
