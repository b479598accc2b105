//! Who is calling: the socket's address, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;

/// X-Forwarded-For entries looked at, from the right.
const HOPS_MAX: usize = 32;

/// The client's address. X-Forwarded-For is believed only when the peer itself is a trusted proxy;
/// then it is the right-most entry that is not one. An entry that is no address ends the search.
pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("")).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// The client's address of a request that the server has taken in.
pub fn of_head(head: &Parts, trusted: &[IpNet]) -> IpAddr {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
    // The server notes the peer of every request.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    of(peer, &head.headers, trusted)
}

/// A network, or a single address as the network that holds only it.
pub fn parse_net(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// Some proxies add the port, and brackets to an IPv6 address.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| parse_net(net).unwrap()).collect();
        of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("198.51.100.7", &["1.2.3.4"], &["10.0.0.0/8"]), "198.51.100.7");
        assert_eq!(client("198.51.100.7", &["1.2.3.4"], &[]), "198.51.100.7");
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        let nets = ["10.0.0.0/8", "192.0.2.1"];
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &nets), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.9.9.9"], &nets), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.2.3.4, 192.0.2.1"], &nets), "1.2.3.4");
        assert_eq!(client("::ffff:10.0.0.1", &["[2001:db8::1]:443"], &nets), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4:5678"], &nets), "1.2.3.4");
    }

    #[test]
    fn without_a_usable_entry_the_last_known_hop_stands() {
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, unknown"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &["10.0.0.0/8"]), "10.0.0.3");
    }
}
