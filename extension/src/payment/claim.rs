//! The requests to payment providers that are due: the gateway claims them with a lease.

use pgrx::prelude::*;

use super::provider_request::{ClaimedRequest, REPEAT_S, claim_due, next_due, read_claimed};
use super::refund;
use crate::pg::db::{self, DbResult, args, pg_uuid};
use crate::pg::jsonb::JsonbText;
use crate::value::reply::{Failure, or_error};

const CLAIM_MAX: i32 = 1000;
const LEASE_S_MAX: i32 = 3600;

/// A charge names the card that it named first. A payment whose provider knows it already, or may have forgotten its
/// idempotency key, is looked up.
const CLAIM: &str = claim_due!(
    "topup.payment",
    "payment_id",
    "
    select c.tenant_id, c.environment::text, c.payment_id, c.fence, c.customer_id, c.method, c.provider, c.amount::text,
           c.currency, c.description, c.provider_payment_id, m.provider_customer_id, m.provider_method_id,
           c.method = 'checkout' or c.provider_payment_id is not null
               or c.first_claimed_at < now() - make_interval(secs => $3),
           null::uuid
      from claimed c
      left join topup.payment_method m
        on m.tenant_id = c.tenant_id and m.environment = c.environment and m.method_id = c.method_id"
);

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
    let claimed = or_error(claim(batch_max, lease_s).map_err(Failure::from));
    TableIterator::new(claimed.into_iter().map(|claimed| {
        let request = JsonbText(or_error(serde_json::to_string(&claimed.request).map_err(Failure::from)));
        (pg_uuid(claimed.tenant_id), pg_uuid(claimed.payment_id), claimed.fence, request)
    }))
}

/// Charges and look-ups first, refunds with what room is left.
fn claim(batch_max: i32, lease_s: i32) -> DbResult<Vec<ClaimedRequest>> {
    let mut claimed = db::write(CLAIM, args![i64::from(batch_max), lease_s, REPEAT_S], read_claimed)?;
    let room = batch_max - i32::try_from(claimed.len()).unwrap_or(batch_max);
    if room > 0 {
        claimed.extend(refund::claim::claim(room, lease_s)?);
    }
    Ok(claimed)
}

const NEXT_DUE: &str = next_due!("topup.payment");

/// Seconds until a request is to be claimed; null where none is open.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn next_payment_due() -> Option<f64> {
    let attempt = || -> DbResult<Option<f64>> {
        let payment = db::read_by_key(NEXT_DUE, args![], |row| row.get::<f64>(1))?.into_iter().next();
        let due = [payment, refund::claim::next_due()?];
        Ok(due.into_iter().flatten().min_by(f64::total_cmp))
    };
    or_error(attempt().map_err(Failure::from))
}
