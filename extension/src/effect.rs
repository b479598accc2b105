//! What the worker asks for: effects to perform, signed and leased; and what became of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use pgrx::JsonB;
use pgrx::prelude::*;
use uuid::Uuid;

use crate::billing::renewal;
use crate::bound::elements;
use crate::db::{self, DbResult, args, from_pg, pg_uuid};
use crate::fulfil;
use crate::id::Kind;
use crate::idempotency;
use crate::jsonb::JsonbText;
use crate::ledger;
use crate::outbox;
use crate::payment;
use crate::reply::{Failure, or_error};
use crate::sign;

const CLAIM_MAX: i32 = 1000;
const LEASE_S_MAX: i32 = 3600;
/// Lanes in which one worker is busy, at most.
const BUSY_LANES_MAX: usize = 10_000;

struct Claimed {
    tenant_id: Uuid,
    effect_id: Uuid,
    fence: i64,
    lane: Uuid,
    url: String,
    event_id: Uuid,
    body: String,
    secrets: Vec<String>,
    now_s: i64,
}

/// Takes the earliest of each lane, so that a lane with much to do leaves room for the others: as many lanes as there is
/// room for, those that have waited longest, and of each no more than its share, for a lock that is not used costs as
/// much as one that is. Lanes are found by stepping through the index, not by reading all that is open, and events row by
/// row, so that the plan is the same however many Postgres expects. What a transaction wrote for an endpoint that was
/// deleted or switched off before it committed ends here.
const CLAIM: &str = "
    with recursive lane (lane) as (
        (select lane from topup.effect order by lane limit 1)
        union all
        select (select e.lane from topup.effect e where e.lane > lane.lane order by e.lane limit 1)
          from lane where lane.lane is not null),
    turn as (
        select lane.lane, least($2, ($1 - 1) / count(*) over () + 1) as share
          from lane
         cross join lateral (
               select due_at from topup.effect
                where effect.lane = lane.lane and due_at <= now()
                order by due_at limit 1) earliest
         where lane.lane is not null and not lane.lane = any ($3)
         order by earliest.due_at limit $1),
    due as (
        select e.tenant_id, e.environment, e.effect_id, w.url,
               w.deleted_at is null and w.disabled_at is null
                   and exists (select from topup.webhook_secret s
                                where s.tenant_id = e.tenant_id and s.endpoint_id = e.lane) as wanted
          from turn
         cross join lateral (
               select tenant_id, environment, effect_id, lane, due_at from topup.effect
                where effect.lane = turn.lane and due_at <= now()
                order by due_at limit turn.share for update skip locked) e
          left join topup.webhook_endpoint w
            on w.tenant_id = e.tenant_id and w.environment = e.environment and w.endpoint_id = e.lane
         order by e.due_at limit $1),
    unwanted as (
        delete from topup.effect e using due
         where not due.wanted and e.tenant_id = due.tenant_id and e.effect_id = due.effect_id),
    failed as (
        update topup.delivery d set status = 'failed' from due
         where not due.wanted and d.tenant_id = due.tenant_id and d.environment = due.environment
           and d.delivery_id = due.effect_id),
    claimed as (
        update topup.effect e
           set due_at = now() + make_interval(secs => $4), fence = e.fence + 1, leased = true
          from due where due.wanted and e.tenant_id = due.tenant_id and e.effect_id = due.effect_id
        returning e.tenant_id, e.environment, e.effect_id, e.fence, e.lane, due.url)
    select c.tenant_id, c.effect_id, c.fence, c.lane, c.url, v.event_id, v.body,
           array(select s.secret from topup.webhook_secret s
                  where s.tenant_id = c.tenant_id and s.endpoint_id = c.lane
                    and (s.expires_at is null or s.expires_at > now())
                  order by s.secret_id desc),
           floor(extract(epoch from now()))::bigint
      from claimed c
     cross join lateral (
           select v.event_id,
                  topup.body_for(c.tenant_id, c.environment, c.lane, v.type, v.transaction_id, v.body) as body
             from topup.delivery d
             join topup.event v
               on v.tenant_id = d.tenant_id and v.environment = d.environment and v.event_id = d.event_id
            where d.tenant_id = c.tenant_id and d.environment = c.environment and d.delivery_id = c.effect_id
            limit 1) v";

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn claim_effects(
    batch_max: i32,
    lane_max: i32,
    busy_lanes: Array<pgrx::Uuid>,
    lease_s: i32,
) -> TableIterator<
    'static,
    (
        name!(tenant_id, pgrx::Uuid),
        name!(effect_id, pgrx::Uuid),
        name!(fence, i64),
        name!(lane, pgrx::Uuid),
        name!(url, String),
        name!(body, String),
        name!(headers, JsonB),
    ),
