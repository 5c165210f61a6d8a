//! The head of a request on HTTP/1.1, from the bytes that came.
//!
//! Method, target, names and values are checked by the types of the `http` crate; lines and framing by [`super::framing`] before. No value is
//! copied: all are parts of what was read. Empty lines before a request line are passed over (RFC 9112 section 2.2); a folded line is
//! refused, because its name would begin with a space (section 5.2).
//!
//! Pure. Bounds: bytes and fields of a head, both given. Trust boundary: every byte is a stranger's. Specification: RFC 9112 sections 2, 3, 5 and
//! 9.3, RFC 9110 sections 7.6.1, 7.8 and 10.1.1.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT, UPGRADE};
use http::{HeaderMap, Method, Request, Uri, Version};
use memchr::memchr;

use super::decoder::Decoder;
use super::field::{ConnectionSays, Field, names_are_tokens};
use super::framing::{FramingError, HeadScan};

/// What is known of a request when its head has come.
#[derive(Debug)]
pub struct Arrived {
    /// Method, target, version and fields.
    pub request: Request<()>,
    /// What follows.
    pub body: Decoder,
    /// Whether the client wants to use the connection further.
    pub keeps: bool,
    /// Whether it sends the body only when it is told to go on.
    pub expects_continue: bool,
    /// Whether it would speak another protocol.
    pub upgrades: bool,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableHead {
    /// It could be framed in two ways.
    Framing(FramingError),
    /// It is no head of a request on HTTP/1.0 or HTTP/1.1.
    Malformed,
    /// It has more bytes or fields than are taken.
    TooLarge,
}

impl UnreadableHead {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Framing(error) => error.code(),
            Self::Malformed => "head_unreadable",
            Self::TooLarge => "head_too_large",
        }
    }
}

impl fmt::Display for UnreadableHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for UnreadableHead {}

impl From<FramingError> for UnreadableHead {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

/// Reads one head after the other.
pub struct HeadReader {
    scan: HeadScan,
    longest: usize,
    most: usize,
}

impl HeadReader {
    /// A reader of heads of at most `longest` bytes and `most` fields.
    pub fn new(longest: usize, most: usize) -> Self {
        Self { scan: HeadScan::default(), longest, most }
    }

    /// Takes a head off what was read, once it is there whole.
    ///
    /// # Errors
    ///
    /// As soon as what is there can be no head. Nothing that follows on this connection may be believed.
    pub fn take(&mut self, read: &mut BytesMut) -> Result<Option<Arrived>, UnreadableHead> {
        // A head of which something was looked at begins with its request line.
        while read.starts_with(b"\r\n") {
            self.scan.clear();
            read.advance(2);
        }
        let end = self.scan.scan(read)?;
        if end.unwrap_or(read.len()) > self.longest || self.scan.lines() > self.most + 1 {
            return Err(UnreadableHead::TooLarge);
        }
        let Some(end) = end else { return Ok(None) };
        let arrived = understand(&read.split_to(end).freeze(), &self.scan)?;
        self.scan.clear();
        Ok(Some(arrived))
    }
}

fn understand(bytes: &Bytes, scan: &HeadScan) -> Result<Arrived, UnreadableHead> {
    let [first, ends @ ..] = scan.ends() else { return Err(UnreadableHead::Malformed) };
    let (method, uri, version) = request_line(bytes.slice(..*first)).ok_or(UnreadableHead::Malformed)?;
    let body = scan.body()?;
    if version == Version::HTTP_10 && matches!(body, Decoder::Chunked { .. }) {
        return Err(FramingError::CodingUnsupported.into());
    }
    let (mut headers, mut connection) = (HeaderMap::with_capacity(ends.len()), ConnectionSays::default());
    let (mut expects_continue, mut begin) = (false, first + 2);
    for end in ends {
        let field = bytes.get(begin..*end).and_then(Field::of).and_then(|field| field.checked(bytes));
        let (name, value) = field.ok_or(UnreadableHead::Malformed)?;
        if name == CONNECTION {
            connection.read(value.as_bytes(), |_| {});
        } else if name == EXPECT {
            expects_continue |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        }
        headers.try_append(name, value).map_err(|_| UnreadableHead::TooLarge)?;
        begin = end + 2;
    }
    if !names_are_tokens(&headers, Some(bytes)) {
        return Err(UnreadableHead::Malformed);
    }
    let current = version == Version::HTTP_11;
    if !current {
        // RFC 9110 section 7.8.
        headers.remove(UPGRADE);
    }
    let upgrades = headers.contains_key(UPGRADE);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    let keeps = !connection.close && (current || connection.keep_alive);
    let expects_continue = expects_continue && current && !body.is_done();
    Ok(Arrived { request, body, keeps, expects_continue, upgrades })
}

/// `method SP target SP version`.
fn request_line(line: Bytes) -> Option<(Method, Uri, Version)> {
    let (start, version) = line.split_at_checked(line.len().checked_sub(9)?)?;
    let version = match version {
        b" HTTP/1.1" => Version::HTTP_11,
        b" HTTP/1.0" => Version::HTTP_10,
        _ => return None,
    };
    let space = memchr(b' ', start)?;
    let method = Method::from_bytes(start.get(..space)?).ok()?;
    let target = line.slice(space + 1..start.len());
    Some((method, Uri::from_maybe_shared(target).ok()?, version))
}

#[cfg(test)]
mod tests;
