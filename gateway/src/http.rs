//! The door: finds the operation, makes its request, calls it, and sends back what it says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use metrics::{counter, gauge, histogram};
use pg_topup_contract::Code;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;
use crate::body;
use crate::call;
use crate::client_address;
use crate::credentials::{self, Credentials};
use crate::ignored;
use crate::limit;
use crate::mcp;
use crate::operation::{Operation, RETRY_FIELD};
use crate::pages;
use crate::reply::{self, Refusal, Subject};
use crate::request;
use crate::request_id;
use crate::response_format::ResponseFormat;
use crate::routes::Found;

/// Clients of Cloudflare's repeat a failed POST, with no key by which that would be known, unless this is false.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    let nosniff = SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    pages::router(app.clone())
        .merge(mcp::router(app.clone()))
        .fallback(api)
        .method_not_allowed_fallback(body::method_not_allowed)
        .layer(CatchPanicLayer::custom(|_| Refusal::internal().into_response()))
        .layer(nosniff)
        .layer(middleware::from_fn(observe))
        .with_state(app)
}

/// Gives every request its id, and notes what became of it.
async fn observe(request: Request, next: Next) -> Response<Body> {
    let (id, method, started) = (request_id::of(request.headers()), request.method().clone(), Instant::now());
    gauge!("topup_http_in_flight").increment(1);
    let in_flight = InFlight;
    let mut response = request_id::scope(id.clone(), next.run(request)).await;
    drop(in_flight);
    response.headers_mut().insert(request_id::HEADER, request_id::header_value(&id));
    let subject = response.extensions_mut().remove::<Subject>();
    let code = subject.as_ref().and_then(|subject| subject.code);
    let operation = match subject {
        Some(subject) if !subject.operation.is_empty() => subject.operation,
        _ => "none".to_owned(),
    };
    let (status, took) = (response.status().as_u16(), started.elapsed());
    tracing::info!(
        request_id = id,
        method = %method,
        operation,
        status,
        code,
        duration_ms = took.as_micros() as f64 / 1000.0,
        "request"
    );
    histogram!("topup_http_request_duration_seconds", "operation" => operation.clone()).record(took);
    let code = code.map(|code| code.to_string()).unwrap_or_default();
    let labels = [("operation", operation), ("status", status.to_string()), ("code", code)];
    counter!("topup_http_requests_total", &labels).increment(1);
    response
}

/// Counts a request as over, also when its client goes away.
struct InFlight;

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("topup_http_in_flight").decrement(1);
    }
}

/// Answers every path that is no page.
async fn api(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let Some(catalog) = app.catalog.load_full() else {
        body::discard_of(request);
        return Refusal::unavailable().into_response();
    };
    let refusal = match catalog.routes.find(request.method(), request.uri().path()) {
        Found::Operation(operation, path) => {
            let name = operation.name.clone();
            let is_post = request.method() == Method::POST;
            let answer = answer(&app, peer, &operation, path, request).await;
            let mut response = answer.unwrap_or_else(|refusal| refusal.on(operation.format));
            forbid_repeating(&mut response, operation.format, is_post);
            if let Some(subject) = response.extensions_mut().get_mut::<Subject>() {
                subject.operation = name;
            }
            return response;
        }
        Found::OtherMethods(allow, format) => {
            let message = format!("This endpoint takes {allow}.");
            let mut refusal = Refusal::new(Code::MethodNotAllowed, message).on(format);
            if let Ok(allow) = HeaderValue::from_str(&allow) {
                refusal.headers_mut().insert(header::ALLOW, allow);
            }
            forbid_repeating(&mut refusal, format, request.method() == Method::POST);
            refusal
        }
        Found::NotText => Refusal::new(Code::InvalidRequest, "The path is not UTF-8.").into_response(),
        Found::Nothing => Refusal::new(Code::UnknownEndpoint, "There is no such endpoint.").into_response(),
    };
    body::discard_of(request);
    refusal
}

fn forbid_repeating(response: &mut Response<Body>, format: ResponseFormat, is_post: bool) {
    if format == ResponseFormat::Cloudflare && is_post && !response.status().is_success() {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}

async fn answer(
    app: &App,
    peer: SocketAddr,
    operation: &Operation,
    path: Vec<(String, String)>,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let credentials = match admit(app, peer, &head.headers).await {
        Ok(credentials) => credentials,
        Err(refusal) => {
            body::discard(&head.headers, body);
            return Err(refusal);
        }
    };
    let mut held = app.bodies.of_key(&credentials.api_key);
    let body = match operation.takes_body() {
        true => {
            let bytes_max = app.settings.body_limit_bytes as usize;
            body::json_text(&head.headers, body, bytes_max, &mut held).await?
        }
        false => {
            body::discard(&head.headers, body);
            String::new()
        }
    };
    let idempotency_key = idempotency_key(operation, &head.headers)?;
    let mut path = path;
    if operation.format == ResponseFormat::Cloudflare && operation.kinds(RETRY_FIELD).is_some() {
        path.push((RETRY_FIELD.to_owned(), retry_count(&head.headers).to_string()));
    }
    let query = head.uri.query().unwrap_or("");
    let warning = ignored::warning(operation, query, &body);
    let request = request::text(operation, &path, query, &body);
    let answer = call::perform(app, operation, &credentials, idempotency_key.as_deref(), request).await?;
    app.admission.hear(&credentials, answer.status);
    let mut response = reply::of(operation, answer.status, answer.body);
    if let Some(warning) = warning {
        response.headers_mut().insert(header::WARNING, warning);
    }
    if answer.replayed {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Who calls, as long as the key is good and not calling too often.
async fn admit(app: &App, peer: SocketAddr, headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let api_key = credentials::api_key(headers)?;
    let client_ip = client_address::of(peer.ip(), headers, &app.settings.trusted_proxies);
    let credentials = Credentials { api_key, client_ip };
    app.admission.admit(&app.database, &credentials).await?;
    limit::admit(app.limiter.as_ref(), &credentials.api_key)?;
    Ok(credentials)
}

/// How often a client of Cloudflare's sent this before, as it says itself. Only the header says so: the same in a body
/// is a field given twice.
fn retry_count(headers: &HeaderMap) -> u32 {
    headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok()?.parse().ok()).unwrap_or_default()
}

fn idempotency_key(operation: &Operation, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    const LENGTH_MAX: usize = 255;
    let refuse = |message| Err(Refusal::of_field(Code::InvalidRequest, "Idempotency-Key", message));
    if !operation.idempotent {
        return Ok(None);
    }
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return refuse("The Idempotency-Key is given twice.");
    }
    match value.to_str() {
        Ok(key)
            if (1..=LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(key.to_owned()))
        }
        _ => refuse("The Idempotency-Key must be 1 to 255 visible ASCII characters."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_idempotency_key_counts_only_where_it_is_taken() {
        let taken = Operation { idempotent: true, ..Operation::default() };
        let long = "x".repeat(256);
        for bad in ["", "a b", long.as_str()] {
            assert!(idempotency_key(&taken, &headers(&[("idempotency-key", bad)])).is_err(), "{bad:?}");
            let not_taken = idempotency_key(&Operation::default(), &headers(&[("idempotency-key", bad)]));
            assert_eq!(not_taken.unwrap(), None);
        }
        let given = idempotency_key(&taken, &headers(&[("idempotency-key", "k-1")]));
        assert_eq!(given.unwrap().as_deref(), Some("k-1"));
        let twice = headers(&[("idempotency-key", "a"), ("idempotency-key", "a")]);
        assert!(idempotency_key(&taken, &twice).is_err());
    }
}
