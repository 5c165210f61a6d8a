//! Cookie fields: finding our cookies, keeping them from the application, writing `Set-Cookie`.
//!
//! The gateway's cookies are named `lychgate…` behind the prefix `__Host-` or `__Secure-` (none on loopback http). They never reach an
//! application, and an application cannot set them (S07). Names are compared without regard to case, as browsers compare the prefixes.
//! What is not ours passes byte by byte, in order; several `Cookie` lines become one (H03, RFC 9113 section 8.2.3).
//!
//! Trust boundary: `Cookie` is a stranger's text. Work is linear in its length, which the server limits.
//! Specification: RFC 6265 sections 4.1 and 5.4.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use memchr::memchr;

use super::fold::FoldedNames;
use super::path::has_broken_escape;

/// What the names of all our cookies start with, after a prefix.
pub const BASE_NAME: &str = "lychgate";

/// Whether a cookie of this name is the gateway's, or one that an application could take for it.
pub fn is_ours(name: &[u8]) -> bool {
    let name = trimmed(name);
    let bare = strip_prefix(name, b"__host-").or_else(|| strip_prefix(name, b"__secure-")).unwrap_or(name);
    match strip_prefix(bare, BASE_NAME.as_bytes()) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"-") || rest.starts_with(b"."),
        None => false,
    }
}

fn strip_prefix<'a>(text: &'a [u8], lower_prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(lower_prefix.len())?;
    head.eq_ignore_ascii_case(lower_prefix).then_some(rest)
}

/// Without what stands around it and applications may trim as blanks: beyond ASCII there are some in Latin-1 and more in Unicode.
fn trimmed(mut name: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = name
        && !first.is_ascii_graphic()
    {
        name = rest;
    }
    while let [rest @ .., last] = name
        && !last.is_ascii_graphic()
    {
        name = rest;
    }
    name
}

/// The pieces between semicolons, trimmed, as they stand.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    let pieces = std::iter::from_fn(move || {
        let line = rest?;
        let (piece, after) = match memchr(b';', line) {
            Some(at) => (line.get(..at), line.get(at + 1..)),
            None => (Some(line), None),
        };
        rest = after;
        piece
    });
    pieces.map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty())
}

/// Name and value of one piece; a piece without `=` is a value without a name, as browsers send it.
fn name_value(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'=', piece) {
        Some(at) => {
            let (name, rest) = piece.split_at(at);
            (name.trim_ascii(), rest.get(1..).unwrap_or_default().trim_ascii())
        }
        None => (b"", piece),
    }
}

/// The name that somebody may take a piece to have. One without `=` is a name without a value to some; and a cookie without a name that
/// begins with `=` is sent back by browsers without that, so that the name is what stands first in its value. What else no name may begin
/// with (RFC 9110 section 5.6.2 calls them delimiters) is passed over by some.
fn name_as_sent(piece: &[u8]) -> &[u8] {
    let passed_over = |byte: &u8| byte.is_ascii_whitespace() || b"=()<>@,;:\\\"/[]?{}".contains(byte);
    let sent = match piece.first() {
        // Almost every name.
        Some(first) if first.is_ascii_alphanumeric() || *first == b'_' => piece,
        _ => {
            let start = piece.iter().position(|byte| !passed_over(byte)).unwrap_or(piece.len());
            piece.get(start..).unwrap_or_default()
        }
    };
    let end = memchr(b'=', sent).unwrap_or(sent.len());
    sent.get(..end).unwrap_or_default().trim_ascii()
}

/// All cookies of a request, in order: name and value.
pub fn all(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|line| pieces(line.as_bytes())).map(name_value)
}

/// The value of the first cookie with exactly this name.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    all(headers).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// Names of cookies by which a gateway tells an application who asks.
///
/// Applications read cookies in different ways, so a client's cookie goes too when one of them could take it, or a part of it, for one of
/// these: names count as alike when they fold to the same (PHP makes `_` of dots), are decoded first (older PHP makes of `+` a blank and ends
/// at a NUL; what stands behind a `%` that begins no escape could be any name, as it is to Perl) and end at a bracket (`user[0]` is `user` to
/// PHP); what no name may begin with is passed over (Tomcat did); and a value is looked into behind commas, spaces and quotes, where parsers
/// after RFC 2965 begin anew, behind brackets and backslashes, where Python did, and behind bytes beyond ASCII, among which are blanks that
/// Latin-1 and Unicode know.
#[derive(Clone, Debug, Default)]
pub struct IdentityCookies(Option<FoldedNames>);

