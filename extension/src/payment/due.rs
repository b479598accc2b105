//! Checkouts that nobody paid in time.

use super::ending;
use super::row::{read_payment, select_payment};
use crate::db::{self, args};
use crate::reply::Failure;

/// One of which the provider has an open session is asked for first (`work`), and ends by its answer.
const EXPIRING: &str = select_payment!(
    "where p.status in ('initiated', 'pending') and p.due_at is null and p.expires_at <= clock_timestamp()
     order by p.expires_at limit 1 for update of p skip locked"
);

/// Ends the checkout that is longest over; false where none is.
pub fn expire_due() -> Result<bool, Failure> {
    let Some(payment) = db::write_range(EXPIRING, args![], read_payment)?.pop() else { return Ok(false) };
    ending::expire(&payment)
}
