//! One call of an operation: its request put together, the call, what follows on it, and the response.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Response};
use pg_topup_contract::WebhookUrl;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::database::{Answer, Call, Fault};
use crate::operation::{Operation, RESOLVED_FIELD};
use crate::{guard, reply, request, request_id};

const LOOKUPS_MAX: usize = 32;
const COMPLETION_PAUSE: Duration = Duration::from_millis(50);
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(15);
const STATUS_ACCEPTED: u16 = 202;

/// Names being looked up at one time: each holds a thread.
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// What a client sent, judged as far as HTTP goes.
pub struct Incoming<'a> {
    pub api_key: String,
    pub idempotency_key: Option<String>,
    pub client_ip: IpAddr,
    pub path: Vec<(String, String)>,
    pub query: &'a str,
    pub body: String,
}

/// Calls the operation and makes the response.
pub async fn run(app: &App, operation: &Operation, incoming: Incoming<'_>) -> Response<Body> {
    let request = request_text(app, operation, &incoming).await;
    let call = Call {
        api_key: &incoming.api_key,
        operation: &operation.name,
        request: &request,
        idempotency_key: incoming.idempotency_key.as_deref(),
        client_ip: incoming.client_ip,
    };
    let result = match app.database.call(&call).await {
        Ok(answer) => complete(app, operation, &call, answer).await,
        Err(fault) => Err(fault),
    };
    match result {
        Ok(answer) => {
            let mut response = reply::json(answer.status, answer.body);
            if answer.replayed {
                let name = HeaderName::from_static("idempotent-replayed");
                response.headers_mut().insert(name, HeaderValue::from_static("true"));
            }
            response
        }
        Err(fault) => failed(operation, &fault),
    }
}

/// GET and DELETE: path and query. POST: the body, with the path's parts in front.
async fn request_text(app: &App, operation: &Operation, incoming: &Incoming<'_>) -> String {
    let mut fields = request::path_fields(operation, &incoming.path);
    if operation.method != Some(Method::POST) {
        fields.extend(request::query_fields(operation, incoming.query));
        return request::object(&fields);
    }
    let body = if incoming.body.is_empty() { "{}" } else { &incoming.body };
    // Added also where nothing is looked up, so that a client cannot bring addresses of its own.
    if let Some(field) = &operation.resolves {
        let url = request::string_field(body, field).filter(|_| !app.allow_private_webhooks);
        let addresses: Vec<String> =
            resolved(url).await.iter().map(|ip| request::quoted(&ip.to_string())).collect();
        fields.push((RESOLVED_FIELD.to_owned(), format!("[{}]", addresses.join(","))));
    }
    request::splice(body, &fields)
}

/// The addresses that a URL leads to. A URL that will be refused anyway is not looked up.
async fn resolved(url: Option<String>) -> Vec<IpAddr> {
    let Some(url) = url.and_then(|url| WebhookUrl::parse(&url, false).ok()) else { return Vec::new() };
    match url.domain() {
        Some(name) => {
            let _turn = LOOKUPS.acquire().await;
            guard::addresses(name).await
        }
        None => literal_address(&url).into_iter().collect(),
    }
}

fn literal_address(url: &WebhookUrl) -> Option<IpAddr> {
    match url::Url::parse(url.as_str()).ok()?.host()? {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(_) => None,
    }
}

/// Asks again while an operation that ends elsewhere is still under way.
async fn complete(
    app: &App,
    operation: &Operation,
    call: &Call<'_>,
    answer: Answer,
) -> Result<Answer, Fault> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let Some(then) = operation.completes_with.as_deref().filter(|_| answer.status == STATUS_ACCEPTED) else {
        return Ok(answer);
    };
    let data = serde_json::from_str::<Reply>(&answer.body).map(|reply| reply.data.get().to_owned());
    let Ok(data) = data else { return Ok(answer) };
    let again = Call { operation: then, request: &data, idempotency_key: None, ..*call };
    let deadline = Instant::now() + COMPLETION_TIMEOUT;
    let mut answer = answer;
    while answer.status == STATUS_ACCEPTED && Instant::now() < deadline {
        tokio::time::sleep(COMPLETION_PAUSE).await;
        answer = app.database.call(&again).await?;
    }
    Ok(answer)
}

fn failed(operation: &Operation, fault: &Fault) -> Response<Body> {
    let (request_id, operation) = (request_id::current(), &operation.name);
    match fault {
        Fault::Unavailable(message) | Fault::Conflict(message) => {
            tracing::warn!(request_id, operation, message, "postgres cannot answer now");
            reply::unavailable()
        }
        Fault::Internal { sqlstate, message } => {
            tracing::error!(request_id, operation, sqlstate, message, "the call failed");
            reply::internal()
        }
    }
}
