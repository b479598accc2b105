//! One call of an operation: its request completed, the call, and what follows on it.

use std::net::IpAddr;

use pg_topup_contract::WebhookUrl;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::credentials::Credentials;
use crate::operation::{Operation, RESOLVED_FIELD};
use crate::postgres::database::{Call, Fault};
use crate::postgres::fault;
use crate::reply::{Answer, Refusal};
use crate::request;
use crate::webhook::resolver;

const LOOKUPS_MAX: usize = 32;

/// Names being looked up at one time: each holds a thread.
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// Calls the operation and waits for its end. A fault is a refusal, which each surface tells in its own shape.
pub async fn perform(
    app: &App,
    operation: &Operation,
    credentials: &Credentials,
    idempotency_key: Option<&str>,
    request: String,
) -> Result<Answer, Refusal> {
    let completes_with = operation.completes_with.as_deref();
    let _under_way = completes_with.map(|_| app.completions.admit(&credentials.api_key)).transpose()?;
    let failed = |fault: Fault| fault::refusal(&operation.name, &fault);
    let request = with_addresses(app, operation, credentials, request).await.map_err(failed)?;
    let call = Call {
        api_key: &credentials.api_key,
        operation: &operation.name,
        request: &request,
        idempotency_key,
        client_ip: credentials.client_ip,
    };
    let first = match operation.batched {
        true => app.sends.call(&call).await,
        false => app.database.call(&call).await,
    };
    let result = match (first, completes_with) {
        (Ok(answer), Some(then)) => app.completions.end(&app.database, &call, then, answer).await,
        (result, _) => result,
    };
    result.map_err(failed)
}

/// Adds the addresses that the request's URL leads to, where the operation judges one.
/// Also where nothing is looked up, so that a client cannot bring addresses of its own.
async fn with_addresses(
    app: &App,
    operation: &Operation,
    credentials: &Credentials,
    request: String,
) -> Result<String, Fault> {
    let Some(field) = &operation.resolves else { return Ok(request) };
    let url = request::string_field(&request, field).filter(|_| !app.settings.allow_private_webhooks);
    let addresses = resolved(app, credentials, url).await?;
    let addresses: Vec<String> = addresses.iter().map(|ip| request::quoted(&ip.to_string())).collect();
    Ok(request::splice(&request, &[(RESOLVED_FIELD.to_owned(), format!("[{}]", addresses.join(",")))]))
}

/// The addresses that a URL leads to. A URL that will be refused anyway is not looked up.
async fn resolved(app: &App, credentials: &Credentials, url: Option<String>) -> Result<Vec<IpAddr>, Fault> {
    let Some(url) = url.and_then(|url| WebhookUrl::parse(&url, false).ok()) else { return Ok(Vec::new()) };
    let Some(name) = url.domain() else { return Ok(literal_address(&url).into_iter().collect()) };
    let (key, tenant) = app.database.parties(&credentials.api_key, credentials.client_ip).await?;
    let _place = app.lookups.enter(key, tenant).await?;
    let _turn = LOOKUPS.acquire().await;
    Ok(resolver::addresses(name).await)
}

fn literal_address(url: &WebhookUrl) -> Option<IpAddr> {
    match url::Url::parse(url.as_str()).ok()?.host()? {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(_) => None,
    }
}
