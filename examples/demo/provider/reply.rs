//! The answers of the development provider: JSON for clients, redirections and pages for browsers.
//!
//! Every answer is `no-store` and carries the headers that keep a page to itself. A page runs no script,
//! loads nothing, cannot be framed, and its forms go to the provider and to the one origin that the
//! caller names: browsers apply `form-action` to the redirection after a form as well.
//!
//! RFC 6749 section 5.1 (no-store), Content Security Policy level 3.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use url::Url;

use super::page;

/// A whole answer.
pub(super) type Reply = Response<Full<Bytes>>;

/// A JSON document.
pub(super) fn json(status: StatusCode, document: &Value) -> Reply {
    reply(status, "application/json", document.to_string())
}

/// An error of the token or userinfo endpoint.
pub(super) fn json_error(status: StatusCode, error: &str, description: &str) -> Reply {
    json(status, &serde_json::json!({ "error": error, "error_description": description }))
}

/// A page whose forms stay with the provider.
pub(super) fn page(status: StatusCode, html: String) -> Reply {
    page_towards(status, html, None)
}

/// A page whose forms may lead on to the origin of `target`.
pub(super) fn page_towards(status: StatusCode, html: String, target: Option<&Url>) -> Reply {
    let origin = target.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src '{}'; form-action 'self' {origin}; frame-ancestors 'none'; \
         base-uri 'none'",
        page::style_hash()
    );
    let reply = reply(status, "text/html; charset=utf-8", html);
    with(reply, CONTENT_SECURITY_POLICY, &policy)
}

/// A redirection that is fetched with GET.
pub(super) fn redirect(target: &str) -> Reply {
    with(reply(StatusCode::SEE_OTHER, "text/plain", String::new()), LOCATION, target)
}

/// The answer with a cookie for `path`, which lasts `life` seconds; 0 removes it.
pub(super) fn with_cookie(reply: Reply, name: &str, value: &str, path: &str, life: u64) -> Reply {
    let cookie = format!("{name}={value}; Path={path}; Max-Age={life}; HttpOnly; SameSite=Lax");
    with(reply, SET_COOKIE, &cookie)
}

/// The answer with a challenge to authenticate.
pub(super) fn with_challenge(reply: Reply, challenge: &str) -> Reply {
    with(reply, WWW_AUTHENTICATE, challenge)
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    reply
}

fn with(mut reply: Reply, name: HeaderName, value: &str) -> Reply {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            reply.headers_mut().append(name, value);
        }
        // An answer that lacks a header it was to have is another answer: say nothing instead.
        Err(_) => *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    reply
}