> {
    let (batch_max, lane_max) = (batch_max.clamp(1, CLAIM_MAX), lane_max.clamp(1, CLAIM_MAX));
    let lease_s = lease_s.clamp(1, LEASE_S_MAX);
    let busy_lanes = elements("busy_lanes", &busy_lanes, BUSY_LANES_MAX);
    let busy_lanes: Vec<_> = busy_lanes.into_iter().flatten().collect();
    let arguments = args![i64::from(batch_max), i64::from(lane_max), busy_lanes, lease_s];
    or_error(outbox::fan_out_due(CLAIM_MAX));
    let claimed = or_error(db::write(CLAIM, arguments, read_claimed).map_err(Failure::from));
    let rows: Vec<_> = claimed
        .into_iter()
        .map(|effect| {
            let headers = JsonB(or_error(headers(&effect)));
            let (tenant_id, effect_id) = (pg_uuid(effect.tenant_id), pg_uuid(effect.effect_id));
            (tenant_id, effect_id, effect.fence, pg_uuid(effect.lane), effect.url, effect.body, headers)
        })
        .collect();
    TableIterator::new(rows)
}

fn read_claimed(row: &db::Row) -> DbResult<Claimed> {
    Ok(Claimed {
        tenant_id: row.uuid(1)?,
        effect_id: row.uuid(2)?,
        fence: row.get(3)?,
        lane: row.uuid(4)?,
        url: row.get(5)?,
        event_id: row.uuid(6)?,
        body: row.get(7)?,
        secrets: row.get(8)?,
        now_s: row.get(9)?,
    })
}

/// Everything that a delivery says about itself; each attempt has its own time and signature.
fn headers(effect: &Claimed) -> Result<serde_json::Value, Failure> {
    let event_id = Kind::Event.text(effect.event_id);
    Ok(serde_json::json!({
        "content-type": "application/json",
        "user-agent": concat!("pg_topup/", env!("CARGO_PKG_VERSION")),
        "X-AiTopUp-Signature": sign::aitopup(&effect.secrets, effect.now_s, &effect.body)?,
        "webhook-id": event_id,
        "webhook-timestamp": effect.now_s.to_string(),
        "webhook-signature": sign::standard(&effect.secrets, &event_id, effect.now_s, &effect.body)?,
    }))
}

/// Logs every attempt, once however often it is told. Those that still hold their lease also end the delivery or set its next attempt,
/// counted from the first. A receiver that answers 410 is switched off.
const SETTLE: &str = "
    with outcome as (
        select distinct on (o.tenant_id, o.effect_id) o.*,
               o.error is null and coalesce(o.http_status between 200 and 299, false) as succeeded
          from jsonb_to_recordset($1) as o (tenant_id uuid, effect_id uuid, fence bigint, started_at timestamptz,
                                            duration_ms integer, http_status integer, error text, response text)
         order by o.tenant_id, o.effect_id, o.fence desc),
    held as (
        select e.tenant_id, e.effect_id, e.environment, e.lane, o.succeeded, e.failures,
               not o.succeeded and o.http_status is not distinct from 410 as gone,
               o.succeeded or o.http_status is not distinct from 410
                   or e.failures + 1 >= cardinality(e.retry_schedule_s) as ended,
               coalesce(e.first_attempt_at, now() - make_interval(secs => o.duration_ms / 1000.0)) as first_attempt_at,
               e.retry_schedule_s
          from outcome o
          join topup.effect e
            on e.tenant_id = o.tenant_id and e.effect_id = o.effect_id and e.fence = o.fence and e.leased
         order by e.tenant_id, e.effect_id for update of e),
    fresh as (
        select o.* from outcome o
         where not exists (select from topup.attempt a
                            where a.tenant_id = o.tenant_id and a.delivery_id = o.effect_id and a.fence = o.fence)),
    delivery as (
        update topup.delivery d
           set attempts = d.attempts + 1,
               status = case when h.succeeded then 'succeeded' when h.ended then 'failed' else d.status end
          from fresh o left join held h on h.tenant_id = o.tenant_id and h.effect_id = o.effect_id
         where d.tenant_id = o.tenant_id and d.environment in ('staging', 'live') and d.delivery_id = o.effect_id
        returning d.tenant_id, d.delivery_id, d.attempts),
    attempt as (
        insert into topup.attempt
               (tenant_id, delivery_id, fence, number, started_at, duration_ms, http_status, error, response)
        select d.tenant_id, d.delivery_id, o.fence, d.attempts, o.started_at, o.duration_ms, o.http_status, o.error,
               left(o.response, 1024)
          from delivery d join fresh o on o.tenant_id = d.tenant_id and o.effect_id = d.delivery_id),
    done as (
        delete from topup.effect e using held h
         where h.ended and e.tenant_id = h.tenant_id and e.effect_id = h.effect_id),
    again as (
        update topup.effect e
           set failures = h.failures + 1, leased = false, first_attempt_at = h.first_attempt_at,
               due_at = greatest(now(), h.first_attempt_at
                        + make_interval(secs => h.retry_schedule_s[h.failures + 2] - h.retry_schedule_s[1]))
          from held h
         where not h.ended and e.tenant_id = h.tenant_id and e.effect_id = h.effect_id)
    select tenant_id, environment::text, lane, gone from held";

