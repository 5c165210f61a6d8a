//! The one path of a request: decided on and forwarded, the same bytes (P01).
//!
//! [`CanonicalPath::parse`] refuses what servers read differently: encoded control characters, `%2f`, `%5c` and `\`,
//! path parameters (`;`), bad escapes, invalid UTF-8, raw non-ASCII, climbing above the root. What all servers read alike it brings
//! into one form: escapes of unreserved characters are undone, other escapes are written in upper case, empty and dot segments
//! (encoded ones too) are resolved. The result parses to itself (P03), so nothing is ever decoded twice.
//!
//! Trust boundary: the text is a stranger's. Specification: RFC 3986 sections 3.3 and 6.2.2.

use std::fmt;
use std::hash::{Hash, Hasher};

use http::uri::PathAndQuery;

/// A path in its canonical form: starts with `/`, has no dot or empty segments, ASCII only.
#[derive(Clone, Debug)]
pub struct CanonicalPath(PathText);

#[derive(Clone, Debug)]
enum PathText {
    /// Canonical as it stands in the target that was sent.
    Sent(PathAndQuery),
    Made(Box<str>),
}

impl PartialEq for CanonicalPath {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CanonicalPath {}

impl Hash for CanonicalPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not start with `/`.
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// A control character, raw or encoded (`%00` to `%1f`, `%7f`).
    Control,
    /// `%2f`: some servers split there, some do not.
    EncodedSlash,
    /// `\` or `%5c`: some servers take it for a slash.
    Backslash,
    /// `;`: servlet containers cut it off, others do not.
    PathParameter,
    /// A byte that must not stand raw in a path.
    RawByte(u8),
    /// The escapes do not decode to UTF-8.
    NotUtf8,
    /// `..` above the root.
    AboveRoot,
}

impl PathError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::BadEscape => "path_bad_escape",
            Self::Control => "path_control",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::PathParameter => "path_parameter",
            Self::RawByte(_) => "path_raw_byte",
            Self::NotUtf8 => "path_not_utf8",
            Self::AboveRoot => "path_above_root",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => write!(f, "the path does not start with a slash"),
            Self::BadEscape => write!(f, "a percent sign is not followed by two hexadecimal digits"),
            Self::Control => write!(f, "the path contains a control character"),
            Self::EncodedSlash => write!(f, "the path contains an encoded slash"),
            Self::Backslash => write!(f, "the path contains a backslash"),
            Self::PathParameter => write!(f, "the path contains a semicolon"),
            Self::RawByte(byte) => write!(f, "byte 0x{byte:02x} must be percent-encoded in a path"),
            Self::NotUtf8 => write!(f, "the path is not UTF-8"),
            Self::AboveRoot => write!(f, "the path climbs above the root"),
        }
    }
}

impl std::error::Error for PathError {}

