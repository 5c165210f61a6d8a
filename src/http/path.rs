//! The one path of a request: what is decided on is what every server reads in what is forwarded (P01).
//!
//! [`CanonicalPath::parse`] refuses what servers read differently: encoded control characters, `%2f`, `%5c` and `\`,
//! path parameters (`;`), bad escapes, invalid UTF-8, raw non-ASCII, climbing above the root. What all servers read alike it brings
//! into one form: escapes of unreserved characters are undone, other escapes are written in upper case, empty and dot segments
//! (encoded ones too) are resolved. The result parses to itself (P03), so nothing is ever decoded twice.
//!
//! Escapes of other characters that may stand raw (`%24` for `$`, `%40` for `@`) are forwarded as they came, because a few
//! applications tell them apart (`%2B` and `+`, `%2C` and `,`); most do not, so rules see the characters.
//!
//! For applications that need them, [`CanonicalPath::parse_keeping`] lets two of the refused things through, in the one place where
//! their readers agree: parameters behind a last segment with a name, and `%2f` between two names. Parameters are forwarded and no
//! rule sees them; a path with `%2f` has a second reading, which must be decided alike ([`CanonicalPath::other_reading`]).
//!
//! Trust boundary: the text is a stranger's. Specification: RFC 3986 sections 3.3 and 6.2.2.

mod escapes;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use http::uri::PathAndQuery;

pub use escapes::{as_rules_see, has_broken_escape};
use escapes::{is_plain, normalise_escapes};

/// A path in its canonical form: starts with `/`, has no dot or empty segments, ASCII only.
///
/// [`as_str`](Self::as_str) is what rules see, the [`Display`](fmt::Display) form what is forwarded.
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
    /// With escapes of what may stand raw.
    Escaped(Box<Escaped>),
}

#[derive(Clone, Debug)]
struct Escaped {
    read: Box<str>,
    forwarded: Box<str>,
}

impl PathText {
    /// Of a path whose escapes have their one spelling.
    fn of(forwarded: String) -> Self {
        match as_rules_see(&forwarded) {
            Cow::Borrowed(_) => Self::Made(forwarded.into()),
            Cow::Owned(read) => Self::Escaped(Box::new(Escaped { read: read.into(), forwarded: forwarded.into() })),
        }
    }

    fn read(&self) -> &str {
        match self {
            Self::Sent(target) => target.path(),
            Self::Made(text) => text,
            Self::Escaped(escaped) => &escaped.read,
        }
    }

    fn forwarded(&self) -> &str {
        match self {
            Self::Escaped(escaped) => &escaped.forwarded,
            Self::Sent(_) | Self::Made(_) => self.read(),
        }
    }
}

impl PartialEq for PathText {
    fn eq(&self, other: &Self) -> bool {
        self.forwarded() == other.forwarded()
    }
}

impl Eq for PathText {}

impl Hash for PathText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.forwarded().hash(state);
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
            return Ok(Self { text: PathText::Made(path.into()), kept: None });
        }
        let escaped = normalise_escapes(path, false)?;
        resolve_segments(&escaped).map(|resolved| Self { text: PathText::of(resolved), kept: None })
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
            PathText::Made(_) | PathText::Escaped(_) => None,
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
        let text = PathText::of(resolve_segments(&escaped)?);
        let split =
            escaped.contains(ENCODED_SLASH).then(|| split_encoded_slashes(&as_rules_see(&escaped), text.read()));
        let split = split.transpose()?;
        let parameters = parameters.map(|parameters| check_parameters(&escaped, parameters)).transpose()?;
        let is_plain = split.is_none() && parameters.is_none();
        let kept = (!is_plain).then(|| Box::new(Kept { parameters: parameters.unwrap_or_default(), split }));
        Ok(Self { text, kept })
    }

    /// The path's text as rules see it: without parameters, and without escapes of what may stand raw.
    pub fn as_str(&self) -> &str {
        self.text.read()
    }

    /// What is forwarded behind the path: from the semicolon on, empty for hardly any path not.
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

/// The path as it is forwarded, with its parameters; parses to the same path again.
impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.forwarded())?;
        f.write_str(self.parameters())
    }
}

/// An encoded slash in canonical form.
const ENCODED_SLASH: &str = "%2F";

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
mod tests;
