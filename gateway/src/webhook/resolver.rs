//! Names become addresses here, and only public ones pass: the connection goes to the very address
//! that was judged, so a name cannot change its mind in between.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pg_topup_contract::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Looking a name up may take this long before it counts as not resolving.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The resolver of the webhook client.
pub struct Guard {
    pub allow_private: bool,
}

/// Why a name leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    NotPublic(IpAddr),
    Unresolved,
}

/// Every address of a name; none when it does not resolve.
pub async fn addresses(name: &str) -> Vec<IpAddr> {
    match tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => found.map(|socket| socket.ip()).collect(),
        _ => Vec::new(),
    }
}

/// All of a name's addresses must be public; one private among them and none is used.
fn judge(found: Vec<IpAddr>, allow_private: bool) -> Result<Vec<IpAddr>, Refused> {
    if found.is_empty() {
        return Err(Refused::Unresolved);
    }
    match found.iter().find(|&&address| !is_public(address)) {
        Some(&address) if !allow_private => Err(Refused::NotPublic(address)),
        _ => Ok(found),
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = judge(addresses(name.as_str()).await, allow_private)?;
            // Port 0 stands for the port of the URL.
            let sockets = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotPublic(address) => write!(f, "address is not public: {address}"),
            Refused::Unresolved => f.write_str("the name does not resolve"),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_private_address_spoils_a_name() {
        let public: IpAddr = "93.184.216.34".parse().unwrap();
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(judge(vec![public], false), Ok(vec![public]));
        assert_eq!(judge(vec![public, private], false), Err(Refused::NotPublic(private)));
        assert_eq!(judge(vec![private], true), Ok(vec![private]));
        assert_eq!(judge(vec![], true), Err(Refused::Unresolved));
    }
}
