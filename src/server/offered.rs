//! Answers on HTTP/2, until their clients have them.
//!
//! On HTTP/1.1 a client that reads nothing blocks the socket, which the watchman sees. On HTTP/2 it shuts one stream's window while the socket
//! goes on, and a piece of the answer waits with hyper or h2. Each [`Piece`] notes when enough of it leaves, so an answer is watched to its
//! last byte, though hyper is done with its body long before. One that stands still while its way is free is taken back, which lets go of the application. The pieces stay
//! with the stream, which ends with its connection, so that takes no more requests; and where many were left so it ends (D01, decision 88).
//!
//! Bounds: the pieces of a stream (`upstream`), and what h2 takes of them at once (`connection`).

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::watch::{InFlight, Watch};
use crate::gateway::Body;
use crate::http::frame_guard::worth_of_answer;
use crate::upstream::BodyError;

/// How many bytes must go on their way for an answer to count as moving, if there are as many. A client that lets one byte out now and then takes
/// nothing; on HTTP/1.1 the system tells of nothing less than many times this.
const STEP: u64 = 1024;

/// A body on HTTP/2.
pub(super) struct Offered(Arc<Offer>);

/// An answer that is on its way, as the watchman sees it.
pub(super) struct Offer {
    watch: Arc<Watch>,
    held: Mutex<Held>,
    /// Pieces that hyper and h2 have. While there are some, it is the client's turn.
    waiting: AtomicU32,
    /// The tick when it last moved.
    moved: AtomicU64,
    /// How much of it has gone on its way since.
    since: AtomicU64,
    /// How much of all answers of the connection had left by then.
    gone: AtomicU64,
}

/// What the watchman may take back.
#[derive(Default)]
struct Held {
    body: Option<Body>,
    /// While it lives, the connection is not idle.
    in_flight: Option<InFlight>,
}

/// A piece of an answer, until it was written.
pub(super) struct Piece {
    bytes: Bytes,
    offer: Arc<Offer>,
}

/// What is left of answers that stand still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// How many were taken back just now.
    pub(super) taken: usize,
    /// How many there are whose pieces are still here.
    pub(super) pieces_of: usize,
}

impl Offered {
    /// Offers `body` to the client of the connection that `watch` is for.
    pub(super) fn new(body: Body, in_flight: InFlight, watch: &Arc<Watch>) -> Self {
        let offer = Arc::new(Offer {
            held: Mutex::new(Held { body: Some(body), in_flight: Some(in_flight) }),
            waiting: AtomicU32::new(0),
            moved: AtomicU64::new(watch.now()),
            since: AtomicU64::new(0),
            gone: AtomicU64::new(watch.way().gone()),
            watch: Arc::clone(watch),
        });
        watch.offered(Arc::downgrade(&offer));
        Self(offer)
    }
}

impl http_body::Body for Offered {
    type Data = Piece;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyError>>> {
        let mut held = self.0.held();
        let Some(body) = &mut held.body else { return Poll::Ready(Some(Err(BodyError::Stalled))) };
        let polled = Pin::new(body).poll_frame(context);
        drop(held);
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, &self.0)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.held().body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.held().body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        // Its pieces may have to wait still; what it came from need not.
        let body = self.0.held().body.take();
        drop(body);
    }
}

impl Offer {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves(&self) {
        self.since.store(0, Ordering::Relaxed);
        self.moved.store(self.watch.now(), Ordering::Relaxed);
        self.gone.store(self.watch.way().gone(), Ordering::Relaxed);
    }

    /// So many bytes of a piece go on their way, the last ones of it or not.
    fn leaves(&self, count: u64, are_last: bool) {
        let before = self.since.fetch_add(count, Ordering::Relaxed);
        if are_last || before.saturating_add(count) >= STEP {
            self.moves();
        }
    }

    /// Whether it has been the client's turn for longer than `over` allows.
    fn stands_still(&self, over: impl Fn(u64) -> bool, free_since: u64) -> bool {
        let passed = || self.watch.way().is_passed(self.gone.load(Ordering::Relaxed));
        self.waiting.load(Ordering::Relaxed) > 0
            && over(self.moved.load(Ordering::Relaxed))
            && (over(free_since) || passed())
    }

    /// Takes it back; false where it was before.
    fn take_back(&self) -> bool {
        let held = std::mem::take(&mut *self.held());
        held.in_flight.is_some()
    }
}

impl Piece {
    fn new(bytes: Bytes, offer: &Arc<Offer>) -> Self {
        offer.watch.earned(worth_of_answer(bytes.len()));
        offer.moves();
        offer.waiting.fetch_add(1, Ordering::Relaxed);
        Self { bytes, offer: Arc::clone(offer) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.offer.watch.way().leave(count);
        self.offer.leaves(count as u64, self.bytes.is_empty());
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.offer.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes back what has been the client's turn for longer than `over` allows, on a way that is free since that tick; forgets what is gone.
pub(super) fn take_back(offers: &mut Vec<Weak<Offer>>, over: impl Fn(u64) -> bool, free_since: u64) -> Left {
    let mut left = Left::default();
    offers.retain(|offer| {
        let Some(offer) = offer.upgrade() else { return false };
        if offer.stands_still(&over, free_since) {
            left.taken += usize::from(offer.take_back());
            left.pieces_of += 1;
        }
        true
    });
    left
}

#[cfg(test)]
mod tests;
