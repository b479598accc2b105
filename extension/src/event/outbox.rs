//! What transactions have to tell, one row an event, until it is fanned out: into the event, a delivery for
//! each endpoint and the effects that perform them. Whoever sends pays for one row, and whoever delivers for
//! the others.

use pgrx::prelude::*;
use uuid::Uuid;

use crate::event::ENDPOINTS_MAX;
use crate::event::wake;
use crate::pg::bound::refuse_argument;
use crate::pg::db::{self, DbResult, args, from_pg, pg_uuid};
use crate::pg::subtransaction;
use crate::pg::table::{NewRow, Table, row};
use crate::value::amount::Cents;
use crate::value::book::Book;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;
use crate::value::wire_time::WireTime;

const OUTBOX: Table<9> = Table {
    name: c"outbox",
    columns: [
        "tenant_id",
        "environment",
        "event_id",
        "type",
        "transaction_id",
        "body",
        "new_balance_cents",
        "created_at",
        "endpoint_ids",
    ],
};

/// An event, and the endpoints that it is for.
pub struct Message {
    pub event_id: Uuid,
    pub event_type: &'static str,
    pub transaction_id: Option<Uuid>,
    pub content: Content,
    pub created_at: PgTimestamp,
    pub endpoint_ids: Vec<Uuid>,
}

/// The body of an event, or what it is made of.
pub enum Content {
    /// The body, as it is sent and signed.
    Body(String),
    /// That of a send, which is made of the top-up and of the balance that it left.
    Send { new_balance: Cents },
}

/// The deliveries of an event to so many endpoints: sorted by their ids, they stand behind it and before the
/// next one's.
pub fn delivery_ids(event_id: Uuid, count: usize) -> impl Iterator<Item = Uuid> {
    (1..).map(move |n| id::following(event_id, n)).take(count)
}

/// [`delivery_ids`] for SQL.
#[pg_extern(schema = "topup", name = "delivery_ids", immutable, strict, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn sql_delivery_ids(event_id: pgrx::Uuid, count: i32) -> Vec<pgrx::Uuid> {
    let Some(count) = u8::try_from(count).ok().filter(|count| *count <= ENDPOINTS_MAX) else {
        refuse_argument(format!("count must be from 0 to {ENDPOINTS_MAX}"));
    };
    delivery_ids(from_pg(event_id), count.into()).map(pg_uuid).collect()
}

impl Message {
    fn into_row(self, book: &Book) -> NewRow<9> {
        let (body, new_balance) = match self.content {
            Content::Body(body) => (Some(body), None),
            Content::Send { new_balance } => (None, Some(new_balance.0)),
        };
        row![
            book.tenant_id,
            book.environment.as_str(),
            self.event_id,
            self.event_type,
            self.transaction_id,
            body,
            new_balance,
            self.created_at,
            self.endpoint_ids,
        ]
    }
}

/// Messages that are not written yet.
#[derive(Default)]
pub struct Outbox(Vec<NewRow<9>>);

impl Outbox {
    pub fn push(&mut self, book: &Book, message: Message) {
        self.0.push(message.into_row(book));
    }

    /// Writes them, and wakes a worker that sleeps.
    pub fn write(&mut self) -> DbResult<()> {
        if !self.0.is_empty() {
            OUTBOX.insert(&std::mem::take(&mut self.0))?;
            wake::workers();
        }
        Ok(())
    }
}

/// Fans out what `due` names, its rows locked. Deliveries are made of the rows that are taken away, so that
/// nothing is taken that is not fanned out. Of an endpoint that is off they are skipped: there to be
/// replayed, and not queued.
macro_rules! fan_out {
    ($($due:expr),+) => {
        concat!(
            "with recursive ",
            $($due,)+
            ",
            -- Their rows leave the outbox.
            drained as (
                delete from topup.outbox o using due
                 where o.tenant_id = due.tenant_id and o.environment = due.environment and o.event_id = due.event_id
                returning o.*),
            -- Each becomes an event, with its body.
            event as (
                insert into topup.event (tenant_id, environment, event_id, type, transaction_id, body, created_at)
                select t.tenant_id, t.environment, t.event_id, t.type, t.transaction_id, b.body, t.created_at
                  from drained t
                 cross join lateral topup.body_of(
                           t.tenant_id, t.environment, t.event_id, t.type, t.transaction_id, t.body, t.new_balance_cents,
                           t.created_at) b),
            -- The endpoints of each, with the id of the delivery and when it is due.
            route as materialized (
                select t.tenant_id, t.environment, t.event_id, t.type, t.created_at, d.*
                  from drained t
                 cross join lateral topup.deliveries_of(
                           t.tenant_id, t.environment, t.event_id, t.type, t.created_at, t.endpoint_ids) d),
            -- A delivery to each endpoint; one that is off can have it replayed.
            delivery as (
                insert into topup.delivery (tenant_id, environment, delivery_id, event_id, endpoint_id, status, created_at)
                select tenant_id, environment, delivery_id, event_id, endpoint_id,
                       case when is_off then 'skipped' else 'pending' end, created_at
                  from route)
            insert into topup.effect (tenant_id, effect_id, environment, kind, lane, due_at, retry_schedule_s)
            select tenant_id, delivery_id, environment, case type when 'ping' then 'ping' else 'webhook' end, endpoint_id, due_at,
                   retry_schedule_s
              from route where not is_off"
        )
    };
}

