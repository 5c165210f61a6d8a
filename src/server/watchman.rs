//! Looks after all connections of one worker: advances their clock, ends those that waited too long, and asks all to end.
//!
//! May touch: what its connections wait for. Trust boundary: none; what clients do is known to each [`Watch`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::Instant;

use super::silence::Silence;
use super::ticks::Ticks;
use super::watch::{Order, Watch};
use super::worker::Slot;
use crate::config::Timeouts;

/// Looks after all connections of one worker.
pub(super) struct Watchman {
    limits: Timeouts,
    began: Instant,
    ticks: Arc<Ticks>,
    watches: Mutex<Vec<Weak<Watch>>>,
    draining: AtomicBool,
}

impl Watchman {
    pub(super) fn new(limits: Timeouts) -> Self {
        let ticks = Arc::new(Ticks::begin());
        Self { limits, began: Instant::now(), ticks, watches: Mutex::new(Vec::new()), draining: AtomicBool::new(false) }
    }

    /// Makes it that much later.
    #[cfg(test)]
    pub(super) fn grow_older(&mut self, by: std::time::Duration) {
        self.began -= by;
    }

    /// Begins to watch a connection that was just accepted.
    pub(super) fn watch(&self, slot: Slot) -> Arc<Watch> {
        let order = if self.draining.load(Ordering::Relaxed) { Order::Finish } else { Order::GoOn };
        let watch = Arc::new(Watch::new(Arc::clone(&self.ticks), slot, order));
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&watch));
        watch
    }

    /// Advances the ticks and ends what waited too long; tells of each what it waited for.
    pub(super) fn look(&self, mut note: impl FnMut(Silence)) {
        self.ticks.advance(self.began.elapsed());
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).retain(|watch| match watch.upgrade() {
            Some(watch) => {
                watch.inspect(&self.limits, &mut note);
                true
            }
            None => false,
        });
    }

    /// Asks all connections, and those that still come, to end after what is under way.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        for watch in self.watches.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            watch.finish();
        }
    }

    /// How many connections are left.
    pub(super) fn count(&self) -> usize {
        self.watches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|watch| watch.strong_count() > 0)
            .count()
    }
}
