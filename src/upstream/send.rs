//! Sending one request: choose a connection, send, wait for the head of the answer.
//!
//! See the room's head for what may be sent again. Trust boundary: the request was authorised before it came here.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::answer_head::{AnswerHead, HeadReader};
use super::connection::{Connection, Upgraded};
use super::leash::{Leash, Watch};
use super::pool::Lease;
use super::sending::{SendError, Sending};
use super::{AnswerBody, BodyError, BodyProgress, Pool, RequestBody, Target, Upstream, UpstreamError};
use crate::forward::UpstreamRequest;
use crate::socket::MOST_AT_ONCE;

/// Bytes of an answer in a small piece: as many as a TLS record or a frame of HTTP/2 may have.
const SMALL_PIECE: usize = 16 << 10;

/// An application's answer, and who gave it.
pub struct Answer {
    /// Head and body as they came.
    pub response: Response<AnswerBody>,
    /// The connection, where it speaks another protocol now: the answer is 101, and was asked for.
    pub upgraded: Option<Upgraded>,
    /// `host:port` of the target.
    pub target: Arc<str>,
}

/// A request under way on a connection.
struct Conversation<'a> {
    connection: &'a mut Connection,
    sending: &'a mut Sending,
    reader: HeadReader,
    /// Whether the application does not take the request; it may have answered all the same.
    refused: bool,
    /// When the application took something last, as far as is known.
    took_at: Instant,
}

/// A request on its way, and what is to be known of it for a second try and for its answer. Whoever sends it keeps it: it is large.
pub struct Outgoing {
    sending: Sending,
    /// The protocol that is asked for, which is rare.
    upgrade: Option<Box<HeaderValue>>,
    /// Whether the connection is this request's alone.
    own_connection: bool,
    to_head: bool,
    repeatable: bool,
    /// Bytes of the answer that are read at once before as many have come.
    untried: usize,
}

impl Outgoing {
    /// A request that nothing was sent of.
    pub fn new(request: UpstreamRequest<RequestBody>) -> Self {
        let (upgrade, own_connection) = (request.upgrade().cloned().map(Box::new), request.has_own_connection());
        let method = request.method();
        let (to_head, idempotent) = (*method == Method::HEAD, is_idempotent(method));
        let (head, body, length) = request.into_parts();
        let sending = Sending::new(head, body, length);
        let repeatable = sending.is_without_body() && idempotent;
        Self { sending, upgrade, own_connection, to_head, repeatable, untried: MOST_AT_ONCE }
    }

    /// For a client that may let many answers lie at once: this one is read in small pieces until the client has taken some.
    pub fn in_small_pieces(&mut self) {
        self.untried = SMALL_PIECE;
    }

    /// Whether the application may have got something of it; until it has answered.
    pub fn has_gone(&self) -> bool {
        !self.sending.is_whole()
    }
}

impl Upstream {
    /// Sends a request, once, for as long as `leash` holds. `progress` is that of its body; `began` is the present moment.
    ///
    /// # Errors
    /// Says whose fault it was that there is no answer. 101 that was not asked for is none, nor is one that came when the leash did not hold
    /// any more.
    pub async fn send(
        &self,
        pool: &Arc<Pool>,
        began: Instant,
        outgoing: &mut Outgoing,
        progress: Option<&BodyProgress>,
        leash: Option<&dyn Leash>,
    ) -> Result<Answer, UpstreamError> {
        let mut watch = Watch::new(leash, began);
        // What nobody gets afterwards was nobody's before: it takes no connection from others.
        let mut fresh_only = outgoing.own_connection;
        for _ in 0..3 {
            let (mut lease, target) = self.lease(pool, began, fresh_only, &mut watch).await?;
            // What was kept is there at once.
            let began = if lease.reused && !fresh_only { began } else { Instant::now() };
            let tried = self.attempt(&mut lease, outgoing, (progress, began), &mut watch).await;
            let again = outgoing.repeatable || (outgoing.sending.is_whole() && lease.is_exact());
            match tried {
                Ok((head, keeps)) => return self.answer(head, (lease, keeps), outgoing, target),
                Err(UpstreamError::Closed) if lease.reused && again && !lease.heard() => {}
                Err(error) => return Err(error),
            }
            outgoing.sending.again();
            fresh_only = true;
        }
        Err(UpstreamError::Closed)
    }

