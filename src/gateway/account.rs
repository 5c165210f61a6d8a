//! What is known of a request for its one log line and its counters, and the answer's body that closes it.
//!
//! An [`Account`] is opened with the request, filled on the way, and written when the answer's last byte has gone, the client has left, or
//! the request was dropped: dropping it writes it, so no request goes unlogged. It has no place for a query, a cookie or a token; what of the query and the claims rules decide by is
//! written only where the configuration asks for it ([`record`]).

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde_json::value::RawValue;

use super::caller::Caller;
use super::content::Content;
use super::limits::{Held, Over};
use super::observed::Observed;
use super::request_id::RequestId;
use super::{ClientConnection, Gateway, record};
use crate::clock::Timestamp;
use crate::http::{HostName, RequestHead};
use crate::observe::{AccessEvent, Decision};
use crate::snapshot::{Application, Snapshot};
use crate::upstream::{BodyError, BodyProgress};

/// The status in the log of a request whose client left before there was an answer; never sent.
const CLIENT_LEFT: u16 = 499;

/// The account of one request.
pub(super) struct Account {
    gateway: Arc<Gateway>,
    request_id: RequestId,
    began: Instant,
    /// The time of day at which it began.
    at: Timestamp,
    scheme: &'static str,
    method: Option<Method>,
    version: Version,
    client: IpAddr,
    head: Option<Arc<RequestHead>>,
    /// The host, where that is all that is sound of the head; for the log only.
    traced: Option<Box<HostName>>,
    snapshot: Option<Arc<Snapshot>>,
    application: Option<Arc<Application>>,
    decision: Decision,
    rule: Option<Box<str>>,
    reason: Option<&'static str>,
    observed: Option<Box<Observed>>,
    known: Option<Caller>,
    by_token: bool,
    upstream: Option<(Arc<str>, Duration)>,
    progress: Option<Arc<BodyProgress>>,
    status: u16,
    bytes_out: u64,
    complete: bool,
    /// Whether the answer is an error of the gateway's own: there is a reason then, and it is counted.
    refuses: bool,
    /// Whether counters know of it.
    counted: bool,
    /// What the answer carries, once there is one.
    content: Content,
    /// Its places in the application; given back with the account, or with the request's body where that takes longer.
    held: Option<Arc<Held>>,
}

impl Account {
    /// Opens the account of a request. It stays where it is until it is closed: what moves on with the answer is a pointer.
    pub(super) fn open<B>(gateway: Arc<Gateway>, connection: &ClientConnection, request: &Request<B>) -> Box<Self> {
        let mut account = Self::unreadable(gateway, connection);
        account.method = Some(request.method().clone());
        account.version = request.version();
        account
    }

    /// Opens the account of a request whose head could not be read.
    pub(super) fn unreadable(gateway: Arc<Gateway>, connection: &ClientConnection) -> Box<Self> {
        Box::new(Self {
            request_id: gateway.request_ids.next(),
            at: gateway.now(),
            gateway,
            began: Instant::now(),
            scheme: connection.scheme.as_str(),
            method: None,
            version: Version::HTTP_11,
            client: connection.peer.ip().to_canonical(),
            head: None,
            traced: None,
            snapshot: None,
            application: None,
            decision: Decision::Refused,
            rule: None,
            reason: None,
            observed: None,
            known: None,
            by_token: false,
            upstream: None,
            progress: None,
            status: CLIENT_LEFT,
            bytes_out: 0,
            complete: false,
            refuses: false,
            counted: false,
            content: Content::empty(),
            held: None,
        })
    }