impl CanonicalPath {
    /// Checks a path (no query, no fragment) and brings it into its canonical form.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if !path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if is_plain(path) {
            return Ok(Self(PathText::Made(path.into())));
        }
        let escaped = normalise_escapes(path)?;
        resolve_segments(&escaped).map(|resolved| Self(PathText::Made(resolved.into())))
    }

    /// The same of a target's path; nothing is copied where it is canonical already.
    pub(super) fn of_target(target: &PathAndQuery) -> Result<Self, PathError> {
        let path = target.path();
        if path.starts_with('/') && is_plain(path) {
            return Ok(Self(PathText::Sent(target.clone())));
        }
        Self::parse(path)
    }

    /// The target that holds the path as it is.
    pub(super) fn sent_in(&self) -> Option<&PathAndQuery> {
        match &self.0 {
            PathText::Sent(target) => Some(target),
            PathText::Made(_) => None,
        }
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            PathText::Sent(target) => target.path(),
            PathText::Made(text) => text,
        }
    }

    /// The segments between slashes; `/` has one empty segment, `/a/` has `a` and an empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/').skip(1)
    }

    /// Whether this path is `prefix` or below it, segment by segment. `prefix` is canonical, with or without a last slash.
    pub fn is_below(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        self.as_str().strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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

/// Whether the path is canonical at first sight; true for almost all requests. Any `//` or `/.` is left to the slow way.
fn is_plain(path: &str) -> bool {
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
fn normalise_escapes(path: &str) -> Result<String, PathError> {
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
        check_encoded(value)?;
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

fn hex(digit: Option<u8>) -> Result<u8, PathError> {
    digit
        .and_then(|digit| char::from(digit).to_digit(16))
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(PathError::BadEscape)
}

/// Removes empty and `.` segments and resolves `..`; a last slash stays.
fn resolve_segments(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/').skip(1) {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop().ok_or(PathError::AboveRoot)?;
            }
            other => kept.push(other),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_slash || kept.is_empty() {
        out.push('/');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(path: &str) -> String {
        CanonicalPath::parse(path).unwrap().as_str().to_owned()
    }

    #[test]
    fn p01_doubtful_paths_are_refused() {
        let cases = [
            ("", PathError::NotAbsolute),
            ("admin", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/a%00b", PathError::Control),
            ("/a%0d%0ab", PathError::Control),
            ("/a%7f", PathError::Control),
            ("/a\u{1}", PathError::Control),
            ("/a%", PathError::BadEscape),
            ("/a%4", PathError::BadEscape),
            ("/a%zz", PathError::BadEscape),
            ("/a%u0041", PathError::BadEscape),
            ("/a\\..\\b", PathError::Backslash),
            ("/a%5cb", PathError::Backslash),
            ("/a%5Cb", PathError::Backslash),
            ("/a%2fb", PathError::EncodedSlash),
            ("/a%2Fb", PathError::EncodedSlash),
            ("/..;/admin", PathError::PathParameter),
            ("/admin;x=1", PathError::PathParameter),
            ("/admin%3bx", PathError::PathParameter),
            ("/..", PathError::AboveRoot),
            ("/a/../..", PathError::AboveRoot),
            ("/%2e%2e/x", PathError::AboveRoot),
            ("/a%ff", PathError::NotUtf8),
            ("/a%c0%af", PathError::NotUtf8),
            ("/a%ed%a0%80", PathError::NotUtf8),
            ("/a b", PathError::RawByte(b' ')),
            ("/a\"b", PathError::RawByte(b'"')),
            ("/a<b", PathError::RawByte(b'<')),
            ("/ä", PathError::RawByte(0xc3)),
            ("/a#b", PathError::RawByte(b'#')),
            ("/a?b", PathError::RawByte(b'?')),
        ];
        for (path, error) in cases {
            assert_eq!(CanonicalPath::parse(path), Err(error), "{path:?}");
        }
    }

    #[test]
    fn p01_what_all_servers_read_alike_gets_one_form() {
        let cases = [
            ("/", "/"),
            ("//", "/"),
            ("//evil.example/x", "/evil.example/x"),
            ("/a//b", "/a/b"),
            ("/a/./b/", "/a/b/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/%61dmin", "/admin"),
            ("/a%c3%a4", "/a%C3%A4"),
            ("/a%25b", "/a%25b"),
            ("/a%252fb", "/a%252fb"),
            ("/a%2527b", "/a%2527b"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a,b=c:d@e", "/a,b=c:d@e"),
        ];
        for (path, expected) in cases {
            assert_eq!(canonical(path), expected, "{path:?}");
        }
    }

    #[test]
    fn prefixes_are_compared_by_segment() {
        let path = CanonicalPath::parse("/admin/payouts").unwrap();
        assert!(path.is_below("/admin") && path.is_below("/admin/") && path.is_below("/"));
        assert!(!path.is_below("/adm") && !path.is_below("/admin/pay"));
    }

    proptest! {
        #[test]
        fn p03_canonicalisation_is_idempotent(path in "/([a-zA-Z0-9./]|%[0-9a-fA-F]{2}|[%~=]){0,40}") {
            if let Ok(once) = CanonicalPath::parse(&path) {
                let twice = CanonicalPath::parse(once.as_str());
                prop_assert_eq!(twice, Ok(once));
            }
        }

        #[test]
        fn p01_a_canonical_path_has_no_segment_to_resolve(path in "(/([.]{0,3}|%2e|a|%2E%2e)){0,12}") {
            if let Ok(path) = CanonicalPath::parse(&path) {
                prop_assert!(path.as_str().starts_with('/'));
                prop_assert!(!path.as_str().contains("//"));
                prop_assert!(path.segments().all(|segment| segment != "." && segment != ".."));
            }
        }
    }
}
