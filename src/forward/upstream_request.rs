//! The one request that may reach an application, as the bytes of its head.
//!
//! [`UpstreamRequest::new`] takes the scrubbed fields and a permit, keeps the gateway's cookies back, and writes what the application is told:
//! the client's fields, the forwarding fields, the request's identifier, the permit's identity fields, in that order, each once (S03), and
//! the framing of the body, which is the gateway's own (H04). The target is the canonical path that the policy decided on, and the query
//! as sent (P01). Where nothing may follow on the connection, it says so (decision 78). The bytes are written once, from the fields as they came, and stay for a second try.
//!
//! Trust boundary: nothing a client sent can change a field that is set here, because no [`Scrubbed`] holds one of that name.
//! Specification: RFC 9110 section 7, RFC 9112 sections 3 and 6, RFC 7239.

use std::ops::Range;

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use super::Spelling;
use super::scrub::Scrubbed;
use crate::http::authorization::signs_a_connection_in;
use crate::http::cookie::{self, IdentityCookies};
use crate::http::forwarded::Origin;
use crate::http::{RequestHead, Scheme, Seen};
use crate::policy::{KeepAlive, Permit};

/// Room for most heads.
const ROOM: usize = 1536;

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
    /// The request's identifier, in visible ASCII.
    pub request_id: &'a [u8],
    /// The cookies that tell the application who asks; no client can send one.
    pub cookies: &'a IdentityCookies,
    /// How the names of identity headers are written.
    pub spelling: &'a Spelling,
    /// The client's own `Authorization`, accepted here and to be seen by the application.
    pub authorization: Option<&'a HeaderValue>,
    /// Which requests leave their connection for others.
    pub keep_alive: KeepAlive,
}

/// How long a request's body is (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Nothing,
    /// So many bytes.
    Known(u64),
    /// It is sent in chunks until it ends.
    Chunked,
}

impl BodyLength {
    /// Whether bytes may follow the head that an application could take for a request.
    const fn is_of_some(self) -> bool {
        !matches!(self, Self::Nothing | Self::Known(0))
    }
}

/// A request that was scrubbed, allowed, and told who asks.
pub struct UpstreamRequest<B> {
    head: Vec<u8>,
    body: B,
    length: BodyLength,
    method: Method,
    upgrade: Option<Box<HeaderValue>>,
    own_connection: bool,
    /// Where values stand in the head that are not to be shown.
    secrets: Vec<Range<usize>>,
}

impl<B> UpstreamRequest<B> {
    /// Writes the request's head; `length` is that of `body`. None where something of it cannot be written, which nothing that was read
    /// and checked before leads to: an upgrade with a body is refused before.
    pub fn new(
        scrubbed: Scrubbed,
        permit: &Permit<'_>,
        head: &RequestHead,
        telling: Telling<'_>,
        body: B,
        length: BodyLength,
    ) -> Option<Self> {
        let (headers, upgrade) = scrubbed.into_parts();
        if upgrade.is_some() && length.is_of_some() {
            return None;
        }
        let mut out = Head {
            bytes: Vec::with_capacity(ROOM),
            spelling: telling.spelling,
            signs_connection_in: false,
            secrets: Vec::new(),
        };
        out.request_line(head)?;
        out.clients(&headers, permit, &telling);
        out.forwarding(&headers, head, &telling)?;
        let told = |name: &HeaderName| permit.headers().iter().any(|(told, _)| told == name);
        if let Some(authorization) = telling.authorization.filter(|_| !told(&header::AUTHORIZATION)) {
            out.field(&header::AUTHORIZATION, authorization);
        }
        for (name, value) in permit.headers().iter().filter(|(name, _)| *name != header::COOKIE) {
            out.told(name, value);
        }
        let closes = closes(telling.keep_alive, &head.method, length);
        if let Some(protocol) = &upgrade {
            out.bytes.extend_from_slice(b"Connection: upgrade\r\n");
            out.field(&header::UPGRADE, protocol);
        } else if closes {
            out.bytes.extend_from_slice(b"Connection: close\r\n");
        }
        out.framing(length, &head.method);
        out.bytes.extend_from_slice(b"\r\n");
        let Head { bytes, signs_connection_in, secrets, .. } = out;
        let (method, upgrade) = (head.method.clone(), upgrade.map(Box::new));
        let own_connection = signs_connection_in || closes;
        Some(Self { head: bytes, body, length, method, upgrade, own_connection, secrets })
    }

