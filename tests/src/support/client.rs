//! An HTTP client of the gateway, and its replies.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

/// Speaks to one gateway with one key. Paths are below `/api/public/v1`, unless they come from `at_root`.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// The body read as JSON; null when it is none.
    pub json: Value,
}

impl Client {
    pub fn new(gateway_url: &str, key: Option<&str>) -> Client {
        // The gateway's HTTP library is built without a TLS provider, and ours with it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([])
            .build()
            .unwrap();
        Client { http, base: format!("{gateway_url}/api/public/v1"), key: key.map(str::to_owned) }
    }

    /// The same client for paths that begin at the root, such as `/openapi.json`.
    pub fn at_root(&self) -> Client {
        let base = self.base.trim_end_matches("/api/public/v1").to_owned();
        Client { base, ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.post_with(path, body, &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        let request = self.request(Method::PATCH, path).header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    /// A POST of this very text: a JSON value would not keep the digits of its numbers.
    pub async fn post_text(&self, path: &str, body: String) -> Reply {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    /// A POST under an idempotency key.
    pub async fn post_once(&self, path: &str, body: Value, idempotency_key: &str) -> Reply {
        self.post_with(path, body, &[("idempotency-key", idempotency_key)]).await
    }

    pub async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.request(Method::POST, path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.to_string())).await
    }

    /// Any request, with the key in place; for `send` or `try_send`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        self.try_send(request).await.unwrap()
    }

    /// For gateways that may be away: an error is a reply that did not come.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Reply, reqwest::Error> {
        Reply::of(request.send().await?).await
    }
}

impl Reply {
    /// Reads a response to its end.
    pub async fn of(response: Response) -> Result<Reply, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        // As it came: a byte order mark stays.
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, headers, text, json })
    }

    /// The envelope's code; panics when the body is no envelope.
    pub fn code(&self) -> i64 {
        let enclosed = &self.json["errors"][0]["code"];
        self.json["code"]
            .as_i64()
            .or(enclosed.as_i64())
            .unwrap_or_else(|| panic!("no envelope: {} {}", self.status, self.text))
    }

    pub fn data(&self) -> &Value {
        &self.json["data"]
    }

    pub fn transaction_id(&self) -> String {
        self.json["transaction_id"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The reply, when it is a problem of this status, code and field; panics otherwise.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: i64, field: Option<&str>) -> Reply {
        let named = self.json["errors"].as_object().and_then(|errors| errors.keys().next());
        let told = (self.status, self.code(), named.map(String::as_str));
        assert_eq!(told, (status, code, field), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        self
    }

    /// The reply, when it has this HTTP status; panics otherwise.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The reply, when it has this HTTP status and code; panics otherwise.
    #[track_caller]
    pub fn expect(self, status: u16, code: i64) -> Reply {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }
}
