//! The id by which a request is found again in the logs: the client's own, or a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const LENGTH_MAX: usize = 128;

tokio::task_local! {
    /// The id of the request that this task answers.
    static CURRENT: String;
}

/// The client's id when it is sane (1 to 128 visible ASCII characters), else a new UUIDv7.
pub fn of(headers: &HeaderMap) -> String {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
    match given {
        Some(id) if is_sane(id) => id.to_owned(),
        _ => Uuid::now_v7().to_string(),
    }
}

/// Runs a future during which `current` gives this id.
pub async fn scope<F: Future>(id: String, future: F) -> F::Output {
    CURRENT.scope(id, future).await
}

/// The id of the request being answered; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

pub fn header_value(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("unknown"))
}

fn is_sane(id: &str) -> bool {
    (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_is_echoed() {
        for (given, kept) in [("req-1", true), ("a b", false), ("", false), (&"x".repeat(129), false)] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, given.parse().unwrap());
            assert_eq!(of(&headers) == given, kept, "{given:?}");
        }
    }
}
