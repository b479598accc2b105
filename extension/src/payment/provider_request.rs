//! A request to a payment provider, which the gateway carries out: a charge, a refund, or the look-up of one.
//! How it is claimed, how often and for how long.

use serde::Serialize;
use uuid::Uuid;

use super::currency;
use super::model::text_id;
use crate::pg::db::{DbResult, Row};
use crate::value::amount::Amount;
use crate::value::id::Kind;

/// A request is repeated under its idempotency key for so long. After that the provider may have forgotten
/// the key, and the charge or refund is only looked up.
pub const REPEAT_S: i32 = 20 * 3600;
/// How long to wait after the first attempts without an answer; after every later one, an hour.
pub const PAUSES_S: [i32; 4] = [5, 30, 120, 600];
pub const PAUSE_S: i32 = 3600;
/// After so long without an answer, each further attempt is a warning in the server's log.
pub const STUCK_S: i32 = 86_400;

/// What the gateway is to do, and all that it needs for it.
#[derive(Serialize)]
pub struct ProviderRequest {
    pub action: &'static str,
    pub provider: String,
    pub environment: String,
    pub idempotency_key: String,
    pub payment_id: String,
    pub tenant_id: String,
    pub customer_id: Option<String>,
    pub method: String,
    pub amount: Amount,
    pub amount_minor: Option<i64>,
    pub currency: String,
    pub description: Option<String>,
    pub provider_customer_id: Option<String>,
    pub provider_method_id: Option<String>,
    pub provider_payment_id: Option<String>,
    pub refund_id: Option<Uuid>,
}

/// A request under lease. Only an outcome with its fence is the outcome of this attempt.
pub struct ClaimedRequest {
    pub tenant_id: Uuid,
    pub payment_id: Uuid,
    pub fence: i64,
    pub request: ProviderRequest,
}

/// A statement that leases the rows of a table that are due, and selects the columns of [`read_claimed`] from
/// `claimed`. Its parameters: how many rows, seconds of the lease, seconds for which a request is repeated.
macro_rules! claim_due {
    ($table:literal, $id:literal, $select:literal) => {
        concat!(
            "with
    -- The rows that have waited longest, but for those that another worker claims just now.
    due as (
        select tenant_id, environment, ",
            $id,
            " from ",
            $table,
            "
         where due_at <= now() order by due_at limit $1 for update skip locked),
    -- Their leases. A claim is an attempt, and its fence tells it from every other.
    claimed as (
        update ",
            $table,
            " t
           set due_at = now() + make_interval(secs => $2), fence = t.fence + 1, attempts = t.attempts + 1,
               first_claimed_at = coalesce(t.first_claimed_at, now())
          from due
         where t.tenant_id = due.tenant_id and t.environment = due.environment and t.",
            $id,
            " = due.",
            $id,
            "
        returning t.*)",
            $select
        )
    };
}
pub(super) use claim_due;

/// A statement that selects the seconds until a row of a table is due; no row where none is open.
macro_rules! next_due {
    ($table:literal) => {
        concat!(
            "select greatest(0, extract(epoch from due_at - clock_timestamp()))::double precision
               from ",
            $table,
            " where due_at is not null order by due_at limit 1"
        )
    };
}
pub(super) use next_due;

/// Reads a request from the columns of a [`claim_due`] statement: tenant, environment, payment, fence,
/// customer, method, provider, amount, currency, description, the provider's ids of payment, customer and
/// card, whether it is a look-up, and the refund, if it is one.
pub(super) fn read_claimed(row: &Row) -> DbResult<ClaimedRequest> {
    let (tenant_id, payment_id, customer_id) = (row.uuid(1)?, row.uuid(3)?, row.maybe_uuid(5)?);
    let (amount, currency): (Amount, String) = (row.amount(8)?, row.get(9)?);
    let refund_id = row.maybe_uuid(15)?;
    let text_id = text_id(customer_id, payment_id);
    let action = match refund_id {
        _ if row.get(14)? => "look_up",
        Some(_) => "refund",
        None => "charge",
    };
    let request = ProviderRequest {
        action,
        provider: row.get(7)?,
        environment: row.get(2)?,
        idempotency_key: refund_id.map_or_else(|| text_id.clone(), |id| Kind::PaymentRefund.text(id)),
        payment_id: text_id,
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
        refund_id,
    };
    Ok(ClaimedRequest { tenant_id, payment_id, fence: row.get(4)?, request })
}
