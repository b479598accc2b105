//! Events: what happened, for every endpoint that subscribes to the type.

pub mod outbox;
pub mod wake;

use pg_topup_contract::{Code, Envelope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::outbox::{Content, Message, Outbox};
use crate::pg::db::{self, args};
use crate::value::amount::{Amount, Cents};
use crate::value::book::{Book, Environment};
use crate::value::id::{self, Kind};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// Endpoints that an environment has at most.
pub const ENDPOINTS_MAX: u8 = 100;

/// The types of events that endpoints can ask for.
pub const TYPES: &[&str] = &[
    "topup.delivered",
    "topup.failed",
    "topup.cancelled",
    "topup.pending",
    "balance.low",
    "wallet.topup.succeeded",
    "wallet.topup.failed",
    "wallet.topup.disputed",
    "wallet.topup.dispute.won",
    "wallet.topup.dispute.lost",
    "wallet.auto_topup.disabled",
    "credit.expired",
    "webhook.disabled",
    "ping",
];

/// What happens while an endpoint is off is kept for it so long: an endpoint that is given up must not cost
/// for ever.
const KEPT_WHILE_OFF_S: i64 = 30 * 86_400;

/// An endpoint, as its environment keeps it.
#[derive(Clone, Deserialize)]
pub struct Endpoint {
    endpoint_id: Uuid,
    /// None: every type.
    types: Option<Vec<String>>,
    /// When it was switched off, in Unix time; none while it is on.
    #[serde(default)]
    off_since_s: Option<i64>,
}

impl Endpoint {
    /// Whether an event of this type is written for it: to be told, or to be replayed once it is on again.
    fn wants(&self, event_type: &str) -> bool {
        let is_kept = |since_s: i64| PgTimestamp::now().unix_ms() / 1000 - since_s < KEPT_WHILE_OFF_S;
        self.types.as_ref().is_none_or(|types| types.iter().any(|t| t == event_type))
            && self.off_since_s.is_none_or(is_kept)
    }

    /// All of an environment; none where it keeps nothing.
    pub fn parse_all(webhooks: Option<&str>) -> serde_json::Result<Vec<Endpoint>> {
        webhooks.map_or_else(|| Ok(Vec::new()), serde_json::from_str)
    }
}

const WEBHOOKS: &str = "select webhooks from topup.tenant_environment where tenant_id = $1 and environment = $2::topup.environment";

/// Events of one book that are not written yet, with a delivery for each endpoint that wants to know.
#[derive(Default)]
pub struct Events {
    /// Read when the first event comes.
    endpoints: Option<Vec<Endpoint>>,
    outbox: Outbox,
}

impl Events {
    /// With the endpoints of the environment, once read.
    pub fn for_endpoints(endpoints: Vec<Endpoint>) -> Events {
        Events { endpoints: Some(endpoints), ..Events::default() }
    }

    /// Adds an event of a transaction, or of none, with its envelope as JSON. Adds nothing where no endpoint
    /// wants the type.
    pub fn add(
        &mut self,
        book: &Book,
        event_type: &'static str,
        transaction_id: Option<Uuid>,
        envelope: &str,
    ) -> Result<(), Failure> {
        let endpoint_ids = self.subscribers(book, event_type)?;
        if !endpoint_ids.is_empty() {
            self.push_body(book, event_type, transaction_id, envelope, endpoint_ids);
        }
        Ok(())
    }

    /// Adds the event of a send; its body is written when it is fanned out, as the reply of that time is.
    pub fn add_send(
        &mut self,
        book: &Book,
        event_type: &'static str,
        transaction_id: Uuid,
        created_at: PgTimestamp,
        new_balance: Cents,
    ) -> Result<(), Failure> {
        let endpoint_ids = self.subscribers(book, event_type)?;
        if !endpoint_ids.is_empty() {
            let (event_id, transaction_id) = (id::new(), Some(transaction_id));
            let content = Content::Send { new_balance };
            let message = Message { event_id, event_type, transaction_id, content, created_at, endpoint_ids };
            self.outbox.push(book, message);
        }
        Ok(())
    }

    /// The endpoints that an event of a type is written for.
    fn subscribers(&mut self, book: &Book, event_type: &str) -> Result<Vec<Uuid>, Failure> {
        let all = match self.endpoints.take() {
            Some(known) => known,
            None => endpoints(book)?,
        };
        let wanting = all.iter().filter(|endpoint| endpoint.wants(event_type));
        let ids = wanting.map(|endpoint| endpoint.endpoint_id).collect();
        self.endpoints = Some(all);
        Ok(ids)
    }

    /// Adds an event with a body of its own, and returns its id.
    fn push_body(
        &mut self,
        book: &Book,
        event_type: &'static str,
        transaction_id: Option<Uuid>,
        envelope: &str,
        endpoint_ids: Vec<Uuid>,
    ) -> Uuid {
        let (event_id, created_at) = (id::new(), PgTimestamp::now());
        let content = Content::Body(body(event_id, event_type, created_at, book.environment, envelope));
        self.outbox
            .push(book, Message { event_id, event_type, transaction_id, content, created_at, endpoint_ids });
        event_id
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
        self.add(book, "balance.low", Some(transaction_id), &envelope.to_json()?)
    }

    /// Writes the events that were added so far, and wakes a worker that sleeps.
    pub fn write(&mut self) -> Result<(), Failure> {
        Ok(self.outbox.write()?)
    }
}

/// The body of a webhook: JSON around JSON. Ids, types, times and environments have nothing that must be
/// escaped.
pub fn body(
    event_id: Uuid,
    event_type: &str,
    created_at: PgTimestamp,
    environment: Environment,
    envelope: &str,
) -> String {
    let (id, created_at) = (Kind::Event.text(event_id), created_at.rfc3339());
    let head = [r#"{"id":""#, &id, r#"","type":""#, event_type, r#"","created_at":""#, &created_at];
    let tail = [r#"","environment":""#, environment.as_str(), r#"","data":"#, envelope, "}"];
    [head.as_slice(), &tail].concat().concat()
}

/// A wallet that fell below its threshold.
#[derive(Serialize, JsonSchema)]
pub struct BalanceLow {
    /// The wallet, rounded down to the cent.
    balance_cents: Cents,
    /// The threshold, in US cents.
    low_balance_threshold_cents: Cents,
    /// ISO 4217; always `USD`.
    currency: &'static str,
}

/// What a ping says.
#[derive(Serialize, JsonSchema)]
pub struct Pinged {
    /// The `whk_…` of the endpoint.
    webhook_id: String,
}

fn endpoints(book: &Book) -> Result<Vec<Endpoint>, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str()];
    let found = db::write(WEBHOOKS, arguments, |row| row.maybe::<String>(1))?;
    Ok(Endpoint::parse_all(found.into_iter().next().flatten().as_deref())?)
}

/// Emits an event of a transaction, or of none, with its envelope. The event in the outbox is part of the
/// running transaction: it is there exactly if that transaction commits.
pub fn emit<D: Serialize>(
    book: &Book,
    event_type: &'static str,
    transaction_id: impl Into<Option<Uuid>>,
    envelope: &Envelope<D>,
) -> Result<(), Failure> {
    let mut events = Events::default();
    events.add(book, event_type, transaction_id.into(), &envelope.to_json()?)?;
    events.write()
}

/// What the others hear of an endpoint that is switched off.
#[derive(Serialize, JsonSchema)]
pub struct WebhookDisabled<'a> {
    /// The `whk_…` of the endpoint that is off.
    webhook_id: String,
    /// Where it led to.
    url: &'a str,
    /// When it was switched off. RFC 3339, UTC.
    disabled_at: String,
    /// Why, in plain English.
    reason: &'a str,
}

