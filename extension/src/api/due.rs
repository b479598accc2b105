//! What the gateway's worker has the database do: whatever is due inside it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgrx::prelude::*;

use crate::billing::renewal;
use crate::ledger;
use crate::operation::idempotency;
use crate::payment;
use crate::pg::db::{self, args};
use crate::pg::subtransaction;
use crate::top_up::fulfil;
use crate::value::reply::{Failure, or_error};

/// What one call does of one kind, at most.
const BATCH_MAX: i32 = 1000;

/// What comes due inside the database: its name, and what does some of it and tells how much.
type DueKind<'a> = (&'a str, &'a dyn Fn() -> Result<i32, Failure>);

/// The kind that the next call begins with.
static NEXT_KIND: AtomicUsize = AtomicUsize::new(0);

/// Does what is due inside the database, one kind in a transaction: call it until it returns 0.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn run_due(batch_max: i32) -> i32 {
    let batch_max = batch_max.clamp(1, BATCH_MAX);
    let kinds: [DueKind; 6] = [
        ("top-ups that are to fail", &|| fulfil::fail_due().map(i32::from)),
        ("accounts that time has changed", &|| ledger::sweep_due(batch_max)),
        ("subscriptions", &|| renewal::run_due().map(i32::from)),
        ("checkouts that are over", &|| payment::expire_due().map(i32::from)),
        ("auto top-ups", &|| payment::auto::run_due().map(i32::from)),
        ("old replies", &|| idempotency::purge(batch_max)),
    ];
    // Each call begins with the next kind, so that one with much to do does not keep the others waiting.
    let first = NEXT_KIND.fetch_add(1, Ordering::Relaxed);
    for n in 0..kinds.len() {
        let (what, kind) = kinds[(first + n) % kinds.len()];
        let done = in_subtransaction(what, kind);
        if done > 0 {
            return done;
        }
    }
    0
}

/// Does some of one kind in a subtransaction. If that fails, such as by a wait for a lock that exceeds the
/// function's lock_timeout, the work stays for a later call, and the other kinds go on.
fn in_subtransaction(what: &str, kind: &dyn Fn() -> Result<i32, Failure>) -> i32 {
    let done = Cell::new(0);
    let work = || {
        done.set(or_error(kind()));
        Ok(())
    };
    let is_done = subtransaction::attempt(&format!("{what} cannot be seen to now"), work).is_some();
    if is_done { done.get() } else { 0 }
}

const NEXT_DUE: &str = "
    with recursive
    -- Every lane of the webhook queue and its earliest delivery, one step through the index for each.
    lane (lane, due_at) as (
        (select lane, due_at from topup.effect order by lane, due_at limit 1)
        union all
        select next.* from lane
         cross join lateral (
               select e.lane, e.due_at from topup.effect e
                where e.lane > lane.lane order by e.lane, e.due_at limit 1) next)
    select greatest(0, extract(epoch from due.at - clock_timestamp()))::double precision
      from (select least(
               (select created_at from topup.outbox order by tenant_id, environment, event_id limit 1),
               (select min(due_at) from lane),
               (select fails_at from topup.top_up where fails_at is not null and status = 'pending'
                 order by fails_at limit 1),
               (select next_due_at from topup.balance where next_due_at < 'infinity'
                 order by next_due_at limit 1),
               (select due_at from topup.subscription where due_at is not null order by due_at limit 1),
               (select expires_at from topup.payment
                 where status in ('initiated', 'pending') and due_at is null order by expires_at limit 1),
               (select due_at from topup.auto_top_up where due_at is not null order by due_at limit 1)) as at) due
     where due.at is not null";

/// Seconds until something is due; null where nothing is open.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn next_due() -> Option<f64> {
    or_error(db::read_by_key(NEXT_DUE, args![], |row| row.maybe(1)).map_err(Failure::from))
        .into_iter()
        .next()
        .flatten()
}