    pub(super) fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// Whether its connection may have many answers on their way at once.
    pub(super) fn is_of_many(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// When the request came.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// The method, where the head could be read.
    pub(super) fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    pub(super) fn application(&self) -> Option<&Arc<Application>> {
        self.application.as_ref()
    }

    /// The host, where the head could be read.
    pub(super) fn host(&self) -> Option<&HostName> {
        self.head.as_deref().map(|head| &head.host)
    }

    pub(super) fn known(&self) -> Option<&Caller> {
        self.known.as_ref()
    }

    pub(super) fn identified(&mut self, head: &Arc<RequestHead>, client: IpAddr) {
        self.head = Some(Arc::clone(head));
        self.client = client;
    }

    /// Notes what is known of a request whose head is refused.
    pub(super) fn traced(&mut self, host: HostName, client: Option<IpAddr>) {
        self.traced = Some(Box::new(host));
        self.client = client.unwrap_or(self.client);
    }

    pub(super) fn decided_by(&mut self, snapshot: &Arc<Snapshot>) {
        self.snapshot = Some(Arc::clone(snapshot));
    }

    pub(super) fn routed(&mut self, application: &Arc<Application>) {
        self.application = Some(Arc::clone(application));
    }

    /// Notes that the request brings a token, or tries to.
    pub(super) fn brings_token(&mut self) {
        self.by_token = true;
    }

    /// Whether the request brings a token, or tries to.
    pub(super) fn is_by_token(&self) -> bool {
        self.by_token
    }

    pub(super) fn recognised(&mut self, known: impl Into<Caller>) {
        self.known = Some(known.into());
    }

    pub(super) fn decided(&mut self, decision: Decision, rule: Option<&str>, reason: Option<&'static str>) {
        self.decision = decision;
        self.rule = rule.map(Into::into);
        self.reason = reason;
    }

    /// Notes what would have been decided; what a limit would have refused came first and stays.
    pub(super) fn observed(&mut self, observed: Observed) {
        if !self.observed.as_ref().is_some_and(|before| before.is_of_a_limit()) {
            self.observed = Some(Box::new(observed));
        }
    }

    /// Notes that a limit would have refused the request.
    pub(super) fn observed_over(&mut self, over: Over, rule: Option<&str>) {
        self.observed = Some(Box::new(Observed::over(over, rule)));
        if let Some(application) = &self.application {
            application.metrics().observed(Decision::Refused);
        }
    }

    /// Notes that a limit refuses the request, whatever else was decided.
    pub(super) fn refused(&mut self) {
        self.decision = Decision::Refused;
    }

    /// Keeps places in the application until the request is over.
    pub(super) fn holds(&mut self, held: Option<Arc<Held>>) {
        self.held = held;
    }

    /// Notes why the request got no answer of the application's.
    pub(super) fn failed(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }

    pub(super) fn sending(&mut self, progress: Option<&Arc<BodyProgress>>) {
        self.progress = progress.cloned();
    }

    pub(super) fn answered(&mut self, target: Arc<str>, took: Duration) {
        self.upstream = Some((target, took));
    }

    /// Closes the account of a request that was answered before it could be read.
    pub(super) fn close_unanswered(mut self: Box<Self>, version: Version, status: u16, reason: &'static str) {
        self.version = version;
        self.status = status;
        self.complete = true;
        self.failed(reason);
    }

    /// Joins the account to the answer; it is closed when the answer's body is.
    pub(super) fn close_with(mut self: Box<Self>, response: Response<Content>) -> Response<Body> {
        let (mut head, mut content) = response.into_parts();
        if self.method == Some(Method::HEAD) {
            content = content.without_body(&mut head.headers);
        }
        self.status = head.status.as_u16();
        if !matches!(content, Content::App(_)) {
            self.answered_by_us(head.status);
        }
        // HEAD and answers without a body are whole as soon as their head is.
        self.complete = content.is_end_stream();
        self.content = content;
        Response::from_parts(head, Body(self))
    }

    /// Every answer of 4xx or 5xx that is no application's and that no rule's `respond` asked for comes by here, and has a reason: whoever makes
    /// such an answer has noted it before.
    fn answered_by_us(&mut self, status: StatusCode) {
        let is_error = status.is_client_error() || status.is_server_error();
        self.refuses = is_error && self.decision != Decision::Respond;
        let lacks_reason = self.refuses && self.reason().is_none();
        debug_assert!(!lacks_reason, "an answer of {status} has no reason");
        if lacks_reason {
            self.failed("unexplained");
        }
    }

    /// Why: what the request itself lacked comes before what became of its answer.
    fn reason(&self) -> Option<&'static str> {
        self.progress.as_deref().and_then(BodyProgress::reason).or(self.reason)
    }