impl IdentityCookies {
    /// These names; most often none.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names = names.into_iter().peekable();
        Self(names.peek().is_some().then(|| FoldedNames::new(names, [])))
    }

    /// Whether an application could take a piece of a `Cookie` line for one of these.
    fn pose(&self, piece: &[u8]) -> bool {
        let Some(names) = &self.0 else { return false };
        let starts = |byte: &u8| {
            matches!(byte, b',' | b'"' | b'[' | b']' | b'\\') || byte.is_ascii_whitespace() || !byte.is_ascii()
        };
        is_named(names, piece) || piece.split(starts).any(|part| is_named(names, part))
    }
}

/// Whether somebody may take what stands first in `part` for one of the names.
fn is_named(names: &FoldedNames, part: &[u8]) -> bool {
    let name = name_as_sent(part);
    if has_broken_escape(name) {
        return part.contains(&b'=');
    }
    let spaced: Vec<u8> = name.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Cow<'_, [u8]> = percent_encoding::percent_decode(&spaced).into();
    let bare = decoded.split(|byte| matches!(byte, b'[' | 0)).next().unwrap_or_default();
    names.covers(&String::from_utf8_lossy(trimmed(bare)))
}

/// Appends a request's cookies to a line as one, without our own and those that could pose as one of `told`. What stands in the line from
/// `began` on are cookies already.
pub fn write_clients(headers: &HeaderMap, told: &IdentityCookies, line: &mut Vec<u8>, began: usize) {
    let goes = |piece: &[u8]| is_ours(name_as_sent(piece)) || told.pose(piece);
    let clients = line.len();
    let (mut lines, mut any_went) = (0, false);
    for field in headers.get_all(COOKIE) {
        lines += 1;
        for piece in pieces(field.as_bytes()) {
            if goes(piece) {
                any_went = true;
                continue;
            }
            if line.len() > began {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(piece);
        }
    }
    if let (1, false, Some(only)) = (lines, any_went, headers.get(COOKIE)) {
        // It goes on as it came, to the last blank.
        line.truncate(clients);
        if line.len() > began && !only.is_empty() {
            line.extend_from_slice(b"; ");
        }
        line.extend_from_slice(only.as_bytes());
    }
}

/// Takes out of an application's answer every cookie that would be one of ours, or one of `told`.
pub fn refuse(headers: &mut HeaderMap, told: &IdentityCookies) {
    let goes = |line: &HeaderValue| {
        let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        is_ours(name_as_sent(pair)) || told.0.as_ref().is_some_and(|names| is_named(names, pair))
    };
    if !headers.get_all(SET_COOKIE).iter().any(goes) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter(|line| !goes(line)).cloned().collect();
    headers.remove(SET_COOKIE);
    for line in kept {
        headers.append(SET_COOKIE, line);
    }
}

/// One cookie of ours to set; always `HttpOnly`, and `SameSite=Lax` but where a provider posts to us.
#[derive(Clone, Copy, Debug)]
pub struct SetCookie<'a> {
    /// Full name, prefix included.
    pub name: &'a str,
    /// Value in base64url, or empty.
    pub value: &'a str,
    /// `/` for everything but the logout hint.
    pub path: &'a str,
    /// Whether the browser may send it over https only.
    pub secure: bool,
    /// How long the browser keeps it; `None`: until it is closed.
    pub max_age: Option<Duration>,
}

impl SetCookie<'_> {
    /// The field that sets the cookie.
    pub fn header(&self) -> Option<HeaderValue> {
        self.line("Lax")
    }

    /// The field that sets a cookie which also comes with a form that another site's page posts: `SameSite=None`, which browsers take
    /// together with `Secure` only.
    pub fn header_across_sites(&self) -> Option<HeaderValue> {
        self.line(if self.secure { "None" } else { "Lax" })
    }

    fn line(&self, same_site: &str) -> Option<HeaderValue> {
        let mut line = format!("{}={}; Path={}; HttpOnly; SameSite={same_site}", self.name, self.value, self.path);
        if self.secure {
            line.push_str("; Secure");
        }
        if let Some(max_age) = self.max_age {
            line.push_str(&format!("; Max-Age={}", max_age.as_secs()));
        }
        HeaderValue::try_from(line).ok()
    }

    /// The field that removes the cookie: the same attributes, no value, no life (C04).
    pub fn removal(&self) -> Option<HeaderValue> {
        self.gone().header()
    }

    /// The field that removes one which was set by [`SetCookie::header_across_sites`].
    pub fn removal_across_sites(&self) -> Option<HeaderValue> {
        self.gone().header_across_sites()
    }

    fn gone(&self) -> Self {
        SetCookie { value: "", max_age: Some(Duration::ZERO), ..*self }
    }
}

#[cfg(test)]
mod tests;
