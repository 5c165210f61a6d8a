//! The field `Forwarded` as proxies write it: whom each speaks for.
//!
//! Pure; nothing is copied but the rare value with an escaped character. The whole field must be sound, so that an open quote in what a client
//! wrote cannot swallow what a proxy wrote behind it. Beyond the grammar, spaces around semicolons are read, and colons and brackets without
//! quotes, as proxies write them; both say nothing else. Trust boundary: all but the last elements are a stranger's text. Bound: the caller's, on
//! elements. Specification: RFC 7239 sections 4 to 6, RFC 9110 section 5.6.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is no field of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The elements of one line: an address, or none where the proxy does not say whom it speaks for (`unknown`, a name of its own, no `for`).
pub(super) struct Elements<'a> {
    /// What is left of the line; none after its last element.
    rest: Option<&'a str>,
}

impl<'a> Elements<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self { rest: Some(line) }
    }

    /// The next element: what its `for` names, and what stands behind it, without the comma.
    fn element(mut rest: &'a str) -> Result<(Option<IpAddr>, Option<&'a str>), Malformed> {
        let mut named = None;
        loop {
            rest = spaces(rest);
            // Between semicolons there may be nothing.
            if !rest.is_empty() && !rest.starts_with([';', ',']) {
                let (name, value, behind) = pair(rest)?;
                rest = spaces(behind);
                if name.eq_ignore_ascii_case("for") && named.replace(node(&value)?).is_some() {
                    return Err(Malformed);
                }
            }
            let mut left = rest.chars();
            match left.next() {
                None => return Ok((named.flatten(), None)),
                Some(',') => return Ok((named.flatten(), Some(left.as_str()))),
                Some(';') => rest = left.as_str(),
                Some(_) => return Err(Malformed),
            }
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = Result<Option<IpAddr>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = Self::element(self.rest.take()?);
        self.rest = read.ok().and_then(|(_, rest)| rest);
        Some(read.map(|(named, _)| named))
    }
}

fn spaces(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// `token "=" value`, and what stands behind it.
fn pair(text: &str) -> Result<(&str, Cow<'_, str>, &str), Malformed> {
    let (name, rest) = text.split_once('=').ok_or(Malformed)?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Malformed);
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, rest) = quoted_string(quoted)?;
        return Ok((name, value, rest));
    }
    let end = rest.bytes().position(|byte| !is_token(byte) && !b":[]".contains(&byte)).unwrap_or(rest.len());
    let (value, rest) = rest.split_at_checked(end).ok_or(Malformed)?;
    if value.is_empty() { Err(Malformed) } else { Ok((name, Cow::Borrowed(value), rest)) }
}

/// What stands in quotes, of which the first is taken off, and what stands behind them.
fn quoted_string(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let (mut value, mut begin, mut bytes) = (Cow::Borrowed(""), 0, text.bytes().enumerate());
    while let Some((at, byte)) = bytes.next() {
        if byte != b'"' && byte != b'\\' {
            continue;
        }
        value += text.get(begin..at).ok_or(Malformed)?;
        if byte == b'"' {
            return Ok((value, text.get(at + 1..).ok_or(Malformed)?));
        }
        // What is escaped stands for itself.
        begin = at + 1;
        bytes.next();
    }
    Err(Malformed)
}

/// `nodename [ ":" node-port ]`: an address, or none where it is none.
fn node(text: &str) -> Result<Option<IpAddr>, Malformed> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(Malformed)?;
        let address: Ipv6Addr = address.parse().map_err(|_| Malformed)?;
        let is_sound = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return if is_sound { Ok(Some(IpAddr::V6(address).to_canonical())) } else { Err(Malformed) };
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if port.is_some_and(|port| !is_port(port)) {
        return Err(Malformed);
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Ok(None);
    }
    name.parse::<Ipv4Addr>().map(|address| Some(IpAddr::V4(address))).map_err(|_| Malformed)
}

fn is_port(text: &str) -> bool {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number || is_obfuscated(text)
}

