//! The ping that tests an endpoint: sent by the worker like any delivery, asked about until it is done.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::db::{self, args};
use crate::event;
use crate::handler::Handler;
use crate::id::Kind;
use crate::reply::{Outcome, Refusal, Reply};
use crate::webhook::{self, EndpointRequest};

/// The ping's delivery.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    /// The `dlv_…` of the ping.
    pub delivery_id: String,
}

pub struct Test;

impl Handler for Test {
    const NAME: &'static str = "webhook_test";
    type Request = EndpointRequest;
    type Data = Ping;

    fn handle(caller: &Caller, request: &EndpointRequest) -> Outcome<Ping> {
        let endpoint_id = webhook::parse_id(&request.id)?;
        webhook::require_on(caller, endpoint_id)?;
        let delivery_id = event::ping(caller, endpoint_id)?.ok_or_else(webhook::not_found)?;
        Ok(under_way(Kind::Delivery.text(delivery_id)))
    }
}

fn under_way(delivery_id: String) -> Reply<Ping> {
    Reply::new(Code::Pending, Ping { delivery_id })
}

pub struct TestResult;

const RESULT: &str = "
    select d.status, a.http_status, a.error, a.response
      from topup.delivery d
      left join topup.attempt a
             on a.tenant_id = d.tenant_id and a.delivery_id = d.delivery_id and a.number = d.attempts
     where d.tenant_id = $1 and d.environment = $2::topup.environment and d.delivery_id = $3
       and exists (select from topup.event e
                    where e.tenant_id = d.tenant_id and e.environment = d.environment and e.event_id = d.event_id
                      and e.type = 'ping')";

impl Handler for TestResult {
    const NAME: &'static str = "webhook_test_result";
    type Request = Ping;
    type Data = Ping;

    fn handle(caller: &Caller, request: &Ping) -> Outcome<Ping> {
        let not_found = || Refusal::of_field(Code::WebhookNotFound, "delivery_id", "There is no such ping.");
        let delivery_id = Kind::Delivery.parse(&request.delivery_id).ok_or_else(not_found)?;
        let arguments = args![caller.tenant_id, caller.environment.as_str(), delivery_id];
        let found = db::read(RESULT, arguments, |row| {
            Ok((
                row.get::<String>(1)?,
                row.maybe::<i32>(2)?,
                row.maybe::<String>(3)?,
                row.maybe::<String>(4)?,
            ))
        })?;
        let (status, http_status, error, response) = found.into_iter().next().ok_or_else(not_found)?;
        match status.as_str() {
            "pending" => Ok(under_way(request.delivery_id.clone())),
            "succeeded" => Ok(Reply::new(Code::Success, Ping { delivery_id: request.delivery_id.clone() })),
            _ => {
                let said = error
                    .or_else(|| http_status.map(|http_status| format!("HTTP {http_status}")))
                    .unwrap_or_else(|| "nothing".to_owned());
                let body = response
                    .filter(|body| !body.is_empty())
                    .map(|body| format!(": {body}"))
                    .unwrap_or_default();
                Err(Refusal::new(Code::WebhookDeliveryFailed, format!("The receiver said {said}{body}"))
                    .into())
            }
        }
    }
}