    /// What rules decided by, where that is recorded.
    fn record(&self) -> Option<Box<RawValue>> {
        let application = self.application.as_deref().filter(|_| self.gateway.common.records)?;
        let query = self.head.as_deref()?.query.as_deref();
        record::record(application, query, self.known.as_ref().map(Caller::prepared))
    }

    fn event<'a>(&'a self, took: Duration, replay: Option<&'a RawValue>) -> AccessEvent<'a> {
        let known = self.known.as_ref();
        AccessEvent {
            time: self.gateway.common.clock.now_after(self.at, took),
            request_id: self.request_id.as_str(),
            client: self.client,
            scheme: self.scheme,
            host: self.host().or(self.traced.as_deref()).map(HostName::as_str),
            method: self.method.as_ref().map(Method::as_str),
            path: self.head.as_deref().map(|head| head.path.as_str()),
            protocol: protocol(self.version),
            status: self.status,
            app: self.application.as_deref().map(Application::name),
            rule: self.rule.as_deref(),
            decision: self.decision.as_str(),
            reason: self.reason(),
            observed: self.observed.as_deref().map(Observed::event),
            auth: if self.by_token { Some("bearer") } else { known.map(|_| "cookie") },
            who: known.map(Caller::who),
            session: known.and_then(Caller::session_label),
            client_id: known.and_then(Caller::client),
            upstream: self.upstream.as_ref().map(|(target, _)| &**target),
            bytes_in: self.progress.as_deref().map_or(0, BodyProgress::bytes),
            bytes_out: self.bytes_out,
            duration_ms: took,
            upstream_ms: self.upstream.as_ref().map(|(_, took)| *took),
            complete: self.complete,
            policy_version: self.snapshot.as_deref().map_or(0, Snapshot::version),
            replay,
        }
    }
}

impl Account {
    /// Counts the request, once: when all of its answer is there, or it is over without that.
    fn count(&mut self, took: Duration) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let refuses = self.refuses || self.decision == Decision::Refused;
        if let Some(reason) = refuses.then(|| self.reason()).flatten() {
            let app = self.application.as_ref().map_or("-", |application| application.name());
            self.gateway.common.metrics.refused(app, reason);
        }
        match (&self.application, &self.snapshot) {
            (Some(application), _) => application.metrics().count(self.decision, self.status, took),
            (None, Some(snapshot)) => snapshot.nowhere().count(self.decision, self.status, took),
            (None, None) => {
                self.gateway.common.state.load().nowhere().count(self.decision, self.status, took);
            }
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let record = self.record();
        self.gateway.log.write(&self.event(took, record.as_deref()));
        self.count(took);
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// An answer's body; its end closes the request's account.
pub struct Body(Box<Account>);

impl Body {
    /// Lets go of everything but the account: all of it was taken, and none has reached the client for sure. Counters are moved before a client
    /// can know the answer; the line of the log tells what became of it.
    pub fn taken(&mut self) {
        let took = self.0.began.elapsed();
        self.0.count(took);
        (self.0.content, self.0.held, self.0.complete) = (Content::empty(), None, false);
    }

    /// Notes that all of it has left.
    pub fn has_left(&mut self) {
        self.0.complete = true;
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let account = &mut *self.0;
        let polled = Pin::new(&mut account.content).poll_frame(context);
        match &polled {
            Poll::Ready(None) => account.complete = true,
            Poll::Ready(Some(Ok(frame))) => {
                let sent = frame.data_ref().map_or(0, Bytes::len);
                account.bytes_out += sent as u64;
                account.complete = account.content.is_end_stream();
            }
            Poll::Ready(Some(Err(BodyError::Recalled))) => account.failed("session_over"),
            Poll::Ready(Some(Err(_))) => account.failed("upstream_broke_off"),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.content.size_hint()
    }
}
