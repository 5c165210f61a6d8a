//! The time by which a worker watches its connections.
//!
//! Reading it costs no system call: the worker's watchman advances it. Precision: one [`TICK`]. Trust boundary: none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the watchman looks.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Milliseconds since the worker began.
pub(super) struct Ticks(AtomicU64);

impl Ticks {
    /// Begins at one: zero says that nothing is blocked.
    pub(super) const fn begin() -> Self {
        Self(AtomicU64::new(1))
    }

    /// The time, as far as it was noted.
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes how long the worker has run.
    pub(super) fn advance(&self, since_begin: Duration) {
        self.0.store(u64::try_from(since_begin.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }
}
