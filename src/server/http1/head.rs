//! The head of an answer on HTTP/1.1, as bytes.
//!
//! Names are written in lower case, but for those that a policy spells. What frames the answer is written here and taken from nobody; the
//! version is that of the request, as clients on HTTP/1.0 expect it. Pure but for the date. Specification: RFC 9112 sections 4, 6 and 9.3, RFC 9110
//! sections 6.6.1 and 8.6.

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Method, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::clock::Clock;
use crate::forward::Spelling;

/// What an answer needs to know of its request.
pub(super) struct Asked {
    pub(super) to_head: bool,
    pub(super) version: Version,
    /// Whether the client wants to use the connection further.
    pub(super) keeps: bool,
}

impl Asked {
    pub(super) fn by(method: &Method, version: Version, keeps: bool) -> Self {
        Self { to_head: *method == Method::HEAD, version, keeps }
    }
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Nothing,
    /// So many bytes are left.
    Length(u64),
    Chunked,
    /// Its end is the connection's.
    UntilClose,
}

impl Framing {
    fn of(status: StatusCode, length: Option<u64>, asked: &Asked) -> Self {
        let nothing = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match length {
            _ if nothing || asked.to_head => Self::Nothing,
            Some(length) => Self::Length(length),
            None if asked.version == Version::HTTP_10 => Self::UntilClose,
            None => Self::Chunked,
        }
    }
}

/// Writes a head for a body of `length` bytes, if that is known; `now` is a number that changes now and then. How the body is to be framed,
/// and whether the connection is kept.
pub(super) fn write(head: &Parts, length: Option<u64>, asked: &Asked, now: u64, into: &mut Vec<u8>) -> (Framing, bool) {
    let framing = Framing::of(head.status, length, asked);
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let keeps = asked.keeps && framing != Framing::UntilClose && !switches;
    write_status(head, asked.version, into);
    // Such a length speaks of a body that is not sent; with a 204 none does (RFC 9110 section 8.6).
    let may_speak = head.status != StatusCode::NO_CONTENT;
    let keeps_length = may_speak && (asked.to_head || head.status == StatusCode::NOT_MODIFIED);
    let spelling = head.extensions.get::<Arc<Spelling>>().map(|spelling| &**spelling);
    let (mut has_length, mut has_date) = (false, false);
    for (name, value) in &head.headers {
        if *name == CONTENT_LENGTH {
            if !keeps_length {
                continue;
            }
            has_length = true;
        } else if *name == TRANSFER_ENCODING || (*name == CONNECTION && !switches) {
            continue;
        } else if *name == DATE {
            has_date = true;
        }
        write_name(name, spelling, into);
        into.extend_from_slice(b": ");
        into.extend_from_slice(value.as_bytes());
        into.extend_from_slice(b"\r\n");
    }
    match (framing, length) {
        (Framing::Chunked, _) => into.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (Framing::Length(length), _) => write_length(length, into),
        (Framing::Nothing, Some(length @ 1..)) if asked.to_head && may_speak && !has_length => {
            write_length(length, into)
        }
        (Framing::Nothing | Framing::UntilClose, _) => {}
    }
    match (keeps, asked.version) {
        (true, Version::HTTP_10) => into.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, Version::HTTP_11) if !switches => into.extend_from_slice(b"connection: close\r\n"),
        _ => {}
    }
    if !has_date {
        write_date(now, into);
    }
    into.extend_from_slice(b"\r\n");
    (framing, keeps)
}

/// Writes the whole answer to a head that cannot be read.
pub(super) fn write_refusal(status: StatusCode, now: u64, into: &mut Vec<u8>) {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = status;
    write(&head, Some(0), &Asked { to_head: false, version: Version::HTTP_11, keeps: false }, now, into);
}

fn write_status(head: &Parts, version: Version, into: &mut Vec<u8>) {
    into.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    into.extend_from_slice(head.status.as_str().as_bytes());
    into.push(b' ');
    let reason = head.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let usual = || head.status.canonical_reason().unwrap_or_default().as_bytes();
    into.extend_from_slice(reason.unwrap_or_else(usual));
    into.extend_from_slice(b"\r\n");
}

fn write_name(name: &HeaderName, spelling: Option<&Spelling>, into: &mut Vec<u8>) {
    let spelled = spelling.and_then(|spelling| spelling.spelled(name));
    into.extend_from_slice(spelled.unwrap_or(name.as_str()).as_bytes());
}

fn write_length(length: u64, into: &mut Vec<u8>) {
    into.extend_from_slice(b"content-length: ");
    into.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    into.extend_from_slice(b"\r\n");
}

thread_local! {
    /// The line with the date, and when it was made.
    static DATE_LINE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
}

