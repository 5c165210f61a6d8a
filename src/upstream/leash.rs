//! What a request, its answer or a tunnel is held by: whoever asked must still be allowed to get it.
//!
//! A request is authorised once, and may wait or go on for hours. While it does, the leash is asked once a second, and every
//! [`FRAMES`] pieces or [`BYTES`] where an answer comes without a pause; a short answer that needs no waiting never asks. No task and no timer is made for
//! it: the timer of whoever waits wakes for both.
//!
//! May touch: memory only. Trust boundary: none; what is asked is the gateway's.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long something goes on at most that should not.
const LOOK: Duration = Duration::from_secs(1);
/// Pieces of an answer without a look.
const FRAMES: u8 = 16;
/// Bytes of an answer without a look: a client that takes them slowly makes the application wait, and is not waited for here.
const BYTES: usize = 16 << 10;

/// Whether something that was allowed may go on.
pub trait Leash: Send + Sync {
    /// Asked now and then; must be cheap.
    fn holds(&self) -> bool;
}

/// What holds a request until its answer begins.
pub(super) struct Watch<'l> {
    leash: Option<&'l dyn Leash>,
    next: Instant,
    has_looked: bool,
}

impl<'l> Watch<'l> {
    /// From `began` on; without a leash everything goes on.
    pub(super) fn new(leash: Option<&'l dyn Leash>, began: Instant) -> Self {
        Self { leash, next: began + LOOK, has_looked: false }
    }

    /// When to look, `until` at the latest.
    pub(super) fn wake_at(&self, until: Instant) -> Instant {
        if self.leash.is_some() { self.next.min(until) } else { until }
    }

    /// Looks when it is time to; false when it does not hold any more.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        if now < self.next {
            return true;
        }
        (self.next, self.has_looked) = (now + LOOK, true);
        self.holds()
    }

    /// Whether an answer that is there now may be handed on; one that was there at once may.
    pub(super) fn lets_through(&self) -> bool {
        !self.has_looked || self.holds()
    }

    fn holds(&self) -> bool {
        self.leash.is_none_or(Leash::holds)
    }
}

/// One leash, and when it is looked at next.
pub(super) struct Held {
    leash: Arc<dyn Leash>,
    next: Option<Instant>,
    frames: u8,
    bytes: usize,
}

impl Held {
    pub(super) fn by(leash: Arc<dyn Leash>) -> Self {
        Self { leash, next: None, frames: 0, bytes: 0 }
    }

    /// When to look; a second from the first time that something was waited for.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        *self.next.get_or_insert(now + LOOK)
    }

    /// Looks when it is time to; false when it does not hold any more.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        if now < self.next(now) {
            return true;
        }
        self.next = Some(now + LOOK);
        self.leash.holds()
    }

    /// A piece of this length came; false when it must not go on.
    pub(super) fn passed(&mut self, length: usize) -> bool {
        (self.frames, self.bytes) = (self.frames + 1, self.bytes.saturating_add(length));
        if self.frames < FRAMES && self.bytes < BYTES {
            return true;
        }
        (self.frames, self.bytes) = (0, 0);
        self.leash.holds()
    }

    /// Ends when it does not hold any more.
    pub(super) async fn broken(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if !self.leash.holds() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Holds for the first so many questions.
    struct Counting {
        asked: AtomicUsize,
        holds: usize,
    }

    impl Leash for Counting {
        fn holds(&self) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed) < self.holds
        }
    }

    fn counting(holds: usize) -> (Arc<Counting>, Held) {
        let leash = Arc::new(Counting { asked: AtomicUsize::new(0), holds });
        (Arc::clone(&leash), Held::by(leash))
    }

    #[test]
    fn l04_pieces_without_a_pause_are_looked_at_every_sixteenth() {
        let (leash, mut held) = counting(2);
        let passed: Vec<bool> = (0..48).map(|_| held.passed(1)).collect();
        assert_eq!(leash.asked.load(Ordering::Relaxed), 3);
        assert_eq!(passed.iter().position(|passes| !passes), Some(47), "the first sixteenth piece that may not go on");
    }

    #[test]
    fn l04_large_pieces_without_a_pause_are_looked_at_by_their_bytes() {
        let (leash, mut held) = counting(3);
        let asked = || leash.asked.load(Ordering::Relaxed);
        assert!(held.passed(BYTES - 1) && asked() == 0, "a short answer never asks");
        assert!(held.passed(1) && asked() == 1);
        assert!(held.passed(128 << 10) && held.passed(128 << 10) && asked() == 3, "each large piece");
        assert!(held.passed(BYTES / 2));
        assert!(!held.passed(usize::MAX));
    }

    #[test]
    fn l04_what_waits_is_looked_at_once_a_second() {
        let (leash, mut held) = counting(1);
        let now = Instant::now();
        let asked = || leash.asked.load(Ordering::Relaxed);
        assert!(held.look(now) && held.look(now + LOOK / 2));
        assert_eq!(asked(), 0, "nothing was waited for yet");
        assert!(held.look(now + LOOK));
        assert!(held.look(now + LOOK + LOOK / 2));
        assert_eq!(asked(), 1);
        assert!(!held.look(now + LOOK * 2));
        assert_eq!(held.next(now + LOOK * 2), now + LOOK * 3);
    }
}
