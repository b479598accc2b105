//! What is refused before the protocol is spoken: told as a JSON-RPC error, under the HTTP status that fits.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use pg_topup_contract::Code;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, ErrorData, JsonRpcError, RequestId};
use serde::Deserialize;
use serde_json::Value;

use crate::reply::{self, Refusal};

/// The range that JSON-RPC leaves to servers; the envelope in `data` says more.
const REFUSED: ErrorCode = ErrorCode(-32000);

const ID_BYTES_MAX: usize = 256;

#[derive(Debug)]
pub struct Rejection {
    cause: Cause,
    /// The request that is answered, where it could be read: some clients overlook an answer without.
    id: Option<RequestId>,
}

#[derive(Debug)]
enum Cause {
    /// Refused by the gateway, or by the database.
    Refused(Refusal),
    /// No request in JSON-RPC's sense, or from a place that may not send one.
    Rpc(StatusCode, Box<ErrorData>),
}

/// Reads a message. What is wrong with it is told as JSON-RPC asks.
pub fn parse(text: &str) -> Result<ClientJsonRpcMessage, Rejection> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| bad(ErrorData::parse_error(format!("The body is not JSON: {error}."), None)))?;
    if value.is_array() {
        let message = "Batches are not taken: send one message at a time.";
        return Err(bad(ErrorData::invalid_request(message, None)));
    }
    let id = RequestId::deserialize(&value["id"]).ok();
    if id.as_ref().is_some_and(is_too_long) {
        let message = format!("An id has at most {ID_BYTES_MAX} bytes.");
        return Err(bad(ErrorData::invalid_request(message, None)));
    }
    ClientJsonRpcMessage::deserialize(value).map_err(|_| {
        let message = "This is no JSON-RPC 2.0 message: it needs jsonrpc \"2.0\", a method, and for an answer a string \
                       or whole number as id.";
        bad(ErrorData::invalid_request(message, None)).to(id)
    })
}

/// The id of the request in a body, where there is one.
pub fn request_id(text: &str) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Message {
        id: RequestId,
    }
    serde_json::from_str::<Message>(text).ok().map(|message| message.id).filter(|id| !is_too_long(id))
}

/// Every answer repeats the id, and answers wait in memory.
fn is_too_long(id: &RequestId) -> bool {
    matches!(id, RequestId::String(text) if text.len() > ID_BYTES_MAX)
}

fn bad(error: ErrorData) -> Rejection {
    Rejection { cause: Cause::Rpc(StatusCode::BAD_REQUEST, Box::new(error)), id: None }
}

impl Rejection {
    /// 403, without a word about who is let in.
    pub fn forbidden(message: &'static str) -> Self {
        let cause = Cause::Rpc(StatusCode::FORBIDDEN, Box::new(ErrorData::new(REFUSED, message, None)));
        Rejection { cause, id: None }
    }

    /// 404, for a method that a revision does not have.
    pub fn no_method(message: &'static str) -> Self {
        let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None);
        Rejection { cause: Cause::Rpc(StatusCode::NOT_FOUND, Box::new(error)), id: None }
    }

    /// The same, as the answer to a request.
    pub fn to(self, id: Option<RequestId>) -> Self {
        Rejection { id, ..self }
    }

    pub fn is_of(&self, code: Code) -> bool {
        match &self.cause {
            Cause::Refused(refusal) => refusal.code == code,
            Cause::Rpc(..) => false,
        }
    }

    /// A JSON-RPC error around an envelope.
    fn around(id: Option<RequestId>, envelope: &str) -> String {
        let envelope: Value = serde_json::from_str(envelope).unwrap_or_default();
        let message = envelope["data"]["message"].as_str().unwrap_or("The request is refused.").to_owned();
        text(id, ErrorData::new(REFUSED, message, Some(envelope)))
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Rejection { cause: Cause::Refused(refusal), id: None }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        match self.cause {
            Cause::Refused(refusal) => refusal.respond(Self::around(self.id, &refusal.envelope())),
            Cause::Rpc(status, error) => reply::json(status.as_u16(), text(self.id, *error)),
        }
    }
}

fn text(id: Option<RequestId>, error: ErrorData) -> String {
    serde_json::to_string(&JsonRpcError::new(id, error)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (ErrorCode, Option<RequestId>) {
        match parse(text) {
            Err(Rejection { cause: Cause::Rpc(StatusCode::BAD_REQUEST, error), id }) => (error.code, id),
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
            assert_eq!(refused(bad).0, ErrorCode::PARSE_ERROR, "{bad}");
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
            assert_eq!(refused(bad).0, ErrorCode::INVALID_REQUEST, "{bad}");
        }
        assert_eq!(refused(r#"{"id":7,"method":"ping"}"#).1, Some(RequestId::Number(7)));
        let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(257));
        assert_eq!(refused(&long), (ErrorCode::INVALID_REQUEST, None));
    }
}
