//! Webhook endpoints: registering, listing and deleting them, and the rules for what one may have.

use pg_topup_contract::{Code, WebhookUrl, is_public};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event;
use crate::operation::handler::Handler;
use crate::operation::idempotency::Shares;
use crate::operation::nothing::NoFields;
use crate::operation::request;
use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::settings;
use crate::tenant::caller::{Caller, Scope};
use crate::value::id::{self, Kind};
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::webhook::sign;

pub const ATTEMPTS_MAX: usize = 10;
/// Names of event types that one endpoint gives: there are fewer.
pub const EVENTS_MAX: usize = 100;
/// A retry a week later is the last that makes sense.
const RETRY_AFTER_S_MAX: i32 = 604_800;

/// An endpoint to be told about events.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// https, on port 443 or at least 1024, leading to public addresses only.
    pub url: String,
    /// Types of events; all if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "event_types")]
    pub events: Option<Vec<String>>,
    /// For people, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When each attempt is due, in seconds after the first; 0, 5 and 30 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule_s: Option<Vec<i32>>,
    /// What the host resolved to. The gateway fills it in.
    #[serde(skip_serializing)]
    pub resolved_addresses: Option<Vec<String>>,
}

/// The environment and not its wallet: a registration must not wait for an app's open transaction.
const LOCK_ENVIRONMENT: &str = "
    select true from topup.tenant_environment where tenant_id = $1 and environment = $2::topup.environment
       for no key update";

/// Locks the environment, so that its endpoints and secrets are counted and added by one call at a time.
pub fn lock_environment(caller: &Caller) -> DbResult<()> {
    db::execute(LOCK_ENVIRONMENT, args![caller.tenant_id, caller.environment.as_str()])
}

pub fn event_types(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["array", "null"], "items": { "type": "string", "enum": event::TYPES } })
}

/// The endpoint, with its secret: it is shown here and nowhere else.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegisterData {
    /// `whk_…`
    pub id: String,
    /// The address that is told.
    pub url: String,
    /// The types of events that it is told about.
    pub events: Vec<String>,
    /// `whsec_…`: signs every delivery.
    pub secret: String,
    /// RFC 3339, UTC.
    pub created_at: String,
}

pub struct Register;

const COUNT: &str = "
    select count(*) from topup.webhook_endpoint
     where tenant_id = $1 and environment = $2::topup.environment and deleted_at is null";

const INSERT: &str = "
    with
    -- The endpoint; its schedule is the default where none is given.
    endpoint as (
        insert into topup.webhook_endpoint
               (tenant_id, environment, endpoint_id, url, events, description, retry_schedule_s, key_id, sees_vouchers)
        values ($1, $2::topup.environment, $3, $4, $5, $6, coalesce($7, '{0,5,30}'), $10, $11)
        returning created_at),
    -- Its first secret.
    secret as (insert into topup.webhook_secret (tenant_id, endpoint_id, secret_id, secret) values ($1, $3, $8, $9))
    select topup.rfc3339(created_at) from endpoint";

impl Handler for Register {
    const NAME: &'static str = "webhook_register";
    const SHARES: Shares = Shares::WithNobody;
    type Request = RegisterRequest;
    type Data = RegisterData;

