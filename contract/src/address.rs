//! Which URLs a webhook may have and which addresses it may reach, so that nobody can aim
//! our deliveries at a network that only we can see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

const URL_LENGTH_MAX: usize = 2048;
const PORT_HTTPS: u16 = 443;
const PORT_UNPRIVILEGED_MIN: u16 = 1024;

/// A URL that passed the rules which need no name resolution.
#[derive(Clone, Debug)]
pub struct WebhookUrl(Url);

/// Why a URL may not be a webhook's, in plain English.
#[derive(Debug, PartialEq, Eq)]
pub struct UrlRefused(pub &'static str);

impl WebhookUrl {
    /// Checks scheme, port, credentials and literal addresses. Spellings such as `0x7f.1` or
    /// `2130706433` are addresses to a URL parser, hence are judged as the address they mean.
    /// With `allow_private`, http, any port and any address pass: for development.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, UrlRefused> {
        if text.len() > URL_LENGTH_MAX {
            return Err(UrlRefused("The URL is longer than 2,048 characters."));
        }
        let url = Url::parse(text).map_err(|_| UrlRefused("This is not an absolute URL."))?;
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return Err(UrlRefused("The URL must begin with https:// and name a host."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused("The URL must not carry a user name or a password."));
        }
        if allow_private {
            return Ok(WebhookUrl(url));
        }
        if url.scheme() != "https" {
            return Err(UrlRefused("The URL must begin with https://."));
        }
        let port = url.port_or_known_default().unwrap_or(PORT_HTTPS);
        if port != PORT_HTTPS && port < PORT_UNPRIVILEGED_MIN {
            return Err(UrlRefused("The port must be 443 or at least 1024."));
        }
        let private = match url.host() {
            Some(Host::Ipv4(address)) => !is_public(address.into()),
            Some(Host::Ipv6(address)) => !is_public(address.into()),
            Some(Host::Domain(name)) => is_local_name(name),
            None => true,
        };
        if private {
            return Err(UrlRefused("The URL must lead to a public address."));
        }
        Ok(WebhookUrl(url))
    }

    /// The URL in its normal spelling.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name to resolve, or nothing where the host is a literal address.
    pub fn domain(&self) -> Option<&str> {
        self.0.domain()
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether an address is reachable by everyone: not loopback, private, link-local, shared,
/// reserved, for documentation, multicast, nor an IPv6 address that carries such an IPv4 one.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    GLOBAL_UNICAST_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
}

/// 64:ff9b::/96, by which an IPv6-only network reaches IPv4 (RFC 6052).
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// 2000::/3, the only part of IPv6 that is handed out for public use.
const GLOBAL_UNICAST_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The IPv4 blocks that IANA's special-purpose registry does not mark as globally reachable.
static NOT_PUBLIC_V4: LazyLock<Vec<Ipv4Net>> = LazyLock::new(|| {
    parse_all(&[
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    ])
});

/// The same within 2000::/3: protocol assignments (Teredo among them), documentation, 6to4.
static NOT_PUBLIC_V6: LazyLock<Vec<Ipv6Net>> =
    LazyLock::new(|| parse_all(&["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]));

fn parse_all<N: std::str::FromStr>(blocks: &[&str]) -> Vec<N> {
    blocks.iter().filter_map(|block| block.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_block_is_a_block() {
        assert_eq!((NOT_PUBLIC_V4.len(), NOT_PUBLIC_V6.len()), (15, 4));
    }

    #[test]
    fn private_addresses_are_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "127.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "[2001::1]",
            "localhost",
            "LOCALHOST.",
            "api.localhost",
            "[::127.0.0.1]",
            "255.255.255.255",
            "224.0.0.1",
            "①②⑦.⓪.⓪.①",
        ] {
            let url = format!("https://{host}/hook");
            assert!(WebhookUrl::parse(&url, false).is_err(), "{url} passed");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for url in [
            "https://93.184.216.34/hook",
            "https://[2606:4700::1111]:8443/",
            "https://example.com",
            "https://[64:ff9b::808:808]/",
            "https://example.com:1024/a?b=c",
        ] {
            assert!(WebhookUrl::parse(url, false).is_ok(), "{url} was refused");
        }
    }

    #[test]
    fn scheme_port_and_credentials_are_judged() {
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "https://example.com:80/",
            "https://example.com:22/",
            "https://user@example.com/",
            "https://:pw@example.com/",
            "example.com",
            "",
            "https://",
            "file:///etc/passwd",
            "javascript:alert(1)",
        ] {
            assert!(WebhookUrl::parse(url, false).is_err(), "{url} passed");
        }
        assert!(WebhookUrl::parse("http://127.0.0.1:9/", true).is_ok());
        assert!(WebhookUrl::parse("ftp://127.0.0.1:9/", true).is_err());
    }
}
