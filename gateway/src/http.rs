//! The door: finds the operation, makes its request, calls it, and sends back what it says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use axum::middleware::{self, Next};
use futures_util::StreamExt;
use metrics::{counter, gauge, histogram};
use pg_topup_contract::Code;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;
use crate::call::{self, Incoming};
use crate::operation::Operation;
use crate::reply::{self, Subject};
use crate::routes::Found;
use crate::{client_address, pages, request_id};

const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is not wanted is still read so far, so that the client hears the answer
/// instead of a reset connection.
const DISCARD_BYTES_MAX: usize = 16 * 1_048_576;

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    let nosniff = SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    pages::router()
        .fallback(api)
        .method_not_allowed_fallback(async |request: Request| {
            discard(request.into_body()).await;
            reply::refusal(Code::MethodNotAllowed, "Only GET and HEAD are allowed here.", None)
        })
        .layer(CatchPanicLayer::custom(|_| reply::internal()))
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
        discard(request.into_body()).await;
        return reply::unavailable();
    };
    let refusal = match catalog.routes.find(request.method(), request.uri().path()) {
        Found::Operation(operation, path) => {
            let name = operation.name.clone();
            let mut response = answer(&app, peer, &operation, path, request).await;
            if let Some(subject) = response.extensions_mut().get_mut::<Subject>() {
                subject.operation = name;
            }
            return response;
        }
        Found::OtherMethods(allow) => {
            let message = format!("This endpoint takes {allow}.");
            let mut refusal = reply::refusal(Code::MethodNotAllowed, &message, None);
            if let Ok(allow) = HeaderValue::from_str(&allow) {
                refusal.headers_mut().insert(header::ALLOW, allow);
            }
            refusal
        }
        Found::NotText => reply::refusal(Code::InvalidRequest, "The path is not UTF-8.", None),
        Found::Nothing => reply::refusal(Code::UnknownEndpoint, "There is no such endpoint.", None),
    };
    discard(request.into_body()).await;
    refusal
}

async fn answer(
    app: &App,
    peer: SocketAddr,
    operation: &Operation,
    path: Vec<(String, String)>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let api_key = match api_key(&head.headers) {
        Ok(api_key) => api_key,
        Err(message) => {
            discard(body).await;
            return reply::refusal(Code::InvalidApiKey, message, None);
        }
    };
    if let Some(Err(wait)) = app.limiter.as_ref().map(|limiter| limiter.admit(&api_key)) {
        counter!("topup_rate_limited_total").increment(1);
        discard(body).await;
        return rate_limited(wait);
    }
    let body = match wanted_body(app, operation, &head.headers, body).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let idempotency_key = match idempotency_key(operation, &head.headers) {
        Ok(key) => key,
        Err(message) => return reply::refusal(Code::InvalidRequest, message, Some("Idempotency-Key")),
    };
    let client_ip = client_address::of(peer.ip(), &head.headers, &app.trusted_proxies);
    let query = head.uri.query().unwrap_or("");
    call::run(app, operation, Incoming { api_key, idempotency_key, client_ip, path, query, body }).await
}

/// The body of a POST as text, judged; other methods have none that counts.
async fn wanted_body(
    app: &App,
    operation: &Operation,
    headers: &HeaderMap,
    body: Body,
) -> Result<String, Box<Response<Body>>> {
    let refuse = |code, message: &str| Err(Box::new(reply::refusal(code, message, None)));
    if operation.method != Some(Method::POST) {
        discard(body).await;
        return Ok(String::new());
    }
    let too_large = format!("The body is larger than {} bytes.", app.body_bytes_max);
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > app.body_bytes_max) {
        // Who waits for "100 Continue" has not sent anything yet, and reading would invite it.
        if !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return refuse(Code::BodyTooLarge, &too_large);
    }
    let bytes = match read(body, app.body_bytes_max).await {
        Read::All(bytes) => bytes,
        Read::TooLarge => return refuse(Code::BodyTooLarge, &too_large),
        Read::Broken => return refuse(Code::InvalidRequest, "The body did not arrive whole."),
    };
    if !bytes.is_empty() && !is_json(headers) {
        return refuse(Code::UnsupportedMediaType, "The Content-Type must be application/json.");
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => refuse(Code::InvalidRequest, "The body contains a NUL byte."),
        Err(_) => refuse(Code::InvalidRequest, "The body is not UTF-8."),
    }
}

