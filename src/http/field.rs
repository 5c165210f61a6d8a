//! One field line of a head on HTTP/1.1.
//!
//! Pure; nothing is copied. Trust boundary: every byte is a stranger's. Specification: RFC 9112 section 5, RFC 9110 section 5.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

/// A field's name and value, as bytes that nobody has checked.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// What stands before the colon: no space between them is passed over.
    pub name: &'a [u8],
    /// What stands behind it, without spaces and tabs at both ends.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// The field of a line; none where there is no colon.
    pub fn of(line: &'a [u8]) -> Option<Self> {
        let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
        Some(Self { name, value: trim(value.get(1..)?) })
    }

    /// Name and value, checked; the value stays a part of `whole`, in which the line stands. None where either has a byte that it must not have.
    pub fn checked(self, whole: &Bytes) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(self.name).ok()?;
        Some((name, HeaderValue::from_maybe_shared(whole.slice_ref(self.value)).ok()?))
    }
}

/// Without spaces and tabs at both ends (RFC 9110 section 5.6.3).
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether all names of a head on HTTP/2 are tokens (RFC 9110 section 5.1): what h2 reads them with takes `"` for a sign of one.
pub fn names_are_tokens(headers: &HeaderMap) -> bool {
    !headers.keys().any(|name| name.as_str().as_bytes().contains(&b'"'))
}

/// Takes blanks off around the values of a head on HTTP/2, where they come as they were sent: on HTTP/1.1 they belong to the syntax and not to the
/// value, so a policy and an application would read two values. RFC 9113 section 8.2.1 calls such a head malformed; clients send it (decision 105).
pub fn trim_values(headers: &mut HeaderMap) {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &HeaderValue| is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last());
    if headers.values().any(is_padded) {
        headers.values_mut().filter(|value| is_padded(value)).for_each(trim_value);
    }
}

#[cold]
fn trim_value(value: &mut HeaderValue) {
    // A part of a value is one.
    let Ok(mut trimmed) = HeaderValue::from_bytes(trim(value.as_bytes())) else { return };
    trimmed.set_sensitive(value.is_sensitive());
    *value = trimmed;
}

/// What `Connection` says of the connection (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionSays {
    /// It ends after this message.
    pub close: bool,
    /// It is kept, said to a peer that would not expect it.
    pub keep_alive: bool,
}

impl ConnectionSays {
    /// Reads one value, and gives what else it names to `other`.
    pub fn read(&mut self, value: &[u8], mut other: impl FnMut(&[u8])) {
        for word in value.split(|byte| *byte == b',').map(trim) {
            if word.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if word.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                other(word);
            }
        }
    }
}
