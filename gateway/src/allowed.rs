//! Hosts and Origins that the settings let in.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::uri::Authority;
use url::{Origin, Url};

/// A Host that is let in beside loopback.
#[derive(Clone, Debug, PartialEq)]
pub enum AllowedHost {
    Any,
    /// A name or address; any port where none is given.
    Only(String, Option<u16>),
}

/// An Origin that is let in beside loopback and the gateway's own.
#[derive(Clone, Debug, PartialEq)]
pub enum AllowedOrigin {
    Any,
    Only(Origin),
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(AllowedHost::Any);
        }
        let address = text.parse::<IpAddr>().ok().map(|address| AllowedHost::Only(address.to_string(), None));
        let authority = || text.parse::<Authority>().ok().filter(|_| !text.contains(['@', '/']));
        address
            .or_else(|| authority().map(|host| AllowedHost::Only(bare(host.host()), host.port_u16())))
            .ok_or_else(|| "expected a host such as api.example.com or api.example.com:8443, or *".to_owned())
    }
}

impl FromStr for AllowedOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(AllowedOrigin::Any);
        }
        let url = Url::parse(text).ok().filter(|url| url.path() == "/" && url.query().is_none());
        match url.map(|url| url.origin()) {
            Some(origin) if origin.is_tuple() => Ok(AllowedOrigin::Only(origin)),
            _ => Err("expected an origin such as https://app.example.com, or *".to_owned()),
        }
    }
}

/// A host without brackets, in small letters, without the dot at the end of a full name.
pub fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_or_origin_is_refused_at_the_start() {
        for bad in ["", "https://api.example.com", "user@api.example.com", "a b", "api.example.com/x"] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
        for bad in ["", "app.example.com", "https://app.example.com/path", "null", "file:///x"] {
            assert!(bad.parse::<AllowedOrigin>().is_err(), "{bad}");
        }
        assert_eq!("::1".parse(), Ok(AllowedHost::Only("::1".to_owned(), None)));
    }
}
