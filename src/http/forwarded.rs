//! What the application is told of the way a request came: `X-Forwarded-For/-Proto/-Host` and `Forwarded` (S05).
//!
//! These fields are rebuilt for every request. What a peer says is believed only when the peer's address lies in `trusted_proxies` (empty
//! by default); then the client is the last address in the chain that is not a trusted proxy's. A trusted proxy that
//! sends something unreadable is a fault, and the request is refused rather than decided on a guess. So is one of which nobody knows which of the
//! two fields it wrote and which it passed on, because they name different clients
//! ([decision 84](../../../docs/decisions/0084-two-fields-that-disagree-refuse.md)).
//!
//! Trust boundary: chains are a stranger's text before the first trusted address. Specification: RFC 7239.

mod elements;

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use elements::{Elements, Malformed};

/// Addresses that a chain may have.
const MAX_CHAIN: usize = 32;

/// Why what a trusted peer says of its client is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// It cannot be read, or a proxy does not say whom it speaks for.
    Unreadable,
    /// `Forwarded` and `X-Forwarded-For` name different clients.
    Disagrees,
}

impl ChainError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "forwarded_unreadable",
            Self::Disagrees => "forwarded_disagrees",
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "a trusted proxy sends a chain that cannot be read",
            Self::Disagrees => "a trusted proxy names one client in Forwarded and another in X-Forwarded-For",
        })
    }
}

