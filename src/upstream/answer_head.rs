//! The head of an answer: status, fields, and how its body is framed.
//!
//! Interim answers are passed over (RFC 9110 section 15.2). What could be framed in two ways is no answer: two
//! lengths, another coding than one `chunked`, a coding of an HTTP/1.0 server (H08). A connection is not used again after an answer that has
//! no body by rule and whose head announces one: a careless application sends it all the same, perhaps a moment later (decision 87).
//!
//! Trust boundary: the application may be hostile. Bounds: [`MAX_HEAD`] bytes, [`MAX_FIELDS`] fields, [`MAX_INTERIM`] interim answers.
//! Specification: RFC 9112 sections 4 to 6.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use memchr::{memchr, memchr_iter};

use super::UpstreamError;
use super::connection::Connection;
use crate::http::decoder::{Decoder, Sender};
use crate::http::field::{ConnectionSays, Field, names_are_tokens};

/// Largest head of an answer; a larger one is refused (H08).
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;
/// Fields that there is room for at first.
const USUAL_FIELDS: usize = 12;
const MAX_INTERIM: usize = 64;

/// An answer's head, and what follows it.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) response: Response<()>,
    pub(super) decoder: Decoder,
    /// Whether the connection may be used again once the body was read.
    pub(super) keeps: bool,
}

/// Reads the head of the answer to a request; `to_head`: whether that was HEAD.
pub(super) struct HeadReader {
    to_head: bool,
    /// Bytes in which no end of a head was found.
    looked: usize,
    interim: usize,
}

impl HeadReader {
    pub(super) fn new(to_head: bool) -> Self {
        Self { to_head, looked: 0, interim: 0 }
    }

    /// The head, once it is there.
    pub(super) fn poll(
        &mut self,
        connection: &mut Connection,
        context: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, UpstreamError>> {
        loop {
            while let Some(bytes) = self.take(&mut connection.read.bytes)? {
                let head = read(&bytes, self.to_head)?;
                let status = head.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Poll::Ready(Err(UpstreamError::Invalid));
                }
            }
            match ready!(connection.poll_more(context)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(self.ended(&connection.read.bytes))),
                Ok(_) => {}
            }
        }
    }

    /// Takes a whole head off what was read.
    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, UpstreamError> {
        // Empty lines before an answer belong to none.
        while let Some(b'\r' | b'\n') = read.first() {
            read.advance(1);
        }
        match end_of_head(read, self.looked) {
            Some(end) if end <= MAX_HEAD => {
                self.looked = 0;
                Ok(Some(read.split_to(end).freeze()))
            }
            None if read.len() <= MAX_HEAD => {
                if let Some(first) = read.get(..5)
                    && first != b"HTTP/"
                {
                    return Err(UpstreamError::Invalid);
                }
                // The last line's end may be there in part.
                self.looked = read.len().saturating_sub(2);
                Ok(None)
            }
            _ => Err(UpstreamError::Invalid),
        }
    }

    /// What it means that the application says no more.
    fn ended(&self, read: &[u8]) -> UpstreamError {
        // A text that ends within its first line and is no beginning of an answer was none.
        if b"HTTP/".iter().zip(read).all(|(expected, found)| expected == found) {
            UpstreamError::Closed
        } else {
            UpstreamError::Invalid
        }
    }
}

