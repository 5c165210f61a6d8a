//! What the application is told of the way a request came: `X-Forwarded-For/-Proto/-Host` and `Forwarded` (S05).
//!
//! These fields are rebuilt for every request. What a peer says is believed only when the peer's address lies in `trusted_proxies` (empty
//! by default); then the client is the last address in the chain that is not a trusted proxy's. A trusted proxy that
//! sends something unreadable is a fault, and the request is refused rather than decided on a guess.
//!
//! Trust boundary: chains are a stranger's text before the first trusted address. Specification: RFC 7239.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const MAX_CHAIN: usize = 32;

/// A chain of addresses from a trusted peer that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableChain;

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as far as it can be known.
    pub client: IpAddr,
    /// The addresses from the client up to, not including, our peer.
    chain: Vec<IpAddr>,
    peer: IpAddr,
}

impl Origin {
    /// Finds the client behind `peer`.
    pub fn find(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Result<Self, UnreadableChain> {
        let peer = peer.ip().to_canonical();
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        if !is_trusted(&peer) {
            return Ok(Self { client: peer, chain: Vec::new(), peer });
        }
        let claimed = read_chain(headers)?;
        let first_believed = claimed.iter().rposition(|address| !is_trusted(address)).unwrap_or(0);
        let chain: Vec<IpAddr> = claimed.get(first_believed..).unwrap_or_default().to_vec();
        Ok(Self { client: chain.first().copied().unwrap_or(peer), chain, peer })
    }

    /// Whether the peer is the client, as far as can be known.
    pub(super) fn is_direct(&self) -> bool {
        self.chain.is_empty()
    }

    /// The value of `X-Forwarded-For`: the believed chain and our peer.
    pub fn x_forwarded_for(&self) -> Option<HeaderValue> {
        let mut text = String::with_capacity(40);
        for address in self.chain.iter().chain([&self.peer]) {
            let separator = if text.is_empty() { "" } else { ", " };
            write!(text, "{separator}{address}").ok()?;
        }
        HeaderValue::try_from(text).ok()
    }

    /// The value of `Forwarded`, an element for each address; host and proto stand in the last.
    pub fn forwarded(&self, host: &str, proto: &str) -> Option<HeaderValue> {
        let mut text = String::with_capacity(64);
        for address in self.chain.iter().chain([&self.peer]) {
            let separator = if text.is_empty() { "" } else { ", " };
            match address {
                IpAddr::V4(address) => write!(text, "{separator}for={address}").ok()?,
                IpAddr::V6(address) => write!(text, "{separator}for=\"[{address}]\"").ok()?,
            }
        }
        write!(text, ";host=\"{host}\";proto={proto}").ok()?;
        HeaderValue::try_from(text).ok()
    }
}

fn read_chain(headers: &HeaderMap) -> Result<Vec<IpAddr>, UnreadableChain> {
    let mut chain = Vec::new();
    for line in headers.get_all("x-forwarded-for") {
        for element in line.to_str().map_err(|_| UnreadableChain)?.split(',') {
            if chain.len() == MAX_CHAIN {
                return Err(UnreadableChain);
            }
            chain.push(read_address(element.trim())?);
        }
    }
    Ok(chain)
}

/// An address, with or without a port, as proxies write it.
fn read_address(text: &str) -> Result<IpAddr, UnreadableChain> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .map(|address| address.to_canonical())
        .map_err(|_| UnreadableChain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, chain: &[&'static str], trusted: &[&str]) -> Result<Origin, UnreadableChain> {
        let mut headers = HeaderMap::new();
        for line in chain {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Origin::find(peer.parse().unwrap(), &headers, &trusted)
    }

    #[test]
    fn s05_a_peer_outside_trusted_proxies_is_never_believed() {
        let origin = find("203.0.113.9:5", &["10.0.0.1"], &["10.0.0.0/8"]).unwrap();
        assert_eq!(origin.client.to_string(), "203.0.113.9");
        assert_eq!(origin.x_forwarded_for().unwrap(), "203.0.113.9");
        assert_eq!(find("203.0.113.9:5", &["garbage"], &[]).unwrap().client.to_string(), "203.0.113.9");
    }

    #[test]
    fn s05_a_peer_that_speaks_for_nobody_is_the_client() {
        let is_direct = |peer, chain: &[&'static str]| find(peer, chain, &["10.0.0.0/8"]).unwrap().is_direct();
        assert!(is_direct("203.0.113.9:5", &["198.51.100.7"]) && is_direct("10.0.0.2:5", &[]));
        assert!(!is_direct("10.0.0.2:5", &["198.51.100.7"]) && !is_direct("10.0.0.2:5", &["10.0.0.1"]));
    }

    #[test]
    fn s05_the_client_is_the_last_address_that_is_no_trusted_proxy() {
        let origin = find("10.0.0.2:5", &["1.2.3.4, 198.51.100.7", "10.0.0.9"], &["10.0.0.0/8"]).unwrap();
        assert_eq!(origin.client.to_string(), "198.51.100.7");
        assert_eq!(origin.x_forwarded_for().unwrap(), "198.51.100.7, 10.0.0.9, 10.0.0.2");
        assert_eq!(
            origin.forwarded("a.example", "https").unwrap(),
            "for=198.51.100.7, for=10.0.0.9, for=10.0.0.2;host=\"a.example\";proto=https"
        );
    }

    #[test]
    fn s05_an_unreadable_chain_of_a_trusted_proxy_is_refused() {
        for chain in ["unknown", "1.2.3.4,,5.6.7.8", "", "1.2.3", "_hidden", "1.2.3.4; x"] {
            assert_eq!(find("10.0.0.2:5", &[chain], &["10.0.0.0/8"]), Err(UnreadableChain), "{chain}");
        }
    }

    #[test]
    fn addresses_with_ports_and_brackets_are_read() {
        let origin = find("[::ffff:10.0.0.2]:5", &["[2001:db8::1]:443"], &["10.0.0.0/8"]).unwrap();
        assert_eq!(origin.forwarded("h", "http").unwrap(), "for=\"[2001:db8::1]\", for=10.0.0.2;host=\"h\";proto=http");
    }
}
