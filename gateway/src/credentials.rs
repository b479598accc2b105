//! The API key that a request carries.

use std::fmt;
use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use pg_topup_contract::Code;

use crate::reply::Refusal;

/// Who sends a request: the key, not judged yet, and the address it comes from.
#[derive(Clone)]
pub struct Credentials {
    /// Empty when there is none, for the database to refuse.
    pub api_key: String,
    pub client_ip: IpAddr,
}

/// Never shows the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials from {}", self.client_ip)
    }
}

/// The key from either header; empty when there is none.
pub fn api_key(headers: &HeaderMap) -> Result<String, Refusal> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let plain = headers.get_all("x-credyt-api-key").iter().map(|value| value.to_str().unwrap_or("").trim());
    let mut keys = bearers.chain(plain);
    let first = keys.next().unwrap_or("");
    if keys.any(|other| other != first) {
        return Err(Refusal::new(Code::InvalidApiKey, "The request carries two different API keys."));
    }
    Ok(first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_comes_from_either_header() {
        for (given, key) in [
            (vec![("authorization", "Bearer ak_1")], Some("ak_1")),
            (vec![("authorization", "bEARER  ak_1 ")], Some("ak_1")),
            (vec![("x-credyt-api-key", "ak_1")], Some("ak_1")),
            (vec![("authorization", "Bearer ak_1"), ("x-credyt-api-key", "ak_1")], Some("ak_1")),
            (vec![("authorization", "Basic eDp5"), ("x-credyt-api-key", "ak_1")], Some("ak_1")),
            (vec![("authorization", "ak_1")], Some("")),
            (vec![], Some("")),
            (vec![("authorization", "Bearer ak_1"), ("x-credyt-api-key", "ak_2")], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &given {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(api_key(&headers).ok().as_deref(), key, "{given:?}");
        }
    }
}
