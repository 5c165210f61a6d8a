//! The head of an answer: status, fields, and how its body is framed.
//!
//! httparse reads the lines. Interim answers are passed over (RFC 9110 section 15.2). What could be framed in two ways is no answer: two
//! lengths, another coding than one `chunked`, a coding of an HTTP/1.0 server (H08).
//!
//! Trust boundary: the application may be hostile. Bounds: [`MAX_HEAD`] bytes, [`MAX_FIELDS`] fields, [`MAX_INTERIM`] interim answers.
//! Specification: RFC 9112 sections 4 to 6.

use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;
use memchr::memchr_iter;

use super::UpstreamError;
use super::connection::Connection;
use super::decoder::Decoder;

/// Largest head of an answer; a larger one is refused (H08).
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;
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
            while let Some(bytes) = self.take(&mut connection.read)? {
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
                Ok(0) | Err(_) => return Poll::Ready(Err(self.ended(&connection.read))),
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
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let read = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields);
    let (Ok(Status::Complete(_)), Some(code)) = (read, parsed.code) else { return Err(UpstreamError::Invalid) };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| UpstreamError::Invalid)?;
    *response.version_mut() = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| UpstreamError::Invalid)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        headers.append(name, value.map_err(|_| UpstreamError::Invalid)?);
    }
    if let Some(reason) = parsed.reason.filter(|reason| response.status().canonical_reason() != Some(reason))
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    let decoder = framing(&response, &headers, to_head)?;
    // A coding counts before a length; whoever names both is not trusted to know where the answer ends.
    let doubtful = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    let keeps = keeps(response.version(), &headers) && !doubtful && decoder != Decoder::UntilClose;
    *response.headers_mut() = headers;
    Ok(AnswerHead { response, decoder, keeps })
}

/// How the body is framed (RFC 9112 section 6.3).
fn framing(response: &Response<()>, headers: &HeaderMap, to_head: bool) -> Result<Decoder, UpstreamError> {
    let length = length(headers)?;
    let coded = headers.contains_key(TRANSFER_ENCODING);
    if coded && response.version() == Version::HTTP_10 {
        return Err(UpstreamError::Invalid);
    }
    let status = response.status();
    if to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Decoder::Done);
    }
    match length {
        _ if coded => match is_chunked(headers) {
            true => Ok(Decoder::chunked()),
            false => Err(UpstreamError::Invalid),
        },
        Some(length) => Ok(Decoder::length(length)),
        None => Ok(Decoder::UntilClose),
    }
}

/// The one length that all `Content-Length` lines name.
fn length(headers: &HeaderMap) -> Result<Option<u64>, UpstreamError> {
    let mut found = None;
    for text in headers.get_all(CONTENT_LENGTH).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let digits = text.trim_ascii();
        let length = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
        let length: u64 = length.and_then(|digits| digits.parse().ok()).ok_or(UpstreamError::Invalid)?;
        if found.is_some_and(|found| found != length) {
            return Err(UpstreamError::Invalid);
        }
        found = Some(length);
    }
    Ok(found)
}

/// Whether `chunked` is the one coding.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let only = codings.next().filter(|_| codings.next().is_none());
    only.is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Whether the application keeps the connection (RFC 9112 section 9.3).
fn keeps(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &[u8]| {
        let lines = headers.get_all(CONNECTION).iter();
        lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .any(|said| said.trim_ascii().eq_ignore_ascii_case(word))
    };
    !says(b"close") && (version == Version::HTTP_11 || says(b"keep-alive"))
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
        assert_eq!(framed("Transfer-Encoding: CHUNKED\r\n"), Ok((Decoder::chunked(), true)));
        assert_eq!(framed(""), Ok((Decoder::UntilClose, false)));
        // A coding counts before a length, and the connection is not trusted any more.
        assert_eq!(framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Ok((Decoder::chunked(), false)));
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
            prop_assert_eq!(head.response.headers().len(), 5);
        }

        #[test]
        fn t02_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = heard(&[b"HTTP/1.1 200 OK\r\n", &bytes, b"\r\n\r\n"], false);
            let _ = heard(&[&bytes], true);
        }
    }
}
