//! Record usage: a batch of events, taken whole or not at all, each id once for good. What the customer's
//! products price is booked at once in one transaction, and may take an account below zero: it has happened.

use std::collections::{BTreeMap, BTreeSet};

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::booking::{Booking, Total};
use super::plan::{self, Plan};
use super::pricing::Price;
use super::unpriced;
use super::usage_event::{self, UsageEvent};
use crate::ledger::{self, Locked};
use crate::operation::handler::Handler;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

/// How often a batch is judged anew because others brought some of its events meanwhile.
const TRIES_MAX: usize = 3;

/// Usage of one customer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecordUsageRequest {
    /// The customer, or else its `customer_external_id`.
    pub customer_id: Option<String>,
    /// Your own id of the customer; or else its `customer_id`.
    pub customer_external_id: Option<String>,
    /// 1 to 1,000.
    pub events: Vec<UsageEvent>,
}

/// What became of a batch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Recorded {
    /// Events that were new.
    pub recorded: usize,
    /// Events that had been recorded before.
    pub repeated: usize,
    /// New events that nothing priced: they are kept, and free.
    pub unpriced: usize,
    /// What the new ones cost, for each asset.
    pub fees: Vec<Total>,
}

pub struct RecordUsage;

impl Handler for RecordUsage {
    const NAME: &'static str = "record_usage";
    type Request = RecordUsageRequest;
    type Data = Recorded;

    fn handle(caller: &Caller, request: &RecordUsageRequest) -> Outcome<Recorded> {
        usage_event::check(&request.events)?;
        let customer_id = find_customer(caller, request)?;
        let batch = usage_event::distinct(&request.events)?;
        let events: Vec<&UsageEvent> = batch.iter().map(|(_, event)| *event).collect();
        let plans = plan::at_events(caller, customer_id, &events)?;
        lock_meters(caller, customer_id, &plans)?;
        let locked = lock_payers(caller, customer_id, &plans, &events)?;
        for _ in 0..TRIES_MAX {
            let new = unseen(caller, customer_id, &batch)?;
            let booking = Booking::price(caller, customer_id, &plans, &new)?;
            booking.check(&locked)?;
            let priced = booking.priced();
            if caller.refuses_unpriced_usage {
                unpriced::refuse(caller, customer_id, &new, &priced)?;
            }
            let unpriced = new.len() - priced.len();
            if keep_events(caller, customer_id, &new, &priced)? {
                let fees = booking.post(caller, customer_id, &locked, new.len())?;
                let (recorded, repeated) = (new.len(), request.events.len() - new.len());
                return Ok(Reply::new(Code::Success, Recorded { recorded, repeated, unpriced, fees }));
            }
        }
        Err(Failure::Fault("the events of this batch are being recorded by others".to_owned()))
    }
}

fn find_customer(book: &Book, request: &RecordUsageRequest) -> Result<Uuid, Failure> {
    let (id, external_id) = (request.customer_id.as_deref(), request.customer_external_id.as_deref());
    let field = match (id, external_id) {
        (None, None) => {
            let message = "Name the customer by customer_id or customer_external_id.";
            return Err(Refusal::of_field(Code::InvalidRequest, "customer_id", message).into());
        }
        (None, Some(_)) => "customer_external_id",
        (Some(_), _) => "customer_id",
    };
    let missing = || Refusal::not_found(field, "There is no such customer.");
    Ok(customer::find(book, id, external_id)?.ok_or_else(missing)?)
}

/// Meters are read and set: from here on no one else sets those of this customer, from whatever account they are
/// paid.
fn lock_meters(book: &Book, customer_id: Uuid, plans: &[Plan]) -> Result<(), Failure> {
    if plans.iter().flat_map(|plan| &plan.prices).any(Price::has_tiers) {
        customer::lock(book, customer_id)?;
    }
    Ok(())
}

