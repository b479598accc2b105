//! What happened, told to every endpoint that wants to know: one event, its deliveries and their effects.

use std::time::SystemTime;

use pg_topup_contract::{Code, Envelope, timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::amount::{Amount, Cents};
use crate::book::Book;
use crate::db::{self, args, from_pg, pg_uuid, rows};
use crate::id::{self, Kind};
use crate::reply::Failure;

/// The types of events that endpoints can ask for.
pub const TYPES: &[&str] = &[
    "topup.delivered",
    "topup.failed",
    "topup.cancelled",
    "topup.pending",
    "balance.low",
    "wallet.topup.succeeded",
    "wallet.topup.failed",
    "wallet.auto_topup.disabled",
    "credit.expired",
    "ping",
];

/// The body of a webhook.
#[derive(Serialize)]
struct Body<'a, D> {
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    created_at: String,
    environment: &'static str,
    data: &'a Envelope<D>,
}

/// An endpoint that is switched on, as its environment keeps it.
#[derive(Clone, Deserialize)]
pub struct Endpoint {
    endpoint_id: Uuid,
    /// None: every type.
    types: Option<Vec<String>>,
    retry_schedule_s: Vec<i32>,
}

impl Endpoint {
    /// All of an environment; none where it keeps nothing.
    pub fn parse_all(webhooks: Option<&str>) -> serde_json::Result<Vec<Endpoint>> {
        webhooks.map_or_else(|| Ok(Vec::new()), serde_json::from_str)
    }

    /// As Postgres writes an array.
    fn retry_schedule(&self) -> String {
        let seconds: Vec<String> = self.retry_schedule_s.iter().map(i32::to_string).collect();
        format!("{{{}}}", seconds.join(","))
    }
}

const WEBHOOKS: &str = "select webhooks from topup.tenant_environment where tenant_id = $1 and environment = $2::topup.environment";

