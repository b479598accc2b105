//! Checkouts that nobody paid in time.

use super::ending;
use super::model::{read_payment, select_payment};
use crate::pg::db::{self, args};
use crate::value::reply::Failure;

/// A checkout of which the provider has an open session is looked up first (`claim`), and ends by the answer.
/// A checkout whose account or auto top-up another transaction has locked is passed over: the lock may be
/// held for long.
const EXPIRING: &str = select_payment!(
    "where p.status in ('initiated', 'pending') and p.due_at is null and p.expires_at <= clock_timestamp()
       and (not exists (select from topup.auto_top_up c where c.tenant_id = p.tenant_id and c.account_id = p.account_id)
            or exists (select from topup.auto_top_up c
                         join topup.balance b on b.tenant_id = c.tenant_id and b.account_id = c.account_id
                        where c.tenant_id = p.tenant_id and c.account_id = p.account_id for update of c, b skip locked))
     order by p.expires_at limit 1 for update of p skip locked"
);

/// Ends the checkout that is longest over; false where none is.
pub fn expire_due() -> Result<bool, Failure> {
    let Some(payment) = db::write(EXPIRING, args![], read_payment)?.pop() else { return Ok(false) };
    ending::expire(&payment)
}
