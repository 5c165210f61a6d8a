//! Under which address a client is counted.
//!
//! May touch: nothing. Trust boundary: addresses are strangers'. Specification: RFC 4291 section 2.5.5.2 (IPv4-mapped addresses), RFC 6052 section
//! 2.1 (addresses behind NAT64).

use std::net::{IpAddr, Ipv6Addr};

/// Of an IPv6 address the first 64 bits, which one connection has to itself, but where an IPv4 client comes through a translator with the
/// well-known prefix, its own.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => match address.octets() {
            [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => [a, b, c, d].into(),
            _ => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d03_clients_behind_one_translator_are_counted_each_by_itself() {
        let counted = |address: &str| counted_as(address.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("64:ff9b::192.0.2.7"), "192.0.2.7");
        assert_eq!(counted("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(counted("192.0.2.7"), "192.0.2.7");
        for other in ["64:ff9b::1:c000:207", "64:ff9b:1::192.0.2.7", "::192.0.2.7"] {
            assert!(counted(other).ends_with("::"), "{other}");
        }
    }
}
