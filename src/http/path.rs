//! The one path of a request: decided on and forwarded, the same bytes (P01).
//!
//! [`CanonicalPath::parse`] refuses what servers read differently: encoded control characters, `%2f`, `%5c` and `\`,
//! path parameters (`;`), bad escapes, invalid UTF-8, raw non-ASCII, climbing above the root. What all servers read alike it brings
//! into one form: escapes of unreserved characters are undone, other escapes are written in upper case, empty and dot segments
//! (encoded ones too) are resolved. The result parses to itself (P03), so nothing is ever decoded twice.
//!
//! For applications that need them, [`CanonicalPath::parse_keeping`] lets two of the refused things through, in the one place where
//! their readers agree: parameters behind a last segment with a name, and `%2f` between two names. Parameters are forwarded and no
//! rule sees them; a path with `%2f` has a second reading, which must be decided alike ([`CanonicalPath::other_reading`]).
//!
//! Trust boundary: the text is a stranger's. Specification: RFC 3986 sections 3.3 and 6.2.2.

use std::fmt;
use std::hash::{Hash, Hasher};

use http::uri::PathAndQuery;

/// A path in its canonical form: starts with `/`, has no dot or empty segments, ASCII only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: PathText,
    /// What an application wanted kept; hardly any path has something.
    kept: Option<Box<Kept>>,
}

#[derive(Clone, Debug)]
enum PathText {
    /// Canonical as it stands in the target that was sent.
    Sent(PathAndQuery),
    Made(Box<str>),
}

impl PathText {
    fn as_str(&self) -> &str {
        match self {
            Self::Sent(target) => target.path(),
            Self::Made(text) => text,
        }
    }
}

impl From<String> for PathText {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

impl PartialEq for PathText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PathText {}

impl Hash for PathText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    /// From the semicolon on; empty for none.
    parameters: Box<str>,
    /// The path with its encoded slashes read as slashes, where it has any.
    split: Option<Box<str>>,
}

/// What is kept of a path that is refused otherwise; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathSwitches {
    /// `%2f`.
    pub encoded_slash: bool,
    /// `;` and what follows.
    pub parameters: bool,
}

impl PathSwitches {
    /// Everything that any application can want.
    pub const ALL: Self = Self { encoded_slash: true, parameters: true };

    /// What one of two wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            encoded_slash: self.encoded_slash || other.encoded_slash,
            parameters: self.parameters || other.parameters,
        }
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
            return Ok(Self { text: path.to_owned().into(), kept: None });
        }
        let escaped = normalise_escapes(path, false)?;
        resolve_segments(&escaped).map(|resolved| Self { text: resolved.into(), kept: None })
    }

    /// The same of a target's path; nothing is copied where it is canonical already.
    pub(super) fn of_target(target: &PathAndQuery) -> Result<Self, PathError> {
        let path = target.path();
        // An empty path is `/` (RFC 9112 section 3.2.1); a target that begins with its query is not forwarded as it came.
        if target.as_str().starts_with('/') && is_plain(path) {
            return Ok(Self { text: PathText::Sent(target.clone()), kept: None });
        }
        Self::parse(path)
    }

    /// The target that holds the path as it is.
    pub(super) fn sent_in(&self) -> Option<&PathAndQuery> {
        match &self.text {
            PathText::Sent(target) => Some(target),
            PathText::Made(_) => None,
        }
    }

    /// The same for an application that wants something kept; what is in doubt even then is refused for the same reasons.
    pub fn parse_keeping(path: &str, switches: PathSwitches) -> Result<Self, PathError> {
        let (path, parameters) = match path.split_once(';') {
            Some((path, parameters)) if switches.parameters => (path, Some(parameters)),
            _ => (path, None),
        };
        if !path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let escaped = normalise_escapes(path, switches.encoded_slash)?;
        let text = resolve_segments(&escaped)?;
        let split = escaped.contains(ENCODED_SLASH).then(|| split_encoded_slashes(&escaped, &text)).transpose()?;
        let parameters = parameters.map(|parameters| check_parameters(&escaped, parameters)).transpose()?;
        let is_plain = split.is_none() && parameters.is_none();
        let kept = (!is_plain).then(|| Box::new(Kept { parameters: parameters.unwrap_or_default(), split }));
        Ok(Self { text: text.into(), kept })
    }

    /// The path's text as rules see it: without parameters.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// What is forwarded behind [`as_str`](Self::as_str): from the semicolon on, empty for hardly any path not.
    pub fn parameters(&self) -> &str {
        self.kept.as_ref().map(|kept| &*kept.parameters).unwrap_or_default()
    }

    /// The path as an application reads it that takes `%2F` for a slash; none where there is none.
    pub fn other_reading(&self) -> Option<Self> {
        let split = self.kept.as_ref()?.split.clone()?;
        Some(Self { text: PathText::Made(split), kept: None })
    }

    /// What must be kept for this path.
    pub fn needs(&self) -> PathSwitches {
        let kept = self.kept.as_ref();
        PathSwitches {
            encoded_slash: kept.is_some_and(|kept| kept.split.is_some()),
            parameters: kept.is_some_and(|kept| !kept.parameters.is_empty()),
        }
    }

    /// Whether nothing in it is there only because an application wants it kept.
    pub fn is_plain(&self) -> bool {
        self.kept.is_none()
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

/// The path as it is forwarded, with its parameters.
impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        f.write_str(self.parameters())
    }
}

