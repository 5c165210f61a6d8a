//! What an answer carries: the gateway's own bytes, or the application's stream.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, InvalidHeaderValue, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;

use crate::upstream::{AnswerBody, BodyError};

/// Bytes of a piece of a page that holds something.
const PIECE: usize = 16 << 10;

/// What an answer carries: the gateway's own bytes or the application's stream.
pub(super) enum Content {
    /// A page, or nothing.
    Own(Full<Bytes>),
    /// A page that holds something.
    Holding(Box<Holding>),
    /// The application's body.
    App(AnswerBody),
}

/// A page that holds something until its last piece was taken, or it was taken back itself. Its pieces are copies: what a client on HTTP/2 lets lie
/// there holds nothing else.
pub(super) struct Holding {
    rest: Bytes,
    held: Option<Box<dyn Any + Send>>,
}

impl Holding {
    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            self.held = None;
            return None;
        }
        let piece = self.rest.split_to(PIECE.min(self.rest.len()));
        Some(Bytes::copy_from_slice(&piece))
    }
}

impl Content {
    /// A page that holds `held` until it was taken.
    pub(super) fn holding(page: Bytes, held: impl Send + 'static) -> Self {
        Self::Holding(Box::new(Holding { rest: page, held: Some(Box::new(held)) }))
    }

    pub(super) fn empty() -> Self {
        Self::Own(Full::default())
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        Self::Own(Full::new(bytes))
    }

    /// What is left of it in an answer to HEAD: how long it would be (RFC 9110 sections 8.6 and 9.3.2). Of an application's answer its head
    /// says that, and nothing else is known.
    pub(super) fn without_body(self, headers: &mut HeaderMap) -> Self {
        match self {
            Self::Own(body) => {
                if let Some(length @ 1..) = body.size_hint().exact() {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
                Self::empty()
            }
            Self::Holding(page) => Self::own(page.rest).without_body(headers),
            Self::App(_) => self,
        }
    }
}

impl HttpBody for Content {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Holding(page) => Poll::Ready(page.next().map(|piece| Ok(Frame::data(piece)))),
            Self::App(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            // Asked for once more after the last piece, so that it holds what it holds until that was taken.
            Self::Holding(page) => page.held.is_none(),
            Self::App(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Holding(page) => SizeHint::with_exact(page.rest.len() as u64),
            Self::App(body) => body.size_hint(),
        }
    }
}

/// A redirect that no cache keeps.
pub(super) fn redirect(to: &str) -> Result<Response<Content>, InvalidHeaderValue> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = StatusCode::FOUND;
    let location = HeaderValue::try_from(to)?;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn c13_a_page_lets_go_when_its_last_piece_was_taken_and_its_pieces_hold_nothing() {
        let (page, held) = (vec![b'x'; 2 * PIECE + 1], std::sync::Arc::new(()));
        let mut content = Content::holding(Bytes::from(page.clone()), std::sync::Arc::clone(&held));
        let mut pieces = Vec::new();
        while pieces.iter().map(Bytes::len).sum::<usize>() < page.len() {
            assert_eq!(content.size_hint().exact(), Some((page.len() - pieces.concat().len()) as u64));
            pieces.push(content.frame().await.unwrap().ok().unwrap().into_data().unwrap());
            assert_eq!((std::sync::Arc::strong_count(&held), content.is_end_stream()), (2, false));
        }
        assert!(content.frame().await.is_none() && content.is_end_stream());
        assert_eq!((std::sync::Arc::strong_count(&held), pieces.len()), (1, 3));
        assert_eq!(pieces.concat(), page);
        // Taken back in its middle, though a piece is left.
        let mut content = Content::holding(Bytes::from(page), std::sync::Arc::clone(&held));
        let piece = content.frame().await;
        drop(content);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
        drop(piece);
        let mut headers = HeaderMap::new();
        let left = Content::holding(Bytes::from_static(b"page"), ()).without_body(&mut headers);
        assert_eq!((headers[CONTENT_LENGTH].as_bytes(), left.size_hint().exact()), (&b"4"[..], Some(0)));
    }
}
