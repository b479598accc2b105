//! Pages for people: how they are sent, and what a browser may do with them.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use url::Url;

use crate::reply::{RETRY_AFTER_S, Subject};

/// Pages that belong together: their name in logs and metrics, and what they may load.
pub struct Pages {
    pub operation: &'static str,
    pub policy: LazyLock<HeaderValue>,
}

impl Pages {
    pub fn html(&self, status: StatusCode, page: impl Template) -> Response<Body> {
        let text = match page.render() {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a page cannot be rendered");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        };
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        self.sent((status, [(header::CONTENT_TYPE, html)], text))
    }

    /// For the moment there is nothing else to show than this.
    pub fn for_now(&self, status: StatusCode, page: impl Template) -> Response<Body> {
        let mut response = self.html(status, page);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        response
    }

    /// To the address by GET.
    pub fn redirect(&self, url: &str) -> Response<Body> {
        self.sent(Redirect::to(url))
    }

    /// Whatever it is, it is for one person, now: no cache keeps it and nobody is told its address, which may be a
    /// secret.
    pub fn sent(&self, response: impl IntoResponse) -> Response<Body> {
        let mut response = response.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY"));
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        response.extensions_mut().insert(Subject { operation: self.operation.to_owned(), code: None });
        response
    }
}

/// Nothing but the page's own style may be loaded or run, and what `more` allows.
pub fn policy(style: &str, more: &str) -> HeaderValue {
    let hash = BASE64.encode(&Sha256::digest(style.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'; {more}"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// An address that somebody may be led to. Only the web is a way.
pub fn way(url: &str) -> Option<Url> {
    Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}
