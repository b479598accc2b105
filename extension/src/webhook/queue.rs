//! The queue of deliveries: the gateway's worker claims them, with a lease, as requests that are signed.

use pgrx::JsonB;
use pgrx::prelude::*;
use uuid::Uuid;

use crate::event::outbox;
use crate::pg::bound::elements;
use crate::pg::db::{self, DbResult, args, pg_uuid};
use crate::value::id::Kind;
use crate::value::reply::{Failure, or_error};
use crate::webhook::sign;

const CLAIM_MAX: i32 = 1000;
const LEASE_S_MAX: i32 = 3600;
/// Lanes in which one worker is busy, at most.
const BUSY_LANES_MAX: usize = 10_000;
/// Tenants that hold places in one worker, at most.
const TENANTS_MAX: usize = 10_000;

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

/// Claims deliveries for a worker. A lane is the queue of one endpoint. The worker's room is shared out among
/// the tenants first, and a tenant's share among its lanes, so that a tenant or endpoint with many deliveries
/// leaves room for the others. A worker that gives the room of each tenant ($6, $7) keeps one share of the
/// whole, and one of each tenant's, free for whoever comes next. The claim costs the same however many
/// deliveries wait, and whatever rows the planner expects: lanes are found by steps through the index, events
/// row by row, and only the rows that are claimed are locked.
const CLAIM: &str = "
    with recursive
    -- Every lane and its earliest delivery, one step through the index for each.
    lane (lane, tenant_id, due_at) as (
        (select lane, tenant_id, due_at from topup.effect order by lane, due_at limit 1)
        union all
        select next.* from lane
         cross join lateral (
               select e.lane, e.tenant_id, e.due_at from topup.effect e
                where e.lane > lane.lane order by e.lane, e.due_at limit 1) next),
    -- The lanes that are due and in which this worker is not busy, and the room that is left to their
    -- tenants.
    room as (
        select lane, tenant_id, due_at,
               coalesce(($7::int[])[array_position($6::uuid[], tenant_id)], $5, $1) as tenant_room
          from lane where due_at <= now() and not lane = any ($3)),
    -- The place of each lane among its tenant's, the one that has waited longest first.
    ranked as (
        select lane, due_at, tenant_room, row_number() over (partition by tenant_id order by due_at, lane) as place,
               count(*) over (partition by tenant_id) as lanes
          from room where tenant_room > 0),
    -- How many tenants share the room.
    counted as (select ranked.*, count(*) filter (where place = 1) over () as tenants from ranked),
    -- The share of each tenant in the room.
    shared as (
        select lane, due_at, place, lanes, least(tenant_room, case when $5 is null then ($1 - 1) / tenants + 1
                                                                   else greatest(1, $1 / (tenants + 1)) end) as share
          from counted),
    -- The share of each lane in its tenant's: first lanes of all tenants, then second ones, as far as the
    -- room goes.
    lane_share as (
        select lane, place, least($2, case when $5 is null then (share - 1) / lanes + 1
                                           else greatest(1, share / (lanes + 1)) end) as share
          from shared where place <= share order by place, due_at limit $1),
    -- The deliveries of those shares, locked, but for those that another worker has locked; and whether their
    -- endpoint still wants them.
    due as (
        select e.tenant_id, e.environment, e.effect_id, w.url, w.disabled_at is not null as is_off,
               w.deleted_at is null and w.disabled_at is null
                   and exists (select from topup.webhook_secret s
                                where s.tenant_id = e.tenant_id and s.endpoint_id = e.lane) as wanted
          from lane_share
         cross join lateral (
               select tenant_id, environment, effect_id, lane, due_at from topup.effect
                where effect.lane = lane_share.lane and due_at <= now()
                order by due_at limit lane_share.share for update skip locked) e
          left join topup.webhook_endpoint w
            on w.tenant_id = e.tenant_id and w.environment = e.environment and w.endpoint_id = e.lane
         order by lane_share.place, e.due_at limit $1),
    -- Deliveries that were written before their endpoint was deleted or switched off, and committed after. A
    -- delivery that a transaction is replaying just now is locked, and closed by a later claim.
    closing as (
        select d.tenant_id, d.environment, d.delivery_id, due.is_off
          from due
          join topup.delivery d on d.tenant_id = due.tenant_id and d.environment = due.environment
                               and d.delivery_id = due.effect_id
         where not due.wanted for update of d skip locked),
    -- They leave the queue,
    unwanted as (
        delete from topup.effect e using closing c where e.tenant_id = c.tenant_id and e.effect_id = c.delivery_id),
    -- and end: skipped, to be replayed, where the endpoint is off; failed where it is deleted.
    closed as (
        update topup.delivery d set status = case when c.is_off then 'skipped' else 'failed' end from closing c
         where d.tenant_id = c.tenant_id and d.environment = c.environment and d.delivery_id = c.delivery_id),
    -- The others are leased. The fence tells this attempt from every other.
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
    tenant_max: default!(Option<i32>, "NULL"),
    tenants: default!(Array<pgrx::Uuid>, "'{}'"),
    tenant_rooms: default!(Array<i32>, "'{}'"),
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
    let busy_lanes: Vec<_> =
        elements("busy_lanes", &busy_lanes, BUSY_LANES_MAX).into_iter().flatten().collect();
    let tenants: Vec<_> = elements("tenants", &tenants, TENANTS_MAX).into_iter().flatten().collect();
    let rooms: Vec<_> = elements("tenant_rooms", &tenant_rooms, TENANTS_MAX).into_iter().flatten().collect();
    let tenant_max = tenant_max.map(|max| i64::from(max.clamp(1, CLAIM_MAX)));
    let (batch_max, lane_max) = (i64::from(batch_max), i64::from(lane_max));
    let arguments = args![batch_max, lane_max, busy_lanes, lease_s, tenant_max, tenants, rooms];
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
