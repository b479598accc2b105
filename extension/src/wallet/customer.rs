//! Customers: made, looked up, changed.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::billing::customer_subscription::{self, NewSubscription, Subscription, active_subscriptions};
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer::{self, Email, New};
use crate::value::id::Kind;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::wallet::metadata::Metadata;

const NAME_LENGTH_MAX: usize = 200;
const EXTERNAL_ID_LENGTH_MAX: usize = 255;
/// Accounts elsewhere that a customer may have.
const EXTERNAL_ACCOUNTS_MAX: usize = 20;

/// A new customer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// 1 to 200 characters.
    pub name: String,
    /// Your own id of the customer, 1 to 255 characters; no other customer has it.
    pub external_id: Option<String>,
    /// No other customer has it, whatever the letter case.
    pub email: Option<String>,
    /// Names and texts of your own, at most 4 KiB.
    pub metadata: Option<Metadata>,
    /// What the customer subscribes to; nothing if not given.
    pub subscriptions: Option<Vec<NewSubscription>>,
    /// At most 20 accounts of the customer elsewhere.
    pub external_accounts: Option<Vec<ExternalAccount>>,
}

/// The customer at another service.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExternalAccount {
    /// The other service: at most 255 characters.
    pub provider: String,
    /// The customer's id there: at most 255 characters.
    pub provider_id: String,
}

/// The new customer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreateData {
    /// `cust_…`.
    pub id: String,
    /// The subscriptions that were made with it.
    pub subscriptions: Vec<Subscription>,
}

pub struct Create;

impl Handler for Create {
    const NAME: &'static str = "customer_create";
    type Request = CreateRequest;
    type Data = CreateData;

    fn handle(caller: &Caller, request: &CreateRequest) -> Outcome<CreateData> {
        let email = check(Some(&request.name), request.external_id.as_deref(), request.email.as_deref())?;
        check_external_accounts(request.external_accounts.as_deref().unwrap_or_default())?;
        let json = |value: serde_json::Result<String>| -> Result<String, Failure> { Ok(value?) };
        let new = New {
            name: &request.name,
            external_id: request.external_id.as_deref(),
            email: email.as_ref(),
            metadata: request.metadata.as_ref().map(|it| json(serde_json::to_string(it))).transpose()?,
            external_accounts: request
                .external_accounts
                .as_ref()
                .map(|it| json(serde_json::to_string(it)))
                .transpose()?,
        };
        let wanted = request.subscriptions.as_deref().unwrap_or_default();
        customer_subscription::check(caller, wanted)?;
        let customer_id = customer::make(caller, &new)?;
        let subscriptions = customer_subscription::create(caller, customer_id, wanted)?;
        let id = Kind::Customer.text(customer_id);
        Ok(Reply::new(Code::Success, CreateData { id, subscriptions }))
    }
}

/// Refuses what a customer cannot have; gives the address.
fn check(
    name: Option<&str>,
    external_id: Option<&str>,
    email: Option<&str>,
) -> Result<Option<Email>, Refusal> {
    let invalid = |field: &str, message: &str| Err(Refusal::of_field(Code::InvalidRequest, field, message));
    let length = |text: &str| text.chars().count();
    if name.is_some_and(|name| name.trim().is_empty() || length(name) > NAME_LENGTH_MAX) {
        return invalid("name", "A name has 1 to 200 characters.");
    }
    if external_id.is_some_and(|id| id.trim().is_empty() || length(id) > EXTERNAL_ID_LENGTH_MAX) {
        return invalid("external_id", "An external id has 1 to 255 characters.");
    }
    email.map(|email| Email::parse(email, "email")).transpose()
}

fn check_external_accounts(accounts: &[ExternalAccount]) -> Result<(), Refusal> {
    let long = |account: &ExternalAccount| {
        account.provider.chars().count().max(account.provider_id.chars().count()) > EXTERNAL_ID_LENGTH_MAX
    };
    if accounts.len() <= EXTERNAL_ACCOUNTS_MAX && !accounts.iter().any(long) {
        return Ok(());
    }
    let message = "At most 20 external accounts, with names and ids of at most 255 characters.";
    Err(Refusal::of_field(Code::InvalidRequest, "external_accounts", message))
}

/// Which customer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// `cust_…`.
    pub customer_id: String,
}

