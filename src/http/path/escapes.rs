//! What may stand in a path as it is, and the one spelling of everything else.
//!
//! May touch: nothing. Trust boundary: the text is a stranger's. Specification: RFC 3986 sections 2.1 to 2.3 and 6.2.2.

use std::borrow::Cow;

use super::PathError;

/// RFC 3986 `unreserved`: an escape of one of these means the same as the character.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand raw: RFC 3986 `pchar` without `;`, and what browsers leave unencoded in paths.
const fn may_stand_raw(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
        || matches!(byte, b'/' | b'[' | b']' | b'|' | b'^')
}

/// A text as it can stand in [`CanonicalPath::as_str`](super::CanonicalPath::as_str): with the characters that may stand raw for their escapes. A slash stays what it is.
pub fn as_rules_see(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut is_undone = false;
    for part in parts {
        // Escapes of a path have been checked.
        let value = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (value, part.get(2..)) {
            (Some(value), Some(rest)) if value != b'/' && may_stand_raw(value) => {
                out.push(char::from(value));
                out.push_str(rest);
                is_undone = true;
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    if is_undone { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// Whether the path is canonical at first sight; true for almost all requests. Any `//` or `/.` is left to the slow way.
pub(super) fn is_plain(path: &str) -> bool {
    let mut previous = 0u8;
    for byte in path.bytes() {
        if !RAW.get(usize::from(byte)).copied().unwrap_or(false) || (previous == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        previous = byte;
    }
    true
}

/// [`may_stand_raw`] for every byte.
#[expect(clippy::indexing_slicing, reason = "made by the compiler, of a byte")]
static RAW: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = may_stand_raw(byte);
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// Refuses doubtful bytes and brings every escape into its one spelling.
pub(super) fn normalise_escapes(path: &str, keeps_slash: bool) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            check_raw(byte)?;
            out.push(char::from(byte));
            decoded.push(byte);
            continue;
        }
        let value = hex(bytes.next())? << 4 | hex(bytes.next())?;
        if value != b'/' || !keeps_slash {
            check_encoded(value)?;
        }
        if is_unreserved(value) {
            out.push(char::from(value));
        } else {
            out.push_str(&format!("%{value:02X}"));
        }
        decoded.push(value);
    }
    std::str::from_utf8(&decoded).map_err(|_| PathError::NotUtf8)?;
    Ok(out)
}

fn check_raw(byte: u8) -> Result<(), PathError> {
    match byte {
        _ if may_stand_raw(byte) => Ok(()),
        b'\\' => Err(PathError::Backslash),
        b';' => Err(PathError::PathParameter),
        0..=0x1f | 0x7f => Err(PathError::Control),
        other => Err(PathError::RawByte(other)),
    }
}

fn check_encoded(value: u8) -> Result<(), PathError> {
    match value {
        0..=0x1f | 0x7f => Err(PathError::Control),
        b'/' => Err(PathError::EncodedSlash),
        b'\\' => Err(PathError::Backslash),
        b';' => Err(PathError::PathParameter),
        _ => Ok(()),
    }
}

/// Whether a `%` stands there without two hexadecimal digits (RFC 3986 section 2.1).
pub fn has_broken_escape(text: &[u8]) -> bool {
    let is_sound = |after: &[u8]| after.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    memchr::memchr_iter(b'%', text).any(|at| !text.get(at + 1..).is_some_and(is_sound))
}

fn hex(digit: Option<u8>) -> Result<u8, PathError> {
    digit
        .and_then(|digit| char::from(digit).to_digit(16))
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(PathError::BadEscape)
}
