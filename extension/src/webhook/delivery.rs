//! The delivery log, and replays out of it.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event;
use crate::event::outbox;
use crate::event::wake;
use crate::operation::handler::Handler;
use crate::operation::page;
use crate::pg::db::{self, args};
use crate::tenant::caller::{Caller, Scope};
use crate::value::id::{self, Kind};
use crate::value::reply::{Outcome, Refusal, Reply};
use crate::value::wire_time::WireTime;
use crate::webhook::endpoint;

/// One call replays no more than this.
const REPLAY_MAX: i64 = 10_000;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Pending,
    Succeeded,
    Failed,
    /// Its endpoint was off. A replay attempts it once the endpoint is on again.
    Skipped,
}

impl DeliveryStatus {
    fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Pending => "pending",
            DeliveryStatus::Succeeded => "succeeded",
            DeliveryStatus::Failed => "failed",
            DeliveryStatus::Skipped => "skipped",
        }
    }
}

/// Which deliveries, and how many of them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// Only deliveries in this state.
    pub status: Option<DeliveryStatus>,
    /// Only deliveries of this event type.
    pub event: Option<String>,
    /// 1 to 50; 50 if not given.
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<i64>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of the log, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogData {
    /// The deliveries of this page.
    pub deliveries: Vec<DeliveryData>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

/// A delivery with all its attempts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeliveryData {
    /// `dlv_…`
    pub id: String,
    /// `evt_…`: the `id` in the body that is sent.
    pub event_id: String,
    /// The type of the event.
    pub event: String,
    /// `whk_…`, of the endpoint.
    pub webhook_id: String,
    /// The address of the endpoint.
    pub url: String,
    /// `pending`, `succeeded`, `failed`, or `skipped`: its endpoint was off.
    pub status: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// When the next attempt is due; null where none is.
    pub next_attempt_at: Option<String>,
    /// Every attempt so far, oldest first.
    #[schemars(with = "Vec<AttemptData>")]
    pub attempts: Box<RawValue>,
}

/// One try.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(dead_code, reason = "Postgres writes the JSON of attempts; this is its schema")]
pub struct AttemptData {
    /// Which attempt it was, from 1.
    number: i32,
    /// RFC 3339, UTC.
    attempted_at: String,
    /// How long it took, in milliseconds.
    duration_ms: i32,
    /// Null where no answer came.
    http_status: Option<i32>,
    /// What went wrong, where something did.
    error: Option<String>,
    /// The first 1 KiB of the answer; null to keys without the scope `vouchers` where the event shows a voucher's code.
    response: Option<String>,
}

pub struct Log;

macro_rules! event_type {
    () => {
        "(select e.type from topup.event e
           where e.tenant_id = d.tenant_id and e.environment = d.environment and e.event_id = d.event_id)"
    };
}

