//! What happened, told to every endpoint that wants to know: one event, its deliveries and their effects.

use std::time::SystemTime;

use pg_topup_contract::{Code, Envelope, timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::amount::Cents;
use crate::book::Book;
use crate::db::{self, args};
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

const EMIT: &str = "
    with subscriber as (
        select endpoint_id, retry_schedule_s from topup.webhook_endpoint
         where tenant_id = $1 and environment = $2::topup.environment and disabled_at is null and deleted_at is null
           and (endpoint_id = $7 or $7 is null and (events is null or $4 = any (events)))),
    event as (
        insert into topup.event (tenant_id, environment, event_id, type, transaction_id, body)
        select $1, $2::topup.environment, $3, $4, $5, $6 where exists (select from subscriber)),
    delivery as (
        insert into topup.delivery (tenant_id, environment, delivery_id, event_id, endpoint_id)
        select $1, $2::topup.environment, topup.new_id(), $3, endpoint_id from subscriber
        returning delivery_id, endpoint_id),
    effect as (
        insert into topup.effect (tenant_id, effect_id, environment, kind, lane, due_at, retry_schedule_s)
        select $1, d.delivery_id, $2::topup.environment, 'webhook', d.endpoint_id,
               clock_timestamp() + make_interval(secs => (coalesce($8, s.retry_schedule_s))[1]),
               coalesce($8, s.retry_schedule_s)
          from delivery d join subscriber s using (endpoint_id)
        returning effect_id),
    wake as (
        select pg_notify('topup_effects', '') from topup.sleeper
         where sleeps_until > clock_timestamp() and exists (select from effect) limit 1)
    select effect_id, (select count(*) from wake) from effect";

/// Tells of a transaction, or of what has none, by its envelope. The event and its deliveries are part of the
/// running transaction: they are there exactly if it commits.
pub fn emit<D: Serialize>(
    book: &Book,
    event_type: &str,
    transaction_id: impl Into<Option<Uuid>>,
    envelope: &Envelope<D>,
) -> Result<(), Failure> {
    write(book, event_type, transaction_id.into(), envelope, None).map(drop)
}

/// Sends one endpoint a `ping`, tried once. Returns the delivery; nothing where the endpoint is switched off.
pub fn ping(book: &Book, endpoint_id: Uuid) -> Result<Option<Uuid>, Failure> {
    let envelope = Envelope::new(
        Code::Success,
        None,
        None,
        serde_json::json!({ "webhook_id": Kind::Endpoint.text(endpoint_id) }),
    );
    let deliveries = write(book, "ping", None, &envelope, Some(endpoint_id))?;
    Ok(deliveries.into_iter().next())
}

/// The warning that a wallet fell below its threshold.
pub fn balance_low(
    book: &Book,
    transaction_id: Uuid,
    balance: Cents,
    threshold: Cents,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct BalanceLow {
        balance_cents: Cents,
        low_balance_threshold_cents: Cents,
        currency: &'static str,
    }
    let data = BalanceLow { balance_cents: balance, low_balance_threshold_cents: threshold, currency: "USD" };
    let envelope = Envelope::new(Code::Success, Some(Kind::Transaction.text(transaction_id)), None, data);
    emit(book, "balance.low", transaction_id, &envelope)
}

fn write<D: Serialize>(
    book: &Book,
    event_type: &str,
    transaction_id: Option<Uuid>,
    envelope: &Envelope<D>,
    only_endpoint: Option<Uuid>,
) -> Result<Vec<Uuid>, Failure> {
    let event_id = id::new();
    let body = serde_json::to_string(&Body {
        id: Kind::Event.text(event_id),
        event_type,
        created_at: timestamp(SystemTime::now()),
        environment: book.environment.as_str(),
        data: envelope,
    })?;
    // A ping is tried once; everything else by the endpoint's own schedule.
    let schedule: Option<Vec<i32>> = only_endpoint.map(|_| vec![0]);
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let arguments =
        args![tenant_id, environment, event_id, event_type, transaction_id, body, only_endpoint, schedule];
    Ok(db::write(EMIT, arguments, |row| row.uuid(1))?)
}
