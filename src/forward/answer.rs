//! What an application's answer may say to the browser.
//!
//! Hop-by-hop fields go, cookies with the gateway's names go (S07), the body is framed anew, and a redirect to the application's own address is
//! brought back to the address that the browser knows. Everything else passes as it came. `Upgrade` is told with a 101 alone: with any other
//! status, 426 among them, it offers what the application speaks on its own connection, of which the gateway passes on a part.
//!
//! Trust boundary: the application may be hostile; nothing it says here touches a session.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::http::cookie::{self, IdentityCookies};
use crate::http::{HostName, hop};
use crate::policy::ResponseFields;

/// What is needed to rewrite one answer.
pub struct AnswerContext<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// What the application saw as `Host`, when that was not what the browser asked for.
    pub inner_authority: Option<&'a str>,
    /// `scheme://authority` as the browser knows it.
    pub outer_origin: &'a dyn Fn() -> String,
    /// The cookies that tell the application who asks; it cannot set one itself.
    pub cookies: &'a IdentityCookies,
    /// What the policy changes on answers.
    pub fields: &'a ResponseFields,
}

/// Rewrites the head of an answer in place.
pub fn rewrite(status: StatusCode, headers: &mut HeaderMap, context: &AnswerContext<'_>) {
    let upgrade = if status == StatusCode::SWITCHING_PROTOCOLS { headers.get(header::UPGRADE).cloned() } else { None };
    hop::drop_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    cookie::refuse(headers, context.cookies);
    // For HEAD and 304 the length speaks of a body that is not sent; else the server writes it from the body itself. A 204 never has one (RFC 9110
    // section 8.6): clients on HTTP/2 take such an answer for a broken one.
    let is_of_no_body = *context.method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    if !is_of_no_body || status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    bring_back(headers, context);
    context.fields.apply(headers);
}

/// A `Location` on the application's own address is one on ours. What is behind the authority need be no ASCII, and is copied.
fn bring_back(headers: &mut HeaderMap, context: &AnswerContext<'_>) {
    let Some(inner) = context.inner_authority else { return };
    let Some(location) = headers.get(header::LOCATION).map(HeaderValue::as_bytes) else { return };
    let Some((ports, rest)) = strip_scheme(location) else { return };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Ok(authority) = std::str::from_utf8(authority) else { return };
    if !ports.iter().any(|port| is_same(authority, inner, *port)) {
        return;
    }
    let path = if path.is_empty() { b"/" } else { path };
    if let Ok(value) = HeaderValue::from_bytes(&[(context.outer_origin)().as_bytes(), path].concat()) {
        headers.insert(header::LOCATION, value);
    }
}

/// What follows `//`, and the ports that a missing one can mean: without a scheme it is that of a page which the application knows by either.
fn strip_scheme(location: &[u8]) -> Option<(&'static [u16], &[u8])> {
    const SCHEMES: [(&[u8], &[u16]); 3] = [(b"//", &[80, 443]), (b"http://", &[80]), (b"https://", &[443])];
    SCHEMES.into_iter().find_map(|(scheme, ports)| {
        let (start, rest) = location.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some((ports, rest))
    })
}

