//! `/.lychgate/jwks`: the keys with which applications verify the identity assertions that they are sent.
//!
//! Public keys only, the same on every host, and good to be kept for an hour: a new key stands here a day before it signs.
//! Trust boundary: anybody may ask. Specification: RFC 7517 section 5 (JSON Web Key Set), RFC 9111 (caching).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use super::Exchange;
use super::content::Content;

const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const JWK_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

pub(super) fn answer(exchange: &Exchange<'_>) -> Response<Content> {
    let gateway = exchange.gateway;
    let set = gateway.common.identity.published(gateway.now().seconds());
    let mut response = Response::new(Content::own(Bytes::from(set)));
    response.headers_mut().insert(CONTENT_TYPE, JWK_SET);
    response.headers_mut().insert(CACHE_CONTROL, KEPT);
    response
}