    fn handle(caller: &Caller, request: &RegisterRequest) -> Outcome<RegisterData> {
        let (events, schedule) = (request.events.as_deref(), request.retry_schedule_s.as_deref());
        check(events, request.description.as_deref(), schedule)?;
        let url = check_url(&request.url, request.resolved_addresses.as_deref())?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        // Of two registrations at once, only one can be the last that fits.
        lock_environment(caller)?;
        let count: i64 =
            db::write(COUNT, args![tenant_id, environment], |row| row.get::<i64>(1))?.into_iter().sum();
        if count >= i64::from(event::ENDPOINTS_MAX) {
            let message =
                format!("An environment has at most {} webhooks; delete one first.", event::ENDPOINTS_MAX);
            return Err(Refusal::new(Code::InvalidRequest, message).into());
        }
        let (endpoint_id, secret) = (id::new(), sign::new_secret()?);
        let arguments = args![
            tenant_id,
            environment,
            endpoint_id,
            url.as_str(),
            request.events.clone(),
            request.description.as_deref(),
            request.retry_schedule_s.clone(),
            id::new(),
            secret.as_str(),
            caller.key.id,
            caller.has(Scope::Vouchers),
        ];
        let created_at = db::write(INSERT, arguments, |row| row.get(1))?.pop().unwrap_or_default();
        let events = request.events.clone().unwrap_or_else(all_events);
        let data = RegisterData {
            id: Kind::Endpoint.text(endpoint_id),
            url: url.as_str().to_owned(),
            events,
            secret,
            created_at,
        };
        Ok(Reply::new(Code::Success, data))
    }
}

fn all_events() -> Vec<String> {
    event::TYPES.iter().map(|event_type| (*event_type).to_owned()).collect()
}

/// Refuses what an endpoint cannot have; what is not given is not judged.
pub fn check(
    events: Option<&[String]>,
    description: Option<&str>,
    retry_schedule_s: Option<&[i32]>,
) -> Result<(), Refusal> {
    let invalid = |field: &str, message: String| Err(Refusal::of_field(Code::InvalidRequest, field, message));
    if let Some(events) = events {
        if events.is_empty() {
            return invalid(
                "events",
                "Name at least one type of event, or leave the field out for all.".to_owned(),
            );
        }
        if let Some(unknown) = events.iter().find(|wanted| !event::TYPES.contains(&wanted.as_str())) {
            return invalid("events", format!("There is no event type '{unknown}'."));
        }
    }
    request::check_description(description)?;
    if let Some(schedule) = retry_schedule_s {
        let rising = schedule.windows(2).all(|pair| pair[0] <= pair[1]);
        let in_range = schedule.iter().all(|after_s| (0..=RETRY_AFTER_S_MAX).contains(after_s));
        if !(1..=ATTEMPTS_MAX).contains(&schedule.len()) || !rising || !in_range {
            return invalid(
                "retry_schedule_s",
                format!(
                    "A schedule has 1 to {ATTEMPTS_MAX} rising numbers of seconds, each at most {RETRY_AFTER_S_MAX}."
                ),
            );
        }
    }
    Ok(())
}

/// Judges a URL by its spelling, and by the addresses that its host was found to have.
pub fn check_url(url: &str, resolved: Option<&[String]>) -> Result<WebhookUrl, Refusal> {
    let invalid = |message: &str| Refusal::of_field(Code::WebhookUrlInvalid, "url", message);
    let allow_private = settings::allow_private_webhooks();
    let url = WebhookUrl::parse(url, allow_private).map_err(|refused| invalid(refused.0))?;
    let Some(addresses) = resolved.filter(|_| !allow_private) else { return Ok(url) };
    if addresses.is_empty() {
        return Err(invalid("The host name does not resolve."));
    }
    let all_public = addresses.iter().all(|address| address.parse().is_ok_and(is_public));
    if !all_public {
        return Err(invalid("The host name resolves to an address that is not public."));
    }
    Ok(url)
}

/// Every endpoint of the environment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListData {
    /// The endpoints, oldest first.
    pub webhooks: Vec<EndpointData>,
}

/// An endpoint, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointData {
    /// `whk_…`
    pub id: String,
    /// The address that is told.
    pub url: String,
    /// The types of events that it is told about.
    pub events: Vec<String>,
    /// For people; null where there is none.
    pub description: Option<String>,
    /// When each attempt is due, in seconds after the first.
    pub retry_schedule_s: Vec<i32>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// When it was switched off; null while it is on.
    pub disabled_at: Option<String>,
    /// Why it was switched off; null while it is on.
    pub disabled_reason: Option<String>,
}

