//! Reading request bodies, within limits, and undoing their Content-Encoding.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures_util::StreamExt;
use hyper::body::Frame;
use pg_topup_contract::Code;
use tower::{ServiceExt, service_fn};
use tower_http::decompression::{DecompressionBody, RequestDecompression};

use crate::held::Held;
use crate::reply::Refusal;

const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is not wanted is still taken so far, and for so long, so that the client hears the answer instead of a
/// reset connection.
const DISCARD_BYTES_MAX: usize = 16 * 1_048_576;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// The encodings that are undone, as HTTP names them.
const ENCODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// The body of a POST as text that claims to be JSON. An empty one needs no Content-Type.
pub async fn json_text(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    held: &mut Held<'_>,
) -> Result<String, Refusal> {
    let bytes = bytes(headers, body, bytes_max, held).await?;
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

/// The bytes of a body, whatever they are. They count as held until `held` is dropped.
pub async fn bytes(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    held: &mut Held<'_>,
) -> Result<Vec<u8>, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let encoding = match encoding(headers) {
        Ok(_) if announced.is_some_and(|length: usize| length > bytes_max) => Err(too_large(bytes_max)),
        judged => judged,
    };
    let encoding = match encoding {
        Ok(encoding) => encoding,
        Err(refusal) => {
            discard(headers, body);
            return Err(refusal);
        }
    };
    let body = Lent::new(body);
    let mut chunks = match encoding {
        Some(encoding) => decoded(encoding, body.clone()).await.into_data_stream(),
        None => Body::new(body.clone()).into_data_stream(),
    };
    let collected = tokio::time::timeout(BODY_TIMEOUT, collect(&mut chunks, bytes_max, held)).await;
    drop(chunks);
    let refusal = match collected {
        Ok(Ok(bytes)) => return Ok(bytes),
        Ok(Err(Stopped::Refused(refusal))) => refusal,
        Ok(Err(Stopped::Broken)) if encoding.is_some() => {
            invalid("The body is not what its Content-Encoding says, or did not arrive whole.")
        }
        Ok(Err(Stopped::Broken)) | Err(_) => invalid("The body did not arrive whole."),
    };
    // As it comes: a few compressed bytes may stand for any number of others.
    discard(headers, body.back());
    Err(refusal)
}

/// Lets go of a body that nobody wants; nobody waits for it. Who waits for "100 Continue" has not sent anything yet,
/// and reading would invite it.
pub fn discard(headers: &HeaderMap, body: Body) {
    if !body.is_end_stream() && !headers.contains_key(header::EXPECT) {
        discard_rest(body.into_data_stream());
    }
}

/// The same for a request that is not wanted at all.
pub fn discard_of(request: Request) {
    let (head, body) = request.into_parts();
    discard(&head.headers, body);
}

/// Answers a method that a path does not take.
pub async fn method_not_allowed(request: Request) -> Refusal {
    discard_of(request);
    Refusal::new(Code::MethodNotAllowed, "This method is not allowed here.")
}

/// Why a body is not read to its end.
enum Stopped {
    Refused(Refusal),
    Broken,
}

async fn collect(
    chunks: &mut BodyDataStream,
    bytes_max: usize,
    held: &mut Held<'_>,
) -> Result<Vec<u8>, Stopped> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Stopped::Broken)?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(Stopped::Refused(too_large(bytes_max)));
        }
        held.grow(chunk.len()).map_err(Stopped::Refused)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn discard_rest(mut chunks: BodyDataStream) {
    let discarding = async move {
        let mut discarded = 0;
        while discarded < DISCARD_BYTES_MAX
            && let Some(Ok(chunk)) = chunks.next().await
        {
            discarded += chunk.len();
        }
    };
    tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, discarding));
}

/// A body that somebody reads for us, and that we get back whether or not it was read to its end.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl Lent {
    fn new(body: Body) -> Self {
        Lent(Arc::new(Mutex::new(body)))
    }

    fn back(self) -> Body {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }
}

/// How a body is encoded; nothing where it is as it stands.
fn encoding(headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut given = lines
        .flat_map(|line| line.to_str().unwrap_or("unreadable").split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity");
    let Some(name) = given.next() else { return Ok(None) };
    let name = if name == "x-gzip" { "gzip" } else { name.as_str() };
    let known = ENCODINGS.into_iter().find(|known| *known == name).filter(|_| given.next().is_none());
    known.map(Some).ok_or_else(|| {
        let message = format!("The Content-Encoding must be one of {}.", ENCODINGS.join(", "));
        Refusal::new(Code::UnsupportedMediaType, message)
    })
}

/// A body without its encoding, which is undone as the body is read.
async fn decoded(encoding: &'static str, body: Lent) -> Body {
    let mut request = axum::http::Request::new(body);
    request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    let echo = service_fn(|request: axum::http::Request<DecompressionBody<Lent>>| {
        ready(Ok::<_, Infallible>(Response::new(request.into_body())))
    });
    match RequestDecompression::new(echo).oneshot(request).await {
        Ok(response) => Body::new(response.into_body()),
        Err(never) => match never {},
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(Code::InvalidRequest, message)
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(Code::BodyTooLarge, format!("The body is larger than {bytes_max} bytes."))
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

    #[test]
    fn one_encoding_is_undone_and_no_other() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
            }
            encoding(&headers).map_err(|refusal| refusal.code)
        };
        for (lines, name) in [
            (&[][..], None),
            (&["identity"][..], None),
            (&[""], None),
            (&["gzip"], Some("gzip")),
            (&["X-GZip"], Some("gzip")),
            (&[" BR "], Some("br")),
            (&["identity, zstd"], Some("zstd")),
            (&["deflate"], Some("deflate")),
        ] {
            assert_eq!(of(lines), Ok(name), "{lines:?}");
        }
        for lines in [&["compress"][..], &["gzip, gzip"], &["gzip", "br"], &["*"], &["aes128gcm"]] {
            assert_eq!(of(lines), Err(Code::UnsupportedMediaType), "{lines:?}");
        }
    }
}