/// A name that only the proxy understands (RFC 7239 section 6.3).
fn is_obfuscated(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_part))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Vec<Option<IpAddr>>, Malformed> {
        Elements::of(line).collect()
    }

    fn named(line: &str) -> Vec<String> {
        let elements = read(line).unwrap_or_else(|_| panic!("{line:?} is not read"));
        elements.iter().map(|named| named.map_or("-".to_owned(), |address| address.to_string())).collect()
    }

    #[test]
    fn s05_each_element_names_whom_it_is_for() {
        for (line, expected) in [
            ("for=192.0.2.60", vec!["192.0.2.60"]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec!["2001:db8:cafe::17"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec!["192.0.2.60"]),
            ("for=192.0.2.43, for=198.51.100.17", vec!["192.0.2.43", "198.51.100.17"]),
            ("for=\"192.0.2.43:47011\",for=\"[::ffff:10.0.0.1]\"", vec!["192.0.2.43", "10.0.0.1"]),
            ("for=192.0.2.43:80 ; proto=https,\tfor=[2001:db8::1]", vec!["192.0.2.43", "2001:db8::1"]),
            ("for=\"_gazonk\"", vec!["-"]),
            ("for=unknown, for=_a.b-c_d:_port, for=UNKNOWN:1", vec!["-", "-", "-"]),
            ("proto=https;host=\"a, b;for=1.2.3.4\"", vec!["-"]),
            ("", vec!["-"]),
            (";;for=1.2.3.4;,", vec!["1.2.3.4", "-"]),
            ("host=\"a\\\"b\\\\\";for=\"1\\.2.3.4\"", vec!["1.2.3.4"]),
        ] {
            assert_eq!(named(line), expected, "{line:?}");
        }
    }

    #[test]
    fn s05_what_is_no_element_makes_the_whole_line_unreadable() {
        for line in [
            "for",
            "for=",
            "=1.2.3.4",
            "for =1.2.3.4",
            "for= 1.2.3.4",
            "for=1.2.3",
            "for=1.2.3.4.5",
            "for=01.2.3.4",
            "for=host.example",
            "for=2001:db8::1",
            "for=\"2001:db8::1\"",
            "for=\"[2001:db8::1\"",
            "for=\"[2001:db8::1]x\"",
            "for=\"[2001:db8::1]:\"",
            "for=\"[1.2.3.4]\"",
            "for=\"[fe80::1%eth0]\"",
            "for=1.2.3.4:",
            "for=1.2.3.4:123456",
            "for=1.2.3.4:80:80",
            "for=_",
            "for=\"_a b\"",
            "for=\"\"",
            "for=1.2.3.4;for=1.2.3.4",
            "for=1.2.3.4 for=5.6.7.8",
            "for=1.2.3.4/8",
            "1.2.3.4",
            "for=\"1.2.3.4",
            "for=\"1.2.3.4\\",
            "for=\"1.2.3.4\"x",
            "for=\"1.2.3.4\"\"\"",
            "x y=z",
        ] {
            assert_eq!(read(line), Err(Malformed), "{line:?}");
        }
    }

    #[test]
    fn s05_an_open_quote_swallows_nothing_of_what_is_behind_it() {
        for theirs in ["for=1.2.3.4;x=\"", "for=1.2.3.4, for=\"", "x=\"\\", "for=1.2.3.4;x=\"a\\\""] {
            for ours in ["for=10.0.0.9", "for=\"[2001:db8::1]:1\"", "for=10.0.0.9;by=\"[::1]\";host=\"a\"", "host=\"\""]
            {
                assert!(read(&format!("{theirs}, {ours}")).is_err(), "{theirs:?} {ours:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn t02_what_is_written_is_read(addresses in proptest::collection::vec(any::<IpAddr>(), 1..6), port: u16, spaces in "[ \\t]{0,2}") {
            let elements: Vec<_> = addresses
                .iter()
                .map(|address| match address {
                    IpAddr::V4(address) => format!("for=\"{address}:{port}\";proto=https"),
                    IpAddr::V6(address) => format!("proto=https;for=\"[{address}]:{port}\""),
                })
                .collect();
            let expected: Vec<_> = addresses.iter().map(|address| Some(address.to_canonical())).collect();
            prop_assert_eq!(read(&elements.join(&format!("{spaces},{spaces}"))), Ok(expected));
        }

        #[test]
        fn t02_no_text_makes_it_panic_and_every_line_ends(line in "\\PC{0,60}|(for|by|=|;|,|\"|\\\\|\\[|\\]|:|_|1\\.2\\.3\\.4| ){0,20}") {
            prop_assert!(Elements::of(&line).count() <= line.len() + 1);
        }
    }
}
