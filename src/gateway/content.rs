//! What an answer carries: the gateway's own bytes, or the application's stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, InvalidHeaderValue, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;

use crate::upstream::{AnswerBody, BodyError};

/// What an answer carries: the gateway's own bytes or the application's stream.
pub(super) enum Content {
    /// A page, or nothing.
    Own(Full<Bytes>),
    /// The application's body.
    App(AnswerBody),
}

impl Content {
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
            Self::App(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::App(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
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
