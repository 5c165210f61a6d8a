//! Time limits for every silence of a client connection (D01).
//!
//! A [`Watch`] knows what its connection is waiting for and since when; noting a change costs two relaxed stores and no timer. A worker's
//! [`Watchman`](super::watchman::Watchman) looks at all of them a few times a second and ends those that waited too long.
//!
//! Bound: one small allocation a connection. Precision: one [`TICK`](super::ticks::TICK).

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use super::addresses::Place;
use super::offered::{Offer, take_back};
use super::parked::Parked;
use super::silence::Silence;
use super::ticks::Ticks;
use super::unseen::Unseen;
use super::way::Way;
use super::worker::Slot;
use crate::config::Timeouts;
use crate::http::frame_refusals::Refused;

/// How long a connection is idle before it is parked: one that is busy is left alone, as setting HTTP up again costs some microseconds.
const PARK_AFTER: Duration = Duration::from_millis(200);
/// How long a connection that was asked to end may take before it is dropped.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Answers on HTTP/2 that were taken back and of which the connection holds pieces while it ends; with more it is dropped.
const MOST_LEFT: usize = 16;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// The end of the TLS handshake.
    Handshake = 0,
    /// The first byte of the first request; on HTTP/2 its whole head.
    FirstByte = 1,
    /// The rest of a request's head, on HTTP/1.1.
    Head = 2,
    /// The application, or a body: other limits hold.
    Busy = 3,
    /// The next request.
    Idle = 4,
    /// Nothing that is known here: after an upgrade the tunnel has limits of its own.
    Tunnel = 5,
    /// The PROXY header, before a TLS handshake and within its limit.
    ProxyHeader = 6,
}

/// What the watchman wants of a connection. A later one is never taken back for an earlier one, but for [`Order::Park`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    GoOn = 0,
    /// Let go of everything but the socket, if there is still nothing to do.
    Park = 1,
    /// Finish what is under way and close.
    Finish = 2,
    /// Close now.
    Drop = 3,
}

/// One connection, watched.
pub(super) struct Watch {
    ticks: Arc<Ticks>,
    phase: AtomicU8,
    since: AtomicU64,
    in_flight: AtomicU32,
    write_blocked_since: AtomicU64,
    /// An [`Order`].
    order: AtomicU8,
    finish_since: AtomicU64,
    /// When the client of a connection that is asked to end last took something, as far as is known.
    moved: AtomicU64,
    http2: AtomicBool,
    /// Whether HTTP/1.1 waits for the first byte of a message and has read everything before it.
    between: AtomicBool,
    refused: OnceLock<Refused>,
    waker: Mutex<Option<Waker>>,
    /// Bodies of answers on HTTP/2.
    offers: Mutex<Vec<Weak<Offer>>>,
    unseen: Unseen,
    /// Whether their way is free.
    way: Way,
    /// What requests and answers on HTTP/2 are worth to the frame guard, since it last asked.
    earned: AtomicU64,
    /// The connection's place among those of its address.
    place: OnceLock<Place>,
    /// The connection's place among all; a tunnel keeps it as long as it keeps the socket.
    slot: Slot,
}

impl Watch {
    /// Begins with the TLS handshake.
    pub(super) fn new(ticks: Arc<Ticks>, slot: Slot, order: Order) -> Self {
        let now = ticks.now();
        Self {
            ticks,
            phase: AtomicU8::new(Phase::Handshake as u8),
            since: AtomicU64::new(now),
            in_flight: AtomicU32::new(0),
            write_blocked_since: AtomicU64::new(0),
            order: AtomicU8::new(order as u8),
            finish_since: AtomicU64::new(now),
            moved: AtomicU64::new(now),
            http2: AtomicBool::new(false),
            between: AtomicBool::new(false),
            refused: OnceLock::new(),
            waker: Mutex::new(None),
            offers: Mutex::default(),
            unseen: Unseen::default(),
            way: Way::new(now),
            earned: AtomicU64::new(0),
            place: OnceLock::new(),
            slot,
        }
    }

    /// The PROXY header is next, within the time of the handshake.
    pub(super) fn awaits_proxy_header(&self) {
        self.phase.store(Phase::ProxyHeader as u8, Ordering::Relaxed);
    }

    /// The PROXY header has come; what it took of the time of the handshake is gone.
    pub(super) fn announced(&self) {
        self.phase.store(Phase::Handshake as u8, Ordering::Relaxed);
    }

    /// The TLS handshake is done, or there is none: the first byte of a request is next.
    pub(super) fn opened(&self, http2: bool) {
        self.http2.store(http2, Ordering::Relaxed);
        self.enter(Phase::FirstByte);
    }

