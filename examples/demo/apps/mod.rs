//! Two applications of a record company, older than any single sign-on, and unchanged since.
//!
//! They know people from request headers alone, believe them blindly, and have no sign-in, no session and no
//! check of their own: exactly what has to stand behind a gateway. Each page ends with the headers that
//! the application was given.
//! They import nothing of the gateway and nothing of the provider but its server loop.

pub(crate) mod archives;
mod download;
mod html;
mod range;
mod recording;
pub(crate) mod royalty;
mod told;

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// An answer, whole or streamed.
type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A link in the head of every page: what it says, and where it leads.
pub(crate) type Link = (String, String);

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn page(status: StatusCode, html: String) -> Answer {
    answer(status, "text/html; charset=utf-8", html)
}

fn go_to(path: &'static str) -> Answer {
    let mut answer = answer(StatusCode::SEE_OTHER, "text/plain", "");
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static(path));
    answer
}
