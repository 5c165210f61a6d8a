//! What an application's answer may say to the browser.
//!
//! Hop-by-hop fields go, cookies with the gateway's names go (S07), the body is framed anew, and a redirect to the application's own address is
//! brought back to the address that the browser knows. Everything else passes as it came.
//!
//! Trust boundary: the application may be hostile; nothing it says here touches a session.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::http::cookie::{self, IdentityCookies};
use crate::http::hop;
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
    // For HEAD and 304 the length speaks of a body that is not sent; else the server writes it from the body itself.
    if *context.method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        headers.remove(header::CONTENT_LENGTH);
    }
    bring_back(headers, context);
    context.fields.apply(headers);
}

/// A `Location` on the application's own address is one on ours.
fn bring_back(headers: &mut HeaderMap, context: &AnswerContext<'_>) {
    let Some(inner) = context.inner_authority else { return };
    let Some(location) = headers.get(header::LOCATION).and_then(|location| location.to_str().ok()) else { return };
    let Some(rest) = location.strip_prefix("http://").or_else(|| location.strip_prefix("https://")) else { return };
    let Some(path) = strip_authority(rest, inner) else { return };
    let path = if path.is_empty() { "/" } else { path };
    if let Ok(value) = HeaderValue::try_from(format!("{}{path}", (context.outer_origin)())) {
        headers.insert(header::LOCATION, value);
    }
}

/// What follows `authority` in `rest`, where it ends there.
fn strip_authority<'a>(rest: &'a str, authority: &str) -> Option<&'a str> {
    let (head, path) = rest.split_at_checked(authority.len())?;
    (head.eq_ignore_ascii_case(authority) && (path.is_empty() || path.starts_with(['/', '?', '#']))).then_some(path)
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
        let location = |location: &'static str| {
            let left = rewritten(&[("location", location)], 302, Some("10.0.0.5:7001"));
            left.get("location").unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(location("http://10.0.0.5:7001/login?x=1"), "https://royalty.gmr.example/login?x=1");
        assert_eq!(location("https://10.0.0.5:7001?x"), "https://royalty.gmr.example?x");
        assert_eq!(location("http://10.0.0.5:7001"), "https://royalty.gmr.example/");
        for other in
            ["/relative", "http://10.0.0.5:70011/x", "http://10.0.0.5:7001.evil.example/", "https://other.example/"]
        {
            assert_eq!(location(other), other);
        }
    }
}
