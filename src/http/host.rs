//! The name of a host, compared as hosts are compared: lower case, no port, no trailing dot (P05).
//!
//! Parsed from the authority of a request or from a policy. Refused: user information, bytes outside letters, digits,
//! `-`, `_` and `.`, empty labels, labels over 63 and names over 253 bytes, ports that are no numbers. IPv6 literals
//! keep their brackets. Specification: RFC 9110 section 7.2, RFC 3986 section 3.2.2.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// A host name or address literal, in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

/// Why a text is no authority that the gateway answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing stands where the name should be.
    Empty,
    /// `user@host`: refused everywhere, it only serves deception.
    UserInformation,
    /// A byte that no host name has.
    InvalidByte(u8),
    /// An empty label, one over 63 bytes, or a name over 253 bytes.
    InvalidLabel,
    /// A port that is no number from 1 to 65535.
    InvalidPort,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the host name is empty"),
            Self::UserInformation => write!(f, "user information before the host name is not accepted"),
            Self::InvalidByte(b'*') => write!(f, "hosts are exact names, and `*` stands for none of them"),
            Self::InvalidByte(byte) => write!(f, "byte 0x{byte:02x} cannot stand in a host name"),
            Self::InvalidLabel => write!(f, "a host name has labels of 1 to 63 and at most 253 bytes"),
            Self::InvalidPort => write!(f, "the port is no number from 1 to 65535"),
        }
    }
}

impl std::error::Error for HostError {}

impl HostName {
    /// Reads a host name without a port.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = literal.parse().map_err(|_| HostError::InvalidLabel)?;
            return Ok(Self(format!("[{address}]").into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        check_name(name)?;
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Ok(Self(name.to_ascii_lowercase().into()));
        }
        Ok(Self(name.into()))
    }

    /// Reads an authority, `host` or `host:port`.
    pub fn parse_authority(text: &str) -> Result<(Self, Option<u16>), HostError> {
        if text.contains('@') {
            return Err(HostError::UserInformation);
        }
        let after_literal = text.rfind(']').unwrap_or(0);
        let tail = text.get(after_literal..).unwrap_or_default();
        match tail.rfind(':') {
            None => Ok((Self::parse(text)?, None)),
            Some(at) => {
                let (host, port) = text.split_at(after_literal + at);
                Ok((Self::parse(host)?, Some(parse_port(port.get(1..).unwrap_or_default())?)))
            }
        }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an address and no name.
    pub fn is_address(&self) -> bool {
        self.as_str().starts_with('[') || self.as_str().parse::<std::net::Ipv4Addr>().is_ok()
    }

    /// Whether a browser treats this name as a trustworthy loopback: `localhost`, `*.localhost`, 127.0.0.0/8, `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let name = self.as_str();
        name == "localhost"
            || name.ends_with(".localhost")
            || name == "[::1]"
            || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    let mut label = 0usize;
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return Err(HostError::InvalidLabel),
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'@' => return Err(HostError::UserInformation),
            other => return Err(HostError::InvalidByte(other)),
        }
        if label > 63 {
            return Err(HostError::InvalidLabel);
        }
    }
    if label == 0 || name.len() > 253 { Err(HostError::InvalidLabel) } else { Ok(()) }
}

fn parse_port(text: &str) -> Result<u16, HostError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError::InvalidPort);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(HostError::InvalidPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p05_hosts_compare_lower_case_without_port_or_trailing_dot() {
        let plain = HostName::parse("royalty.gmr.example").unwrap();
        for same in
            ["ROYALTY.gmr.Example", "royalty.gmr.example.", "royalty.gmr.example:443", "Royalty.gmr.example.:8443"]
        {
            assert_eq!(HostName::parse_authority(same).unwrap().0, plain, "{same}");
        }
        assert_eq!(HostName::parse_authority("[::0001]:80").unwrap(), (HostName::parse("[::1]").unwrap(), Some(80)));
    }

    #[test]
    fn p05_doubtful_authorities_are_refused() {
        for bad in [
            "",
            ".",
            ":80",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "user@host",
            "u:p@host",
            "a:b",
            "a:0",
            "a:65536",
            "a:+1",
            "a:",
            "a,b",
            "a\u{0}b",
            "münchen.example",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%25lo]",
            "a..",
            "a#b",
            "a?b",
            "a\\b",
        ] {
            assert!(HostName::parse_authority(bad).is_err(), "{bad:?}");
        }
        assert!(HostName::parse(&"a".repeat(64)).is_err());
        assert!(HostName::parse(&"a.".repeat(150)).is_err());
    }

    #[test]
    fn addresses_are_told_from_names() {
        for (name, address) in [
            ("127.0.0.1", true),
            ("[::1]", true),
            ("[2001:db8::1]", true),
            ("a.example", false),
            ("1.2.3.4.example", false),
        ] {
            assert_eq!(HostName::parse(name).unwrap().is_address(), address, "{name}");
        }
    }

    #[test]
    fn loopback_names_are_those_that_browsers_trust() {
        for (name, loopback) in [
            ("localhost", true),
            ("x.localhost", true),
            ("127.3.2.1", true),
            ("[::1]", true),
            ("localhost.evil", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(HostName::parse(name).unwrap().is_loopback(), loopback, "{name}");
        }
    }

    #[test]
    fn p05_names_are_as_long_as_dns_allows_and_no_longer() {
        let label = "a".repeat(63);
        assert!(HostName::parse(&label).is_ok());
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!((longest.len(), HostName::parse(&longest).map(|name| name.to_string())), (253, Ok(longest.clone())));
        assert_eq!(HostName::parse(&format!("{longest}a")), Err(HostError::InvalidLabel));
        assert_eq!(HostName::parse(&format!("{label}a")), Err(HostError::InvalidLabel));
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        for (text, error, word) in [
            ("", HostError::Empty, "empty"),
            ("a@b", HostError::UserInformation, "user information"),
            ("a b", HostError::InvalidByte(b' '), "0x20"),
            ("a..b", HostError::InvalidLabel, "labels"),
            ("a:0", HostError::InvalidPort, "port"),
            ("a:", HostError::InvalidPort, "port"),
            ("a:65536", HostError::InvalidPort, "65535"),
        ] {
            assert_eq!(HostName::parse_authority(text), Err(error), "{text}");
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(HostName::parse("a@b"), Err(HostError::UserInformation));
    }

    #[test]
    fn a_name_is_its_text_and_is_found_by_it() {
        let (name, port) = HostName::parse_authority("A-1_b.Example:65535").unwrap();
        assert_eq!((name.as_str(), name.to_string().as_str(), port), ("a-1_b.example", "a-1_b.example", Some(65535)));
        let names: std::collections::BTreeSet<HostName> = [name].into();
        assert!(names.contains("a-1_b.example") && !names.contains("b"));
    }
}
