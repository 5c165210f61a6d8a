//! The way to the application: HTTP/1.1 on our own connections, pooled by worker.
//!
//! Layer 3. A request is sent on an idle connection or a new one; no task is started for it: whoever waits for the answer drives the
//! connection ([decision 66](../../../docs/decisions/0066-an-http-1-1-client-of-our-own.md)). A connection goes back to the pool
//! only when its answer was read to a clean end, no upgrade was asked for (H07) and it was not the request's own (decisions 78 and 87). A request is sent again only where that cannot
//! do anything twice: the connection had not taken it, or the method is idempotent, there was no body, and the kept
//! connection closed before a byte of the answer came.
//!
//! Trust boundary: the application may be hostile; whatever it answers hurts only its own request (H08). Bounds: connections in
//! use and idle for each target and worker, head size, connect, first byte and silence limits.
//! Specification: RFC 9110 section 9.2.2, RFC 9112 sections 9.3 and 9.6.

mod answer_body;
mod answer_head;
mod body;
mod connect;
mod connection;
mod leash;
mod pool;
mod probe;
mod rest;
mod send;
mod sending;
mod silence;
mod socket;
mod tunnel;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub use answer_body::AnswerBody;
pub use body::{BodyError, BodyLimits, BodyProgress, ClientBody, RequestBody};
pub use connect::{Target, TlsTrust, TlsTrustError};
pub use connection::Upgraded;
pub use leash::Leash;
pub use pool::Pool;
pub use send::{Answer, Outgoing};
pub use tunnel::{ClientStream, Stream, Upgrade, tunnel};

/// How long a target that refused a connection is passed over while others are there.
const SET_ASIDE: Duration = Duration::from_secs(5);

/// Where one application runs.
pub struct Upstream {
    targets: Vec<Arc<Target>>,
    down_until: Vec<AtomicU64>,
    next: AtomicUsize,
    limits: TimeLimits,
    began: Instant,
}

/// How long the application may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// To accept a connection, TLS included.
    pub connect: Duration,
    /// From the last byte of the request to the head of the answer.
    pub first_byte: Duration,
    /// Silence inside an answer.
    pub stall: Duration,
}

/// Why the application gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// No target accepted a connection.
    Connect,
    /// No target accepted a connection in time.
    ConnectTimeout,
    /// TLS with the application failed: certificate, name or protocol.
    Tls,
    /// The application has as many connections from this worker as it may have.
    Busy,
    /// The connection closed before an answer.
    Closed,
    /// What the application sent is no HTTP answer, or one above the limits.
    Invalid,
    /// No answer began in time.
    FirstByteTimeout,
    /// The client's body was larger than allowed.
    RequestTooLarge,
    /// The client's body did not come.
    RequestStalled,
    /// The client's body broke off.
    RequestBroken,
    /// Whoever asked may not have the answer any more.
    Recalled,
}

impl UpstreamError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Connect => "upstream_connect",
            Self::ConnectTimeout => "upstream_connect_timeout",
            Self::Tls => "upstream_tls",
            Self::Busy => "upstream_busy",
            Self::Closed => "upstream_closed",
            Self::Invalid => "upstream_invalid",
            Self::FirstByteTimeout => "upstream_timeout",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestStalled => "request_stalled",
            Self::RequestBroken => "request_broken",
            Self::Recalled => "session_over",
        }
    }

    /// Whether the application is why: not the client, and not whoever ended the session.
    pub const fn is_the_applications(self) -> bool {
        match self {
            Self::Connect
            | Self::ConnectTimeout
            | Self::Tls
            | Self::Busy
            | Self::Closed
            | Self::Invalid
            | Self::FirstByteTimeout => true,
            Self::RequestTooLarge | Self::RequestStalled | Self::RequestBroken | Self::Recalled => false,
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for UpstreamError {}

impl Upstream {
    /// An application at `targets`, used in turn.
    pub fn new(targets: Vec<Arc<Target>>, limits: TimeLimits) -> Self {
        let down_until = targets.iter().map(|_| AtomicU64::new(0)).collect();
        Self { targets, down_until, next: AtomicUsize::new(0), limits, began: Instant::now() }
    }

    /// Its servers.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// What stands in `Host` for the first target.
    pub fn first_host(&self) -> String {
        self.targets.first().map(|target| target.in_host().to_owned()).unwrap_or_default()
    }

    /// The targets in the order in which this request should try them, each once: in turn, those that just failed last (beyond the
    /// sixty-fourth they keep their turn).
    fn order(&self) -> impl Iterator<Item = (usize, &Arc<Target>)> {
        let count = self.targets.len();
        let first = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        // Looked at once, so that a target that fails meanwhile does not come twice.
        let down = (0..count.min(64)).filter(|index| self.is_down(*index)).fold(0u64, |bits, index| bits | 1 << index);
        let is_down = move |index: &usize| *index < 64 && down & (1 << *index) != 0;
        let turn = move || (0..count).map(move |step| (first + step) % count);
        let up = turn().filter(move |index| !is_down(index));
        let down = turn().filter(is_down);
        up.chain(down).filter_map(|index| self.targets.get(index).map(|target| (index, target)))
    }

    fn is_down(&self, index: usize) -> bool {
        let until = self.down_until.get(index).map_or(0, |until| until.load(Ordering::Relaxed));
        until != 0 && self.millis() < until
    }

    fn set_aside(&self, index: usize) {
        let until = self.millis() + u64::try_from(SET_ASIDE.as_millis()).unwrap_or(0);
        if let Some(slot) = self.down_until.get(index) {
            slot.store(until, Ordering::Relaxed);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