/// What else is queued for it ends when it is claimed.
const SWITCH_OFF: &str = "
    update topup.webhook_endpoint
       set disabled_at = clock_timestamp(), disabled_reason = 'The receiver answered 410 (gone).'
     where tenant_id = $1 and environment = $2::topup.environment and endpoint_id = $3 and disabled_at is null";

/// Returns how many outcomes still held their lease.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn settle_effects(outcomes: JsonbText) -> i32 {
    or_error(settle(outcomes))
}

fn settle(outcomes: JsonbText) -> Result<i32, Failure> {
    let held = db::write(SETTLE, &[outcomes.into()], |row| {
        Ok((row.uuid(1)?, row.get::<String>(2)?, row.uuid(3)?, row.get::<bool>(4)?))
    })?;
    for (tenant_id, environment, endpoint_id, _) in held.iter().filter(|(.., gone)| *gone) {
        db::execute(SWITCH_OFF, args![*tenant_id, environment.as_str(), *endpoint_id])?;
    }
    Ok(i32::try_from(held.len()).unwrap_or(i32::MAX))
}

/// Whose turn it is to be done first.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// Does what is due inside the database, one kind in a transaction: call it until it returns 0.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn run_due(batch_max: i32) -> i32 {
    let attempt = || -> Result<i32, Failure> {
        let batch_max = batch_max.clamp(1, CLAIM_MAX);
        let kinds: [&dyn Fn() -> Result<i32, Failure>; 6] = [
            &|| fulfil::fail_due().map(i32::from),
            &|| ledger::sweep_due(batch_max),
            &|| renewal::run_due().map(i32::from),
            &|| payment::expire_due().map(i32::from),
            &|| payment::auto::run_due().map(i32::from),
            &|| idempotency::purge(batch_max),
        ];
        // They take turns: however much there is of one, the others come.
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        for n in 0..kinds.len() {
            let done = kinds[(turn + n) % kinds.len()]()?;
            if done > 0 {
                return Ok(done);
            }
        }
        Ok(0)
    };
    or_error(attempt())
}

const NEXT_DUE: &str = "
    with recursive lane (lane) as (
        (select lane from topup.effect order by lane limit 1)
        union all
        select (select e.lane from topup.effect e where e.lane > lane.lane order by e.lane limit 1)
          from lane where lane.lane is not null)
    select greatest(0, extract(epoch from due.at - clock_timestamp()))::double precision
      from (select least(
               (select created_at from topup.outbox order by tenant_id, environment, event_id limit 1),
               (select min(e.due_at) from lane cross join lateral (
                       select due_at from topup.effect where effect.lane = lane.lane order by due_at limit 1) e),
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
    or_error(db::read(NEXT_DUE, args![], |row| row.maybe(1)).map_err(Failure::from))
        .into_iter()
        .next()
        .flatten()
}

const SLEEP: &str = "
    insert into topup.sleeper (worker_id, sleeps_until) values ($1, clock_timestamp() + make_interval(secs => $2))
    on conflict (worker_id) do update set sleeps_until = excluded.sleeps_until";

/// From the commit of this on, transactions with events notify channel topup_effects.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn worker_sleep(worker: pgrx::Uuid, seconds: i32) {
    or_error(
        db::execute(SLEEP, args![from_pg(worker), seconds.clamp(1, LEASE_S_MAX)]).map_err(Failure::from),
    );
}

/// Also clears away workers that never came back.
const WAKE: &str = "delete from topup.sleeper where worker_id = $1 or sleeps_until < now()";

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn worker_wake(worker: pgrx::Uuid) {
    or_error(db::execute(WAKE, args![from_pg(worker)]).map_err(Failure::from));
}