impl EndpointData {
    /// Reads the columns of `shown!`.
    pub fn read(row: &Row) -> DbResult<EndpointData> {
        Ok(EndpointData {
            id: Kind::Endpoint.text(row.uuid(1)?),
            url: row.get(2)?,
            events: row.maybe(3)?.unwrap_or_else(all_events),
            description: row.maybe(4)?,
            retry_schedule_s: row.get(5)?,
            created_at: row.get(6)?,
            disabled_at: row.maybe(7)?,
            disabled_reason: row.maybe(8)?,
        })
    }
}

/// The columns of an endpoint that clients see.
macro_rules! shown {
    () => {
        "endpoint_id, url, events, description, retry_schedule_s, topup.rfc3339(created_at),
         topup.rfc3339(disabled_at), disabled_reason"
    };
}
pub(crate) use shown;

pub struct List;

const LIST: &str = concat!(
    "select ",
    shown!(),
    " from topup.webhook_endpoint
     where tenant_id = $1 and environment = $2::topup.environment and deleted_at is null order by endpoint_id"
);

impl Handler for List {
    const NAME: &'static str = "webhook_list";
    type Request = NoFields;
    type Data = ListData;

    fn handle(caller: &Caller, _: &NoFields) -> Outcome<ListData> {
        let arguments = args![caller.tenant_id, caller.environment.as_str()];
        let webhooks = db::read_by_key(LIST, arguments, EndpointData::read)?;
        Ok(Reply::new(Code::Success, ListData { webhooks }))
    }
}

/// Which endpoint.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointRequest {
    /// The `whk_…` of an endpoint.
    pub id: String,
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeleteData {
    /// `whk_…`
    pub id: String,
    /// Always true.
    pub deleted: bool,
}

pub struct Delete;

/// Deliveries that are queued for the endpoint end when they are claimed.
const DELETE: &str = "
    with
    -- The endpoint stays as a row, for the deliveries that it had.
    gone as (
        update topup.webhook_endpoint set deleted_at = clock_timestamp()
         where tenant_id = $1 and environment = $2::topup.environment and endpoint_id = $3 and deleted_at is null
        returning endpoint_id),
    -- Its secrets go at once.
    secret as (
        delete from topup.webhook_secret s using gone where s.tenant_id = $1 and s.endpoint_id = gone.endpoint_id)
    select true from gone";

impl Handler for Delete {
    const NAME: &'static str = "webhook_delete";
    type Request = EndpointRequest;
    type Data = DeleteData;

    fn handle(caller: &Caller, request: &EndpointRequest) -> Outcome<DeleteData> {
        let endpoint_id = parse_id(&request.id)?;
        let arguments = args![caller.tenant_id, caller.environment.as_str(), endpoint_id];
        if db::write(DELETE, arguments, |_| Ok(()))?.is_empty() {
            return Err(not_found().into());
        }
        Ok(Reply::new(Code::Success, DeleteData { id: request.id.clone(), deleted: true }))
    }
}

/// The id of an endpoint that a client sent.
pub fn parse_id(text: &str) -> Result<Uuid, Refusal> {
    Kind::Endpoint.parse(text).ok_or_else(not_found)
}

/// The refusal for an endpoint that the caller does not have.
pub fn not_found() -> Refusal {
    Refusal::of_field(Code::WebhookNotFound, "id", "There is no such webhook.")
}

const IS_OFF: &str = "
    select disabled_at is not null from topup.webhook_endpoint
     where tenant_id = $1 and environment = $2::topup.environment and endpoint_id = $3 and deleted_at is null";

/// Refuses an endpoint that is switched off, or that the caller does not have.
pub fn require_on(caller: &Caller, endpoint_id: Uuid) -> Result<(), Failure> {
    let arguments = args![caller.tenant_id, caller.environment.as_str(), endpoint_id];
    let off = db::read(IS_OFF, arguments, |row| row.get::<bool>(1))?.pop().ok_or_else(not_found)?;
    if off {
        let message = "This webhook is switched off. Switch it on first (webhook_update, enabled: true).";
        return Err(Refusal::of_field(Code::WebhookDeliveryFailed, "id", message).into());
    }
    Ok(())
}
