//! One attempt to deliver a webhook: the claimed bytes and headers by POST, and what became of it in plain English.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime};

use pg_topup_contract::{WebhookUrl, timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};

use crate::tls;
use crate::webhook::effects::{Effect, Outcome};
use crate::webhook::resolver::{self, Guard};

/// A receiver must answer within this time, name lookup and connection included.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_BYTES_MAX: usize = 1024;
const ERROR_BYTES_MAX: usize = 200;
/// Once the status is known, the reply's text is waited for only so long.
const RESPONSE_TEXT_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends webhooks.
pub struct Deliverer {
    client: Client,
    allow_private: bool,
}

impl Deliverer {
    /// Redirects are not followed, nothing is tried twice, and no proxy is taken from the environment:
    /// each would lead past the address guard or the log.
    /// As many connections to a host are kept as there may be attempts at a time: many endpoints may be on one host.
    pub fn new(allow_private: bool, attempts_max: usize) -> Result<Self, String> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls::for_receivers()?)
            .dns_resolver(Guard { allow_private })
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .referer(false)
            .pool_max_idle_per_host(attempts_max)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build()
            .map_err(|error| format!("the webhook client cannot be made: {error}"))?;
        Ok(Deliverer { client, allow_private })
    }

    /// Makes one attempt.
    pub async fn attempt(&self, effect: &Effect) -> Outcome {
        let (started_at, clock) = (SystemTime::now(), Instant::now());
        let mut outcome = Outcome {
            tenant_id: effect.tenant_id,
            effect_id: effect.effect_id,
            fence: effect.fence,
            started_at: timestamp(started_at),
            duration_ms: 0,
            http_status: None,
            error: None,
            response: None,
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, self.post(effect)).await {
            Err(_) => outcome.error = Some(format!("timed out after {} s", ATTEMPT_TIMEOUT.as_secs())),
            Ok(Err(error)) => outcome.error = Some(shortened(error)),
            Ok(Ok(response)) => {
                outcome.http_status = Some(response.status().as_u16());
                outcome.error = failure(response.status());
                let left = ATTEMPT_TIMEOUT.saturating_sub(clock.elapsed());
                outcome.response = Some(first_text(response, left.min(RESPONSE_TEXT_TIMEOUT)).await);
            }
        }
        outcome.duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        count(&outcome, clock.elapsed());
        outcome
    }

    async fn post(&self, effect: &Effect) -> Result<Response, String> {
        let url =
            WebhookUrl::parse(&effect.url, self.allow_private).map_err(|refused| refused.0.to_owned())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &effect.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else {
                return Err("a header cannot be sent".to_owned());
            };
            headers.insert(name, value);
        }
        let request = self.client.post(url.as_str()).headers(headers).body(effect.body.clone());
        request.send().await.map_err(|error| in_words(&error))
    }
}

fn shortened(mut error: String) -> String {
    error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
    error
}

fn failure(status: StatusCode) -> Option<String> {
    if status.is_success() {
        None
    } else if status.is_redirection() {
        Some(format!("HTTP {} (redirects are not followed)", status.as_u16()))
    } else {
        Some(format!("HTTP {}", status.as_u16()))
    }
}

/// What the receiver said first; the connection is dropped rather than read to the end.
async fn first_text(mut response: Response, limit: Duration) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < RESPONSE_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk[..chunk.len().min(RESPONSE_BYTES_MAX)]),
                Ok(None) | Err(_) => break,
            }
        }
    };
    // A text that stops half-way is still worth keeping.
    let _ = tokio::time::timeout(limit, reading).await;
    bytes.truncate(RESPONSE_BYTES_MAX);
    storable(&bytes)
}

/// Text that Postgres can hold: UTF-8 without NUL, within the limit even where bytes were replaced.
fn storable(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(RESPONSE_BYTES_MAX));
    text
}

/// The gravest thing in the chain of causes that can be said plainly.
fn in_words(error: &reqwest::Error) -> String {
    let mut last = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<resolver::Refused>() {
            return refused.to_string();
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io_in_words(io);
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return format!("TLS: {tls}");
        }
        last = inner.to_string();
        cause = inner.source();
    }
    match last.as_str() {
        "connection closed before message completed" => {
            "the receiver closed the connection without answering".to_owned()
        }
        _ => last,
    }
}

fn io_in_words(error: &std::io::Error) -> String {
    if let Some(inner) = error.get_ref() {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return format!("TLS: {tls}");
        }
        if let Some(inner) = inner.downcast_ref::<std::io::Error>() {
            return io_in_words(inner);
        }
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset".to_owned(),
        ErrorKind::TimedOut => "connection timed out".to_owned(),
        ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        ErrorKind::UnexpectedEof => "the receiver closed the connection without answering".to_owned(),
        _ => error.to_string(),
    }
}

fn count(outcome: &Outcome, took: Duration) {
    let label = match (outcome.http_status, &outcome.error) {
        (_, None) => "delivered",
        (Some(status), _) if (300..400).contains(&status) => "redirect",
        (Some(_), _) => "http_error",
        (None, Some(error)) if error.starts_with("timed out") => "timeout",
        (None, Some(_)) => "unreachable",
    };
    metrics::counter!("topup_webhook_attempts_total", "outcome" => label).increment(1);
    metrics::histogram!("topup_webhook_attempt_duration_seconds").record(took);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_text_that_postgres_can_hold() {
        assert_eq!(storable(b"a\0b\xff"), "a\u{fffd}b\u{fffd}");
        assert!(storable(&[0xff; 1024]).len() <= 1024);
    }

    #[test]
    fn only_2xx_is_no_failure() {
        assert_eq!(failure(StatusCode::NO_CONTENT), None);
        assert_eq!(failure(StatusCode::FOUND).as_deref(), Some("HTTP 302 (redirects are not followed)"));
        assert_eq!(failure(StatusCode::INTERNAL_SERVER_ERROR).as_deref(), Some("HTTP 500"));
    }
}
