//! Replies: what the database said, passed on, or a refusal of the gateway's own in the same envelope.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use pg_topup_contract::{Code, Envelope};

use crate::request_id;

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
    let code = code_of(&body);
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
    response.extensions_mut().insert(Subject { operation: String::new(), code });
    response
}

/// A refusal in the envelope.
pub fn refusal(code: Code, message: &str, field: Option<&str>) -> Response<Body> {
    let envelope = Envelope::refusal(code, message, field);
    json(code.http_status(), envelope.to_json().unwrap_or_default())
}

/// Postgres cannot answer now; the client may try again.
pub fn unavailable() -> Response<Body> {
    refusal(Code::ServiceUnavailable, "The service is unavailable for the moment. Try again.", None)
}

/// A fault of ours. What happened is in the log, under the request id.
pub fn internal() -> Response<Body> {
    let message = format!("Internal error. Request id: {}", request_id::current());
    refusal(Code::InternalError, &message, None)
}

/// The envelope's code, read from where it always stands.
fn code_of(body: &str) -> Option<i16> {
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
        let refused = refusal(Code::InvalidApiKey, "No.", None);
        assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(unavailable().headers()[header::RETRY_AFTER], "1");
    }
}
