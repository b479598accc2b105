//! Replies: what the database said, passed on, or a refusal of the gateway's own in the same envelope.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use pg_topup_contract::{Code, Envelope, PROBLEM_JSON, Problem, cloudflare_refusal, cloudflare_status};
use serde::Deserialize;

use crate::operation::Operation;
use crate::request_id;
use crate::response_format::ResponseFormat;

/// What the operation answered: a finished body with its HTTP status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub replayed: bool,
}

/// What a response was about: for logs and metrics, not for the wire.
#[derive(Clone, Debug)]
pub struct Subject {
    pub operation: String,
    pub code: Option<i16>,
}

pub const RETRY_AFTER_S: u64 = 1;

/// A finished body with its status. The headers that go with 401, 429 and 503 are added here.
pub fn json(status: u16, body: String) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let subject = subject_of(&body);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        _ => {}
    }
    response.extensions_mut().insert(subject);
    response
}

/// A finished body of an operation in the shape of its surface.
pub fn of(operation: &Operation, status: u16, body: String) -> Response<Body> {
    let mut response = json(status, body);
    if operation.format.has_problems() {
        set_content_type(&mut response, if status >= 400 { PROBLEM_JSON } else { &operation.media_type });
    }
    response
}

fn set_content_type(response: &mut Response<Body>, content_type: &str) {
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
}

/// What an envelope is about.
pub fn subject_of(envelope: &str) -> Subject {
    Subject { operation: String::new(), code: code_of(envelope) }
}

/// Why the gateway itself does not carry a request out, before a surface puts it in its own shape.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    field: Option<String>,
    retry_after_s: u64,
}

impl Refusal {
    /// A refusal with no field at fault.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), field: None, retry_after_s: RETRY_AFTER_S }
    }

    /// A refusal for one field, or header, of the request.
    pub fn of_field(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { field: Some(field.into()), ..Refusal::new(code, message) }
    }

    /// The refusal in an envelope of Postgres's.
    pub fn told(envelope: &str) -> Self {
        #[derive(Deserialize)]
        struct Told {
            code: i16,
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            message: String,
            field: Option<String>,
        }
        let told = serde_json::from_str::<Told>(envelope).ok();
        let read = told.and_then(|told| {
            let code = Code::ALL.iter().find(|code| code.number() == told.code)?;
            Some(Refusal { field: told.data.field, ..Refusal::new(*code, told.data.message) })
        });
        read.unwrap_or_else(Refusal::internal)
    }

    /// Too many requests; the next is welcome after `wait`.
    pub fn rate_limited(wait: Duration) -> Self {
        Refusal::too_many("requests with this key", wait)
    }

    /// Too many wrong keys from where the request comes from; the next is looked at after `wait`.
    pub fn wrong_keys(wait: Duration) -> Self {
        Refusal::too_many("wrong API keys from this address", wait)
    }

    fn too_many(what: &str, wait: Duration) -> Self {
        let wait_s = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        let message = format!("Too many {what}. Try again in {wait_s} s.");
        Refusal { retry_after_s: wait_s, ..Refusal::new(Code::RateLimitExceeded, message) }
    }

    /// Postgres cannot answer now; the client may try again.
    pub fn unavailable() -> Self {
        Refusal::new(Code::ServiceUnavailable, "The service is unavailable for the moment. Try again.")
    }

    /// A fault of ours. What happened is in the log, under the request id.
    pub fn internal() -> Self {
        Refusal::new(Code::InternalError, format!("Internal error. Request id: {}", request_id::current()))
    }

    /// The envelope's text.
    pub fn envelope(&self) -> String {
        Envelope::refusal(self.code, &self.message, self.field.as_deref()).to_json().unwrap_or_default()
    }

    /// In the shape of a surface.
    pub fn on(self, format: ResponseFormat) -> Response<Body> {
        let (status, code) = (self.code.http_status(), self.code.number());
        match format {
            ResponseFormat::Envelope => return self.into_response(),
            ResponseFormat::Cloudflare => {
                let body = cloudflare_refusal(code, &self.message, self.field.as_deref()).unwrap_or_default();
                let mut response = self.respond(body);
                let status = StatusCode::from_u16(cloudflare_status(status));
                *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return response;
            }
            ResponseFormat::Credyt | ResponseFormat::Document => {}
        }
        let problem = Problem::new(status, code, &self.message, self.field.as_deref());
        let mut response = self.respond(problem.to_json().unwrap_or_default());
        set_content_type(&mut response, PROBLEM_JSON);
        response
    }

    /// As an operation would answer it.
    pub fn answer(&self) -> Answer {
        Answer { status: self.code.http_status(), body: self.envelope(), replayed: false }
    }

    /// A response with this body and the headers that go with the refusal.
    pub fn respond(&self, body: String) -> Response<Body> {
        let mut response = json(self.code.http_status(), body);
        if let Some(retry_after) = response.headers_mut().get_mut(header::RETRY_AFTER) {
            *retry_after = HeaderValue::from(self.retry_after_s);
        }
        if let Some(subject) = response.extensions_mut().get_mut::<Subject>() {
            subject.code = Some(self.code.number());
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        self.respond(self.envelope())
    }
}

/// The code of an envelope, which begins with it.
pub fn code_of(body: &str) -> Option<i16> {
    const HEAD_BYTES: usize = 40;
    let head = body.get(..HEAD_BYTES.min(body.len()))?;
    let (_, tail) = head.split_once("\"code\":")?;
    let digits = tail.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_found_where_it_stands() {
        assert_eq!(code_of(r#"{"success":true,"code":1001,"transaction_id":null}"#), Some(1001));
        assert_eq!(code_of(r#"{"success": false, "code": 2001, "transaction_id": null}"#), Some(2001));
        assert_eq!(code_of(r#"{"data":{"code":1}}"#), Some(1));
        assert_eq!(code_of("[]"), None);
    }

    #[test]
    fn a_401_says_how_to_sign_in_and_a_503_when_to_come_back() {
        let refused = Refusal::new(Code::InvalidApiKey, "No.").into_response();
        assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(Refusal::unavailable().into_response().headers()[header::RETRY_AFTER], "1");
        let limited = Refusal::rate_limited(Duration::from_millis(1200)).into_response();
        assert_eq!(limited.headers()[header::RETRY_AFTER], "2");
    }
}
