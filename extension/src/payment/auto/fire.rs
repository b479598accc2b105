//! Begins an auto top-up, as the transaction ends that brought the balance below the threshold.

use pg_topup_contract::Code;
use pgrx::prelude::*;
use uuid::Uuid;

use crate::payment::card;
use crate::payment::dispute;
use crate::payment::model::Origin;
use crate::payment::provider::Provider;
use crate::payment::rate;
use crate::payment::start::{self, NewPayment};
use crate::pg::db::{self, DbResult, Row, args, from_pg};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::{Failure, Refusal, or_error};

/// What a charge under way will bring counts as if it were there: a checkout's does not, for it may never be
/// paid. The last columns: whether a renewal is about to give credit, and whether this transaction sees what
/// others began meanwhile.
const LOW: &str = "
    select a.tenant_id, a.environment::text, e.wallet_id, a.customer_id, a.name, a.asset, c.currency, c.amount::text,
           exists (select from topup.subscription s
                    where s.tenant_id = $1 and s.environment = a.environment and s.customer_id = a.customer_id
                      and s.due_at <= clock_timestamp()),
           current_setting('transaction_isolation') in ('repeatable read', 'serializable')
      from topup.balance b
      join topup.auto_top_up c using (tenant_id, account_id)
      join topup.account a using (tenant_id, account_id)
      join topup.tenant_environment e on e.tenant_id = a.tenant_id and e.environment = a.environment
     where b.tenant_id = $1 and b.account_id = $2
       and b.balance + coalesce((select sum(p.credit) from topup.payment p
                                  where p.tenant_id = $1 and p.account_id = $2 and p.status = 'pending'
                                    and p.method = 'off_session'), 0) < b.auto_top_up_below";

struct Low {
    book: Book,
    customer_id: Option<Uuid>,
    name: String,
    asset: String,
    currency: String,
    amount: Amount,
    is_renewed: bool,
    is_blind: bool,
}

fn read_low(row: &Row) -> DbResult<Low> {
    Ok(Low {
        book: row.book()?,
        customer_id: row.maybe_uuid(4)?,
        name: row.get(5)?,
        asset: row.get(6)?,
        currency: row.get(7)?,
        amount: row.amount(8)?,
        is_renewed: row.get(9)?,
        is_blind: row.get(10)?,
    })
}

/// Credit expires at the instant at which a renewal gives it anew: that one comes first.
const RENEWAL_S: i32 = 5;
/// As long as it takes the worker to look again; the worker sees what is committed.
const BLIND_S: i32 = 0;
/// How long to wait where it could not begin.
const REFUSED_S: i32 = 3600;

const DISPUTED: &str =
    "The payer disputes a payment: no card is charged until that is won or a card is saved anew.";

/// Where the row is locked, nothing is postponed: the transaction that locked it watches the account anyway.
const POSTPONE: &str = "
    with config as (
        select tenant_id, account_id from topup.auto_top_up where tenant_id = $1 and account_id = $2
           for update skip locked)
    update topup.auto_top_up a
       set due_at = clock_timestamp() + make_interval(secs => $3), error = coalesce($4, a.error)
      from config c where a.tenant_id = c.tenant_id and a.account_id = c.account_id";

fn postpone(tenant_id: Uuid, account_id: Uuid, seconds: i32, error: Option<&str>) -> DbResult<()> {
    db::execute(POSTPONE, args![tenant_id, account_id, seconds, error])
}

/// The charge ends the watch; its own end begins it again.
const UNWATCH: &str =
    "update topup.balance set auto_top_up_below = null where tenant_id = $1 and account_id = $2";

#[pg_extern(schema = "topup", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn begin_auto_top_up(tenant_id: pgrx::Uuid, account_id: pgrx::Uuid) {
    let (tenant_id, account_id) = (from_pg(tenant_id), from_pg(account_id));
    or_error(begin(tenant_id, account_id).or_else(|failure| match failure {
        Failure::Refused(refusal) => not_begun(tenant_id, account_id, &refusal.message),
        fault => Err(fault),
    }));
}

/// Notes why, and has it tried again.
fn not_begun(tenant_id: Uuid, account_id: Uuid, why: &str) -> Result<(), Failure> {
    db::execute(UNWATCH, args![tenant_id, account_id])?;
    Ok(postpone(tenant_id, account_id, REFUSED_S, Some(why))?)
}

/// The same for the trigger, after a fault that the server's log tells of.
#[pg_extern(schema = "topup", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn auto_top_up_not_begun(tenant_id: pgrx::Uuid, account_id: pgrx::Uuid) {
    or_error(not_begun(from_pg(tenant_id), from_pg(account_id), "It could not begin, and is tried again."));
}

/// The account's row is locked by this transaction, which has changed it.
fn begin(tenant_id: Uuid, account_id: Uuid) -> Result<(), Failure> {
    let low = db::write(LOW, args![tenant_id, account_id], read_low)?;
    let Some(low) = low.into_iter().next() else { return Ok(()) };
    if low.is_renewed || low.is_blind {
        let seconds = if low.is_renewed { RENEWAL_S } else { BLIND_S };
        return Ok(postpone(tenant_id, account_id, seconds, None)?);
    }
    let book = &low.book;
    let Some(provider) = Provider::of(book.environment) else { return Ok(()) };
    let Some(card) = card::current(book, low.customer_id, provider)? else { return Ok(()) };
    if dispute::is_against(book, low.customer_id, &card)? {
        return Err(Refusal::new(Code::InvalidRequest, DISPUTED).into());
    }
    let bought = rate::buy(book, &low.asset, &low.currency, low.amount, None)?;
    let new = NewPayment {
        customer_id: low.customer_id,
        account_id,
        account_name: &low.name,
        asset: &low.asset,
        currency: &low.currency,
        amount: low.amount,
        credit: bought.credit,
        exchange_rate: bought.exchange_rate,
        card: Some(&card),
        origin: Origin::Auto,
        description: Some("Auto top-up"),
        metadata: None,
        credit_expires_at: None,
        return_url: None,
        failure_url: None,
    };
    start::start(book, &new)?;
    db::execute(UNWATCH, args![tenant_id, account_id])?;
    Ok(())
}