/// Writes the date: read anew whenever `now` has changed.
fn write_date(now: u64, into: &mut Vec<u8>) {
    DATE_LINE.with_borrow_mut(|(made, line)| {
        if *made != now {
            *made = now;
            let date = httpdate::HttpDate::from(Clock::system().now().system_time());
            line.clear();
            // Writing to memory does not fail.
            let _ = write!(line, "date: {date}\r\n");
        }
        into.extend_from_slice(line);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Response};

    fn written(
        status: u16,
        fields: &[(&'static str, &'static str)],
        length: Option<u64>,
        asked: &Asked,
    ) -> (String, Framing, bool) {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            head.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut text = Vec::new();
        let (framing, keeps) = write(&head, length, asked, 1, &mut text);
        (String::from_utf8(text).unwrap(), framing, keeps)
    }

    fn by(method: &Method, version: Version) -> Asked {
        Asked::by(method, version, true)
    }

    /// The lines behind the first one, without the date.
    fn lines(text: &str) -> Vec<&str> {
        text.trim_end().split("\r\n").skip(1).filter(|line| !line.starts_with("date: ")).collect()
    }

    #[test]
    fn h06_a_head_frames_its_body_in_one_way() {
        let get = by(&Method::GET, Version::HTTP_11);
        let own =
            [("content-length", "99"), ("transfer-encoding", "gzip"), ("connection", "x"), ("x-a", "1"), ("x-a", "2")];
        for (status, length, asked, expected, framing) in [
            (200, Some(5), &get, vec!["x-a: 1", "x-a: 2", "content-length: 5"], Framing::Length(5)),
            (200, Some(0), &get, vec!["x-a: 1", "x-a: 2", "content-length: 0"], Framing::Length(0)),
            (200, None, &get, vec!["x-a: 1", "x-a: 2", "transfer-encoding: chunked"], Framing::Chunked),
            (204, Some(5), &get, vec!["x-a: 1", "x-a: 2"], Framing::Nothing),
            (304, None, &get, vec!["content-length: 99", "x-a: 1", "x-a: 2"], Framing::Nothing),
            (
                200,
                None,
                &by(&Method::HEAD, Version::HTTP_11),
                vec!["content-length: 99", "x-a: 1", "x-a: 2"],
                Framing::Nothing,
            ),
            (200, None, &by(&Method::GET, Version::HTTP_10), vec!["x-a: 1", "x-a: 2"], Framing::UntilClose),
            (
                200,
                Some(1),
                &by(&Method::GET, Version::HTTP_10),
                vec!["x-a: 1", "x-a: 2", "content-length: 1", "connection: keep-alive"],
                Framing::Length(1),
            ),
        ] {
            let (text, found, keeps) = written(status, &own, length, asked);
            assert_eq!((lines(&text), found), (expected, framing), "{text}");
            assert_eq!(keeps, framing != Framing::UntilClose);
            assert!(text.ends_with("\r\n\r\n") && text.matches("date: ").count() == 1);
        }
        let to_head = by(&Method::HEAD, Version::HTTP_11);
        assert_eq!(lines(&written(204, &own, Some(7), &to_head).0), ["x-a: 1", "x-a: 2"]);
        assert_eq!(lines(&written(200, &[], Some(7), &by(&Method::HEAD, Version::HTTP_11)).0), ["content-length: 7"]);
        assert!(lines(&written(200, &[], None, &by(&Method::HEAD, Version::HTTP_11)).0).is_empty());
    }

    #[test]
    fn h07_a_connection_that_ends_says_so() {
        let asked = Asked { keeps: false, ..by(&Method::GET, Version::HTTP_11) };
        assert_eq!(lines(&written(200, &[], Some(0), &asked).0), ["content-length: 0", "connection: close"]);
        let asked = Asked { keeps: false, ..by(&Method::GET, Version::HTTP_10) };
        let (text, _, keeps) = written(200, &[], Some(0), &asked);
        assert!(!keeps && text.starts_with("HTTP/1.0 200 OK\r\n") && !text.contains("connection"));
        let switching = [("connection", "upgrade"), ("upgrade", "websocket")];
        let (text, framing, keeps) = written(101, &switching, Some(0), &by(&Method::GET, Version::HTTP_11));
        assert_eq!(
            (lines(&text), framing, keeps),
            (vec!["connection: upgrade", "upgrade: websocket"], Framing::Nothing, false)
        );
        let mut text = Vec::new();
        write_refusal(StatusCode::BAD_REQUEST, 1, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert_eq!(lines(&text), ["content-length: 0", "connection: close"]);
    }

    #[test]
    fn the_date_is_todays_unless_the_application_has_said_one() {
        let get = by(&Method::GET, Version::HTTP_11);
        let (text, ..) = written(200, &[], Some(0), &get);
        let date = text.split("date: ").nth(1).unwrap().trim_end();
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
        let (text, ..) = written(200, &[("date", "yesterday")], Some(0), &get);
        assert_eq!(text.matches("date: ").count(), 1);
    }
}
