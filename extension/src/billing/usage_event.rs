//! A usage event as clients report it, and what its fees look like.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::pricing::{EventData, Fee, Usage, UsageType};
use crate::operation::idempotency;
use crate::operation::request;
use crate::pg::interrupt;
use crate::value::amount::Amount;
use crate::value::reply::{Failure, Refusal};
use crate::value::wire_time::WireTime;

/// Events in one batch, at most.
const EVENTS_MAX: usize = 1000;
/// Fees to which a batch of several events may lead.
const FEES_MAX: usize = 20_000;
const EVENT_TYPE_LENGTH_MAX: usize = 200;
const SUBJECT_LENGTH_MAX: usize = 500;
/// How far the clock of a sender may be ahead of ours.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Something that a customer used.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UsageEvent {
    /// Your own id of it, 1 to 255 visible ASCII characters: the same id is the same event, for good.
    pub id: String,
    /// What was used: 1 to 200 characters. Prices are for the events of one type.
    pub event_type: String,
    /// When it was used; priced by what the customer was subscribed to then.
    pub occurred_at: WireTime,
    /// What it is about, such as a project of yours: at most 500 characters.
    pub subject: Option<String>,
    /// For people, at most 500 characters.
    pub description: Option<String>,
    /// What prices measure, and anything else: at most 4 KiB.
    pub data: Option<EventData>,
}

impl UsageEvent {
    /// What prices look at.
    pub fn usage(&self) -> Usage<'_> {
        Usage {
            event_type: &self.event_type,
            occurred_at: self.occurred_at.timestamp(),
            data: self.data.as_ref(),
        }
    }

    /// Two events of one customer are the same if this is.
    pub fn content_hash(&self, customer_id: Uuid) -> Result<String, Failure> {
        let mut hash = Sha256::new();
        hash.update(customer_id.as_bytes());
        hash.update(serde_json::to_vec(self)?);
        Ok(data_encoding::HEXLOWER.encode(&hash.finalize()))
    }
}

/// Refuses a batch that is empty, too large, or has an event in it that cannot be, naming its field.
pub fn check(events: &[UsageEvent]) -> Result<(), Refusal> {
    let fault = |field: String, message: String| Err(Refusal::of_field(Code::InvalidRequest, field, message));
    if !(1..=EVENTS_MAX).contains(&events.len()) {
        return fault("events".to_owned(), format!("A batch has 1 to {EVENTS_MAX} events."));
    }
    let latest = Timestamp::now().checked_add(AHEAD_MAX).unwrap_or(Timestamp::MAX);
    for (n, event) in events.iter().enumerate() {
        interrupt::check();
        idempotency::check_key(&event.id, &format!("events[{n}].id"))?;
        let length = event.event_type.chars().count();
        if !(1..=EVENT_TYPE_LENGTH_MAX).contains(&length) {
            let message = format!("An event type has 1 to {EVENT_TYPE_LENGTH_MAX} characters.");
            return fault(format!("events[{n}].event_type"), message);
        }
        if event.subject.as_ref().is_some_and(|subject| subject.chars().count() > SUBJECT_LENGTH_MAX) {
            let message = format!("A subject has at most {SUBJECT_LENGTH_MAX} characters.");
            return fault(format!("events[{n}].subject"), message);
        }
        request::check_description(event.description.as_deref()).map_err(|refusal| of_event(refusal, n))?;
        if event.occurred_at.timestamp() > latest {
            let message = "This is more than an hour ahead.".to_owned();
            return fault(format!("events[{n}].occurred_at"), message);
        }
    }
    Ok(())
}

/// A refusal of an event by itself, as one of the n-th in a batch.
pub fn of_event(mut refusal: Refusal, n: usize) -> Refusal {
    let field = refusal.field.map_or(String::new(), |field| format!(".{field}"));
    refusal.field = Some(format!("events[{n}]{field}"));
    refusal
}

/// Refuses a batch of which each part may be, and all together is too much to be priced at once. An event by itself is
/// always taken: it has happened.
pub fn check_fees(fees: usize, events: usize) -> Result<(), Refusal> {
    if fees <= FEES_MAX || events <= 1 {
        return Ok(());
    }
    let message = format!(
        "A batch may lead to at most {FEES_MAX} fees, one for each event and each price of its type: send fewer events at a time."
    );
    Err(Refusal::of_field(Code::InvalidRequest, "events", message))
}

/// The events without repetitions, each with its place in the batch. An id that comes with two contents is refused.
pub fn distinct(events: &[UsageEvent]) -> Result<Vec<(usize, &UsageEvent)>, Failure> {
    let mut first: BTreeMap<&str, &UsageEvent> = BTreeMap::new();
    let mut distinct = Vec::with_capacity(events.len());
    for (n, event) in events.iter().enumerate() {
        interrupt::check();
        match first.insert(&event.id, event) {
            None => distinct.push((n, event)),
            Some(before) if before.content_hash(Uuid::nil())? == event.content_hash(Uuid::nil())? => {}
            Some(_) => return Err(used_before(n).into()),
        }
    }
    Ok(distinct)
}

/// The id of the n-th event stands for another one.
pub fn used_before(n: usize) -> Refusal {
    let message = "This id was used before for an event with other content.";
    Refusal::of_field(Code::DuplicateTransaction, format!("events[{n}].id"), message)
}

/// The types of these events.
pub fn types<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> BTreeSet<&'a str> {
    events.into_iter().map(|event| event.event_type.as_str()).collect()
}

/// From what a fee was calculated.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FeeBasis {
    /// The id of the price.
    pub price_id: String,
    /// The name of the price.
    pub price_name: String,
    /// The asset in which it is paid.
    pub currency: String,
    /// The dimensions that were matched.
    pub dimensions: Option<BTreeMap<String, String>>,
    /// What was measured in the event.
    pub usage_type: UsageType,
    /// The field of `data` that held the volume; null where none was measured.
    pub volume_field: Option<String>,
    /// The volume of the event; null where none was measured.
    pub input_volume: Option<Amount>,
    /// With tiers: of the last tier that the event reached.
    pub unit_price: Option<Amount>,
    /// The price of one unit of volume, or of `package_size` of them.
    pub volume_rate: Option<Amount>,
    /// Units of volume in one package.
    pub package_size: Option<Amount>,
    /// The description of the event.
    pub description: Option<String>,
    /// The fee, in major units of the asset.
    pub amount: Amount,
}

impl FeeBasis {
    /// Refused where the amount is more than an account can hold.
    pub fn of(fee: &Fee, event: &UsageEvent, precision: u32) -> Result<FeeBasis, Refusal> {
        let beyond = || {
            let message =
                format!("By the price '{}' this costs more than an account can hold.", fee.price.name);
            Refusal::of_field(Code::InvalidRequest, "data", message)
        };
        Ok(FeeBasis {
            price_id: fee.price.id().to_owned(),
            price_name: fee.price.name.clone(),
            currency: fee.asset.to_owned(),
            dimensions: fee.dimensions.cloned(),
            usage_type: fee.calculation.usage_type,
            volume_field: fee.input_volume.and(fee.calculation.volume_field.clone()),
            input_volume: fee.input_volume,
            unit_price: fee.value.unit_price,
            volume_rate: fee.value.volume_rate,
            package_size: fee.value.package_size,
            description: event.description.clone(),
            amount: fee.amount(precision).ok_or_else(beyond)?,
        })
    }
}
