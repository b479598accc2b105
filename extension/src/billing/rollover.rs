//! What rolls over: the credit that was left of an entitlement when its period ended.

use uuid::Uuid;

use crate::pg::db::{self, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::Failure;

/// What the sweep took from the grant that a transaction made.
const LEFT_OVER: &str = "
    select coalesce(sum(u.used), 0)::text
      from topup.credit_grant g
      join topup.grant_use u on u.tenant_id = g.tenant_id and u.account_id = g.account_id and u.grant_id = g.grant_id
      join topup.transaction t on t.tenant_id = u.tenant_id and t.transaction_id = u.transaction_id
     where g.tenant_id = $1 and g.account_id = $2 and g.transaction_id = $3 and t.kind = 'expire'";

/// What was left of the grant that a transaction made, when it expired. The account is locked, and so up to date.
pub fn left_over(book: &Book, account_id: Uuid, transaction_id: Uuid) -> Result<Amount, Failure> {
    let arguments = args![book.tenant_id, account_id, transaction_id];
    let found = db::write(LEFT_OVER, arguments, |row| row.amount(1))?;
    Ok(found.into_iter().next().unwrap_or_default())
}
