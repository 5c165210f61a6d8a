//! `redirect` and `respond`: what the gateway itself answers to a rule's requests, in place of the application.
//!
//! Every answer is literal: nothing of a request enters it but, where the rule says so, its query behind the target's own. A
//! redirect leads to a path of the same host or to an address that stands in the policy, never to one that a client
//! names (O01).
//!
//! May touch: nothing. Trust boundary: the file is an administrator's; a kept query is a stranger's and stays a query.
//! Specification: RFC 9110 section 15.

use http::{HeaderValue, StatusCode};
use url::Url;

use super::reader::{Reading, Section, Text, Value};
use crate::http::ReturnTo;
use crate::reference;

/// The longest body of an answer, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// An answer of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somewhere else.
    Redirect(Redirect),
    /// A status and a text.
    Respond(Respond),
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    to: Box<str>,
    status: StatusCode,
    keep_query: bool,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The status.
    pub status: StatusCode,
    /// The text.
    pub body: Box<str>,
    /// Its media type.
    pub content_type: HeaderValue,
}

impl Redirect {
    /// The status: 301, 302, 303, 307 or 308.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text for `Location`, for a request with this query.
    pub fn location(&self, query: Option<&str>) -> String {
        let Some(query) = query.filter(|query| self.keep_query && !query.is_empty()) else {
            return self.to.to_string();
        };
        let (address, fragment) = match self.to.split_once('#') {
            Some((address, fragment)) => (address, format!("#{fragment}")),
            None => (&*self.to, String::new()),
        };
        let joint = if address.contains('?') { '&' } else { '?' };
        format!("{address}{joint}{query}{fragment}")
    }

    /// The path on the same host that it leads to; none when it leads elsewhere.
    pub(super) fn own_path(&self) -> Option<&str> {
        self.to.split(['?', '#']).next().filter(|path| path.starts_with('/'))
    }
}

/// Reads the answer of a rule, if it has one; the inner is none where it is wrong.
pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Option<Answer>> {
    let (redirect, respond) = (section.value("redirect"), section.value("respond"));
    match (redirect, respond) {
        (None, None) => None,
        (Some(redirect), None) => Some(read_redirect(redirect, reading).map(Answer::Redirect)),
        (None, Some(respond)) => Some(read_respond(respond, reading).map(Answer::Respond)),
        (Some(_), Some(respond)) => {
            reading.error("`redirect` and `respond` contradict each other", respond.span(), "keep one of them");
            Some(None)
        }
    }
}

