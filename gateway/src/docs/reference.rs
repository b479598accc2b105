//! The documentation page: an API reference in the browser, with everything that it needs from this very binary.

use std::io::Write;
use std::sync::LazyLock;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::{Html, IntoResponse};
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What makes the reference do with a strict policy; the reference; what starts it.
const BEFORE: &str = include_str!("../../templates/docs_before.js");
const REFERENCE: &str = "scalar.js";
const AFTER: &str = include_str!("../../templates/docs_after.js");

#[derive(Template)]
#[template(path = "docs.html")]
struct Page<'a> {
    nonce: &'a str,
}

/// The page. Only the script and the styles that carry this reply's nonce are run, and it speaks with nobody but us.
pub fn page() -> Response<Body> {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let (Ok(policy), Ok(page)) = (HeaderValue::from_str(&policy), (Page { nonce: &nonce }).render()) else {
        tracing::error!("the documentation cannot be rendered");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    ];
    (headers, Html(page)).into_response()
}

/// The page's script. Every browser takes gzip, and nobody else loads it.
pub async fn script(request: Request) -> Response<Body> {
    let Ok(Some(script)) = tokio::task::spawn_blocking(|| SCRIPT.as_ref()).await else {
        tracing::error!("the API reference is not part of this binary");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers =
        [(header::ETAG, script.tag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if request.headers().get(header::IF_NONE_MATCH) == Some(&script.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let content = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CONTENT_ENCODING, HeaderValue::from_static("gzip")),
    ]);
    (headers, content, script.gzip.clone()).into_response()
}

/// A script, compressed once, when the first asks for it.
struct Script {
    gzip: Bytes,
    tag: HeaderValue,
}

static SCRIPT: LazyLock<Option<Script>> = LazyLock::new(|| {
    let reference = scalar_api_reference::get_asset(REFERENCE)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for part in [BEFORE.as_bytes(), &reference, b"\n", AFTER.as_bytes()] {
        encoder.write_all(part).ok()?;
    }
    let gzip = Bytes::from(encoder.finish().ok()?);
    let hash = HEXLOWER.encode(&Sha256::digest(&gzip));
    Some(Script { tag: HeaderValue::from_str(&format!("\"{hash}\"")).ok()?, gzip })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_has_a_nonce_of_its_own_and_nothing_else_runs() {
        let (one, other) = (page(), page());
        let policy = |reply: &Response<Body>| {
            reply.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
        };
        assert_ne!(policy(&one), policy(&other));
        assert!(!policy(&one).contains("unsafe"));
    }

    #[tokio::test]
    async fn the_reference_is_part_of_the_binary_and_kept_by_browsers() {
        let ask = |tag: Option<&HeaderValue>| {
            let mut request = Request::new(Body::empty());
            if let Some(tag) = tag {
                request.headers_mut().insert(header::IF_NONE_MATCH, tag.clone());
            }
            script(request)
        };
        let first = ask(None).await;
        assert_eq!(first.headers()[header::CONTENT_ENCODING], "gzip");
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(ask(Some(&tag)).await.status(), StatusCode::NOT_MODIFIED);
    }
}