/// Whether two authorities are the same where a missing port means `port` (RFC 9110 section 4.2.3).
fn is_same(one: &str, other: &str, port: u16) -> bool {
    let read = |text| HostName::parse_authority(text).ok().map(|(host, named)| (host, named.unwrap_or(port)));
    read(one).is_some_and(|one| read(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(fields: &[(&'static str, &'static str)], status: u16, inner: Option<&str>) -> HeaderMap {
        rewritten_of(&Method::GET, fields, status, inner)
    }

    fn rewritten_of(
        method: &Method,
        fields: &[(&'static str, &'static str)],
        status: u16,
        inner: Option<&str>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let origin = || "https://royalty.gmr.example".to_owned();
        let context = AnswerContext {
            method,
            inner_authority: inner,
            outer_origin: &origin,
            cookies: &IdentityCookies::default(),
            fields: &ResponseFields::default(),
        };
        rewrite(StatusCode::from_u16(status).unwrap(), &mut headers, &context);
        headers
    }

    #[test]
    fn a_redirect_in_raw_bytes_beyond_ascii_is_brought_back_as_it_is() {
        for (sent, brought) in [
            (&b"http://10.0.0.5:7001/caf\xc3\xa9?x=\xe9"[..], &b"https://royalty.gmr.example/caf\xc3\xa9?x=\xe9"[..]),
            (b"//10.0.0.5:7001#\xff", b"https://royalty.gmr.example#\xff"),
            (b"http://10.0.0.5:7001\xc3\xa9/x", b"http://10.0.0.5:7001\xc3\xa9/x"),
            (b"/caf\xe9", b"/caf\xe9"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_bytes(sent).unwrap());
            let origin = || "https://royalty.gmr.example".to_owned();
            let context = AnswerContext {
                method: &Method::GET,
                inner_authority: Some("10.0.0.5:7001"),
                outer_origin: &origin,
                cookies: &IdentityCookies::default(),
                fields: &ResponseFields::default(),
            };
            rewrite(StatusCode::FOUND, &mut headers, &context);
            assert_eq!(headers[header::LOCATION].as_bytes(), brought, "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn h04_hop_by_hop_fields_and_framing_of_an_answer_are_dropped() {
        let fields = [
            ("connection", "x-internal"),
            ("x-internal", "1"),
            ("keep-alive", "5"),
            ("content-length", "3"),
            ("etag", "e"),
        ];
        let left = rewritten(&fields, 200, None);
        assert_eq!(left.keys().map(ToString::to_string).collect::<Vec<_>>(), ["etag"]);
        assert!(rewritten(&[("content-length", "3")], 304, None).contains_key("content-length"));
    }

    #[test]
    fn h06_a_length_stays_where_it_speaks_of_a_body_that_is_not_sent() {
        let stays = |method, status| {
            rewritten_of(&method, &[("content-length", "3")], status, None).contains_key("content-length")
        };
        assert!(stays(Method::HEAD, 200) && stays(Method::HEAD, 304) && stays(Method::GET, 304));
        assert!(!stays(Method::GET, 200) && !stays(Method::POST, 404));
        // RFC 9110 section 8.6: never in a 204. Clients on HTTP/2 take such an answer for none.
        assert!(!stays(Method::HEAD, 204) && !stays(Method::GET, 204));
    }

    #[test]
    fn h06_a_switch_of_protocols_is_told_and_an_offer_of_one_is_not() {
        let fields = [("connection", "Upgrade, x-a"), ("upgrade", "websocket"), ("x-a", "1")];
        let told = rewritten(&fields, 101, None);
        assert_eq!(
            (&told["connection"], &told["upgrade"], told.len()),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap(), 2)
        );
        assert!(rewritten(&fields, 200, None).is_empty());
    }

    #[test]
    fn s07_an_answer_sets_no_cookie_of_the_gateway() {
        let left = rewritten(&[("set-cookie", "__Host-lychgate=x"), ("set-cookie", "a=1")], 200, None);
        assert_eq!(left.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1"]);
    }

    #[test]
    fn a_redirect_to_the_applications_own_address_is_brought_back() {
        let location = |inner: &str, location: &'static str| {
            let left = rewritten(&[("location", location)], 302, Some(inner));
            left.get("location").unwrap().to_str().unwrap().to_owned()
        };
        let ours = "https://royalty.gmr.example";
        for (inner, sent, path) in [
            ("10.0.0.5:7001", "http://10.0.0.5:7001/login?x=1", "/login?x=1"),
            ("10.0.0.5:7001", "https://10.0.0.5:7001?x", "?x"),
            ("10.0.0.5:7001", "http://10.0.0.5:7001", "/"),
            ("10.0.0.5:7001", "//10.0.0.5:7001/x", "/x"),
            // The port of the scheme is the same as none (RFC 9110 section 4.2.3).
            ("app.test", "http://app.test/x", "/x"),
            ("app.test", "http://app.test:80/x", "/x"),
            ("app.test", "https://app.test/x", "/x"),
            ("app.test", "https://app.test:443/x", "/x"),
            ("app.test", "//app.test/x", "/x"),
            ("app.test", "//app.test:80/x", "/x"),
            ("app.test", "//app.test:443/x", "/x"),
            ("app.test:80", "http://app.test/x", "/x"),
            ("app.test:443", "https://app.test/x", "/x"),
            ("app.test:80", "http://app.test:80#x", "#x"),
            ("app.test", "HTTP://App.Test./x", "/x"),
            ("[::1]", "http://[::1]:80/x", "/x"),
            ("[::1]:7001", "http://[::1]:7001/x", "/x"),
        ] {
            assert_eq!(location(inner, sent), format!("{ours}{path}"), "{inner}: {sent}");
        }
        for (inner, other) in [
            ("10.0.0.5:7001", "/relative"),
            ("10.0.0.5:7001", "http://10.0.0.5:70011/x"),
            ("10.0.0.5:7001", "http://10.0.0.5:7001.evil.example/"),
            ("10.0.0.5:7001", "https://other.example/"),
            ("10.0.0.5:7001", "http://10.0.0.5/x"),
            ("10.0.0.5:7001", "//10.0.0.5/x"),
            ("app.test", "http://app.test:443/x"),
            ("app.test", "https://app.test:80/x"),
            ("app.test", "http://app.test:8080/x"),
            ("app.test:443", "http://app.test/x"),
            ("app.test", "http://me@app.test/x"),
            ("app.test", "http://app.test\\@other.example/"),
            ("app.test", "ftp://app.test/x"),
            ("app.test", "/x?to=http://app.test/x"),
            ("app.test", "http:/app.test/x"),
            ("app.test", "http://"),
            ("app.test", "//"),
        ] {
            assert_eq!(location(inner, other), other, "{inner}");
        }
    }
}