/// `one`: of one event for one endpoint.
macro_rules! write_sql {
    ($form:ident) => {
        concat!(
            "with event as (
                insert into topup.event (tenant_id, environment, event_id, type, transaction_id, body)
                select $1, $2::topup.environment, event_id, type, transaction_id, body from ",
            rows!(
                $form,
                (3, "uuid", "event_id"),
                (4, "text", "type"),
                (5, "uuid", "transaction_id"),
                (6, "text", "body")
            ),
            "),
            delivery as (
                insert into topup.delivery (tenant_id, environment, delivery_id, event_id, endpoint_id)
                select $1, $2::topup.environment, delivery_id, event_id, endpoint_id from ",
            rows!($form, (7, "uuid", "delivery_id"), (8, "uuid", "event_id"), (9, "uuid", "endpoint_id")),
            "),
            effect as (
                insert into topup.effect (tenant_id, effect_id, environment, kind, lane, due_at, retry_schedule_s)
                select $1, delivery_id, $2::topup.environment, 'webhook', endpoint_id,
                       clock_timestamp() + make_interval(secs => (retry_schedule_s::integer[])[1]),
                       retry_schedule_s::integer[] from ",
            rows!($form, (7, "uuid", "delivery_id"), (9, "uuid", "endpoint_id"), (10, "text", "retry_schedule_s")),
            ")
            select pg_notify('topup_effects', '') from topup.sleeper where sleeps_until > clock_timestamp() limit 1"
        )
    };
}

const WRITE_ONE: &str = write_sql!(one);
const WRITE_MANY: &str = write_sql!(many);

/// Events of one book that are not written yet, with a delivery for each endpoint that wants to know.
#[derive(Default)]
pub struct Events {
    /// Read when the first event comes.
    endpoints: Option<Vec<Endpoint>>,
    event_id: Vec<pgrx::Uuid>,
    event_type: Vec<String>,
    transaction_id: Vec<Option<pgrx::Uuid>>,
    body: Vec<String>,
    delivery_id: Vec<pgrx::Uuid>,
    delivery_of: Vec<pgrx::Uuid>,
    endpoint_id: Vec<pgrx::Uuid>,
    retry_schedule_s: Vec<String>,
}

impl Events {
    /// With the endpoints that are to be told, once read.
    pub fn for_endpoints(endpoints: Vec<Endpoint>) -> Events {
        Events { endpoints: Some(endpoints), ..Events::default() }
    }

    /// Tells of a transaction, or of what has none, by its envelope. Nothing where no endpoint wants the type.
    pub fn add<D: Serialize>(
        &mut self,
        book: &Book,
        event_type: &str,
        transaction_id: Option<Uuid>,
        envelope: &Envelope<D>,
    ) -> Result<(), Failure> {
        let endpoints = match self.endpoints.take() {
            Some(known) => known,
            None => endpoints(book)?,
        };
        let wants = |endpoint: &&Endpoint| {
            endpoint.types.as_ref().is_none_or(|types| types.iter().any(|t| t == event_type))
        };
        let subscribers: Vec<&Endpoint> = endpoints.iter().filter(wants).collect();
        let told = self.tell(book, event_type, transaction_id, envelope, &subscribers);
        self.endpoints = Some(endpoints);
        told
    }

    fn tell<D: Serialize>(
        &mut self,
        book: &Book,
        event_type: &str,
        transaction_id: Option<Uuid>,
        envelope: &Envelope<D>,
        subscribers: &[&Endpoint],
    ) -> Result<(), Failure> {
        if subscribers.is_empty() {
            return Ok(());
        }
        let event_id = id::new();
        self.body.push(serde_json::to_string(&Body {
            id: Kind::Event.text(event_id),
            event_type,
            created_at: timestamp(SystemTime::now()),
            environment: book.environment.as_str(),
            data: envelope,
        })?);
        self.event_id.push(pg_uuid(event_id));
        self.event_type.push(event_type.to_owned());
        self.transaction_id.push(transaction_id.map(pg_uuid));
        for endpoint in subscribers {
            self.delivery_id.push(pg_uuid(id::new()));
            self.delivery_of.push(pg_uuid(event_id));
            self.endpoint_id.push(pg_uuid(endpoint.endpoint_id));
            self.retry_schedule_s.push(endpoint.retry_schedule());
        }
        Ok(())
    }

    /// The warning that a wallet fell below its threshold.
    pub fn balance_low(
        &mut self,
        book: &Book,
        transaction_id: Uuid,
        balance: Amount,
        threshold: Amount,
    ) -> Result<(), Failure> {
        let data = BalanceLow {
            balance_cents: balance.floor_cents(),
            low_balance_threshold_cents: threshold.floor_cents(),
            currency: "USD",
        };
        let envelope = Envelope::new(Code::Success, Some(Kind::Transaction.text(transaction_id)), None, data);
        self.add(book, "balance.low", Some(transaction_id), &envelope)
    }

    /// Writes what was told so far, and wakes a worker that sleeps.
    pub fn write(&mut self, book: &Book) -> Result<(), Failure> {
        if self.event_id.is_empty() {
            return Ok(());
        }
        let told = std::mem::take(self);
        let is_one = told.event_id.len() == 1 && told.delivery_id.len() == 1;
        let arguments = args![
            book.tenant_id,
            book.environment.as_str(),
            told.event_id,
            told.event_type,
            told.transaction_id,
            told.body,
            told.delivery_id,
            told.delivery_of,
            told.endpoint_id,
            told.retry_schedule_s,
        ];
        db::write(if is_one { WRITE_ONE } else { WRITE_MANY }, arguments, |_| Ok(()))?;
        self.endpoints = told.endpoints;
        Ok(())
    }
}

#[derive(Serialize)]
struct BalanceLow {
    balance_cents: Cents,
    low_balance_threshold_cents: Cents,
    currency: &'static str,
}

fn endpoints(book: &Book) -> Result<Vec<Endpoint>, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str()];
    let found = db::write(WEBHOOKS, arguments, |row| row.maybe::<String>(1))?;
    Ok(Endpoint::parse_all(found.into_iter().next().flatten().as_deref())?)
}

/// Tells of a transaction, or of what has none, by its envelope. The event and its deliveries are part of the
/// running transaction: they are there exactly if it commits.
pub fn emit<D: Serialize>(
    book: &Book,
    event_type: &str,
    transaction_id: impl Into<Option<Uuid>>,
    envelope: &Envelope<D>,
) -> Result<(), Failure> {
    let mut events = Events::default();
    events.add(book, event_type, transaction_id.into(), envelope)?;
    events.write(book)
}

/// Sends one endpoint a `ping`, tried once. Returns the delivery; nothing where the endpoint is switched off.
pub fn ping(book: &Book, endpoint_id: Uuid) -> Result<Option<Uuid>, Failure> {
    let data = serde_json::json!({ "webhook_id": Kind::Endpoint.text(endpoint_id) });
    let envelope = Envelope::new(Code::Success, None, None, data);
    let Some(endpoint) = endpoints(book)?.into_iter().find(|endpoint| endpoint.endpoint_id == endpoint_id)
    else {
        return Ok(None);
    };
    let once = Endpoint { retry_schedule_s: vec![0], ..endpoint };
    let mut events = Events::default();
    events.tell(book, "ping", None, &envelope, &[&once])?;
    let delivery_id = events.delivery_id.first().copied().map(from_pg);
    events.write(book)?;
    Ok(delivery_id)
}

/// The warning that a wallet fell below its threshold.
pub fn balance_low(
    book: &Book,
    transaction_id: Uuid,
    balance: Amount,
    threshold: Amount,
) -> Result<(), Failure> {
    let mut events = Events::default();
    events.balance_low(book, transaction_id, balance, threshold)?;
    events.write(book)
}
