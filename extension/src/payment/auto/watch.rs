//! Watches an account again, where nothing speaks against it, or notes when to look next.

use std::time::Duration;

use uuid::Uuid;

use crate::ledger;
use crate::payment::card;
use crate::payment::provider::Provider;
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// How long to wait for a provider that is not configured, or not the one of the card.
const NO_PROVIDER_S: u64 = 3600;

/// The facts that decide whether an account is watched. The payments that count against the limit are those
/// that took money or may still do so; the last column is when the oldest of the newest `max_purchases`
/// leaves the window.
const FACTS: &str = "
    select c.customer_id, c.disabled_reason is not null, c.not_before,
           exists (select from topup.payment p
                    where p.tenant_id = $1 and p.account_id = $2 and p.origin = 'auto'
                      and p.status in ('initiated', 'pending')),
           (select p.created_at + make_interval(secs => c.window_s) from topup.payment p
             where p.tenant_id = $1 and p.account_id = $2 and p.origin = 'auto'
               and p.status in ('initiated', 'pending', 'succeeded')
               and p.created_at > clock_timestamp() - make_interval(secs => c.window_s)
             order by p.created_at desc offset c.max_purchases - 1 limit 1)
      from topup.auto_top_up c where c.tenant_id = $1 and c.account_id = $2";

struct Facts {
    customer_id: Option<Uuid>,
    is_disabled: bool,
    not_before: Option<PgTimestamp>,
    is_under_way: bool,
    limited_until: Option<PgTimestamp>,
}

fn read_facts(row: &Row) -> DbResult<Facts> {
    Ok(Facts {
        customer_id: row.maybe_uuid(1)?,
        is_disabled: row.get(2)?,
        not_before: row.maybe_timestamp(3)?,
        is_under_way: row.get(4)?,
        limited_until: row.maybe_timestamp(5)?,
    })
}

/// What an auto top-up does until something happens.
enum Next {
    Watch,
    LookAt(PgTimestamp),
    /// For the end of its charge, for a card, or to be set anew.
    Wait,
}

const NOTE: &str = "
    with
    -- When the worker looks at it again; a pause that is over is forgotten.
    config as (
        update topup.auto_top_up set due_at = $3, not_before = case when $4 then null else not_before end
         where tenant_id = $1 and account_id = $2 returning threshold),
    -- The balance carries the threshold only while the account is watched.
    watched as (
        update topup.balance b set auto_top_up_below = case when $4 then c.threshold end
          from config c where b.tenant_id = $1 and b.account_id = $2
        returning b.tenant_id, b.account_id, b.balance < b.auto_top_up_below as is_low)
    insert into topup.low_account (tenant_id, account_id)
    select tenant_id, account_id from watched where is_low on conflict do nothing";

/// Watches the account of an auto top-up whose row is locked. If it is below its threshold already, the end
/// of this transaction fires.
pub fn watch(book: &Book, account_id: Uuid) -> Result<(), Failure> {
    // What expired meanwhile is booked first.
    ledger::lock(book, &[account_id])?;
    let facts = db::write(FACTS, args![book.tenant_id, account_id], read_facts)?;
    let Some(facts) = facts.into_iter().next() else { return Ok(()) };
    let next = next(book, &facts)?;
    let due_at = if let Next::LookAt(at) = next { Some(at) } else { None };
    let watches = matches!(next, Next::Watch);
    db::execute(NOTE, args![book.tenant_id, account_id, due_at, watches])?;
    Ok(())
}

fn next(book: &Book, facts: &Facts) -> Result<Next, Failure> {
    let now = PgTimestamp::now();
    if facts.is_disabled || facts.is_under_way {
        return Ok(Next::Wait);
    }
    if let Some(at) = facts.not_before.filter(|at| *at > now).max(facts.limited_until) {
        return Ok(Next::LookAt(at));
    }
    let provider = Provider::of(book.environment);
    let card = provider.map(|provider| card::current(book, facts.customer_id, provider)).transpose()?;
    Ok(match card.flatten() {
        Some(_) => Next::Watch,
        None if card::any(book, facts.customer_id)? => {
            Next::LookAt(now.plus(Duration::from_secs(NO_PROVIDER_S)))
        }
        None => Next::Wait,
    })
}

/// An account that a transaction holds is passed over: the lock may last long.
const DUE: &str = "
    select c.tenant_id, c.environment::text, e.wallet_id, c.account_id
      from topup.auto_top_up c
      join topup.tenant_environment e on e.tenant_id = c.tenant_id and e.environment = c.environment
      join topup.balance b on b.tenant_id = c.tenant_id and b.account_id = c.account_id
     where c.due_at <= clock_timestamp() order by c.due_at limit 1 for update of c, b skip locked";

/// Looks at the auto top-up that is longest due; false where none is.
pub fn run_due() -> Result<bool, Failure> {
    let due = db::write(DUE, args![], |row| Ok((row.book()?, row.uuid(4)?)))?;
    let Some((book, account_id)) = due.into_iter().next() else { return Ok(false) };
    watch(&book, account_id)?;
    Ok(true)
}
