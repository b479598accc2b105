//! Reading request bodies, within limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use pg_topup_contract::Code;

use crate::reply::Refusal;

const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is not wanted is still read so far, so that the client hears the answer
/// instead of a reset connection.
const DISCARD_BYTES_MAX: usize = 16 * 1_048_576;

/// The body of a POST as text that claims to be JSON. An empty one needs no Content-Type.
pub async fn json_text(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<String, Refusal> {
    let invalid = |message: &str| Refusal::new(Code::InvalidRequest, message);
    let bytes = bytes(headers, body, bytes_max).await?;
    if !bytes.is_empty() && !is_json(headers) {
        let message = "The Content-Type must be application/json.";
        return Err(Refusal::new(Code::UnsupportedMediaType, message));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => Err(invalid("The body contains a NUL byte.")),
        Err(_) => Err(invalid("The body is not UTF-8.")),
    }
}

/// The bytes of a body, whatever they are.
pub async fn bytes(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let too_large =
        || Refusal::new(Code::BodyTooLarge, format!("The body is larger than {bytes_max} bytes."));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > bytes_max) {
        // Who waits for "100 Continue" has not sent anything yet, and reading would invite it.
        if !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large());
    }
    match read(body, bytes_max).await {
        Read::All(bytes) => Ok(bytes),
        Read::TooLarge => Err(too_large()),
        Read::Broken => Err(Refusal::new(Code::InvalidRequest, "The body did not arrive whole.")),
    }
}

/// Reads a body that nobody wants.
pub async fn discard(body: Body) {
    let _ = tokio::time::timeout(BODY_TIMEOUT, discard_chunks(body.into_data_stream(), Bytes::new())).await;
}

/// Answers a method that a path does not take.
pub async fn method_not_allowed(request: Request) -> Refusal {
    discard(request.into_body()).await;
    Refusal::new(Code::MethodNotAllowed, "This method is not allowed here.")
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

async fn discard_chunks(mut chunks: BodyDataStream, first: Bytes) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_carry_parameters() {
        for (given, fits) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, given.parse().unwrap())]);
            assert_eq!(is_json(&headers), fits, "{given}");
        }
    }
}
