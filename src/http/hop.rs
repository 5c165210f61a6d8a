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
    if headers.contains_key(header::CONNECTION) {
        for name in listed(headers) {
            headers.remove(name);
        }
    }
    for name in &FIXED {
        if headers.contains_key(name) {
            headers.remove(name);
        }
    }
}

/// The names on all `Connection` lines. What is no field name cannot be one's name and is passed over.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
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

/// One protocol name with an optional version; `h2c` is not for proxies (RFC 9113 section 3.1 retired it).
fn is_token(protocol: &[u8]) -> bool {
    !protocol.is_empty()
        && !protocol.eq_ignore_ascii_case(b"h2c")
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
        for protocol in ["websocket", "WebSocket", "TLS/1.0", "x-y_z+1", "h2c/1"] {
            assert!(asked(protocol), "{protocol}");
        }
        for protocol in ["", " ", "web socket", "websocket;q=1", "a,b", "h2c", "H2C", "\"a\""] {
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