    /// The request line.
    pub fn line(&self) -> &[u8] {
        self.lines().next().map(|(_, line)| line).unwrap_or_default()
    }

    /// The fields: name and value as they are written, and whether the value is a secret.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
        self.lines().skip(1).filter_map(|(at, line)| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (line.get(..colon)?, line.get(colon + 2..)?);
            let secret = self.secrets.iter().any(|secret| secret.contains(&(at + colon + 2)));
            Some((name, value, secret))
        })
    }

    /// Lines without their ends, and where they begin.
    fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = self.head.split_inclusive(|byte| *byte == b'\n').scan(0, |at, line| {
            let began = *at;
            *at += line.len();
            Some((began, line.strip_suffix(b"\r\n").unwrap_or(line)))
        });
        lines.filter(|(_, line)| !line.is_empty())
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The protocol that the client asks to switch to.
    pub fn upgrade(&self) -> Option<&HeaderValue> {
        self.upgrade.as_deref()
    }

    /// Whether it has a connection to itself: the application may take what comes on it afterwards for the same person's, or what comes with
    /// it for another request (decisions 87 and 78).
    pub fn has_own_connection(&self) -> bool {
        self.own_connection
    }

    /// Head, body and the body's length, for the wire.
    pub fn into_parts(self) -> (Vec<u8>, B, BodyLength) {
        (self.head, self.body, self.length)
    }
}

/// A head that is being written.
struct Head<'a> {
    bytes: Vec<u8>,
    spelling: &'a Spelling,
    signs_connection_in: bool,
    secrets: Vec<Range<usize>>,
}

