//! What became of the worker's attempts: logged, and the end of a delivery or its next attempt.

use pgrx::prelude::*;
use uuid::Uuid;

use crate::event;
use crate::event::wake;
use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::jsonb::JsonbText;
use crate::value::id::Kind;
use crate::value::reply::{Failure, or_error};

/// Logs every attempt, once however often the worker reports it. The outcome of an attempt that still holds
/// its lease also ends the delivery or sets its next attempt, whose time counts from the first. The statement
/// waits for no lock: an outcome whose delivery, lease or (after a 410) endpoint is locked is skipped, and
/// the worker reports it again. Of several outcomes of one delivery the first is settled.
const SETTLE: &str = "
    with
    -- The outcomes as the worker reported them, numbered.
    reported as (
        select o.*, o.error is null and coalesce(o.http_status between 200 and 299, false) as succeeded,
               o.http_status is not distinct from 410 as gone
          from rows from (jsonb_to_recordset($1) as (
                   tenant_id uuid, effect_id uuid, fence bigint, started_at timestamptz, duration_ms integer,
                   http_status integer, error text, response text)) with ordinality
            as o (tenant_id, effect_id, fence, started_at, duration_ms, http_status, error, response, n)),
    -- The first of each delivery.
    outcome as (
        select distinct on (tenant_id, effect_id) * from reported order by tenant_id, effect_id, fence, n),
    -- Those whose delivery could be locked.
    locked as (
        select o.*, d.environment
          from outcome o
          join topup.delivery d on d.tenant_id = o.tenant_id and d.environment in ('staging', 'live')
                               and d.delivery_id = o.effect_id
           for update of d skip locked),
    -- Those that hold their lease, and whether the delivery ends with them.
    leased as (
        select l.n, e.tenant_id, e.environment, e.effect_id, e.lane, e.kind, e.failures, e.retry_schedule_s, l.succeeded, l.gone,
               l.succeeded or l.gone or e.failures + 1 >= cardinality(e.retry_schedule_s) as ended,
               coalesce(e.first_attempt_at, now() - make_interval(secs => l.duration_ms / 1000.0)) as first_attempt_at
          from locked l
          join topup.effect e
            on e.tenant_id = l.tenant_id and e.effect_id = l.effect_id and e.fence = l.fence and e.leased
           for update of e skip locked),
    -- The endpoints that answered 410, to be switched off. The environment's lock comes before the
    -- endpoint's.
    endpoint as (
        select w.tenant_id, w.environment, w.endpoint_id
          from (select distinct tenant_id, environment, lane from leased where gone) g
          join topup.tenant_environment t on t.tenant_id = g.tenant_id and t.environment = g.environment
          join topup.webhook_endpoint w
            on w.tenant_id = g.tenant_id and w.environment = g.environment and w.endpoint_id = g.lane
           for no key update of t, w skip locked),
    -- Those that hold their lease, but for a 410 whose endpoint is locked.
    held as (
        select l.* from leased l
         where not l.gone or exists (select from endpoint w where w.tenant_id = l.tenant_id
                                        and w.environment = l.environment and w.endpoint_id = l.lane)),
    -- What is settled: those, and outcomes that come after their lease, which are only logged.
    taken as (
        select l.*, h.ended
          from locked l left join held h on h.n = l.n
         where h.n is not null
            or not exists (select from topup.effect e where e.tenant_id = l.tenant_id and e.effect_id = l.effect_id
                              and e.fence = l.fence and e.leased)),
    -- The attempts that are not logged yet.
    fresh as (
        select t.* from taken t
         where not exists (select from topup.attempt a
                            where a.tenant_id = t.tenant_id and a.delivery_id = t.effect_id and a.fence = t.fence)),
    -- Their deliveries count them, and end.
    delivery as (
        update topup.delivery d
           set attempts = d.attempts + 1,
               status = case when f.ended and f.succeeded then 'succeeded' when f.ended then 'failed' else d.status end
          from fresh f
         where d.tenant_id = f.tenant_id and d.environment = f.environment and d.delivery_id = f.effect_id
        returning d.tenant_id, d.delivery_id, d.attempts),
    -- The log.
    attempt as (
        insert into topup.attempt
               (tenant_id, delivery_id, fence, number, started_at, duration_ms, http_status, error, response)
        select d.tenant_id, d.delivery_id, f.fence, d.attempts, f.started_at, f.duration_ms, f.http_status, f.error,
               left(f.response, 1024)
          from delivery d join fresh f on f.tenant_id = d.tenant_id and f.effect_id = d.delivery_id),
    -- A delivery that has ended leaves the queue,
    done as (
        delete from topup.effect e using held h
         where h.ended and e.tenant_id = h.tenant_id and e.effect_id = h.effect_id),
    -- and another waits for its next attempt.
    again as (
        update topup.effect e
           set failures = h.failures + 1, leased = false, first_attempt_at = h.first_attempt_at,
               due_at = greatest(now(), h.first_attempt_at
                        + make_interval(secs => h.retry_schedule_s[h.failures + 2] - h.retry_schedule_s[1]))
          from held h
         where not h.ended and e.tenant_id = h.tenant_id and e.effect_id = h.effect_id)
    select t.n::integer, h.tenant_id, h.environment::text, h.lane, coalesce(h.gone, false), h.effect_id,
           coalesce(h.ended and h.kind = 'ping', false),
           not exists (select from taken where taken.n = t.n)
               and exists (select from topup.delivery d where d.tenant_id = t.tenant_id
                              and d.environment in ('staging', 'live') and d.delivery_id = t.effect_id)
      from reported t left join held h on h.n = t.n";