enum Read {
    All(Vec<u8>),
    TooLarge,
    Broken,
}

async fn read(body: Body, bytes_max: usize) -> Read {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    let reading = async {
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else { return Read::Broken };
            if bytes.len() + chunk.len() > bytes_max {
                discard_chunks(chunks, chunk).await;
                return Read::TooLarge;
            }
            bytes.extend_from_slice(&chunk);
        }
        Read::All(bytes)
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or(Read::Broken)
}

async fn discard(body: Body) {
    let _ = tokio::time::timeout(BODY_TIMEOUT, discard_chunks(body.into_data_stream(), Bytes::new())).await;
}

async fn discard_chunks(mut chunks: axum::body::BodyDataStream, first: Bytes) {
    let mut discarded = first.len();
    while discarded < DISCARD_BYTES_MAX
        && let Some(Ok(chunk)) = chunks.next().await
    {
        discarded += chunk.len();
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The key from either header; empty when there is none, for the database to refuse.
fn api_key(headers: &HeaderMap) -> Result<String, &'static str> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let plain = headers.get_all("x-credyt-api-key").iter().map(|value| value.to_str().unwrap_or("").trim());
    let mut keys = bearers.chain(plain);
    let first = keys.next().unwrap_or("");
    if keys.any(|other| other != first) {
        return Err("The request carries two different API keys.");
    }
    Ok(first.to_owned())
}

fn idempotency_key(operation: &Operation, headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    const LENGTH_MAX: usize = 255;
    if !operation.idempotent {
        return Ok(None);
    }
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err("The Idempotency-Key is given twice.");
    }
    match value.to_str() {
        Ok(key)
            if (1..=LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(key.to_owned()))
        }
        _ => Err("The Idempotency-Key must be 1 to 255 visible ASCII characters."),
    }
}

fn rate_limited(wait: Duration) -> Response<Body> {
    let wait_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("Too many requests with this key. Try again in {} s.", wait_s.max(1));
    let mut refusal = reply::refusal(Code::RateLimitExceeded, &message, None);
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s.max(1)));
    refusal
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
    fn the_key_comes_from_either_header() {
        for (given, key) in [
            (vec![("authorization", "Bearer ak_1")], Ok("ak_1")),
            (vec![("authorization", "bEARER  ak_1 ")], Ok("ak_1")),
            (vec![("x-credyt-api-key", "ak_1")], Ok("ak_1")),
            (vec![("authorization", "Bearer ak_1"), ("x-credyt-api-key", "ak_1")], Ok("ak_1")),
            (vec![("authorization", "Basic eDp5"), ("x-credyt-api-key", "ak_1")], Ok("ak_1")),
            (vec![("authorization", "ak_1")], Ok("")),
            (vec![], Ok("")),
            (vec![("authorization", "Bearer ak_1"), ("x-credyt-api-key", "ak_2")], Err(())),
        ] {
            assert_eq!(api_key(&headers(&given)).map_err(drop), key.map(str::to_owned), "{given:?}");
        }
    }

    #[test]
    fn the_idempotency_key_counts_only_where_it_is_taken() {
        let taken = Operation { idempotent: true, ..Operation::default() };
        let long = "x".repeat(256);
        for bad in ["", "a b", long.as_str()] {
            assert!(idempotency_key(&taken, &headers(&[("idempotency-key", bad)])).is_err(), "{bad:?}");
            assert_eq!(
                idempotency_key(&Operation::default(), &headers(&[("idempotency-key", bad)])),
                Ok(None)
            );
        }
        assert_eq!(idempotency_key(&taken, &headers(&[("idempotency-key", "k-1")])), Ok(Some("k-1".into())));
        let twice = headers(&[("idempotency-key", "a"), ("idempotency-key", "a")]);
        assert!(idempotency_key(&taken, &twice).is_err());
    }

    #[test]
    fn json_may_carry_parameters() {
        for (given, fits) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
        ] {
            assert_eq!(is_json(&headers(&[("content-type", given)])), fits, "{given}");
        }
    }
}
