//! The body of a send's event. It is made of the top-up when the event is fanned out, so that who sends writes it but
//! once. What it is made of never changes: neither what becomes of a top-up later nor who redeems it is in it.

use pgrx::prelude::*;

use crate::event;
use crate::pg::db::from_pg;
use crate::top_up::model::{self, Status, TopUpData};
use crate::value::amount::{Bps, Cents};
use crate::value::book::Environment;
use crate::value::pg_timestamp::PgTimestamp;

/// The body of the event.
#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn send_body(
    event_id: pgrx::Uuid,
    event_type: &str,
    created_at: TimestampWithTimeZone,
    environment: &str,
    transaction_id: pgrx::Uuid,
    voucher_code: Option<String>,
    platform: &str,
    amount_cents: i64,
    new_balance_cents: i64,
    cost_cents: i64,
    discount_bps: i32,
    recipient_email: Option<String>,
) -> String {
    let status = [Status::Delivered, Status::Pending].into_iter().find(|s| s.event_type() == event_type);
    let (Some(status), Some(environment)) = (status, Environment::parse(environment)) else {
        error!("a send tells no {event_type} in {environment}");
    };
    let data = TopUpData {
        // A top-up that was pending may have got one since then.
        voucher_code: voucher_code.filter(|_| status == Status::Delivered),
        platform: platform.to_owned(),
        amount_cents: Cents(amount_cents),
        new_balance_cents: Cents(new_balance_cents),
        cost_cents: Cents(cost_cents),
        discount_bps: Bps(discount_bps),
        recipient_email,
        failure_reason: None,
    };
    let created_at = PgTimestamp::from(created_at);
    let reply = model::reply(created_at, status, from_pg(transaction_id), data).render();
    let reply = reply.unwrap_or_else(|failure| error!("{failure:?}"));
    event::body(from_pg(event_id), event_type, created_at, environment, &reply.body)
}
