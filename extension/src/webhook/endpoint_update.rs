//! Changing a webhook endpoint: its URL, its event types and its retry schedule; switching it off, and on again.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::handler::Handler;
use crate::pg::db::{self, args};
use crate::tenant::caller::{Caller, Scope};
use crate::value::reply::{Outcome, Reply};
use crate::webhook::endpoint::{self, EndpointData, shown};

/// What is to change; what is not given stays, and so do id and secret.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    /// The `whk_…` of an endpoint.
    pub id: String,
    /// Judged as at registration. What waits for the endpoint goes to the new URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Types of events; those that it is told of from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "endpoint::event_types")]
    pub events: Option<Vec<String>>,
    /// At most 500 characters; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When each attempt is due, in seconds after the first; of deliveries from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_schedule_s: Option<Vec<i32>>,
    /// False switches the endpoint off, true on again. What happens while it is off is kept for a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What the host resolved to. The gateway fills it in.
    #[serde(default, skip_serializing)]
    pub resolved_addresses: Option<Vec<String>>,
}

pub struct Update;

/// Whoever leads it elsewhere is the one for whom it is told of vouchers from then on.
const UPDATE: &str = concat!(
    "update topup.webhook_endpoint
        set url = coalesce($4, url), events = coalesce($5, events), description = nullif(coalesce($6, description), ''),
            retry_schedule_s = coalesce($7, retry_schedule_s),
            key_id = case when $4 is null then key_id else $9 end,
            sees_vouchers = case when $4 is null then sees_vouchers else $10 end,
            disabled_at = case $8 when true then null when false then coalesce(disabled_at, clock_timestamp())
                                  else disabled_at end,
            enabled_at = case when $8 and disabled_at is not null then clock_timestamp() else enabled_at end,
            disabled_reason = case $8 when true then null when false then coalesce(disabled_reason, 'Switched off by its owner.')
                                      else disabled_reason end
      where tenant_id = $1 and environment = $2::topup.environment and endpoint_id = $3 and deleted_at is null
     returning ",
    shown!()
);

impl Handler for Update {
    const NAME: &'static str = "webhook_update";
    type Request = UpdateRequest;
    type Data = EndpointData;

    fn handle(caller: &Caller, request: &UpdateRequest) -> Outcome<EndpointData> {
        let (events, schedule) = (request.events.as_deref(), request.retry_schedule_s.as_deref());
        endpoint::check(events, request.description.as_deref(), schedule)?;
        let check_url = |url: &String| endpoint::check_url(url, request.resolved_addresses.as_deref());
        let url = request.url.as_ref().map(check_url).transpose()?;
        let arguments = args![
            caller.tenant_id,
            caller.environment.as_str(),
            endpoint::parse_id(&request.id)?,
            url.as_ref().map(|url| url.as_str()),
            request.events.clone(),
            request.description.as_deref(),
            request.retry_schedule_s.clone(),
            request.enabled,
            caller.key.id,
            caller.has(Scope::Vouchers),
        ];
        let changed = db::write(UPDATE, arguments, EndpointData::read)?.pop();
        Ok(Reply::new(Code::Success, changed.ok_or_else(endpoint::not_found)?))
    }
}
