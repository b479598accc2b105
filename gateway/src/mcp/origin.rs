//! Which Host and which Origin may speak MCP. A browser sends both by itself, so that they keep a foreign page
//! from reaching a gateway through its visitor (DNS rebinding); other clients send no Origin at all.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::Url;

use super::rejection::Rejection;
use crate::allowed::{AllowedHost, AllowedOrigin, bare};
use crate::body;
use crate::config::Settings;

/// Judges Host and Origin.
#[derive(Clone)]
pub struct Doorkeeper {
    hosts: Vec<AllowedHost>,
    origins: Vec<AllowedOrigin>,
}

/// Lets a request through, or answers 403.
pub async fn check(
    State(doorkeeper): State<Arc<Doorkeeper>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    match doorkeeper.judge(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(rejection) => {
            body::discard_of(request);
            rejection.into_response()
        }
    }
}

impl Doorkeeper {
    pub fn new(settings: &Settings) -> Self {
        let mut hosts = settings.mcp.allowed_hosts.clone();
        if !settings.listen.ip().is_unspecified() {
            hosts.push(AllowedHost::Only(settings.listen.ip().to_string(), None));
        }
        Doorkeeper { hosts, origins: settings.mcp.allowed_origins.clone() }
    }

    fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
        if [header::HOST, header::ORIGIN].iter().any(|name| headers.get_all(name).iter().count() > 1) {
            return Err(Rejection::forbidden("A request has one Host and at most one Origin."));
        }
        let host = authority(uri, headers).filter(|host| self.takes_host(host));
        let message = "The gateway is not to be called by this Host: see --mcp-allowed-host.";
        let host = host.ok_or_else(|| Rejection::forbidden(message))?;
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.takes_origin(origin, &host) => {
                Err(Rejection::forbidden("Pages of this Origin may not call: see --mcp-allowed-origin."))
            }
            _ => Ok(()),
        }
    }

    fn takes_host(&self, host: &Authority) -> bool {
        let name = bare(host.host());
        is_loopback(&name)
            || self.hosts.iter().any(|allowed| match allowed {
                AllowedHost::Any => true,
                AllowedHost::Only(only, port) => {
                    *only == name && (port.is_none() || *port == host.port_u16())
                }
            })
    }

    fn takes_origin(&self, origin: &HeaderValue, host: &Authority) -> bool {
        if self.origins.contains(&AllowedOrigin::Any) {
            return true;
        }
        let Some(url) = origin.to_str().ok().and_then(|text| Url::parse(text).ok()) else { return false };
        let name = bare(url.host_str().unwrap_or(""));
        let port = host.port_u16().or(if url.scheme() == "https" { Some(443) } else { Some(80) });
        let is_own = bare(host.host()) == name && port == url.port_or_known_default();
        let is_local = is_loopback(&name) && matches!(url.scheme(), "http" | "https");
        is_local || is_own || self.origins.contains(&AllowedOrigin::Only(url.origin()))
    }

    /// What a browser must hear before it lets a page of an allowed Origin call.
    pub fn cors(&self) -> CorsLayer {
        let doorkeeper = self.clone();
        let is_allowed = move |origin: &HeaderValue, head: &Parts| {
            authority(&head.uri, &head.headers).is_some_and(|host| doorkeeper.takes_origin(origin, &host))
        };
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(is_allowed))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                header::WWW_AUTHENTICATE,
                header::RETRY_AFTER,
                HeaderName::from_static("x-request-id"),
            ])
    }
}

fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    uri.authority().cloned().or_else(host)
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doorkeeper(hosts: &[&str], origins: &[&str]) -> Doorkeeper {
        Doorkeeper {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        }
    }

    fn lets_in(doorkeeper: &Doorkeeper, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        doorkeeper.judge(&Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn loopback_is_let_in_and_others_when_they_are_named() {
        let named = doorkeeper(&["api.example.com", "other.example:8443"], &[]);
        for (host, fits) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("API.example.com.", true),
            ("api.example.com:444", true),
            ("other.example:8443", true),
            ("other.example", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(lets_in(&named, host, None), fits, "{host}");
        }
        assert!(lets_in(&doorkeeper(&["*"], &[]), "evil.example", None));
    }

    #[test]
    fn an_origin_is_our_own_or_loopback_or_named() {
        let named =
            doorkeeper(&["api.example.com"], &["https://app.example.com", "http://tool.example:3000"]);
        for (origin, fits) in [
            ("https://app.example.com", true),
            ("https://app.example.com:443", true),
            ("http://tool.example:3000", true),
            ("http://localhost:6274", true),
            ("http://[::1]:6274", true),
            ("https://api.example.com", true),
            ("http://api.example.com", true),
            ("https://api.example.com:8443", false),
            ("http://app.example.com", false),
            ("https://app.example.com:444", false),
            ("http://tool.example", false),
            ("https://evil.example", false),
            ("https://app.example.com.evil.example", false),
            ("http://localhost.evil.example", false),
            ("null", false),
            ("", false),
            ("file:///", false),
            ("capacitor://localhost", false),
        ] {
            assert_eq!(lets_in(&named, "api.example.com", Some(origin)), fits, "{origin}");
        }
        assert!(lets_in(&doorkeeper(&[], &["*"]), "localhost", Some("null")));
    }

    #[test]
    fn one_host_counts_and_the_uri_before_it() {
        let named = doorkeeper(&[], &[]);
        let mut headers = HeaderMap::from_iter([(header::HOST, "localhost".parse().unwrap())]);
        assert!(named.judge(&Uri::from_static("http://evil.example/"), &headers).is_err());
        headers.append(header::HOST, "evil.example".parse().unwrap());
        assert!(named.judge(&Uri::from_static("/"), &headers).is_err());
    }
}