/// A customer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GetData {
    /// `cust_…`
    pub id: String,
    /// Your own id of the customer; null where it has none.
    pub external_id: Option<String>,
    /// The customer's name.
    pub name: String,
    /// The customer's address; null where it has none.
    pub email: Option<String>,
    /// How many subscriptions are active now.
    pub active_subscription_count: i64,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Names and texts of your own; null where there are none.
    #[schemars(with = "Option<Metadata>")]
    pub metadata: Option<Box<RawValue>>,
    /// The subscriptions, newest first, those that have ended too.
    pub subscriptions: Vec<Subscription>,
    /// The customer's accounts elsewhere; null where there are none.
    #[schemars(with = "Option<Vec<ExternalAccount>>")]
    pub external_accounts: Option<Box<RawValue>>,
}

pub struct Get;

const BY_ID: &str = concat!(
    "select c.external_id, c.name, c.email, ",
    active_subscriptions!(),
    ", topup.rfc3339(c.created_at), c.metadata::text, c.external_accounts::text
      from topup.customer c
     where c.tenant_id = $1 and c.environment = $2::topup.environment and c.customer_id = $3"
);

impl Handler for Get {
    const NAME: &'static str = "customer_get";
    type Request = GetRequest;
    type Data = GetData;

    fn handle(caller: &Caller, request: &GetRequest) -> Outcome<GetData> {
        let customer_id = customer::require(caller, &request.customer_id)?;
        let subscriptions = customer_subscription::of_customer(caller, customer_id)?;
        let arguments = args![caller.tenant_id, caller.environment.as_str(), customer_id];
        let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        let found = db::read(BY_ID, arguments, |row| {
            Ok(GetData {
                id: Kind::Customer.text(customer_id),
                external_id: row.maybe(1)?,
                name: row.get(2)?,
                email: row.maybe(3)?,
                active_subscription_count: row.get(4)?,
                created_at: row.get(5)?,
                metadata: raw(row.maybe(6)?),
                subscriptions: Vec::new(),
                external_accounts: raw(row.maybe(7)?),
            })
        })?;
        let found =
            found.into_iter().next().ok_or_else(|| Failure::Fault("a customer went away".to_owned()))?;
        Ok(Reply::new(Code::Success, GetData { subscriptions, ..found }))
    }
}

/// What is to change; what is not given stays, and what is null is cleared.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// `cust_…`.
    pub customer_id: String,
    /// 1 to 200 characters; null: the customer is called by its address, else by your own id of it, else by its id.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub name: Option<Option<String>>,
    /// Your own id of the customer, 1 to 255 characters; no other customer has it. null: another may have it then.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub external_id: Option<Option<String>>,
    /// No other customer has it, whatever the letter case. null: another may have it then, and sends to it no longer reach this one.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub email: Option<Option<String>>,
    /// Names of these fields, which are cleared as by null: for callers to whom null is what is left out.
    pub clear: Option<Vec<Option<String>>>,
}

/// A field that is there, if only as null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

pub struct Update;

const CHANGE: &str = "select topup.change_customer($1, $2::topup.environment, $3, $4, $5, $6, $7)";

impl Handler for Update {
    const NAME: &'static str = "customer_update";
    type Request = UpdateRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &UpdateRequest) -> Outcome<Nothing> {
        let fields =
            [("name", &request.name), ("external_id", &request.external_id), ("email", &request.email)];
        let [name, external_id, email] = fields.map(|(_, value)| value.as_ref().and_then(Option::as_deref));
        let named = request.clear.as_deref().unwrap_or_default();
        let is_field = |name: &Option<String>| fields.iter().any(|(field, _)| name.as_deref() == Some(field));
        if !named.iter().all(is_field) {
            let message = "Only name, external_id and email can be cleared.";
            return Err(Refusal::of_field(Code::InvalidRequest, "clear", message).into());
        }
        // A value counts more than that it is cleared.
        let is_cleared = |field: &str, value: &Option<Option<String>>| match value {
            Some(value) => value.is_none(),
            None => named.iter().flatten().any(|name| name == field),
        };
        let cleared = fields.iter().filter(|(field, value)| is_cleared(field, value));
        let cleared: Vec<String> = cleared.map(|(field, _)| (*field).to_owned()).collect();
        let email = check(name, external_id, email)?;
        let customer_id = customer::require(caller, &request.customer_id)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let email = email.as_ref().map(Email::as_str);
        let arguments = args![tenant_id, environment, customer_id, name, external_id, email, cleared];
        match db::write(CHANGE, arguments, |row| row.maybe::<String>(1))?.into_iter().flatten().next() {
            Some(taken) if taken == "customer_email" => Err(customer::taken("email").into()),
            Some(_) => Err(customer::taken("external_id").into()),
            None => Ok(Reply::new(Code::Success, Nothing {})),
        }
    }
}
