//! The refunds that a provider is to make: claimed like charges.

use crate::payment::provider_request::{ClaimedRequest, REPEAT_S, claim_due, next_due, read_claimed};
use crate::pg::db::{self, DbResult, args};

/// A refund is repeated under its own idempotency key, and looked up once the provider may have forgotten the key.
const CLAIM: &str = claim_due!(
    "topup.payment_refund",
    "refund_id",
    "
    select c.tenant_id, c.environment::text, c.payment_id, c.fence, p.customer_id, p.method, p.provider, c.amount::text,
           p.currency, c.description, p.provider_payment_id, null::text, null::text,
           c.first_claimed_at < now() - make_interval(secs => $3), c.refund_id
      from claimed c
      join topup.payment p
        on p.tenant_id = c.tenant_id and p.environment = c.environment and p.payment_id = c.payment_id"
);

/// Leases refunds that are due.
pub fn claim(batch_max: i32, lease_s: i32) -> DbResult<Vec<ClaimedRequest>> {
    db::write(CLAIM, args![i64::from(batch_max), lease_s, REPEAT_S], read_claimed)
}

const NEXT_DUE: &str = next_due!("topup.payment_refund");

/// Seconds until a refund is to be claimed.
pub fn next_due() -> DbResult<Option<f64>> {
    Ok(db::read_by_key(NEXT_DUE, args![], |row| row.get(1))?.into_iter().next())
}