/// Planned once for all: what belongs to a delivery is looked up row by row, so that there is but one way to
/// read a page.
const LOG: &str = concat!(
    "with
    -- The newest deliveries that are fanned out.
    sent as (
        select d.delivery_id, d.event_id, null as type, d.endpoint_id, d.status, d.created_at, null::timestamptz as due_at
          from topup.delivery d
         where d.tenant_id = $1 and d.environment = $2::topup.environment and d.delivery_id < $3
           and ($4::text is null or d.status = $4) and ($5::text is null or $5 = ",
    event_type!(),
    ") order by d.tenant_id desc, d.environment desc, d.delivery_id desc limit $6),
    -- The newest that are not: each event in the outbox is joined with the deliveries that it will have.
    waiting as (
        select d.delivery_id, o.event_id, o.type, d.endpoint_id, s.status, o.created_at,
               case when not d.is_off then d.due_at end as due_at
          from (select * from topup.outbox o
                 where o.tenant_id = $1 and o.environment = $2::topup.environment and o.event_id < $3
                   and ($4::text is null or $4 in ('pending', 'skipped')) and ($5::text is null or o.type = $5)
                 order by o.tenant_id desc, o.environment desc, o.event_id desc) o
         cross join lateral topup.deliveries_of(
                   o.tenant_id, o.environment, o.event_id, o.type, o.created_at, o.endpoint_ids) d
         cross join lateral (select case when d.is_off then 'skipped' else 'pending' end as status) s
         where d.delivery_id < $3 and ($4::text is null or s.status = $4)
         order by o.tenant_id desc, o.environment desc, o.event_id desc, d.delivery_id desc limit $6),
    -- The newest of both.
    page as (
        select $1::uuid as tenant_id, $2::topup.environment as environment, listed.*
          from (select * from sent union all select * from waiting) listed order by delivery_id desc limit $6)
    select d.delivery_id, d.event_id, coalesce(d.type, ",
    event_type!(),
    "), d.endpoint_id,
           (select w.url from topup.webhook_endpoint w
             where w.tenant_id = d.tenant_id and w.environment = d.environment and w.endpoint_id = d.endpoint_id),
           d.status, topup.rfc3339(d.created_at),
           topup.rfc3339(coalesce(d.due_at,
               (select f.due_at from topup.effect f where f.tenant_id = d.tenant_id and f.effect_id = d.delivery_id))),
           array_to_json(array(
               select row_to_json(r) from (
                      select a.number, topup.rfc3339(a.started_at) as attempted_at, a.duration_ms, a.http_status,
                             a.error, a.response
                        from topup.attempt a where a.tenant_id = d.tenant_id and a.delivery_id = d.delivery_id
                       order by a.number) r))::text
      from page d order by d.delivery_id desc"
);

impl Handler for Log {
    const NAME: &'static str = "delivery_list";
    type Request = LogRequest;
    type Data = LogData;

    fn handle(caller: &Caller, request: &LogRequest) -> Outcome<LogData> {
        let limit = page::limit(request.limit)?;
        let before = page::cursor(Kind::Delivery, request.cursor.as_deref())?.unwrap_or(Uuid::max());
        let status = request.status.map(DeliveryStatus::as_str);
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let arguments = args![tenant_id, environment, before, status, request.event.as_deref(), limit + 1];
        let sees_vouchers = caller.has(Scope::Vouchers);
        let rows = db::read_by_key(LOG, arguments, |row| {
            let (event, attempts): (String, String) = (row.get(3)?, row.get(9)?);
            let hides = event == WITH_VOUCHER && !sees_vouchers;
            let attempts = if hides { without_responses(&attempts) } else { RawValue::from_string(attempts) };
            let attempts = attempts.map_err(|_| pgrx::spi::SpiError::InvalidPosition)?;
            Ok(DeliveryData {
                id: Kind::Delivery.text(row.uuid(1)?),
                event_id: Kind::Event.text(row.uuid(2)?),
                event,
                webhook_id: Kind::Endpoint.text(row.uuid(4)?),
                url: row.get(5)?,
                status: row.get(6)?,
                created_at: row.get(7)?,
                next_attempt_at: row.maybe(8)?,
                attempts,
            })
        })?;
        let (deliveries, last) = page::cut(rows, limit);
        Ok(Reply::new(Code::Success, LogData { deliveries, next_cursor: last.map(|delivery| delivery.id) }))
    }
}

/// The event whose body shows a voucher's code, which a receiver may repeat in its answer.
const WITH_VOUCHER: &str = "topup.delivered";

/// The same attempts with null for what the receiver answered.
fn without_responses(attempts: &str) -> serde_json::Result<Box<RawValue>> {
    let mut attempts: Vec<serde_json::Map<String, Value>> = serde_json::from_str(attempts)?;
    for attempt in &mut attempts {
        attempt.insert("response".to_owned(), Value::Null);
    }
    serde_json::value::to_raw_value(&attempts)
}

/// Which delivery.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// The `dlv_…` of a delivery.
    pub id: String,
}

/// What is attempted again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplayData {
    /// `dlv_…`
    pub delivery_id: String,
    /// `evt_…`, the same as before.
    pub event_id: String,
}

pub struct Replay;

/// An event that is still in the outbox is found as the one before: its deliveries stand behind it.
const FIND: &str = "
    select endpoint_id, event_id, false from topup.delivery
     where tenant_id = $1 and environment = $2::topup.environment and delivery_id = $3
    union all
    select d.endpoint_id, o.event_id, true
      from topup.outbox o
     cross join lateral topup.deliveries_of(
               o.tenant_id, o.environment, o.event_id, o.type, o.created_at, o.endpoint_ids) d
     where o.tenant_id = $1 and o.environment = $2::topup.environment and o.event_id >= $4 and o.event_id < $3
       and d.delivery_id = $3";

/// Opens deliveries again. A delivery whose attempt is under way keeps its lease: the attempt counts as the
/// first.
macro_rules! reopen {
    ($which:literal) => {
        concat!(
            "with
            -- Which, as far as their endpoint is on.
            again as (
                select d.delivery_id, d.endpoint_id, w.retry_schedule_s
                  from topup.delivery d
                  join topup.webhook_endpoint w on w.tenant_id = d.tenant_id and w.environment = d.environment
                   and w.endpoint_id = d.endpoint_id and w.deleted_at is null and w.disabled_at is null
                 where d.tenant_id = $1 and d.environment = $2::topup.environment and ",
            $which,
            "),
            -- They are open again,
            opened as (
                update topup.delivery d set status = 'pending' from again
                 where d.tenant_id = $1 and d.environment = $2::topup.environment and d.delivery_id = again.delivery_id),
            -- and in the queue, with all attempts before them.
            effect as (
                insert into topup.effect as e (tenant_id, effect_id, environment, kind, lane, due_at, retry_schedule_s)
                select $1, delivery_id, $2::topup.environment, 'webhook', endpoint_id, clock_timestamp(), retry_schedule_s
                  from again
                on conflict (tenant_id, effect_id) do update
                   set failures = 0, first_attempt_at = null,
                       due_at = case when e.leased and e.due_at > clock_timestamp() then e.due_at else clock_timestamp() end
                returning true)
            select count(*) from effect"
        )
    };
}

const REOPEN_ONE: &str = reopen!("d.delivery_id = $3");
const REOPEN_RANGE: &str = reopen!(
    "d.endpoint_id = $3 and d.created_at >= $4 and d.created_at < coalesce($5, 'infinity')
       and ($6::text is null or d.status = $6) order by d.delivery_id limit $7"
);

impl Handler for Replay {
    const NAME: &'static str = "delivery_replay";
    type Request = ReplayRequest;
    type Data = ReplayData;

    fn handle(caller: &Caller, request: &ReplayRequest) -> Outcome<ReplayData> {
        let not_found = || Refusal::of_field(Code::WebhookNotFound, "id", "There is no such delivery.");
        let id = Kind::Delivery.parse(&request.id).ok_or_else(not_found)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let earliest = id::preceding(id, event::ENDPOINTS_MAX);
        let found = db::read(FIND, args![tenant_id, environment, id, earliest], |row| {
            Ok((row.uuid(1)?, row.uuid(2)?, row.get::<bool>(3)?))
        })?;
        let (endpoint_id, event_id, waits) = found.into_iter().next().ok_or_else(not_found)?;
        endpoint::require_on(caller, endpoint_id)?;
        if waits {
            outbox::fan_out_event(caller, event_id)?;
        }
        db::execute(REOPEN_ONE, args![tenant_id, environment, id])?;
        wake::workers();
        let data = ReplayData { delivery_id: request.id.clone(), event_id: Kind::Event.text(event_id) };
        Ok(Reply::new(Code::Success, data))
    }
}

/// Which deliveries of an endpoint.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRangeRequest {
    /// The `whk_…` of an endpoint.
    pub id: String,
    /// From this time on. RFC 3339.
    pub since: WireTime,
    /// Before this time; up to now if not given. RFC 3339.
    pub until: Option<WireTime>,
    /// Only deliveries in this state.
    pub status: Option<DeliveryStatus>,
}

/// How many are attempted again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplayRangeData {
    /// The number of deliveries.
    pub replayed: i64,
}

pub struct ReplayRange;

impl Handler for ReplayRange {
    const NAME: &'static str = "webhook_replay";
    type Request = ReplayRangeRequest;
    type Data = ReplayRangeData;

    fn handle(caller: &Caller, request: &ReplayRangeRequest) -> Outcome<ReplayRangeData> {
        let endpoint_id = endpoint::parse_id(&request.id)?;
        endpoint::require_on(caller, endpoint_id)?;
        let (since, until) = (request.since, request.until);
        let status = request.status.map(DeliveryStatus::as_str);
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        if request
            .status
            .is_none_or(|status| matches!(status, DeliveryStatus::Pending | DeliveryStatus::Skipped))
        {
            outbox::fan_out_range(caller, endpoint_id, since, until, REPLAY_MAX)?;
        }
        let arguments = args![tenant_id, environment, endpoint_id, since, until, status, REPLAY_MAX];
        let replayed = db::write_range(REOPEN_RANGE, arguments, |row| row.get::<i64>(1))?.into_iter().sum();
        if replayed > 0 {
            wake::workers();
        }
        Ok(Reply::new(Code::Success, ReplayRangeData { replayed }))
    }
}
