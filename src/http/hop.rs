//! Fields that speak of one connection and must not cross the gateway (H04).
//!
//! Every name listed on any `Connection` line is dropped together with the fixed list, before identity is set, so a client cannot strip
//! the gateway's own fields this way (S04). `Content-Length`, `Transfer-Encoding` and `Host` go too: the gateway writes its own.
//!
//! Trust boundary: names are a stranger's. Specification: RFC 9110 section 7.6.1.

use http::header::{self, HeaderMap, HeaderName};

static FIXED: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Drops all hop-by-hop fields.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // One look at the names there are; asking the map for each of the fixed ones costs a hash each.
    let present = headers.keys().filter_map(place).fold(0u16, |bits, place| bits | 1 << place);
    if present == 0 {
        return;
    }
    for name in listed(headers) {
        headers.remove(name);
    }
    for (place, name) in FIXED.iter().enumerate() {
        if present & 1 << place != 0 {
            headers.remove(name);
        }
    }
}

/// Where a name stands in the fixed list.
fn place(name: &HeaderName) -> Option<usize> {
    // No name of the list begins otherwise.
    match name.as_str().as_bytes() {
        [b'c' | b'k' | b'p' | b't' | b'u', ..] => FIXED.iter().position(|fixed| fixed == name),
        _ => None,
    }
}

/// The names on all `Connection` lines, but for those that go anyway. What is no field name cannot be one's name and is passed over.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"upgrade"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| *name != header::CONNECTION)
        .collect()
}

/// The protocol that a request asks to switch to, where `Connection` lists `upgrade` and exactly one protocol is named.
pub fn requested_upgrade(headers: &HeaderMap) -> Option<&http::HeaderValue> {
    let listed = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    match (listed, protocols.next(), protocols.next()) {
        (true, Some(protocol), None) if is_token(protocol.as_bytes()) => Some(protocol),
        _ => None,
    }
}

/// Protocols in which requests come that nobody would decide on: `h2c` (RFC 9113 section 3.1 retired it), TLS (RFC 2817 section 3) and HTTP. Some
/// libraries ask for them with every request, and do without.
const CARRYING_REQUESTS: [&[u8]; 4] = [b"h2", b"h2c", b"http", b"tls"];

/// One protocol name with an optional version.
fn is_token(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    !protocol.is_empty()
        && !CARRYING_REQUESTS.iter().any(|carrying| carrying.eq_ignore_ascii_case(name))
        && protocol.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_' | b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(fields: &[(&str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<Vec<_>>()
            .into_iter()
            .fold(HeaderMap::new(), |mut map, (name, value): (HeaderName, _)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn h04_every_name_on_any_connection_line_is_dropped() {
        let mut map = headers(&[
            ("connection", "close, X-One"),
            ("connection", "x-two ,, keep-alive,x three"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-connection", "close"),
        ]);
        drop_hop_by_hop(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-three"]);
    }

    #[test]
    fn h04_every_name_of_the_fixed_list_is_recognised() {
        for (at, name) in FIXED.iter().enumerate() {
            assert_eq!(place(name), Some(at), "{name}");
            let mut map = HeaderMap::new();
            map.insert(name, HeaderValue::from_static("x"));
            drop_hop_by_hop(&mut map);
            assert!(map.is_empty(), "{name}");
        }
    }

    #[test]
    fn h06_an_upgrade_needs_both_fields_and_one_protocol() {
        let asked = |fields: &[(&str, &'static str)]| requested_upgrade(&headers(fields)).cloned();
        assert_eq!(asked(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]).unwrap(), "websocket");
        assert_eq!(asked(&[("upgrade", "websocket")]), None);
        assert_eq!(asked(&[("connection", "upgrade")]), None);
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "websocket, h2c")]), None);
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "h2c")]), None);
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "a"), ("upgrade", "b")]), None);
    }

    #[test]
    fn h06_a_protocol_is_one_name_with_a_version() {
        let asked = |protocol: &'static str| {
            requested_upgrade(&headers(&[("connection", "upgrade"), ("upgrade", protocol)])).is_some()
        };
        for protocol in ["websocket", "WebSocket", "tcp", "SPDY/3.1", "x-y_z+1", "h2cd"] {
            assert!(asked(protocol), "{protocol}");
        }
        for protocol in
            ["", " ", "web socket", "websocket;q=1", "a,b", "h2c", "H2C", "h2c/1", "h2", "TLS/1.2", "HTTP/2.0", "\"a\""]
        {
            assert!(!asked(protocol), "{protocol}");
        }
    }

    #[test]
    fn h04_without_a_connection_line_the_fixed_list_goes_all_the_same() {
        let mut map = headers(&[("te", "a"), ("trailer", "b"), ("transfer-encoding", "chunked"), ("x", "1")]);
        drop_hop_by_hop(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x"]);
    }
}
