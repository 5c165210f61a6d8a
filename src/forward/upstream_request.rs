//! The one request that may reach an application.
//!
//! [`UpstreamRequest::new`] takes the scrubbed fields and a permit, keeps the gateway's cookies back, and sets what the application is told: the
//! forwarding fields, the request's identifier, the permit's identity fields, in that order, each once (S03). The target is the
//! canonical path that the policy decided on, and the query as sent (P01).
//!
//! Trust boundary: nothing a client sent can change a field that is set here. Specification: RFC 9110 section 7, RFC 7239.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};

use super::Spelling;
use super::scrub::Scrubbed;
use crate::http::cookie::{self, IdentityCookies};
use crate::http::forwarded::Origin;
use crate::http::{RequestHead, Scheme, Seen};
use crate::policy::Permit;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the application sees as `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client asked for.
    Keep,
    /// This.
    Replace(HeaderValue),
}

/// What the application is told besides who the person is.
pub struct Telling<'a> {
    /// Where the request comes from.
    pub origin: &'a Origin,
    /// What its connection's requests have in common.
    pub seen: &'a Seen,
    /// How browsers reach the gateway.
    pub scheme: Scheme,
    /// What to put into `Host`.
    pub host: &'a HostHeader,
    /// The request's identifier.
    pub request_id: HeaderValue,
    /// The cookies that tell the application who asks; no client can send one.
    pub cookies: &'a IdentityCookies,
    /// How the names of identity headers are written.
    pub spelling: &'a Spelling,
    /// The client's own `Authorization`, accepted here and to be seen by the application.
    pub authorization: Option<&'a HeaderValue>,
}

/// A request that was scrubbed, allowed, and told who asks.
pub struct UpstreamRequest<B> {
    request: Request<B>,
    upgrade: bool,
}

impl<B> UpstreamRequest<B> {
    /// Builds the request. `has_body` tells whether `body` has anything to send.
    pub fn new(
        scrubbed: Scrubbed,
        permit: &Permit<'_>,
        head: &RequestHead,
        telling: Telling<'_>,
        body: B,
        has_body: bool,
    ) -> Option<Self> {
        let (mut headers, upgrade) = scrubbed.into_parts();
        cookie::withhold(&mut headers, telling.cookies);
        set_framing(&mut headers, &head.method, has_body);
        let Telling { authorization, spelling, .. } = telling;
        set_forwarding(&mut headers, head, telling)?;
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        for (name, value) in permit.headers() {
            if *name == header::COOKIE {
                cookie::put_first(&mut headers, value);
            } else {
                headers.insert(name, value.clone());
            }
        }
        let is_upgrade = upgrade.is_some();
        if let Some(protocol) = upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocol);
        }
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = target(head)?;
        *request.headers_mut() = headers;
        *request.extensions_mut() = spelling.extensions();
        Some(Self { request, upgrade: is_upgrade })
    }

    /// Whether the client asked for another protocol.
    pub fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    /// The request for the wire.
    pub fn into_request(self) -> Request<B> {
        self.request
    }
}

/// The gateway frames what it sends itself: hyper writes `Content-Length` or `chunked` from the body (H04).
fn set_framing(headers: &mut HeaderMap, method: &Method, has_body: bool) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    if !has_body && matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

fn set_forwarding(headers: &mut HeaderMap, head: &RequestHead, telling: Telling<'_>) -> Option<()> {
    let sent = headers.get(header::HOST).cloned();
    let is_sent = sent.is_some();
    let authority = match sent {
        Some(host) => host,
        None => HeaderValue::try_from(head.authority()).ok()?,
    };
    let scheme = telling.scheme.as_str();
    headers.insert(&X_FORWARDED_FOR, telling.seen.x_forwarded_for(telling.origin)?);
    headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(header::FORWARDED, telling.seen.forwarded(telling.origin, authority.to_str().ok()?, scheme)?);
    headers.insert(&X_REQUEST_ID, telling.request_id);
    let host = match telling.host {
        HostHeader::Replace(host) => Some(host.clone()),
        HostHeader::Keep if is_sent => None,
        HostHeader::Keep => Some(authority.clone()),
    };
    headers.insert(&X_FORWARDED_HOST, authority);
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    Some(())
}

fn target(head: &RequestHead) -> Option<Uri> {
    if let Some(sent) = head.sent_target() {
        return Some(Uri::from(sent.clone()));
    }
    let (path, parameters) = (head.path.as_str(), head.path.parameters());
    let text = match &head.query {
        Some(query) => PathAndQuery::try_from(format!("{path}{parameters}?{}", &**query)),
        None if parameters.is_empty() => PathAndQuery::try_from(path),
        None => PathAndQuery::try_from(format!("{path}{parameters}")),
    };
    text.ok().map(Uri::from)
}