impl std::error::Error for ChainError {}

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
    ///
    /// # Errors
    ///
    /// Where a trusted peer leaves in doubt who that is.
    pub fn find(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Result<Self, ChainError> {
        let peer = peer.ip().to_canonical();
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        if !is_trusted(&peer) {
            return Ok(Self { client: peer, chain: Vec::new(), peer });
        }
        let listed = believed(read_list(headers)?, is_trusted)?;
        let elements = believed(read_elements(headers)?, is_trusted)?;
        let chain = match (listed.first(), elements.first()) {
            (Some(one), Some(other)) if one != other => return Err(ChainError::Disagrees),
            (Some(_), _) => listed,
            (None, _) => elements,
        };
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

/// The part of a chain that is believed: from the last address that is no trusted proxy's, which is the client's, or from the first of all.
/// None stands for a proxy that does not say whom it speaks for.
fn believed(claimed: Vec<Option<IpAddr>>, is_trusted: impl Fn(&IpAddr) -> bool) -> Result<Vec<IpAddr>, ChainError> {
    let client = claimed.iter().rposition(|address| !address.as_ref().is_some_and(&is_trusted)).unwrap_or(0);
    claimed.into_iter().skip(client).collect::<Option<_>>().ok_or(ChainError::Unreadable)
}

/// The addresses of `X-Forwarded-For`; none stands for what is no address. A list has no quotes: nothing in it can swallow the element behind it.
fn read_list(headers: &HeaderMap) -> Result<Vec<Option<IpAddr>>, ChainError> {
    let mut chain = Vec::new();
    for line in headers.get_all("x-forwarded-for") {
        for element in line.as_bytes().split(|byte| *byte == b',') {
            let text = std::str::from_utf8(element).ok();
            add(&mut chain, text.and_then(|text| read_address(text.trim())))?;
        }
    }
    Ok(chain)
}

/// Whom the elements of `Forwarded` are for.
fn read_elements(headers: &HeaderMap) -> Result<Vec<Option<IpAddr>>, ChainError> {
    let mut chain = Vec::new();
    for line in headers.get_all("forwarded") {
        for named in Elements::of(line.to_str().map_err(|_| ChainError::Unreadable)?) {
            add(&mut chain, named.map_err(|Malformed| ChainError::Unreadable)?)?;
        }
    }
    Ok(chain)
}

fn add(chain: &mut Vec<Option<IpAddr>>, address: Option<IpAddr>) -> Result<(), ChainError> {
    if chain.len() == MAX_CHAIN {
        return Err(ChainError::Unreadable);
    }
    chain.push(address);
    Ok(())
}

/// An address, with or without a port, as proxies write it.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .map(|address| address.to_canonical())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, chain: &[&'static str], trusted: &[&str]) -> Result<Origin, ChainError> {
        let fields: Vec<_> = chain.iter().map(|line| ("x-forwarded-for", *line)).collect();
        find_by(peer, &fields, trusted)
    }

    fn find_by(peer: &str, fields: &[(&'static str, &'static str)], trusted: &[&str]) -> Result<Origin, ChainError> {
        let mut headers = HeaderMap::new();
        for (name, line) in fields {
            headers.append(*name, HeaderValue::from_static(line));
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
        for chain in [
            "unknown",
            "",
            "1.2.3",
            "_hidden",
            "1.2.3.4; x",
            "1.2.3.4,,10.0.0.9",
            "198.51.100.7, unknown",
            "unknown, 10.0.0.9",
            "198.51.100.7,",
        ] {
            assert_eq!(find("10.0.0.2:5", &[chain], &["10.0.0.0/8"]), Err(ChainError::Unreadable), "{chain}");
        }
    }

    #[test]
    fn s05_what_stands_before_the_client_changes_nothing() {
        for chain in [
            "unknown, 198.51.100.7",
            "fe80::1%eth0, 198.51.100.7",
            ", 198.51.100.7",
            "\"a, 198.51.100.7, 10.0.0.9",
            "1.2.3.4,,198.51.100.7",
        ] {
            let origin = find("10.0.0.2:5", &[chain], &["10.0.0.0/8"]).unwrap();
            assert_eq!(origin.client.to_string(), "198.51.100.7", "{chain}");
            assert!(origin.x_forwarded_for().unwrap().to_str().unwrap().starts_with("198.51.100.7, "), "{chain}");
        }
        let read = |line: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
            let found = Origin::find("10.0.0.2:5".parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]);
            found.map(|origin| origin.client.to_string())
        };
        let client = || Ok("198.51.100.7".to_owned());
        assert_eq!((read(b"\xe9, 198.51.100.7"), read("\u{e9}\t, 198.51.100.7".as_bytes())), (client(), client()));
        assert_eq!(read(b"198.51.100.7, \xe9"), Err(ChainError::Unreadable));
        assert_eq!(read(("x,".repeat(MAX_CHAIN - 1) + "198.51.100.7").as_bytes()), client());
        assert_eq!(read(("x,".repeat(MAX_CHAIN) + "198.51.100.7").as_bytes()), Err(ChainError::Unreadable));
    }

    #[test]
    fn addresses_with_ports_and_brackets_are_read() {
        let origin = find("[::ffff:10.0.0.2]:5", &["[2001:db8::1]:443"], &["10.0.0.0/8"]).unwrap();
        assert_eq!(origin.forwarded("h", "http").unwrap(), "for=\"[2001:db8::1]\", for=10.0.0.2;host=\"h\";proto=http");
    }

    /// The client that a trusted proxy at 10.0.0.2 names in these fields.
    fn client(fields: &[(&'static str, &'static str)]) -> Result<String, ChainError> {
        find_by("10.0.0.2:5", fields, &["10.0.0.0/8"]).map(|origin| origin.client.to_string())
    }

    #[test]
    fn s05_forwarded_alone_is_believed_as_its_older_brother_is() {
        for (lines, expected) in [
            (&["for=198.51.100.7;proto=https"][..], "198.51.100.7"),
            (&["for=1.2.3.4, for=\"[2001:db8::1]:443\", for=10.0.0.9"], "2001:db8::1"),
            (&["for=1.2.3.4", "for=198.51.100.7, for=10.0.0.9"], "198.51.100.7"),
            (&["for=10.0.0.8, for=10.0.0.9"], "10.0.0.8"),
            // What stands before the client is a stranger's word.
            (&["for=unknown, for=_x, for=198.51.100.7"], "198.51.100.7"),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            assert_eq!(client(&fields).as_deref(), Ok(expected), "{lines:?}");
        }
        let fields = [("forwarded", "for=1.2.3.4, for=198.51.100.7, for=10.0.0.9")];
        let origin = find_by("10.0.0.2:5", &fields, &["10.0.0.0/8"]).unwrap();
        assert_eq!(origin.x_forwarded_for().unwrap(), "198.51.100.7, 10.0.0.9, 10.0.0.2");
        let from_elsewhere = find_by("203.0.113.9:5", &[("forwarded", "for=10.0.0.1")], &["10.0.0.0/8"]).unwrap();
        assert_eq!((from_elsewhere.client.to_string(), from_elsewhere.is_direct()), ("203.0.113.9".to_owned(), true));
    }

    #[test]
    fn s05_a_proxy_that_does_not_say_whom_it_speaks_for_is_refused() {
        for line in [
            "for=unknown",
            "for=1.2.3.4, for=_hidden",
            "for=1.2.3.4, proto=https",
            "",
            "for=unknown, for=10.0.0.9",
            "for=1.2.3.4;x=\"",
        ] {
            assert_eq!(client(&[("forwarded", line)]), Err(ChainError::Unreadable), "{line:?}");
        }
        let many = vec![("forwarded", "for=1.2.3.4, for=1.2.3.4"); MAX_CHAIN / 2];
        assert!(client(&many).is_ok());
        assert_eq!(client(&[&many[..], &[("forwarded", "for=1.2.3.4")]].concat()), Err(ChainError::Unreadable));
    }

    #[test]
    fn s05_two_fields_that_name_different_clients_are_refused_whichever_is_the_proxys() {
        let both = |list, elements| client(&[("x-forwarded-for", list), ("forwarded", elements)]);
        for (list, elements) in [
            ("198.51.100.7", "for=198.51.100.7"),
            ("1.2.3.4, 198.51.100.7", "for=\"198.51.100.7:80\""),
            ("198.51.100.7, 10.0.0.9", "for=5.6.7.8, for=198.51.100.7"),
        ] {
            assert_eq!(both(list, elements).as_deref(), Ok("198.51.100.7"), "{list} {elements}");
        }
        for (list, elements) in [
            ("198.51.100.7", "for=1.2.3.4"),
            ("1.2.3.4", "for=198.51.100.7"),
            ("198.51.100.7", "for=198.51.100.7, for=1.2.3.4"),
            ("10.0.0.9", "for=198.51.100.7, for=10.0.0.9"),
        ] {
            assert_eq!(both(list, elements), Err(ChainError::Disagrees), "{list} {elements}");
        }
        assert_eq!(both("198.51.100.7", "for=unknown"), Err(ChainError::Unreadable));
        assert_eq!(both("unknown", "for=198.51.100.7"), Err(ChainError::Unreadable));
    }

    #[test]
    fn s05_each_reason_has_a_code_and_words_of_its_own() {
        for (error, code, word) in [
            (ChainError::Unreadable, "forwarded_unreadable", "cannot be read"),
            (ChainError::Disagrees, "forwarded_disagrees", "another in X-Forwarded-For"),
        ] {
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
