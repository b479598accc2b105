//! The ping that tests an endpoint: sent by the worker like any delivery, asked about until it is done.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event;
use crate::operation::handler::Handler;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::id::Kind;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::webhook::endpoint::{self, EndpointRequest};

/// The ping's delivery.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    /// The `dlv_…` of the ping.
    pub delivery_id: String,
}

/// How a test went, or where that is told.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestData {
    /// The `dlv_…` of the ping.
    pub delivery_id: String,
    /// What the receiver said, or what went wrong, where the ping did not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

pub struct Test;

/// A receiver's fault is none of ours: the test was carried out.
const HTTP_CARRIED_OUT: u16 = 200;

impl Handler for Test {
    const NAME: &'static str = "webhook_test";
    type Request = EndpointRequest;
    type Data = TestData;

    fn handle(caller: &Caller, request: &EndpointRequest) -> Outcome<TestData> {
        let endpoint_id = endpoint::parse_id(&request.id)?;
        endpoint::require_on(caller, endpoint_id).map_err(|failure| match failure {
            Failure::Refused(refusal) if refusal.code == Code::WebhookDeliveryFailed => {
                refusal.with_http_status(HTTP_CARRIED_OUT).into()
            }
            other => other,
        })?;
        let delivery_id = event::ping(caller, endpoint_id)?.ok_or_else(endpoint::not_found)?;
        Ok(under_way(Kind::Delivery.text(delivery_id)))
    }
}

fn under_way(delivery_id: String) -> Reply<TestData> {
    Reply::new(Code::Pending, TestData { delivery_id, message: None })
}

fn not_arrived(delivery_id: String, message: String) -> Reply<TestData> {
    let data = TestData { delivery_id, message: Some(message) };
    Reply::new(Code::WebhookDeliveryFailed, data).with_http_status(HTTP_CARRIED_OUT)
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
    type Data = TestData;

    fn handle(caller: &Caller, request: &Ping) -> Outcome<TestData> {
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
        let delivery_id = request.delivery_id.clone();
        match status.as_str() {
            "pending" => Ok(under_way(delivery_id)),
            "succeeded" => Ok(Reply::new(Code::Success, TestData { delivery_id, message: None })),
            "skipped" => {
                Ok(not_arrived(delivery_id, "The webhook was switched off before it was sent.".to_owned()))
            }
            _ => {
                let said = error
                    .or_else(|| http_status.map(|http_status| format!("HTTP {http_status}")))
                    .unwrap_or_else(|| "nothing".to_owned());
                let body = response
                    .filter(|body| !body.is_empty())
                    .map(|body| format!(": {body}"))
                    .unwrap_or_default();
                Ok(not_arrived(delivery_id, format!("The receiver said {said}{body}")))
            }
        }
    }
}