    /// HTTP is over; whoever still holds the socket is a tunnel.
    pub(super) fn closed(&self) {
        self.enter(Phase::Tunnel);
    }

    /// Keeps the place for as long as the connection is there.
    pub(super) fn keep(&self, place: Place) {
        let _ = self.place.set(place);
    }

    /// Something came that must not; nothing after it is believed.
    pub(super) fn refuse(&self, why: Refused) {
        self.refused.get_or_init(|| why);
    }

    /// Why nothing more is believed.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// The last answer was given, and what the client still sends is thrown away for a moment: that has a limit of its own.
    pub(super) fn lingers(&self) {
        self.enter(Phase::Busy);
    }

    /// Streams on HTTP/2 that nobody has seen yet.
    pub(super) fn unseen(&self) -> &Unseen {
        &self.unseen
    }

    /// Ends the connection at once.
    pub(super) fn end(&self) {
        self.give(Order::Drop);
    }

    /// A request or a piece of an answer on HTTP/2 went on its way.
    pub(super) fn earned(&self, worth: u64) {
        self.earned.fetch_add(worth, Ordering::Relaxed);
    }

    /// What was earned since this was last asked.
    pub(super) fn take_earned(&self) -> u64 {
        self.earned.swap(0, Ordering::Relaxed)
    }

    /// Something of a request's head has come on HTTP/1.1. On HTTP/2 nobody knows before it is whole: any frame may be another thing.
    pub(super) fn begins_head(&self) {
        let phase = self.phase.load(Ordering::Relaxed);
        if phase == Phase::FirstByte as u8 || phase == Phase::Idle as u8 {
            self.enter(Phase::Head);
        }
    }

    /// Whether nothing of a request has come yet.
    pub(super) fn awaits_first_byte(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::FirstByte as u8
    }

    /// The client does not take what is written.
    pub(super) fn write_blocked(&self) {
        if self.write_blocked_since.load(Ordering::Relaxed) == 0 {
            self.write_blocked_since.store(self.ticks.now().max(1), Ordering::Relaxed);
        }
    }

    /// The client took something.
    pub(super) fn write_moved(&self) {
        if self.write_blocked_since.load(Ordering::Relaxed) != 0 {
            self.write_blocked_since.store(0, Ordering::Relaxed);
            self.way.was_full(self.ticks.now());
            self.took();
        }
    }

