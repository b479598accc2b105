//! Waking a worker that sleeps. NOTIFY takes a lock that all commits share, hence only where one does.

use std::cell::RefCell;
use std::convert::Infallible;

use pgrx::prelude::*;
use pgrx::{IntoDatum, direct_function_call};

use crate::pg::cache::Cache;
use crate::pg::db::{self, args, from_pg};
use crate::pg::table;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, or_error};

thread_local! {
    /// Kept while nobody does.
    static IS_ANY_ASLEEP: RefCell<Cache<(), bool>> = RefCell::default();
}

const CHANNEL: &str = "topup_effects";
const TESTED_CHANNEL: &str = "topup_tested";

/// Wakes a sleeping worker when this transaction commits: there is work then.
pub fn workers() {
    let Ok(asleep) =
        Cache::get(&IS_ANY_ASLEEP, (), || Ok::<_, Infallible>(is_any_asleep()), |asleep| !asleep);
    if *asleep {
        notify(CHANNEL, "");
    }
}

/// Notifies the gateway that tests a webhook, when this transaction commits: the test is over then.
pub fn tested(delivery_id: &str) {
    notify(TESTED_CHANNEL, delivery_id);
}

fn notify(channel: &str, payload: &str) {
    // SAFETY: pg_notify(text, text) returns void.
    unsafe { direct_function_call::<()>(pg_sys::pg_notify, &[channel.into_datum(), payload.into_datum()]) };
}

/// Whether a worker sleeps, or is about to. Where no row can tell, one may: a notification without need does no harm.
fn is_any_asleep() -> bool {
    let is_ahead = |until: TimestampWithTimeZone| PgTimestamp::from(until) > PgTimestamp::now();
    table::any_uncommitted(c"sleeper", "sleeps_until", is_ahead).unwrap_or(true)
}

/// Seconds for which a worker sleeps, at most.
const SLEEP_S_MAX: i32 = 3600;

const SLEEP: &str = "
    insert into topup.sleeper (worker_id, sleeps_until) values ($1, clock_timestamp() + make_interval(secs => $2))
    on conflict (worker_id) do update set sleeps_until = excluded.sleeps_until";

/// From the commit of this on, transactions with events notify channel topup_effects.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn worker_sleep(worker: pgrx::Uuid, seconds: i32) {
    or_error(
        db::execute(SLEEP, args![from_pg(worker), seconds.clamp(1, SLEEP_S_MAX)]).map_err(Failure::from),
    );
}

/// Also clears away workers that never came back.
const WAKE: &str = "delete from topup.sleeper where worker_id = $1 or sleeps_until < now()";

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn worker_wake(worker: pgrx::Uuid) {
    or_error(db::execute(WAKE, args![from_pg(worker)]).map_err(Failure::from));
}
