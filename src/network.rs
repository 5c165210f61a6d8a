//! A network as administrators write it: `10.0.0.0/8`, or one address.
//!
//! Addresses of clients are compared in their canonical form, in which IPv4 is never written as IPv6: a network inside `::ffff:0:0/96`
//! would match nobody, so it is refused. So is one with bits beyond its prefix, which is either a slip or an address with the wrong length.
//!
//! Specification: RFC 4632 (prefixes), RFC 4291 section 2.5.5.2 (IPv4-mapped addresses).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Why a text is no network that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// It is neither a network nor an address.
    NoNetwork,
    /// It names single addresses and a prefix that is shorter.
    BitsBeyondPrefix(IpNet),
    /// It holds IPv4 addresses written as IPv6.
    Mapped(IpNet),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => write!(f, "it is no network"),
            Self::BitsBeyondPrefix(network) => write!(f, "{network} has bits beyond its prefix"),
            Self::Mapped(network) => write!(f, "{network} could never match"),
        }
    }
}

impl std::error::Error for NetworkError {}

impl NetworkError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::NoNetwork => "a network or an address: \"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.7\"".to_owned(),
            Self::BitsBeyondPrefix(network) => format!("write \"{}\" or \"{}\"", network.trunc(), network.addr()),
            Self::Mapped(_) => "clients over IPv4 have IPv4 addresses: write it without `::ffff:`".to_owned(),
        }
    }
}

/// Reads a network, or an address as the network of it alone.
pub fn parse(text: &str) -> Result<IpNet, NetworkError> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse::<IpNet>().ok().or_else(address).ok_or(NetworkError::NoNetwork)?;
    if network != network.trunc() {
        return Err(NetworkError::BitsBeyondPrefix(network));
    }
    match network {
        IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() => Err(NetworkError::Mapped(network)),
        network => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read_and_what_could_match_nobody_is_refused() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.7", "::/0", "2001:db8::/32", "::1", "64:ff9b::/96"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        assert_eq!(parse("10.0.0.0/33"), Err(NetworkError::NoNetwork));
        let beyond = "10.0.0.1/8".parse().unwrap();
        assert_eq!(parse("10.0.0.1/8"), Err(NetworkError::BitsBeyondPrefix(beyond)));
        assert_eq!(NetworkError::BitsBeyondPrefix(beyond).help(), "write \"10.0.0.0/8\" or \"10.0.0.1\"");
        for mapped in ["::ffff:0:0/96", "::ffff:198.51.100.0/120", "::ffff:192.0.2.7"] {
            assert!(matches!(parse(mapped), Err(NetworkError::Mapped(_))), "{mapped}");
        }
    }
}
