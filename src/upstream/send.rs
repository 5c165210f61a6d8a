//! Sending one request: choose a connection, send, wait for the head of the answer.
//!
//! See the room's head for what may be sent again. Trust boundary: the request was authorised before it came here.

use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, timeout, timeout_at};

use super::pool::Lease;
use super::{AnswerBody, BodyError, BodyProgress, Pool, RequestBody, Upstream, UpstreamError};

/// An application's answer, and who gave it.
pub struct Answer {
    /// Head and body as they came.
    pub response: Response<AnswerBody>,
    /// `host:port` of the target.
    pub target: Arc<str>,
}

/// What became of one try.
enum Tried {
    Answered(Response<Incoming>),
    /// The connection did not take the request: it can go elsewhere whole.
    NotTaken(Request<RequestBody>),
    Failed(UpstreamError),
}

impl Upstream {
    /// Sends a request whose target is a path and query and that has all its fields but `Host` where `set_host` is asked for.
    ///
    /// `progress` is the body's; `upgrade` tells that the client asked for another protocol, in which case the connection
    /// is never used again. `began` is the present moment. The error says whose fault it was.
    pub async fn send(
        &self,
        pool: &Arc<Pool>,
        began: Instant,
        mut request: Request<RequestBody>,
        progress: Option<&BodyProgress>,
        upgrade: bool,
    ) -> Result<Answer, UpstreamError> {
        let mut fresh_only = false;
        for _ in 0..3 {
            let (mut lease, target) = self.lease(pool, began, fresh_only).await?;
            let spare = if lease.reused { copy_if_repeatable(&request) } else { None };
            match self.attempt(&mut lease, request, progress).await {
                Tried::Answered(response) => {
                    let lease =
                        Some(lease).filter(|_| !upgrade && response.status() != http::StatusCode::SWITCHING_PROTOCOLS);
                    let response = response.map(|body| AnswerBody::new(body, lease, self.limits.stall));
                    return Ok(Answer { response, target });
                }
                Tried::NotTaken(unsent) => request = unsent,
                Tried::Failed(error) => match spare {
                    Some(copy) if error == UpstreamError::Closed && !lease.heard.something() => request = copy,
                    _ => return Err(error),
                },
            }
            fresh_only = true;
        }
        Err(UpstreamError::Closed)
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
            match timeout(self.limits.connect, pool.open(target)).await {
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

    async fn attempt(
        &self,
        lease: &mut Lease,
        request: Request<RequestBody>,
        progress: Option<&BodyProgress>,
    ) -> Tried {
        lease.heard.nothing_yet();
        let Some(sender) = lease.sender() else { return Tried::NotTaken(request) };
        let mut sending = std::pin::pin!(sender.try_send_request(request));
        loop {
            let seen = progress.map_or(0, BodyProgress::bytes);
            let finished = progress.is_none_or(BodyProgress::is_finished);
            match timeout_at(Instant::now() + self.limits.first_byte, &mut sending).await {
                Ok(Ok(response)) => return Tried::Answered(response),
                Ok(Err(error)) => return failure(error, progress),
                // The limit counts from the last byte of the request; a body that still moves has a limit of its own.
                Err(_) if !finished || progress.map_or(0, BodyProgress::bytes) != seen => {}
                Err(_) => return Tried::Failed(UpstreamError::FirstByteTimeout),
            }
        }
    }
}

fn failure(mut error: TrySendError<Request<RequestBody>>, progress: Option<&BodyProgress>) -> Tried {
    if let Some(request) = error.take_message() {
        return Tried::NotTaken(request);
    }
    let error = error.into_error();
    Tried::Failed(match progress.and_then(BodyProgress::failure) {
        Some(BodyError::TooLarge) => UpstreamError::RequestTooLarge,
        Some(BodyError::Stalled) => UpstreamError::RequestStalled,
        Some(BodyError::Broken | BodyError::Recalled) => UpstreamError::RequestBroken,
        None if error.is_parse() => UpstreamError::Invalid,
        None => UpstreamError::Closed,
    })
}

/// A copy of a request that may be sent twice: an idempotent method and no body (RFC 9110 section 9.2.2).
fn copy_if_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let idempotent =
        matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE);
    if !idempotent || !request.body().is_empty() {
        return None;
    }
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    // The spelling of names.
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}