/// What was done with an outcome.
struct Settled {
    /// Its place among the outcomes that were reported, from 1 on.
    number: i32,
    /// Tenant, environment and endpoint, where it held its lease.
    held: Option<(Uuid, String, Uuid)>,
    is_gone: bool,
    /// A ping that is over.
    tested: Option<Uuid>,
    is_skipped: bool,
}

fn read_settled(row: &Row) -> DbResult<Settled> {
    let held = match row.maybe_uuid(2)? {
        Some(tenant_id) => Some((tenant_id, row.get(3)?, row.uuid(4)?)),
        None => None,
    };
    let tested = if row.get(7)? { row.maybe_uuid(6)? } else { None };
    Ok(Settled { number: row.get(1)?, held, is_gone: row.get(5)?, tested, is_skipped: row.get(8)? })
}

/// Returns how many outcomes still held their lease, and which were not taken because somebody has locked
/// what they change: the worker reports them again.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn settle_effects(
    outcomes: JsonbText,
) -> TableIterator<'static, (name!(held, i32), name!(skipped, Vec<i32>))> {
    TableIterator::once(or_error(settle(outcomes)))
}

fn settle(outcomes: JsonbText) -> Result<(i32, Vec<i32>), Failure> {
    let settled = db::write(SETTLE, &[outcomes.into()], read_settled)?;
    for (tenant_id, environment, endpoint_id) in
        settled.iter().filter(|outcome| outcome.is_gone).filter_map(|outcome| outcome.held.as_ref())
    {
        switch_off(*tenant_id, environment, *endpoint_id)?;
    }
    for delivery_id in settled.iter().filter_map(|outcome| outcome.tested) {
        wake::tested(&Kind::Delivery.text(delivery_id));
    }
    let held = settled.iter().filter(|outcome| outcome.held.is_some()).count();
    let skipped = settled.iter().filter(|outcome| outcome.is_skipped).map(|outcome| outcome.number);
    Ok((i32::try_from(held).unwrap_or(i32::MAX), skipped.collect()))
}

/// Its row and its environment's are locked. What else is queued for it ends when it is claimed.
const SWITCH_OFF: &str = "
    update topup.webhook_endpoint w
       set disabled_at = clock_timestamp(), disabled_reason = 'The receiver answered 410 (gone).'
      from topup.tenant_environment t
     where w.tenant_id = $1 and w.environment = $2::topup.environment and w.endpoint_id = $3
       and w.disabled_at is null and w.deleted_at is null
       and t.tenant_id = w.tenant_id and t.environment = w.environment
    returning w.tenant_id, w.environment::text, t.wallet_id, w.url, w.disabled_at, w.disabled_reason";

fn switch_off(tenant_id: Uuid, environment: &str, endpoint_id: Uuid) -> Result<(), Failure> {
    let switched = db::write(SWITCH_OFF, args![tenant_id, environment, endpoint_id], |row| {
        Ok((row.book()?, row.get::<String>(4)?, row.timestamp(5)?, row.get::<String>(6)?))
    })?;
    match switched.into_iter().next() {
        Some((book, url, at, reason)) => event::webhook_disabled(&book, endpoint_id, &url, at, &reason),
        None => Ok(()),
    }
}
