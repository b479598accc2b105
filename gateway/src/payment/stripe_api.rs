//! Speaking to Stripe's API: form-encoded requests, and answers read as loosely as they are meant.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde_json::Value;
use url::{Host, Url, form_urlencoded};

use crate::tls;

/// After that, nobody knows what became of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The version that these requests and answers are in, whatever the account's own is. It is the first that knows
/// `adaptive_pricing`.
const VERSION: &str = "2024-11-20.acacia";

/// What Stripe calls an object that it does not have, or no longer.
pub const GONE: &str = "resource_missing";

/// One account's API, in one of its modes.
pub struct Api {
    client: Client,
    base: String,
    bearer: HeaderValue,
}

/// A field of a form, and its value.
pub type Field = (&'static str, String);

/// Why an object did not come.
#[derive(Debug)]
pub enum Trouble {
    /// Stripe has judged the request and says no.
    Refused(Box<Refused>),
    /// Nobody knows, or not yet: the request may be made again.
    Unclear(String),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// The field of the request that is at fault.
    pub param: Option<String>,
    pub payment_intent: Option<String>,
}

impl Trouble {
    /// Whether Stripe says for good that it does not have, or does not take, what this field names.
    pub fn is_about(&self, codes: &[&str], param: &str) -> bool {
        matches!(self, Trouble::Refused(refused)
            if codes.contains(&refused.code.as_str()) && refused.param.as_deref() == Some(param))
    }
}

impl Api {
    /// The API at this address with this secret key.
    pub fn new(base: &Url, key: &str) -> Result<Self, String> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls::for_receivers()?)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .referer(false)
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| format!("the Stripe client cannot be made: {error}"))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| "--stripe-secret-key has characters that no key has".to_owned())?;
        bearer.set_sensitive(true);
        Ok(Api { client, base: base.as_str().trim_end_matches('/').to_owned(), bearer })
    }

    /// Changes something at Stripe; the same again under the same key changes nothing more.
    pub async fn post(&self, path: &str, fields: &[Field], idempotency_key: &str) -> Result<Value, Trouble> {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = self.client.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, form);
        self.send(request.header("idempotency-key", idempotency_key).body(encoded(fields))).await
    }

    pub async fn get(&self, path: &str, fields: &[Field]) -> Result<Value, Trouble> {
        let query = if fields.is_empty() { String::new() } else { format!("?{}", encoded(fields)) };
        self.send(self.client.get(format!("{}{path}{query}", self.base))).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Trouble> {
        let request = request.header(AUTHORIZATION, self.bearer.clone()).header("stripe-version", VERSION);
        let response = request.send().await.map_err(unclear)?;
        let status = response.status();
        let text = response.text().await.map_err(unclear)?;
        answer(status, &text)
    }
}

/// An address to which a secret key may be sent: encrypted, or on this very machine.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err("must be https, or http on this machine".to_owned()),
    }
}

/// Only what Stripe has judged is a refusal. Who is asking too often, with a wrong key or while the same request
/// is still under way has not been judged, and may have been charged before.
fn answer(status: StatusCode, text: &str) -> Result<Value, Trouble> {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    if status.is_success() && body.is_object() {
        return Ok(body);
    }
    let error = &body["error"];
    let said = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    let kind = said("type");
    let is_judged = matches!(status.as_u16(), 400 | 402 | 404)
        && error.is_object()
        && !matches!(kind.as_str(), "idempotency_error" | "api_error" | "rate_limit_error");
    if !is_judged {
        return Err(Trouble::Unclear(format!("HTTP {} {kind} {}", status.as_u16(), said("message"))));
    }
    Err(Trouble::Refused(Box::new(Refused {
        status: status.as_u16(),
        code: code_of(error, if status == StatusCode::NOT_FOUND { "resource_missing" } else { &kind }),
        message: said("message"),
        param: error["param"].as_str().map(str::to_owned),
        payment_intent: error["payment_intent"]["id"].as_str().map(str::to_owned),
    })))
}

/// The most exact reason that an error gives: why a card was declined, rather than that it was.
pub fn code_of(error: &Value, otherwise: &str) -> String {
    const SAYS_NOTHING: &str = "generic_decline";
    let code = error["code"].as_str().unwrap_or(otherwise);
    match error["decline_code"].as_str() {
        Some(exact) if code == "card_declined" && exact != SAYS_NOTHING => exact.to_owned(),
        _ => code.to_owned(),
    }
}

fn encoded(fields: &[Field]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// With its cause: by itself the error says only that there was one.
fn unclear(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Trouble::Unclear(text)
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Refused(refused) => {
                write!(f, "HTTP {} {}: {}", refused.status, refused.code, refused.message)
            }
            Trouble::Unclear(message) => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(status: u16, error: Value) -> Option<Refused> {
        match answer(StatusCode::from_u16(status).unwrap(), &json!({ "error": error }).to_string()) {
            Err(Trouble::Refused(refused)) => Some(*refused),
            _ => None,
        }
    }

    #[test]
    fn a_decline_is_told_as_exactly_as_stripe_tells_it() {
        let error = json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.", "payment_intent": {"id": "pi_1"}});
        let refused = judged(402, error).unwrap();
        assert_eq!(
            (refused.code.as_str(), refused.payment_intent.as_deref()),
            ("insufficient_funds", Some("pi_1"))
        );
        let plain = json!({"type": "card_error", "code": "card_declined", "decline_code": "generic_decline"});
        assert_eq!(judged(402, plain).unwrap().code, "card_declined");
        assert_eq!(judged(404, json!({"type": "invalid_request_error"})).unwrap().code, "resource_missing");
        let gone = json!({"type": "invalid_request_error", "code": "resource_missing", "param": "customer"});
        let gone = Trouble::Refused(Box::new(judged(400, gone).unwrap()));
        assert!(gone.is_about(&["resource_missing"], "customer"));
        assert!(!gone.is_about(&["resource_missing"], "payment_method"));
        assert!(!Trouble::Unclear(String::new()).is_about(&["resource_missing"], "customer"));
    }

    #[test]
    fn what_stripe_has_not_judged_is_no_refusal() {
        for status in [401, 403, 409, 429, 500, 503] {
            assert_eq!(judged(status, json!({"type": "card_error"})), None, "{status}");
        }
        assert_eq!(judged(400, json!({"type": "idempotency_error"})), None);
        assert!(matches!(answer(StatusCode::OK, "<html>"), Err(Trouble::Unclear(_))));
        assert!(matches!(answer(StatusCode::NOT_FOUND, "<html>"), Err(Trouble::Unclear(_))));
    }

    #[test]
    fn a_key_travels_encrypted_or_not_at_all() {
        for good in
            ["https://api.stripe.com", "http://127.0.0.1:8420/", "http://[::1]:1", "http://localhost:8420"]
        {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in ["http://api.stripe.com", "ftp://127.0.0.1", "api.stripe.com", "http://10.0.0.1"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
