//! What is refused before the protocol is spoken: told as a JSON-RPC error, under the HTTP status that fits.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use pg_topup_contract::Code;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, ErrorData, JsonRpcError, RequestId};
use serde::Deserialize;
use serde_json::Value;

use crate::database::Answer;
use crate::reply::{self, Refusal};

/// The range that JSON-RPC leaves to servers; the envelope in `data` says more.
const REFUSED: ErrorCode = ErrorCode(-32000);

#[derive(Debug)]
pub enum Rejection {
    /// By the gateway.
    Refused(Refusal),
    /// By the database, in a finished envelope.
    Answered(Answer),
    /// No request in JSON-RPC's sense, or from a place that may not send one.
    Rpc(StatusCode, Box<JsonRpcError>),
}

/// Reads a message. What is wrong with it is told as JSON-RPC asks.
pub fn parse(text: &str) -> Result<ClientJsonRpcMessage, Rejection> {
    let bad = |id, error| Rejection::Rpc(StatusCode::BAD_REQUEST, Box::new(JsonRpcError::new(id, error)));
    let value: Value = serde_json::from_str(text).map_err(|error| {
        bad(None, ErrorData::parse_error(format!("The body is not JSON: {error}."), None))
    })?;
    if value.is_array() {
        let message = "Batches are not taken: send one message at a time.";
        return Err(bad(None, ErrorData::invalid_request(message, None)));
    }
    let id = RequestId::deserialize(&value["id"]).ok();
    ClientJsonRpcMessage::deserialize(value).map_err(|_| {
        let message = "This is no JSON-RPC 2.0 message: it needs jsonrpc \"2.0\", a method, and for an answer a string \
                       or whole number as id.";
        bad(id, ErrorData::invalid_request(message, None))
    })
}

impl Rejection {
    /// 403, without a word about who is let in.
    pub fn forbidden(message: &'static str) -> Self {
        let error = JsonRpcError::new(None, ErrorData::new(REFUSED, message, None));
        Rejection::Rpc(StatusCode::FORBIDDEN, Box::new(error))
    }

    pub fn is_of(&self, code: Code) -> bool {
        match self {
            Rejection::Refused(refusal) => refusal.code == code,
            Rejection::Answered(answer) => answer.status == code.http_status(),
            Rejection::Rpc(..) => false,
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Rejection::Refused(refusal)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        match self {
            Rejection::Refused(refusal) => refusal.respond(around(&refusal.envelope())),
            Rejection::Answered(answer) => {
                let mut response = reply::json(answer.status, around(&answer.body));
                response.extensions_mut().insert(reply::subject_of(&answer.body));
                response
            }
            Rejection::Rpc(status, error) => reply::json(status.as_u16(), text(&error)),
        }
    }
}

/// A JSON-RPC error around an envelope.
fn around(envelope: &str) -> String {
    let envelope: Value = serde_json::from_str(envelope).unwrap_or_default();
    let message = envelope["data"]["message"].as_str().unwrap_or("The request is refused.").to_owned();
    text(&JsonRpcError::new(None, ErrorData::new(REFUSED, message, Some(envelope))))
}

fn text(error: &JsonRpcError) -> String {
    serde_json::to_string(error).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> JsonRpcError {
        match parse(text) {
            Err(Rejection::Rpc(StatusCode::BAD_REQUEST, error)) => *error,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_message_is_told_from_what_is_none() {
        for good in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"no/such","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "{", "nonsense", r#"{"jsonrpc":"2.0","id":1"#] {
            assert_eq!(refused(bad).error.code, ErrorCode::PARSE_ERROR, "{bad}");
        }
        for bad in [
            "[]",
            "null",
            "1",
            "{}",
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        ] {
            assert_eq!(refused(bad).error.code, ErrorCode::INVALID_REQUEST, "{bad}");
        }
        assert_eq!(refused(r#"{"id":7,"method":"ping"}"#).id, Some(RequestId::Number(7)));
    }
}