/// Locks every account from which these events could be paid.
fn lock_payers(
    book: &Book,
    customer_id: Uuid,
    plans: &[Plan],
    events: &[&UsageEvent],
) -> Result<Vec<Locked>, Failure> {
    let types = usage_event::types(events.iter().copied());
    let is_of_batch = |event_type: &str| types.contains(event_type);
    let prices = plans.iter().flat_map(|plan| &plan.prices);
    let priced =
        prices.filter(|price| price.usage_calculation.as_ref().is_some_and(|it| is_of_batch(&it.event_type)));
    let payers: BTreeSet<Uuid> = priced.filter_map(|price| plan::payer_id(customer_id, price)).collect();
    let payers: Vec<Uuid> = payers.into_iter().collect();
    if payers.is_empty() { Ok(Vec::new()) } else { ledger::lock(book, &payers) }
}

const SEEN: &str = "
    select event_id, encode(content_hash, 'hex') from topup.usage_event
     where tenant_id = $1 and environment = $2::topup.environment and event_id = any ($3)";

/// The events that were not recorded before. One that was, with other content, refuses the batch.
fn unseen<'a>(
    book: &Book,
    customer_id: Uuid,
    batch: &[(usize, &'a UsageEvent)],
) -> Result<Vec<(usize, &'a UsageEvent)>, Failure> {
    let ids: Vec<String> = batch.iter().map(|(_, event)| event.id.clone()).collect();
    let arguments = args![book.tenant_id, book.environment.as_str(), ids];
    let seen: BTreeMap<String, String> =
        db::write(SEEN, arguments, |row| Ok((row.get(1)?, row.get(2)?)))?.into_iter().collect();
    let mut unseen = Vec::with_capacity(batch.len());
    for (n, event) in batch {
        match seen.get(&event.id) {
            None => unseen.push((*n, *event)),
            Some(hash) if *hash == event.content_hash(customer_id)? => {}
            Some(_) => return Err(usage_event::used_before(*n).into()),
        }
    }
    Ok(unseen)
}

/// An event on its way into the table.
#[derive(Serialize)]
struct EventRow<'a> {
    #[serde(flatten)]
    event: &'a UsageEvent,
    priced: bool,
    hash: String,
    sequence: Uuid,
}

/// In the order of their ids, so that two batches with the same events do not wait for each other in a circle.
const KEEP: &str = "
    insert into topup.usage_event (tenant_id, environment, event_id, customer_id, event_type, occurred_at, subject,
                                   description, data, priced, content_hash, sequence)
    select $1, $2::topup.environment, e.id, $3, e.event_type, e.occurred_at, e.subject, e.description, nullif(e.data, 'null'),
           e.priced, decode(e.hash, 'hex'), e.sequence
      from jsonb_to_recordset($4::jsonb) as e (id text, event_type text, occurred_at timestamptz, subject text,
                                               description text, data jsonb, priced boolean, hash text, sequence uuid)
     order by e.id collate \"C\"
    on conflict (tenant_id, environment, event_id) do nothing
    returning event_id";

const TAKE_BACK: &str = "
    delete from topup.usage_event
     where tenant_id = $1 and environment = $2::topup.environment and event_id = any ($3)";

/// Writes the events; false, and nothing written, where others brought one of them meanwhile.
fn keep_events(
    book: &Book,
    customer_id: Uuid,
    new: &[(usize, &UsageEvent)],
    priced: &BTreeSet<&str>,
) -> Result<bool, Failure> {
    if new.is_empty() {
        return Ok(true);
    }
    let mut rows = Vec::with_capacity(new.len());
    for (_, event) in new {
        let (priced, hash) = (priced.contains(event.id.as_str()), event.content_hash(customer_id)?);
        rows.push(EventRow { event, priced, hash, sequence: id::new() });
    }
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let arguments = args![tenant_id, environment, customer_id, serde_json::to_string(&rows)?];
    let kept = db::write(KEEP, arguments, |row| row.get::<String>(1))?;
    if kept.len() == new.len() {
        return Ok(true);
    }
    db::write(TAKE_BACK, args![tenant_id, environment, kept], |_| Ok(()))?;
    Ok(false)
}
