//! What a rule answers in place of the application: `redirect` and `respond`.
//!
//! Both go out with the security headers of the gateway's own pages and are kept by no cache.
//! Trust boundary: the answers are an administrator's; only a kept query is a stranger's.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response};

use super::content::Content;
use super::refusal::Refusal;
use crate::pages;
use crate::policy::{Answer, Redirect, Respond};

/// The answer to a request with this query.
pub(super) fn answer(answer: &Answer, query: Option<&str>) -> Result<Response<Content>, Refusal> {
    let mut response = match answer {
        Answer::Redirect(to) => redirect(to, query)?,
        Answer::Respond(respond) => say(respond),
    };
    pages::headers(response.headers_mut(), pages::nothing());
    Ok(response)
}

fn redirect(to: &Redirect, query: Option<&str>) -> Result<Response<Content>, Refusal> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = to.status();
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(to.location(query))?);
    Ok(response)
}

fn say(respond: &Respond) -> Response<Content> {
    let mut response = Response::new(Content::own(Bytes::copy_from_slice(respond.body.as_bytes())));
    *response.status_mut() = respond.status;
    response.headers_mut().insert(CONTENT_TYPE, respond.content_type.clone());
    response
}
