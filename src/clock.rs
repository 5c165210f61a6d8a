//! The one door through which time comes in.
//!
//! Sessions, tokens and policies never read the system's clock themselves: they are given a [`Timestamp`]. The gateway
//! holds one [`Clock`]; tests hand it a [`ManualClock`] and move time instead of sleeping. Time limits on sockets are
//! not measured with this clock but with the runtime's monotonic one.
//!
//! May touch: the system clock. Trust boundary: none.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in whole milliseconds since 1970-01-01T00:00:00Z; 64 bits wide, so dates past 2038 are ordinary (C11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a timestamp from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Makes a timestamp from seconds since the epoch, the unit of JWT's NumericDate; saturates at the ends.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment moved into the future, saturating at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(span)))
    }

    /// This moment moved into the past, saturating at the beginning of time.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(span)))
    }

    /// The moment that the operating system calls so.
    pub fn from_system_time(time: SystemTime) -> Self {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(millis(before.duration()).saturating_neg()),
        }
    }

    /// The same moment as the standard library's type.
    pub fn system_time(self) -> SystemTime {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        if self.0 >= 0 {
            UNIX_EPOCH.checked_add(distance).unwrap_or(UNIX_EPOCH)
        } else {
            UNIX_EPOCH.checked_sub(distance).unwrap_or(UNIX_EPOCH)
        }
    }
}

fn millis_of(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds, as it stands in logs.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_rfc3339_millis(self.system_time()))
    }
}

/// Where the gateway reads the time of day.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(millis) => Timestamp(millis.load(Ordering::SeqCst)),
        }
    }

    /// The moment so long after `earlier`, which spares a second reading of the system's clock; a clock that stands still says its own.
    pub fn now_after(&self, earlier: Timestamp, span: Duration) -> Timestamp {
        match &self.0 {
            Source::System => earlier.after(span),
            Source::Manual(_) => self.now(),
        }
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.0)))
    }

    /// The clock to hand to the code under test; all of them move together.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Moves time forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(millis_of(span), Ordering::SeqCst);
    }

    /// Sets the clock back, as the system's is when it was wrong.
    pub fn set_back(&self, span: Duration) {
        self.0.fetch_sub(millis_of(span), Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one door to the system's clock")]
fn system_now() -> Timestamp {
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(millis_of(since)),
        Err(before) => Timestamp(millis_of(before.duration()).saturating_neg()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c11_dates_past_2038_and_before_1970_keep_their_value() {
        let late = Timestamp::from_seconds(4_102_444_800);
        assert_eq!(late.to_string(), "2100-01-01T00:00:00.000Z");
        assert_eq!(late.seconds(), 4_102_444_800);
        assert_eq!(Timestamp::from_millis(-1).seconds(), -1);
        assert_eq!(Timestamp::from_seconds(i64::MAX).after(Duration::MAX).millis(), i64::MAX);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let manual = ManualClock::starting_at(Timestamp::from_seconds(1000));
        let clock = manual.clock();
        assert_eq!(clock.now(), clock.now());
        manual.advance(Duration::from_secs(5));
        assert_eq!(clock.now().since(Timestamp::from_seconds(1000)), Duration::from_secs(5));
        assert_eq!(Timestamp::from_seconds(1).since(clock.now()), Duration::ZERO);
        assert_eq!(clock.now_after(Timestamp::from_seconds(1), Duration::from_secs(9)), clock.now());
        let after = Clock::system().now_after(Timestamp::from_seconds(1), Duration::from_secs(9));
        assert_eq!(after, Timestamp::from_seconds(10));
    }
}