    fn answer(
        &self,
        head: AnswerHead,
        (mut lease, mut keeps): (Lease, bool),
        outgoing: &mut Outgoing,
        target: Arc<str>,
    ) -> Result<Answer, UpstreamError> {
        let AnswerHead { response, decoder, .. } = head;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let as_asked = outgoing.upgrade.as_ref().is_some_and(|asked| switches_to(asked, response.headers()));
            let connection = lease.into_connection().filter(|_| as_asked).ok_or(UpstreamError::Invalid)?;
            let upgraded = Some(Upgraded::from(*connection));
            return Ok(Answer { response: response.map(|()| AnswerBody::empty()), upgraded, target });
        }
        let rest = outgoing.sending.take_rest().map(Box::new);
        // An answer on a connection that was said to close says no more than that: what is still to be sent goes on.
        if outgoing.own_connection {
            lease.end_with_this();
            keeps = true;
        }
        let keeps = keeps && outgoing.upgrade.is_none();
        let body = AnswerBody::new(decoder, (lease, keeps), rest, self.limits.stall);
        Ok(Answer { response: response.map(|()| body), upgraded: None, target })
    }

    /// An idle connection of the target whose turn it is, or a new one of the first target that accepts.
    async fn lease(
        &self,
        pool: &Arc<Pool>,
        now: Instant,
        fresh_only: bool,
        watch: &mut Watch<'_>,
    ) -> Result<(Lease, Arc<str>), UpstreamError> {
        let mut last = UpstreamError::Connect;
        for (index, target) in self.order() {
            let idle = if fresh_only { None } else { pool.take(target, now) };
            if let Some(lease) = idle {
                return Ok((lease, Arc::clone(target.authority())));
            }
            match Box::pin(self.open(pool, target, watch)).await {
                Ok(lease) => return Ok((lease, Arc::clone(target.authority()))),
                Err(UpstreamError::Recalled) => return Err(UpstreamError::Recalled),
                Err(error) => {
                    if error != UpstreamError::Busy {
                        self.set_aside(index);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// A new connection of a target.
    async fn open(&self, pool: &Arc<Pool>, target: &Target, watch: &mut Watch<'_>) -> Result<Lease, UpstreamError> {
        let until = Instant::now() + self.limits.connect;
        let mut opening = pin!(pool.open(target));
        loop {
            if let Ok(opened) = timeout_at(watch.wake_at(until), opening.as_mut()).await {
                return opened;
            }
            let now = Instant::now();
            if !watch.look(now) {
                return Err(UpstreamError::Recalled);
            }
            if now >= until {
                return Err(UpstreamError::ConnectTimeout);
            }
        }
    }

    /// The answer's head, and whether the connection can be used again as far as is known.
    async fn attempt(
        &self,
        lease: &mut Lease,
        outgoing: &mut Outgoing,
        (progress, began): (Option<&BodyProgress>, Instant),
        watch: &mut Watch<'_>,
    ) -> Result<(AnswerHead, bool), UpstreamError> {
        // To connect takes its time.
        if !watch.look(began) {
            return Err(UpstreamError::Recalled);
        }
        let connection = lease.connection().ok_or(UpstreamError::Closed)?;
        connection.begin(outgoing.untried);
        let (reader, sending) = (HeadReader::new(outgoing.to_head), &mut outgoing.sending);
        let mut conversation = Conversation { connection, sending, reader, refused: false, took_at: began };
        let mut until = began + self.limits.first_byte;
        loop {
            match timeout_at(watch.wake_at(until), poll_fn(|context| conversation.poll(context))).await {
                Ok(_) if !watch.lets_through() => return Err(UpstreamError::Recalled),
                Ok(Ok(head)) => {
                    let keeps = head.keeps && !conversation.refused;
                    return Ok((head, keeps));
                }
                Ok(Err(error)) => return Err(progress.and_then(BodyProgress::failure).map_or(error, Into::into)),
                Err(_) => {}
            }
            let now = Instant::now();
            if !watch.look(now) {
                return Err(UpstreamError::Recalled);
            }
            if now < until {
                continue;
            }
            // The limit counts from the last byte of the request; a client that sends nothing has a limit of its own.
            let since = if conversation.waits_for_client() { now } else { conversation.took_at };
            until = since + self.limits.first_byte;
            if until <= now {
                return Err(UpstreamError::FirstByteTimeout);
            }
        }
    }
}

impl Conversation<'_> {
    /// Sends and listens at once: an application may answer before it has heard everything.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerHead, UpstreamError>> {
        if !self.refused && !self.sending.is_done() {
            let before = self.sending.sent();
            let sent = self.sending.poll(&mut self.connection.socket, context);
            // What leaves at once, as most requests do, left when they began, which spares reading the clock.
            if before > 0 && self.sending.sent() > before {
                self.took_at = Instant::now();
            }
            match sent {
                Poll::Ready(Err(SendError::Body(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Err(SendError::Socket)) => self.refused = true,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        self.reader.poll(self.connection, context)
    }

    /// Whether the application has all that there is of the request, and more is to come.
    fn waits_for_client(&self) -> bool {
        !self.refused && self.sending.waits_for_client()
    }
}

/// What a client's body that failed means for its request.
impl From<BodyError> for UpstreamError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::RequestTooLarge,
            BodyError::Stalled => Self::RequestStalled,
            BodyError::Broken | BodyError::Recalled => Self::RequestBroken,
        }
    }
}

/// Whether an answer of 101 switches to the protocol that was asked for, and says so (RFC 9110 section 7.8).
fn switches_to(asked: &HeaderValue, headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(UPGRADE).iter();
    let only = named.next().filter(|_| named.next().is_none());
    only.is_some_and(|named| named.as_bytes().eq_ignore_ascii_case(asked.as_bytes()))
}

/// Whether doing it twice is as doing it once (RFC 9110 section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