/// The first of each environment: they are found by stepping through the index, not by reading all that
/// waits.
macro_rules! first {
    () => {
        "
    -- The first event of each environment, one step through the index for each.
    first (tenant_id, environment, event_id, endpoints) as (
            (select tenant_id, environment, event_id, cardinality(endpoint_ids) from topup.outbox
              order by tenant_id, environment, event_id limit 1)
            union all
            select next.* from first
             cross join lateral (
                   select o.tenant_id, o.environment, o.event_id, cardinality(o.endpoint_ids) from topup.outbox o
                    where (o.tenant_id, o.environment) > (first.tenant_id, first.environment)
                    order by o.tenant_id, o.environment, o.event_id limit 1) next)"
    };
}

/// The earliest of each environment, so that one with much to tell leaves room for the others: of each no
/// more than its share, counted in deliveries by how many its first event has.
const FAN_OUT_DUE: &str = fan_out!(
    first!(),
    ",
    -- How many events of each environment fit, counted in deliveries by how many endpoints its first event
    -- has.
    quota as (
        select tenant_id, environment, greatest(1, (($1 - 1) / count(*) over () + 1) / greatest(1, endpoints)) as share
          from first order by event_id limit $1),
    -- As many of each environment's events, but for those that another worker has locked.
    due as (
        select o.* from quota
         cross join lateral (
               select o.tenant_id, o.environment, o.event_id from topup.outbox o
                where o.tenant_id = quota.tenant_id and o.environment = quota.environment
                order by o.event_id limit quota.share for update skip locked) o)"
);

const WAITING: &str = concat!(
    "with recursive ",
    first!(),
    " select tenant_id, environment::text from first order by event_id limit $1"
);

const FAN_OUT_ENVIRONMENT: &str = fan_out!(
    "due as (
        select tenant_id, environment, event_id from topup.outbox
         where tenant_id = $1 and environment = $2::topup.environment order by event_id limit $3 for update skip locked)"
);

const FAN_OUT_EVENT: &str = fan_out!(
    "due as (
        select tenant_id, environment, event_id from topup.outbox
         where tenant_id = $1 and environment = $2::topup.environment and event_id = $3 for update)"
);

/// What another has locked is about to be attempted.
const FAN_OUT_RANGE: &str = fan_out!(
    "due as (
        select tenant_id, environment, event_id from topup.outbox
         where tenant_id = $1 and environment = $2::topup.environment and $3 = any (endpoint_ids)
           and created_at >= $4 and created_at < coalesce($5, 'infinity')
         order by event_id limit $6 for update skip locked)"
);

/// Of an environment at a time, when those of all together could not be fanned out.
const EVENTS_ALONE: i64 = 100;

/// Fans out what has waited longest, but for what another worker is at. What cannot be fanned out (a trigger
/// or a constraint that refuses) holds up its own environment alone, and keeps nothing that is queued from
/// being claimed.
pub fn fan_out_due(deliveries_max: i32) -> Result<(), Failure> {
    let fan_out = || db::execute(FAN_OUT_DUE, args![i64::from(deliveries_max)]);
    if subtransaction::attempt("not all of the outbox can be fanned out", fan_out).is_some() {
        return Ok(());
    }
    let environments = db::write(WAITING, args![i64::from(deliveries_max)], |row| {
        Ok((row.uuid(1)?, row.get::<String>(2)?))
    })?;
    for (tenant_id, environment) in &environments {
        let alone =
            || db::execute(FAN_OUT_ENVIRONMENT, args![*tenant_id, environment.as_str(), EVENTS_ALONE]);
        subtransaction::attempt(&format!("events of tenant {tenant_id} wait in the outbox"), alone);
    }
    Ok(())
}

/// Fans out one event, for who has to find its deliveries as rows.
pub fn fan_out_event(book: &Book, event_id: Uuid) -> DbResult<()> {
    db::execute(FAN_OUT_EVENT, args![book.tenant_id, book.environment.as_str(), event_id])
}

/// Fans out events of a time for an endpoint.
pub fn fan_out_range(
    book: &Book,
    endpoint_id: Uuid,
    since: WireTime,
    until: Option<WireTime>,
    events_max: i64,
) -> DbResult<()> {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    db::execute(FAN_OUT_RANGE, args![tenant_id, environment, endpoint_id, since, until, events_max])
}
