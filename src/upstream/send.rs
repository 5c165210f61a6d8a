//! Sending one request: choose a connection, send, wait for the head of the answer.
//!
//! See the room's head for what may be sent again. Trust boundary: the request was authorised before it came here.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer_head::{AnswerHead, HeadReader};
use super::connection::{Connection, Upgraded};
use super::leash::{Leash, Watch};
use super::pool::Lease;
use super::sending::{SendError, Sending};
use super::{AnswerBody, BodyError, BodyProgress, Pool, RequestBody, Upstream, UpstreamError};
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
}

/// A request on its way, and what is to be known of it for a second try and for its answer. Whoever sends it keeps it: it is large.
pub struct Outgoing {
    sending: Sending,
    upgrade: bool,
    /// Whether the connection is this request's alone, because a person signs in on it.
    own_connection: bool,
    to_head: bool,
    repeatable: bool,
    /// Bytes of the answer that are read at once before as many have come.
    untried: usize,
}

impl Outgoing {
    /// A request that nothing was sent of.
    pub fn new(request: UpstreamRequest<RequestBody>) -> Self {
        let (upgrade, own_connection) = (request.is_upgrade(), request.signs_connection_in());
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
        let mut fresh_only = false;
        for _ in 0..3 {
            let (mut lease, target) = self.lease(pool, began, fresh_only).await?;
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
        (lease, keeps): (Lease, bool),
        outgoing: &mut Outgoing,
        target: Arc<str>,
    ) -> Result<Answer, UpstreamError> {
        let AnswerHead { response, decoder, .. } = head;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let connection = lease.into_connection().filter(|_| outgoing.upgrade).ok_or(UpstreamError::Invalid)?;
            let upgraded = Some(Upgraded::from(*connection));
            return Ok(Answer { response: response.map(|()| AnswerBody::empty()), upgraded, target });
        }
        let rest = outgoing.sending.take_rest().map(Box::new);
        let keeps = keeps && !outgoing.upgrade && !outgoing.own_connection;
        let body = AnswerBody::new(decoder, (lease, keeps), rest, self.limits.stall);
        Ok(Answer { response: response.map(|()| body), upgraded: None, target })
    }

    /// An idle connection of the target whose turn it is, or a new one of the first target that accepts.
    async fn lease(
        &self,
        pool: &Arc<Pool>,
        now: Instant,
        fresh_only: bool,
    ) -> Result<(Lease, Arc<str>), UpstreamError> {
        let mut last = UpstreamError::Connect;
        for (index, target) in self.order() {
            let idle = if fresh_only { None } else { pool.take(target, now) };
            if let Some(lease) = idle {
                return Ok((lease, Arc::clone(target.authority())));
            }
            match Box::pin(timeout(self.limits.connect, pool.open(target))).await {
                Ok(Ok(lease)) => return Ok((lease, Arc::clone(target.authority()))),
                Ok(Err(UpstreamError::Busy)) => last = UpstreamError::Busy,
                Ok(Err(error)) => {
                    self.set_aside(index);
                    last = error;
                }
                Err(_) => {
                    self.set_aside(index);
                    last = UpstreamError::ConnectTimeout;
                }
            }
        }
        Err(last)
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
        let mut conversation = Conversation { connection, sending, reader, refused: false };
        let (mut until, mut seen) = (began + self.limits.first_byte, conversation.sending.sent());
        loop {
            match timeout_at(watch.wake_at(until), poll_fn(|context| conversation.poll(context))).await {
                Ok(_) if !watch.lets_through() => return Err(UpstreamError::Recalled),
                Ok(Ok(head)) => {
                    let keeps = head.keeps && !conversation.refused;
                    return Ok((head, keeps));
                }
                Ok(Err(error)) => return Err(progress.and_then(BodyProgress::failure).map_or(error, of_body)),
                Err(_) => {}
            }
            let now = Instant::now();
            if !watch.look(now) {
                return Err(UpstreamError::Recalled);
            }
            if now < until {
                continue;
            }
            // The limit counts from the last byte of the request; a body that still moves has a limit of its own.
            match conversation.sending.sent() {
                sent if sent != seen || conversation.sending.waits_for_client() => {
                    (until, seen) = (now + self.limits.first_byte, sent);
                }
                _ => return Err(UpstreamError::FirstByteTimeout),
            }
        }
    }
}

impl Conversation<'_> {
    /// Sends and listens at once: an application may answer before it has heard everything.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerHead, UpstreamError>> {
        if !self.refused && !self.sending.is_done() {
            match self.sending.poll(&mut self.connection.socket, context) {
                Poll::Ready(Err(SendError::Body(error))) => return Poll::Ready(Err(of_body(error))),
                Poll::Ready(Err(SendError::Socket)) => self.refused = true,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        self.reader.poll(self.connection, context)
    }
}

const fn of_body(error: BodyError) -> UpstreamError {
    match error {
        BodyError::TooLarge => UpstreamError::RequestTooLarge,
        BodyError::Stalled => UpstreamError::RequestStalled,
        BodyError::Broken | BodyError::Recalled => UpstreamError::RequestBroken,
    }
}

/// Whether doing it twice is as doing it once (RFC 9110 section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
