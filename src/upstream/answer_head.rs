//! The head of an answer: status, fields, and how its body is framed.
//!
//! Interim answers are passed over (RFC 9110 section 15.2). What could be framed in two ways is no answer: two
//! lengths, another coding than one `chunked`, a coding of an HTTP/1.0 server (H08).
//!
//! Trust boundary: the application may be hostile. Bounds: [`MAX_HEAD`] bytes, [`MAX_FIELDS`] fields, [`MAX_INTERIM`] interim answers.
//! Specification: RFC 9112 sections 4 to 6.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use memchr::{memchr, memchr_iter};

use super::UpstreamError;
use super::connection::Connection;
use crate::http::decoder::{Decoder, Sender};
use crate::http::field::{ConnectionSays, Field};

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
        if read.is_empty() || b"HTTP/".iter().zip(read).all(|(expected, found)| expected == found) {
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
        if hop.takes(field, keeps_length)? {
            continue;
        }
        let (name, value) = field.checked(bytes).ok_or(UpstreamError::Invalid)?;
        headers.append(name, value);
        if headers.len() > MAX_FIELDS {
            return Err(UpstreamError::Invalid);
        }
    }
    for name in &hop.listed {
        headers.remove(name);
    }
    let decoder = hop.framing(version, status, to_head)?;
    let keeps = hop.keeps(version) && decoder != Decoder::UntilClose;
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
    /// Reads a field that frames the message or speaks of the connection; whether it goes no further. A length stays where it speaks of
    /// a body that is not sent.
    fn takes(&mut self, field: Field<'_>, keeps_length: bool) -> Result<bool, UpstreamError> {
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case(b"connection") => self.connection.read(field.value, |word| {
                if !word.eq_ignore_ascii_case(b"upgrade") {
                    self.listed.extend(HeaderName::from_bytes(word));
                }
            }),
            14 if field.name.eq_ignore_ascii_case(b"content-length") => {
                self.lengths(field.value)?;
                return Ok(!keeps_length);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is read of an answer's head, that comes in such pieces.
    fn heard(pieces: &[&[u8]], to_head: bool) -> Result<Option<AnswerHead>, UpstreamError> {
        let (mut reader, mut bytes) = (HeadReader::new(to_head), BytesMut::new());
        for piece in pieces {
            bytes.extend_from_slice(piece);
            while let Some(head) = reader.take(&mut bytes)? {
                let head = read(&head, to_head)?;
                if !head.response.status().is_informational() {
                    return Ok(Some(head));
                }
            }
        }
        Ok(None)
    }

    fn framed(fields: &str) -> Result<(Decoder, bool), UpstreamError> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        heard(&[text.as_bytes()], false).map(|head| head.map(|head| (head.decoder, head.keeps)).unwrap())
    }

    #[test]
    fn h08_the_length_of_an_answer_has_one_reading() {
        assert_eq!(framed("Content-Length: 5\r\n"), Ok((Decoder::Length(5), true)));
        assert_eq!(framed("Content-Length: 5, 5\r\nContent-Length:5\r\n"), Ok((Decoder::Length(5), true)));
        assert_eq!(framed("Content-Length: 0\r\n"), Ok((Decoder::Done, true)));
        assert_eq!(framed("Transfer-Encoding: CHUNKED\r\n"), Ok((Decoder::chunked(Sender::Application), true)));
        assert_eq!(framed(""), Ok((Decoder::UntilClose, false)));
        // A coding counts before a length, and the connection is not trusted any more.
        assert_eq!(
            framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Ok((Decoder::chunked(Sender::Application), false))
        );
        for fields in [
            "Content-Length: -1\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 5,\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding : chunked\r\n",
            "X: y\r\n z\r\n",
        ] {
            assert_eq!(framed(fields), Err(UpstreamError::Invalid), "{fields:?}");
        }
        let old = heard(&[b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], false);
        assert!(old.is_err());
    }

    #[test]
    fn h04_what_an_answer_says_of_its_connection_goes_no_further() {
        let text = "HTTP/1.1 200 OK\r\nConnection: X-Internal, close\r\nX-Internal: 1\r\nx-internal: 2\r\nContent-Length: 2\r\nETag: e\r\n\r\n";
        let head = heard(&[text.as_bytes()], false).unwrap().unwrap();
        assert_eq!(head.response.headers().keys().collect::<Vec<_>>(), ["etag"]);
        let head = heard(&[b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"], false).unwrap().unwrap();
        assert_eq!(head.response.headers()["content-length"], "2");
    }

    #[test]
    fn h07_a_connection_is_kept_where_both_say_so() {
        let keeps = |text: &str| heard(&[text.as_bytes()], false).unwrap().unwrap().keeps;
        assert!(keeps("HTTP/1.1 204 No Content\r\n\r\n"));
        assert!(keeps("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"));
        assert!(keeps("HTTP/1.0 204 No Content\r\nConnection: x, Keep-Alive\r\n\r\n"));
        assert!(!keeps("HTTP/1.0 204 No Content\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nconnection: Close\r\n\r\n"));
    }

    #[test]
    fn h06_answers_to_head_have_no_body_and_interim_ones_are_passed_over() {
        let text = b"\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 7\r\n\r\n";
        let head = heard(&[text], true).unwrap().unwrap();
        assert_eq!((head.decoder, head.response.headers()["content-length"].as_bytes()), (Decoder::Done, &b"7"[..]));
        assert_eq!(head.response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"Fine");
        assert!(!head.response.headers().contains_key("link"));
    }

    #[test]
    fn h08_a_head_that_never_ends_is_refused() {
        let line = format!("X: {}\r\n", "y".repeat(1000));
        let long = format!("HTTP/1.1 200 OK\r\n{}", line.repeat(70));
        assert_eq!(heard(&[long.as_bytes()], false).err(), Some(UpstreamError::Invalid));
        assert_eq!(heard(&[b"SSH-2.0-OpenSSH_9.9\r\n"], false).err(), Some(UpstreamError::Invalid));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(heard(&[many.as_bytes()], false).err(), Some(UpstreamError::Invalid));
    }

    proptest! {
        #[test]
        fn h08_a_head_is_the_same_in_whatever_pieces_it_comes(
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12), bare: bool,
        ) {
            let text = "HTTP/1.1 200 OK\r\nA: 1\r\nB: \r\nSet-Cookie: x\r\nSet-Cookie: y\r\nContent-Length: 3\r\n\r\n";
            let text = if bare { text.replace('\r', "") } else { text.to_owned() };
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let head = heard(&pieces, false).unwrap().unwrap();
            prop_assert_eq!(head.decoder, Decoder::Length(3));
            prop_assert_eq!(head.response.headers().len(), 4);
        }

        #[test]
        fn t02_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = heard(&[b"HTTP/1.1 200 OK\r\n", &bytes, b"\r\n\r\n"], false);
            let _ = heard(&[&bytes], true);
        }
    }
}