    /// The way of answers on HTTP/2.
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// A body waits for the client to take it.
    pub(super) fn offered(&self, offer: Weak<Offer>) {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).push(offer);
    }

    /// The current tick.
    pub(super) fn now(&self) -> u64 {
        self.ticks.now()
    }

    /// A request's head is complete.
    pub(super) fn begin_request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.phase.store(Phase::Busy as u8, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// What to do now; `waker` is woken when that changes.
    pub(super) fn order(&self, waker: &Waker) -> Order {
        let mut kept = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
        drop(kept);
        match self.order.load(Ordering::Relaxed) {
            order if order == Order::GoOn as u8 => Order::GoOn,
            order if order == Order::Park as u8 => Order::Park,
            order if order == Order::Finish as u8 => Order::Finish,
            _ => Order::Drop,
        }
    }

    /// Whether the connection is to end after what is under way.
    pub(super) fn is_finishing(&self) -> bool {
        self.order.load(Ordering::Relaxed) >= Order::Finish as u8
    }

    /// Whether everything that came was read, and it ended with the end of a message.
    pub(super) fn is_between(&self, between: bool) {
        self.between.store(between, Ordering::Relaxed);
    }

    /// Whether there is nothing to do but to wait for a byte: no request, no answer that is still on its way out, nothing read by halves.
    pub(super) fn may_park(&self) -> bool {
        let phase = self.phase.load(Ordering::Relaxed);
        (phase == Phase::Idle as u8 || phase == Phase::FirstByte as u8)
            && self.between.load(Ordering::Relaxed)
            && self.in_flight.load(Ordering::Relaxed) == 0
            && self.write_blocked_since.load(Ordering::Relaxed) == 0
    }

    /// [`Order::Park`] was followed, or could not be.
    pub(super) fn go_on(&self) {
        let _ = self.order.compare_exchange(Order::Park as u8, Order::GoOn as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Counts the connection among the parked ones while what is returned lives.
    pub(super) fn park(&self) -> Parked<'_> {
        self.go_on();
        self.is_between(false);
        Parked::new(&self.slot)
    }

    /// The client took something; of interest where the connection is asked to end.
    pub(super) fn took(&self) {
        if self.is_finishing() {
            self.moved.store(self.ticks.now(), Ordering::Relaxed);
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since.store(self.ticks.now(), Ordering::Relaxed);
    }

    /// Looks at the limits, and notes those that end this connection or an answer on it.
    pub(super) fn inspect(&self, limits: &Timeouts, note: &mut impl FnMut(Silence)) {
        let now = self.ticks.now();
        let over = |since: u64, limit: Duration| Duration::from_millis(now.saturating_sub(since)) > limit;
        let blocked = self.write_blocked_since.load(Ordering::Relaxed);
        let free_since = if blocked == 0 { self.way.free_since() } else { now };
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let left = take_back(&mut offers, |since| over(since, limits.body_stall), free_since);
        drop(offers);
        (0..left.taken).for_each(|_| note(Silence::Answer));
        let phase = self.phase.load(Ordering::Relaxed);
        let order = self.order.load(Ordering::Relaxed);
        let finishing = order >= Order::Finish as u8;
        if phase == Phase::Tunnel as u8 || order >= Order::Drop as u8 {
            return;
        }
        // Who has no place is a trusted proxy: what some of its clients let lie must not end what others are given.
        if left.pieces_of > MOST_LEFT && self.place.get().is_some() {
            return self.give(Order::Drop);
        } else if left.taken > 0 && !finishing {
            self.finish();
        }
        let quiet = phase == Phase::Idle as u8 || phase == Phase::FirstByte as u8;
        match self.silence(phase, blocked, limits, over) {
            Some((silence, Order::Drop)) => {
                note(silence);
                self.give(Order::Drop);
            }
            Some((silence, _)) if !finishing => {
                note(silence);
                self.finish();
            }
            _ if finishing && quiet && blocked == 0 && self.has_said_all(limits, over) => {
                // What it did not do in time is counted already, or it is the gateway that leaves.
                self.give(Order::Drop);
            }
            _ if order == Order::GoOn as u8
                && over(self.since.load(Ordering::Relaxed), PARK_AFTER)
                && self.may_park() =>
            {
                self.give(Order::Park);
            }
            _ => {}
        }
    }

    /// What was waited for until its limit was over, and what is wanted of the connection then.
    fn silence(
        &self,
        phase: u8,
        blocked: u64,
        limits: &Timeouts,
        over: impl Fn(u64, Duration) -> bool,
    ) -> Option<(Silence, Order)> {
        let since = self.since.load(Ordering::Relaxed);
        let waits_for = |what: Phase, limit| phase == what as u8 && over(since, limit);
        if blocked != 0 && over(blocked, limits.body_stall) {
            Some((Silence::Write, Order::Drop))
        } else if waits_for(Phase::ProxyHeader, limits.handshake) {
            Some((Silence::ProxyHeader, Order::Drop))
        } else if waits_for(Phase::Handshake, limits.handshake) {
            Some((Silence::TlsHandshake, Order::Drop))
        } else if waits_for(Phase::FirstByte, limits.first_byte) {
            // On HTTP/2 a request may be on its way, and a GOAWAY says that it may be sent again.
            let polite = self.http2.load(Ordering::Relaxed);
            Some((Silence::FirstByte, if polite { Order::Finish } else { Order::Drop }))
        } else if waits_for(Phase::Head, limits.header) {
            Some((Silence::Header, Order::Drop))
        } else if waits_for(Phase::Idle, limits.idle) {
            Some((Silence::Idle, Order::Finish))
        } else {
            None
        }
    }

    /// Whether a connection that is to end and does nothing has had its time.
    fn has_said_all(&self, limits: &Timeouts, over: impl Fn(u64, Duration) -> bool) -> bool {
        let asked = self.finish_since.load(Ordering::Relaxed);
        // What the kernel has for the client is on its way as long as the client says that it takes it.
        let last = self.moved.load(Ordering::Relaxed).max(asked);
        // Requests that came after that put the end off for a while only.
        let idle = over(self.since.load(Ordering::Relaxed), LAST_WORDS) || over(asked, limits.body_stall);
        (over(last, LAST_WORDS) && idle) || over(asked, limits.idle.max(LAST_WORDS))
    }

    /// Asks the connection to end after what is under way. Asked again it has no more time than it had.
    pub(super) fn finish(&self) {
        if self.is_finishing() {
            return;
        }
        self.finish_since.store(self.ticks.now(), Ordering::Relaxed);
        self.give(Order::Finish);
    }

    fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A request that is being answered; when the last of a connection is dropped, the connection is idle.
pub(super) struct InFlight(Arc<Watch>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

#[cfg(test)]
mod tests;