/// Where the first empty line behind `from` ends.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    memchr_iter(b'\n', bytes.get(from..)?).find_map(|at| {
        let next = from + at + 1;
        match bytes.get(next..)? {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

fn read(bytes: &Bytes, to_head: bool) -> Result<AnswerHead, UpstreamError> {
    let mut lines = Lines { rest: bytes };
    let (version, status, reason) = lines.next().and_then(status_line).ok_or(UpstreamError::Invalid)?;
    let keeps_length = to_head || status == StatusCode::NOT_MODIFIED;
    let mut hop = Hop::default();
    let mut headers = HeaderMap::with_capacity(USUAL_FIELDS);
    for line in lines.take_while(|line| !line.is_empty()) {
        let field = Field::of(line).ok_or(UpstreamError::Invalid)?;
        if hop.takes(field)? {
            continue;
        }
        let (name, value) = field.checked(bytes).ok_or(UpstreamError::Invalid)?;
        headers.append(name, value);
        if headers.len() > MAX_FIELDS {
            return Err(UpstreamError::Invalid);
        }
    }
    if !names_are_tokens(&headers, Some(bytes)) {
        return Err(UpstreamError::Invalid);
    }
    for name in &hop.listed {
        headers.remove(name);
    }
    // However often it was said, it is said once.
    if let Some(length) = hop.length.filter(|_| keeps_length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let decoder = hop.framing(version, status, to_head)?;
    let keeps = hop.keeps(version) && decoder != Decoder::UntilClose && !hop.may_run_over(status, to_head);
    let mut response = Response::new(());
    (*response.status_mut(), *response.version_mut(), *response.headers_mut()) = (status, version, headers);
    if status.canonical_reason().map(str::as_bytes) != Some(reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    Ok(AnswerHead { response, decoder, keeps })
}

/// `version SP status [SP reason]` (RFC 9112 section 4).
fn status_line(line: &[u8]) -> Option<(Version, StatusCode, &[u8])> {
    let (start, reason) = line.split_at_checked(12)?;
    let version = match start.get(..9)? {
        b"HTTP/1.1 " => Version::HTTP_11,
        b"HTTP/1.0 " => Version::HTTP_10,
        _ => return None,
    };
    let status = StatusCode::from_bytes(start.get(9..)?).ok()?;
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    reason.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)).then_some((version, status, reason))
}

/// The lines of a head, without their ends.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = self.rest.split_at_checked(memchr(b'\n', self.rest)?)?;
        self.rest = rest.get(1..)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// What an answer says of its connection and its body; such fields go no further (H04).
#[derive(Default)]
struct Hop {
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    connection: ConnectionSays,
    /// Further names on `Connection`.
    listed: Vec<HeaderName>,
}

impl Hop {
    /// Reads a field that frames the message or speaks of the connection; whether it goes no further.
    fn takes(&mut self, field: Field<'_>) -> Result<bool, UpstreamError> {
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case(b"connection") => self.connection.read(field.value, |word| {
                if !word.eq_ignore_ascii_case(b"upgrade") {
                    self.listed.extend(HeaderName::from_bytes(word));
                }
            }),
            14 if field.name.eq_ignore_ascii_case(b"content-length") => {
                self.lengths(field.value)?;
            }
            17 if field.name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings += 1;
                self.chunked = field.value.eq_ignore_ascii_case(b"chunked");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The one length that all lines must name.
    fn lengths(&mut self, value: &[u8]) -> Result<(), UpstreamError> {
        for digits in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let length = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
            let length: u64 = length.and_then(|digits| digits.parse().ok()).ok_or(UpstreamError::Invalid)?;
            if self.length.is_some_and(|known| known != length) {
                return Err(UpstreamError::Invalid);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// How the body is framed (RFC 9112 section 6.3).
    fn framing(&self, version: Version, status: StatusCode, to_head: bool) -> Result<Decoder, UpstreamError> {
        if self.codings > 0 && version == Version::HTTP_10 {
            return Err(UpstreamError::Invalid);
        }
        if to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Decoder::Done);
        }
        match (self.codings, self.length) {
            (0, Some(length)) => Ok(Decoder::length(length)),
            (0, None) => Ok(Decoder::UntilClose),
            (1, _) if self.chunked => Ok(Decoder::chunked(Sender::Application)),
            _ => Err(UpstreamError::Invalid),
        }
    }

    /// Whether the application keeps the connection (RFC 9112 section 9.3). A coding counts before a length; whoever names both is not
    /// trusted to know where an answer ends.
    fn keeps(&self, version: Version) -> bool {
        let doubtful = self.codings > 0 && self.length.is_some();
        !self.connection.close && !doubtful && (version == Version::HTTP_11 || self.connection.keep_alive)
    }

    /// Whether an application that does not know when an answer has no body (RFC 9112 section 6.3) would send one behind this head. What it
    /// would send then looks like the answer to the next request.
    fn may_run_over(&self, status: StatusCode, to_head: bool) -> bool {
        match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => self.codings > 0 || self.length.unwrap_or(0) > 0,
            // Without a length it would go on until the connection is closed.
            _ => to_head && self.length != Some(0),
        }
    }
}

#[cfg(test)]
mod tests;