/// Emits the event that an endpoint was switched off, for the other endpoints only.
pub fn webhook_disabled(
    book: &Book,
    endpoint_id: Uuid,
    url: &str,
    at: PgTimestamp,
    reason: &str,
) -> Result<(), Failure> {
    let webhook_id = Kind::Endpoint.text(endpoint_id);
    let data = WebhookDisabled { webhook_id, url, disabled_at: at.rfc3339(), reason };
    let envelope = Envelope::new(Code::Success, None, None, data);
    let others = endpoints(book)?.into_iter().filter(|endpoint| endpoint.endpoint_id != endpoint_id);
    let mut events = Events::for_endpoints(others.collect());
    events.add(book, "webhook.disabled", None, &envelope.to_json()?)?;
    events.write()
}

/// Sends one endpoint a `ping`, tried once. Returns the delivery; nothing where the endpoint is switched off.
pub fn ping(book: &Book, endpoint_id: Uuid) -> Result<Option<Uuid>, Failure> {
    let data = Pinged { webhook_id: Kind::Endpoint.text(endpoint_id) };
    let envelope = Envelope::new(Code::Success, None, None, data);
    let is_meant =
        |endpoint: &Endpoint| endpoint.endpoint_id == endpoint_id && endpoint.off_since_s.is_none();
    let Some(endpoint) = endpoints(book)?.into_iter().find(is_meant) else {
        return Ok(None);
    };
    let mut events = Events::default();
    let event_id = events.push_body(book, "ping", None, &envelope.to_json()?, vec![endpoint.endpoint_id]);
    events.write()?;
    outbox::fan_out_event(book, event_id)?;
    Ok(outbox::delivery_ids(event_id, 1).next())
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
    events.write()
}