impl Head<'_> {
    fn request_line(&mut self, head: &RequestHead) -> Option<()> {
        self.bytes.extend_from_slice(head.method.as_str().as_bytes());
        self.bytes.push(b' ');
        match head.sent_target() {
            Some(sent) => self.bytes.extend_from_slice(sent.as_str().as_bytes()),
            None => self.bytes.extend_from_slice(target(head)?.as_str().as_bytes()),
        }
        self.bytes.extend_from_slice(b" HTTP/1.1\r\n");
        Some(())
    }

    /// What the client said, but for what the gateway says itself: the host, the framing, and the cookies that tell who asks.
    fn clients(&mut self, headers: &HeaderMap, permit: &Permit<'_>, telling: &Telling<'_>) {
        if let HostHeader::Replace(host) = telling.host {
            self.field(&header::HOST, host);
        } else if let Some(host) = headers.get(header::HOST) {
            self.field(&header::HOST, host);
        }
        let mut has_cookies = false;
        for (name, value) in headers {
            match name {
                name if *name == header::COOKIE => has_cookies = true,
                name if is_set_anew(name) => {}
                name => {
                    self.signs_connection_in |= *name == header::AUTHORIZATION && signs_a_connection_in(value);
                    self.field(name, value);
                }
            }
        }
        let identity = permit.headers().iter().find(|(name, _)| *name == header::COOKIE).map(|(_, value)| value);
        if has_cookies || identity.is_some() {
            self.cookies(headers, identity, telling.cookies);
        }
    }

    /// One line of cookies: those that tell who asks first, so that no open quote in a client's can swallow them.
    fn cookies(&mut self, headers: &HeaderMap, identity: Option<&HeaderValue>, told: &IdentityCookies) {
        let line = self.bytes.len();
        self.bytes.extend_from_slice(b"Cookie: ");
        let empty = self.bytes.len();
        if let Some(identity) = identity {
            self.note_secret(identity);
            self.bytes.extend_from_slice(identity.as_bytes());
        }
        cookie::write_clients(headers, told, &mut self.bytes, empty);
        if self.bytes.len() == empty {
            self.bytes.truncate(line);
        } else {
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    fn forwarding(&mut self, headers: &HeaderMap, head: &RequestHead, telling: &Telling<'_>) -> Option<()> {
        let sent = headers.get(header::HOST);
        let named = if sent.is_some() { None } else { Some(HeaderValue::try_from(head.authority()).ok()?) };
        let authority = sent.or(named.as_ref())?;
        if let (HostHeader::Keep, Some(named)) = (telling.host, &named) {
            self.field(&header::HOST, named);
        }
        let scheme = telling.scheme.as_str();
        self.line(b"X-Forwarded-For: ", telling.seen.x_forwarded_for(telling.origin)?.as_bytes());
        self.line(b"X-Forwarded-Proto: ", scheme.as_bytes());
        let forwarded = telling.seen.forwarded(telling.origin, authority.to_str().ok()?, scheme)?;
        self.line(b"Forwarded: ", forwarded.as_bytes());
        self.line(b"X-Request-Id: ", telling.request_id);
        self.line(b"X-Forwarded-Host: ", authority.as_bytes());
        Some(())
    }

    /// The gateway frames what it sends itself (H04, RFC 9112 section 6). Where a method may have a body and none comes, it says so.
    fn framing(&mut self, length: BodyLength, method: &Method) {
        match length {
            BodyLength::Nothing if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
                self.bytes.extend_from_slice(b"Content-Length: 0\r\n");
            }
            BodyLength::Nothing => {}
            BodyLength::Known(length) => self.line(b"Content-Length: ", length.to_string().as_bytes()),
            BodyLength::Chunked => self.bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
    }

    /// A field that tells who asks, spelled as the policy spells it.
    fn told(&mut self, name: &HeaderName, value: &HeaderValue) {
        match self.spelling.spelled(name) {
            Some(spelled) => self.bytes.extend_from_slice(spelled.as_bytes()),
            None => self.name(name),
        }
        self.value(value);
    }

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.name(name);
        self.value(value);
    }

    /// A name in title case, which is what applications saw before there was a gateway.
    fn name(&mut self, name: &HeaderName) {
        let began = self.bytes.len();
        self.bytes.extend_from_slice(name.as_str().as_bytes());
        let mut first = true;
        for byte in self.bytes.iter_mut().skip(began) {
            if first {
                byte.make_ascii_uppercase();
            }
            first = *byte == b'-';
        }
    }

    fn value(&mut self, value: &HeaderValue) {
        self.bytes.extend_from_slice(b": ");
        self.note_secret(value);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Notes where `value` is about to be written, if it is a secret.
    fn note_secret(&mut self, value: &HeaderValue) {
        if value.is_sensitive() {
            self.secrets.push(self.bytes.len()..self.bytes.len() + value.len());
        }
    }
}

/// Whether nothing else may be sent on the request's connection. An application that does not read a body takes it for the next request
/// (RFC 9110 section 9.3.1), unless it was told that there will be none.
fn closes(keep_alive: KeepAlive, method: &Method, length: BodyLength) -> bool {
    match keep_alive {
        KeepAlive::Always => length.is_of_some() && !takes_bodies(method),
        KeepAlive::WithoutBody => length.is_of_some(),
        KeepAlive::Never => true,
    }
}

/// Whether a method has a use for a body, so that whoever implements it reads one: RFC 9110 and 5789, QUERY, WebDAV (RFC 4918) and what
/// came of it (RFC 3253, 3744, 4791, 5323).
fn takes_bodies(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "POST"
            | "PUT"
            | "PATCH"
            | "QUERY"
            | "PROPFIND"
            | "PROPPATCH"
            | "MKCOL"
            | "MKCALENDAR"
            | "LOCK"
            | "REPORT"
            | "SEARCH"
            | "ACL"
    )
}

/// Whether the gateway writes this field by itself, whatever the client said.
fn is_set_anew(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || *name == header::EXPECT
}

/// The target of a request that does not go on as it came.
fn target(head: &RequestHead) -> Option<PathAndQuery> {
    let path = &head.path;
    let text = match &head.query {
        Some(query) => format!("{path}?{}", &**query),
        None => path.to_string(),
    };
    PathAndQuery::try_from(text).ok()
}

#[cfg(test)]
mod tests;
