//! From words to HTML: one template, one style sheet, one policy.
//!
//! The style sheet stands in the page and is allowed by its SHA-256, computed once. A form's policy also allows the
//! provider's logout address, or wherever an application leads after a form that was kept, because browsers check `form-action` again for
//! the redirect that follows the form (CSP Level 3 section 6.4.1).

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue};
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest as _, Sha256};

use super::Foot;
use super::texts::{Content, Onward, PageForm};

const STYLE: &str = include_str!("style.css");
const TEMPLATE: &str = include_str!("page.html");
const NAME: &str = "page.html";

/// A page ready to be sent.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The HTML text in UTF-8.
    pub body: Bytes,
    /// The Content-Security-Policy under which it works, and nothing more.
    pub csp: HeaderValue,
}

/// Sets the headers that every answer of the gateway's own carries.
pub fn headers(headers: &mut HeaderMap, csp: HeaderValue) {
    headers.insert(CONTENT_SECURITY_POLICY, csp);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}

/// The Content-Security-Policy of an answer that is no page: it loads nothing.
pub fn nothing() -> HeaderValue {
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    #[expect(clippy::expect_used, reason = "the template is part of the program, and a test renders it")]
    environment.add_template(NAME, TEMPLATE).expect("the page template parses");
    environment
});

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

/// Renders one page.
pub(super) fn page(content: &Content<'_>, foot: Foot<'_>) -> Rendered {
    let link = content.link.as_ref().filter(|link| is_safe(link.url));
    let values = context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        title => content.title.as_ref(),
        said => content.said.as_ref(),
        next => content.next.as_ref(),
        lists => content.lists.iter().map(list).collect::<Vec<_>>(),
        request_id => foot.request_id,
        contact => foot.contact,
        link => link.map(|link| context! { url => link.url, label => link.label, beside => link.beside }),
        form => content.form.as_ref().map(|form| {
            context! {
                action => form.action,
                token => form.token,
                label => form.label,
                everywhere => form.everywhere,
            }
        }),
    };
    let body = TEMPLATES.get_template(NAME).and_then(|template| template.render(values)).unwrap_or_default();
    Rendered { body: body.into(), csp: policy(content.form.as_ref()) }
}

fn list((heading, rows): &(&'static str, Vec<(&str, &str)>)) -> Value {
    let rows: Vec<Value> = rows.iter().map(|(name, value)| context! { name => *name, value => *value }).collect();
    context! { heading => *heading, rows }
}

fn policy(form: Option<&PageForm<'_>>) -> HeaderValue {
    let targets = match form.map(|form| &form.onward) {
        None => "'none'".to_owned(),
        Some(Onward::Anywhere) => "'self' https: http:".to_owned(),
        Some(Onward::Origin(origin)) => match origin.filter(|origin| is_origin(origin)) {
            Some(origin) => format!("'self' {origin}"),
            None => "'self'".to_owned(),
        },
    };
    let text = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action {targets}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| nothing())
}

/// Whether an address may become a link: nothing (the present page again), a path on this origin, or an http(s) address.
fn is_safe(url: &str) -> bool {
    let own = url.starts_with('/') && !url.starts_with("//") && !url.contains('\\');
    url.is_empty() || own || url.starts_with("https://") || url.starts_with("http://")
}

/// Whether a text is `scheme://host[:port]` and cannot add anything to a policy.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_enter_the_policy() {
        for good in ["https://idp.example", "http://idp.localhost:9000", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in
            ["", "https://", "idp.example", "https://a b", "https://a;script-src *", "javascript:x", "https://a/b"]
        {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn o01_only_own_and_http_addresses_become_links() {
        for good in ["", "/", "/a?b=c", "https://idp.example/x", "http://idp.localhost/"] {
            assert!(is_safe(good), "{good}");
        }
        for bad in ["//evil", "/\\evil", "javascript:alert(1)", "data:text/html,x", "evil", "\thttps://x"] {
            assert!(!is_safe(bad), "{bad:?}");
        }
    }
}
