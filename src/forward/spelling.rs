//! Header names as a policy spells them, for HTTP/1.1 (decision 0013).
//!
//! `HeaderName` is lower case and is written in title case, `X-Remote-User`; an application that compares bytes may want `SM_USER`. In
//! requests the gateway writes such a name as it is spelled. Answers are written by hyper, which has a map of original spellings that only its
//! own reader can fill, so names are read by hyper once, from memory, and the extension that this leaves goes with each answer. Names in
//! title case need none of it.
//!
//! May touch: memory only. Trust boundary: the names are an administrator's, and valid.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Extensions, HeaderName, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;

/// How names are written, when not in title case.
#[derive(Clone, Debug, Default)]
pub struct Spelling {
    /// As hyper wants it with an answer.
    extensions: Extensions,
    /// Those that are not in title case.
    spelled: Vec<(HeaderName, Box<str>)>,
}

impl Spelling {
    /// The spelling of these names. Of two spellings of one name the first counts, unless it stands there as often as there are fields.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        if names.iter().all(|name| is_title_case(name)) {
            return Self::default();
        }
        let mut spelled: Vec<(HeaderName, Box<str>)> = Vec::new();
        for text in &names {
            if let Ok(name) = HeaderName::from_bytes(text.as_bytes())
                && spelled.iter().all(|(known, _)| *known != name)
            {
                spelled.push((name, (*text).into()));
            }
        }
        Self { extensions: Self::read(&names).unwrap_or_default(), spelled }
    }

    /// What an answer needs to be written with this spelling.
    pub fn extensions(&self) -> Extensions {
        self.extensions.clone()
    }

    /// How the name is written in a request; none: in title case.
    pub fn spelled(&self, name: &HeaderName) -> Option<&str> {
        self.spelled.iter().find(|(known, _)| known == name).map(|(_, text)| &**text)
    }

    /// Whether every name is in title case anyway.
    pub fn is_plain(&self) -> bool {
        self.spelled.is_empty()
    }

    fn read(names: &[&str]) -> Option<Extensions> {
        let lines: String = names.iter().map(|name| format!("{name}: x\r\n")).collect();
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let seen: Arc<Mutex<Option<Extensions>>> = Arc::default();
        let look = |request: Request<Incoming>| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.extensions().clone());
            async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
        };
        let head = text.len();
        let connection = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(names.len() + 1)
            .max_header_size(head + 1024)
            .keep_alive(false)
            .header_read_timeout(None)
            .serve_connection(Memory { text, at: 0 }, service_fn(look));
        // Memory is always ready, so one poll or two are all that it takes.
        let mut connection = pin!(connection);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..16 {
            if connection.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
        seen.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether hyper writes the name like this by itself.
fn is_title_case(name: &str) -> bool {
    let mut first = true;
    name.chars().all(|character| {
        let expected = if first { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
        first = character == '-';
        character == expected
    })
}

/// A text to read from, and nowhere to write to.
struct Memory {
    text: String,
    at: usize,
}

impl Read for Memory {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let part = rest.get(..rest.len().min(into.remaining())).unwrap_or_default();
        into.put_slice(part);
        let length = part.len();
        self.at += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_title_case_need_nothing() {
        assert!(Spelling::of(["X-Remote-User", "Authorization", "X-1a", "X.y"]).is_plain());
        assert!(Spelling::of([]).is_plain());
        for other in ["SM_USER", "iv-user", "X-ID", "oidc_claim", "X-remote-User", "$WSRU"] {
            assert!(!Spelling::of([other]).is_plain(), "{other}");
        }
        let many: Vec<String> = (0..300).map(|number| format!("SM_NUMBER{number}")).collect();
        assert!(!Spelling::of(many.iter().map(String::as_str)).is_plain());
    }
}