fn read_redirect(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<Redirect> {
    if value.get_ref().as_str().is_some() {
        let text = reading.text(value, "redirect")?;
        return Some(Redirect { to: target(&text, reading)?, status: StatusCode::FOUND, keep_query: false });
    }
    if value.get_ref().as_table().is_none() {
        let expected = "an address, or a table with `to`, `status` and `keep_query`";
        return reading.wrong_kind("redirect", expected, value.get_ref(), value.span());
    }
    let mut section = reading.section(value, "redirect", &reference::policy::REDIRECT)?;
    let to = section.text("to", reading);
    let status = section.value("status").map(|value| status(value, "redirect", reading));
    let keep_query = section.flag("keep_query", reading);
    if section.lacks("to") {
        reading.error("`redirect` has no `to`", section.span(), "redirect = { to = \"/new\" }");
    }
    section.finish(reading);
    let to = to.and_then(|text| target(&text, reading))?;
    Some(Redirect { to, status: status.unwrap_or(Some(StatusCode::FOUND))?, keep_query: keep_query.unwrap_or(false) })
}

/// A path on the same host or an absolute address, literally; `Location` carries it as it stands.
fn target(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Box<str>> {
    let (address, fragment) = text.text.split_once('#').unwrap_or((text.text, ""));
    let visible = fragment.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let sound = if address.starts_with('/') {
        ReturnTo::parse(address).is_some_and(|parsed| parsed.as_str() == address)
    } else {
        Url::parse(address).is_ok_and(|url| {
            let bare = url.as_str() == address || url.as_str().strip_suffix('/') == Some(address);
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none() && bare
        })
    };
    if sound && visible {
        return Some(text.text.into());
    }
    let help = "write a path of this host, \"/new\", or a whole address, \"https://other.example/new\", as it is sent";
    reading.error(format!("`{}` cannot be redirected to", text.text), text.span.clone(), help);
    None
}

fn status(value: &Value<'_>, of: &str, reading: &mut Reading<'_>) -> Option<StatusCode> {
    let Some(number) = value.get_ref().as_integer() else {
        return reading.wrong_kind("status", "a number", value.get_ref(), value.span());
    };
    let status = number.to_string().parse::<u16>().ok().and_then(|number| StatusCode::from_u16(number).ok());
    let (allowed, help) = if of == "redirect" {
        let fits = |status: &StatusCode| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        (status.filter(fits), "301, 302, 303, 307 or 308")
    } else {
        // 401 and 407 need a challenge, which a rule with `access` gives.
        let fits = |status: &StatusCode| match status.as_u16() {
            401 | 407 => false,
            code => code == 200 || (400..600).contains(&code),
        };
        (status.filter(fits), "200, 400 to 499 without 401 and 407, or 500 to 599")
    };
    if allowed.is_none() {
        reading.error(format!("`{of}` cannot have the status {number}"), value.span(), format!("use {help}"));
    }
    allowed
}

fn read_respond(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<Respond> {
    if value.get_ref().as_integer().is_some() {
        return status(value, "respond", reading).map(plain);
    }
    if value.get_ref().as_table().is_none() {
        let expected = "a status, or a table with `status`, `body` and `content_type`";
        return reading.wrong_kind("respond", expected, value.get_ref(), value.span());
    }
    let mut section = reading.section(value, "respond", &reference::policy::RESPOND)?;
    let code = section.value("status");
    let (body, media) = (section.text("body", reading), section.text("content_type", reading));
    if code.is_none() {
        reading.error(
            "`respond` has no `status`",
            section.span(),
            "respond = { status = 503, body = \"Back at noon.\" }",
        );
    }
    section.finish(reading);
    if let Some(body) = body.as_ref().filter(|body| body.text.len() > MAX_BODY) {
        let help = "an answer of the gateway's is a sentence; give the page to the application";
        reading.error(format!("`body` is longer than {MAX_BODY} bytes"), body.span.clone(), help);
    }
    let content_type = media.map(|media| read_media(&media, reading));
    let mut answer = plain(status(code?, "respond", reading)?);
    if let Some(body) = body {
        answer.body = body.text.into();
    }
    if let Some(content_type) = content_type {
        answer.content_type = content_type?;
    }
    Some(answer)
}

/// The status in words.
fn plain(status: StatusCode) -> Respond {
    let body = format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    Respond { status, body: body.into(), content_type: HeaderValue::from_static("text/plain; charset=utf-8") }
}

fn read_media(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<HeaderValue> {
    let media = text.text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let sound = media.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub)) && text.text.is_ascii();
    match HeaderValue::from_str(text.text) {
        Ok(value) if sound => Some(value),
        _ => {
            let help = "for example \"text/html; charset=utf-8\" or \"application/json\"";
            reading.error(format!("`{}` is no media type", text.text), text.span.clone(), help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o01_a_kept_query_stays_a_query() {
        let to = |to: &str, keep_query| Redirect { to: to.into(), status: StatusCode::FOUND, keep_query };
        let cases = [
            (to("/new", false), Some("a=1"), "/new"),
            (to("/new", true), Some("a=1"), "/new?a=1"),
            (to("/new", true), Some(""), "/new"),
            (to("/new", true), None, "/new"),
            (to("/new?b=2", true), Some("a=1"), "/new?b=2&a=1"),
            (to("/new#/home", true), Some("//evil.example"), "/new?//evil.example#/home"),
            (to("https://other.example", true), Some("@evil.example/"), "https://other.example?@evil.example/"),
        ];
        for (redirect, query, expected) in cases {
            assert_eq!(redirect.location(query), expected);
        }
    }
}