/// An encoded slash in canonical form.
const ENCODED_SLASH: &str = "%2F";

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
fn normalise_escapes(path: &str, keeps_slash: bool) -> Result<String, PathError> {
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

fn hex(digit: Option<u8>) -> Result<u8, PathError> {
    digit
        .and_then(|digit| char::from(digit).to_digit(16))
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(PathError::BadEscape)
}

/// Reads encoded slashes as slashes. Each must stand between two names, and resolving before and after must give the same, or servers
/// would climb from different places.
fn split_encoded_slashes(escaped: &str, resolved: &str) -> Result<Box<str>, PathError> {
    let mut segments = escaped.split('/').filter(|segment| segment.contains(ENCODED_SLASH));
    if segments.any(|segment| segment.split(ENCODED_SLASH).any(is_no_name)) {
        return Err(PathError::EncodedSlash);
    }
    let split = resolved.replace(ENCODED_SLASH, "/");
    if resolve_segments(&escaped.replace(ENCODED_SLASH, "/"))? != split {
        return Err(PathError::EncodedSlash);
    }
    Ok(split.into())
}

/// Takes parameters only behind the last segment, and only where that has a name: some servers cut them off up to the next slash, some
/// up to the end, and `..;` is a way up to one and a name to another.
fn check_parameters(escaped: &str, parameters: &str) -> Result<Box<str>, PathError> {
    let last = escaped.rsplit('/').next().unwrap_or_default();
    if is_no_name(last) || parameters.contains('/') {
        return Err(PathError::PathParameter);
    }
    let mut kept = String::with_capacity(parameters.len() + 1);
    for parameter in parameters.split(';') {
        kept.push(';');
        kept.push_str(&normalise_escapes(parameter, false)?);
    }
    Ok(kept.into())
}

fn is_no_name(segment: &str) -> bool {
    matches!(segment, "" | "." | "..")
}

/// Removes empty and `.` segments and resolves `..`; a last slash stays.
fn resolve_segments(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/').skip(1) {
        ends_in_slash = is_no_name(segment);
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

    fn keeping(path: &str) -> Result<[String; 3], PathError> {
        let path = CanonicalPath::parse_keeping(path, PathSwitches::ALL)?;
        let other = path.other_reading().map(|other| other.to_string()).unwrap_or_default();
        Ok([path.as_str().to_owned(), path.parameters().to_owned(), other])
    }

    #[test]
    fn p02_what_is_kept_is_what_servers_read_in_ways_that_are_known() {
        let cases = [
            ("/admin;jsessionid=1", ["/admin", ";jsessionid=1", ""]),
            ("/a/../admin;x", ["/admin", ";x", ""]),
            ("/%61dmin;a=%61%c3%a4;b", ["/admin", ";a=a%C3%A4;b", ""]),
            ("/admin;", ["/admin", ";", ""]),
            ("/x;..", ["/x", ";..", ""]),
            ("/...;x", ["/...", ";x", ""]),
            ("/projects/group%2fname/", ["/projects/group%2Fname/", "", "/projects/group/name/"]),
            ("/a%2fb;x", ["/a%2Fb", ";x", "/a/b"]),
            ("//a/./b%2Fc", ["/a/b%2Fc", "", "/a/b/c"]),
            ("/a%2fb/x/..", ["/a%2Fb/", "", "/a/b/"]),
            ("/plain/../x", ["/x", "", ""]),
        ];
        for (path, [text, parameters, other]) in cases {
            let expected = [text.to_owned(), parameters.to_owned(), other.to_owned()];
            assert_eq!(keeping(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn p02_doubt_is_refused_whatever_an_application_wants_kept() {
        let cases = [
            ("/;/admin", PathError::PathParameter),
            ("/public/..;/admin", PathError::PathParameter),
            ("/public/..;x", PathError::PathParameter),
            ("/public/.;x", PathError::PathParameter),
            ("/public/%2e%2e;x", PathError::PathParameter),
            ("/;x", PathError::PathParameter),
            ("/admin/;x", PathError::PathParameter),
            ("/admin;x/", PathError::PathParameter),
            ("/admin;x/users", PathError::PathParameter),
            ("/public;x/../admin", PathError::PathParameter),
            ("/admin%3bx", PathError::PathParameter),
            ("/admin;a=%3b", PathError::PathParameter),
            ("/admin;x%2f..%2fpublic", PathError::EncodedSlash),
            ("/admin;x\\y", PathError::Backslash),
            ("/admin;%00", PathError::Control),
            ("/admin;%", PathError::BadEscape),
            ("/admin;%ff", PathError::NotUtf8),
            ("/%2fadmin", PathError::EncodedSlash),
            ("/admin%2f", PathError::EncodedSlash),
            ("/a%2f%2fb", PathError::EncodedSlash),
            ("/a%2f..%2fadmin", PathError::EncodedSlash),
            ("/a%2f%2e%2E", PathError::EncodedSlash),
            ("/..%2fadmin", PathError::EncodedSlash),
            ("/a/.%2fadmin", PathError::EncodedSlash),
            ("/a%2fb/../admin", PathError::EncodedSlash),
            ("/a%2f..;x", PathError::EncodedSlash),
            ("/a%5cb", PathError::Backslash),
            ("/a%2fb/../../..", PathError::AboveRoot),
            ("admin;x", PathError::NotAbsolute),
        ];
        for (path, error) in cases {
            assert_eq!(keeping(path), Err(error), "{path}");
        }
    }

    #[test]
    fn p02_each_switch_keeps_its_own_thing_only() {
        let slash = PathSwitches { encoded_slash: true, parameters: false };
        let parameters = PathSwitches { encoded_slash: false, parameters: true };
        assert_eq!(CanonicalPath::parse_keeping("/a;x", slash), Err(PathError::PathParameter));
        assert_eq!(CanonicalPath::parse_keeping("/a%2fb", parameters), Err(PathError::EncodedSlash));
        assert_eq!(CanonicalPath::parse_keeping("/a;x", parameters).unwrap().needs(), parameters);
        assert_eq!(CanonicalPath::parse_keeping("/a%2fb", slash).unwrap().needs(), slash);
    }

    #[test]
    fn p02_whether_anything_is_kept_is_known() {
        let plain = |path| CanonicalPath::parse_keeping(path, PathSwitches::ALL).unwrap().is_plain();
        assert!(plain("/a/../b%20c") && CanonicalPath::parse("/a").unwrap().is_plain());
        assert!(!plain("/a;x") && !plain("/a%2fb") && !plain("/a%2fb;x"));
    }

    #[test]
    fn p02_one_of_two_is_enough_for_a_switch() {
        let all: Vec<PathSwitches> = [(false, false), (false, true), (true, false), (true, true)]
            .map(|(encoded_slash, parameters)| PathSwitches { encoded_slash, parameters })
            .to_vec();
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (*one, *other))) {
            let either = one.or(other);
            assert_eq!(either.encoded_slash, [one, other].iter().any(|switches| switches.encoded_slash));
            assert_eq!(either.parameters, [one, other].iter().any(|switches| switches.parameters));
        }
    }

    #[test]
    fn p03_paths_are_the_same_by_their_text_alone() {
        use std::hash::{BuildHasher as _, RandomState};

        let sent = |path: &'static str| CanonicalPath::of_target(&PathAndQuery::from_static(path)).unwrap();
        let (made, hash) = (CanonicalPath::parse("/a").unwrap(), RandomState::new());
        assert_eq!(sent("/a?x"), made);
        assert_ne!(sent("/b"), made);
        assert_ne!(CanonicalPath::parse("/b").unwrap(), made);
        assert_eq!(hash.hash_one(sent("/a")), hash.hash_one(&made));
        assert_ne!(hash.hash_one(sent("/b")), hash.hash_one(&made));
    }

    #[test]
    fn prefixes_are_compared_by_segment() {
        let path = CanonicalPath::parse("/admin/payouts").unwrap();
        assert!(path.is_below("/admin") && path.is_below("/admin/") && path.is_below("/"));
        assert!(!path.is_below("/adm") && !path.is_below("/admin/pay"));
    }

    #[test]
    fn p01_each_byte_stands_raw_escaped_or_not_at_all() {
        let raw = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@[]|^";
        for byte in 0..=0x7fu8 {
            let expected = match byte {
                b'/' => Ok("/a/b".to_owned()),
                b'%' => Err(PathError::BadEscape),
                b'\\' => Err(PathError::Backslash),
                b';' => Err(PathError::PathParameter),
                0..=0x1f | 0x7f => Err(PathError::Control),
                other if raw.as_bytes().contains(&other) => Ok(format!("/a{}b", char::from(other))),
                other => Err(PathError::RawByte(other)),
            };
            let path = format!("/a{}b", char::from(byte));
            assert_eq!(CanonicalPath::parse(&path).map(|path| path.to_string()), expected, "{path:?}");
        }
        for value in 0..=0xffu8 {
            let expected = match value {
                b'/' => Err(PathError::EncodedSlash),
                b'\\' => Err(PathError::Backslash),
                b';' => Err(PathError::PathParameter),
                0..=0x1f | 0x7f => Err(PathError::Control),
                0x80.. => Err(PathError::NotUtf8),
                b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                    Ok(format!("/a{}b", char::from(value)))
                }
                other => Ok(format!("/a%{other:02X}b")),
            };
            let path = format!("/a%{value:02x}b");
            assert_eq!(CanonicalPath::parse(&path).map(|path| path.to_string()), expected, "{path:?}");
        }
    }

    #[test]
    fn segments_are_what_stands_between_slashes() {
        for (path, segments) in
            [("/", &[""][..]), ("/a", &["a"]), ("/a/b/", &["a", "b", ""]), ("/.a/..b", &[".a", "..b"])]
        {
            assert_eq!(CanonicalPath::parse(path).unwrap().segments().collect::<Vec<_>>(), segments, "{path}");
        }
    }

    #[test]
    fn every_refusal_has_its_code_and_its_words() {
        for (error, code, word) in [
            (PathError::NotAbsolute, "path_not_absolute", "start"),
            (PathError::BadEscape, "path_bad_escape", "hexadecimal"),
            (PathError::Control, "path_control", "control"),
            (PathError::EncodedSlash, "path_encoded_slash", "encoded slash"),
            (PathError::Backslash, "path_backslash", "backslash"),
            (PathError::PathParameter, "path_parameter", "semicolon"),
            (PathError::RawByte(b' '), "path_raw_byte", "0x20"),
            (PathError::NotUtf8, "path_not_utf8", "UTF-8"),
            (PathError::AboveRoot, "path_above_root", "above the root"),
        ] {
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(word), "{error}");
        }
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
        fn p03_what_is_kept_parses_to_itself_and_changes_nothing_else(
            path in "/([a-z0-9./;]|%2[fF]|%[0-9a-fA-F]{2}|[%~=]){0,40}",
        ) {
            let kept = CanonicalPath::parse_keeping(&path, PathSwitches::ALL);
            if let Ok(once) = &kept {
                let twice = CanonicalPath::parse_keeping(&once.to_string(), once.needs());
                prop_assert_eq!(twice.as_ref(), Ok(once));
            }
            if let Ok(strict) = CanonicalPath::parse(&path) {
                prop_assert_eq!(kept.as_ref(), Ok(&strict));
            }
            prop_assert_eq!(CanonicalPath::parse_keeping(&path, PathSwitches::default()), CanonicalPath::parse(&path));
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
