//! One rate as a rule: given what a client has used up, may one more request pass, and if not, when?
//!
//! The generic cell rate algorithm: each request costs one interval, what was used wears off with time, and no more than `burst` intervals
//! may be used at once. So in any span of time at most `burst` plus what the rate gives in it passes, and whoever keeps the interval is
//! never refused. Pure; times are counted in ticks of [`TICK_MICROS`]. Source: ITU-T I.371 annex A.

use std::fmt;
use std::time::Duration;

/// The longest time in which what was used wears off.
const MAX_ROOM: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The shortest interval in microseconds: more than this many requests a second are no limit for one client.
const MIN_INTERVAL: u128 = 100;

/// The unit of all times here, in microseconds.
pub(super) const TICK_MICROS: u64 = 8;
/// Ticks in a millisecond.
const TICKS: u64 = 1000 / TICK_MICROS;

/// A moment in ticks of whatever clock the caller has; compared with others of the same clock only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub(super) u64);

impl Moment {
    /// A moment in milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.cast_unsigned().wrapping_mul(TICKS))
    }
}

/// So many requests in such a time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: u32,
    every: Duration,
    burst: u32,
    /// What one request costs, in ticks.
    interval: u64,
}

/// Why something is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateError {
    /// No request at all, in no time, or never one at once.
    Zero,
    /// More than ten thousand a second.
    TooFast,
    /// What was used needs more than thirty days to wear off.
    TooSlow,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "nothing would ever pass",
            Self::TooFast => "that is more than 10000 requests a second",
            Self::TooSlow => "a burst that was used up would take more than 30 days to come back",
        })
    }
}

impl std::error::Error for RateError {}

impl Rate {
    /// `requests` in each time of `every`, of which `burst` may come at once.
    pub const fn new(requests: u32, every: Duration, burst: u32) -> Result<Self, RateError> {
        if requests == 0 || burst == 0 || every.is_zero() {
            return Err(RateError::Zero);
        }
        // Rounded down, so that whoever keeps the rate is never refused.
        let interval = every.as_micros() / requests as u128;
        if interval < MIN_INTERVAL {
            return Err(RateError::TooFast);
        }
        // Far below the largest u128.
        if interval * burst as u128 > MAX_ROOM.as_micros() {
            return Err(RateError::TooSlow);
        }
        #[expect(clippy::cast_possible_truncation, reason = "not longer than MAX_ROOM")]
        let interval = interval as u64 / TICK_MICROS;
        Ok(Self { requests, every, burst, interval })
    }

    /// How many requests may come at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Whether everything that this rate lets pass passes `other` too.
    pub const fn is_within(self, other: Self) -> bool {
        self.burst <= other.burst && self.interval >= other.interval
    }

    /// What one request costs, in ticks.
    pub(super) const fn interval(self) -> u64 {
        self.interval
    }

    /// The most that can be used up, in ticks.
    pub(super) const fn room(self) -> u64 {
        self.interval * self.burst as u64
    }

    /// One more request of somebody who has used up `used`: what is used up then, or how long it must wait.
    pub(super) const fn take(self, used: u64) -> Result<u64, u64> {
        // A clock that was set back must not make anybody wait longer than a whole burst.
        let used = if used > self.room() { self.room() } else { used };
        let then = used + self.interval;
        if then > self.room() { Err(then - self.room()) } else { Ok(then) }
    }
}

/// As a person says it: `100 requests in 1m, 20 at once`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = if self.requests == 1 { "request" } else { "requests" };
        write!(f, "{} {requests} in {}, ", self.requests, humantime::format_duration(self.every))?;
        write!(f, "{} at once", self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(requests: u32, millis: u64, burst: u32) -> Rate {
        Rate::new(requests, Duration::from_millis(millis), burst).unwrap()
    }

    #[test]
    fn d03_what_is_no_rate_is_refused() {
        let second = Duration::from_secs(1);
        for (requests, every, burst, error) in [
            (0, second, 1, RateError::Zero),
            (1, Duration::ZERO, 1, RateError::Zero),
            (1, second, 0, RateError::Zero),
            (10_001, second, 1, RateError::TooFast),
            (u32::MAX, second, 1, RateError::TooFast),
            (1, Duration::from_secs(86_400), 31, RateError::TooSlow),
            (1, Duration::MAX, 1, RateError::TooSlow),
            (1, second, u32::MAX, RateError::TooSlow),
        ] {
            assert_eq!(Rate::new(requests, every, burst), Err(error), "{requests} {every:?} {burst}");
        }
        assert!(Rate::new(10_000, second, 10_000).is_ok());
    }

    #[test]
    fn a_rate_says_what_it_is() {
        assert_eq!(rate(100, 60_000, 20).to_string(), "100 requests in 1m, 20 at once");
        assert_eq!(rate(1, 86_400_000, 1).to_string(), "1 request in 1day, 1 at once");
    }

    #[test]
    fn a_rate_is_within_one_that_lets_at_least_as_much_pass() {
        assert!(rate(10, 1000, 5).is_within(rate(20, 1000, 5)));
        assert!(!rate(10, 1000, 6).is_within(rate(20, 1000, 5)), "more at once");
        assert!(!rate(30, 1000, 5).is_within(rate(20, 1000, 5)), "more in all");
    }

    /// Sends requests at these moments and says which passed.
    fn passed(rate: Rate, times: &[u64]) -> Vec<u64> {
        let mut until = 0_u64;
        let pass = |at: &u64| match rate.take(until.saturating_sub(*at)) {
            Ok(used) => {
                until = at + used;
                Some(*at)
            }
            Err(_) => None,
        };
        times.iter().filter_map(pass).collect()
    }

    proptest! {
        #[test]
        fn d03_never_more_than_burst_and_rate_pass(
            requests in 1_u32..200, millis in 20_u64..100_000, burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..2_000_000, 1..400),
        ) {
            let rate = rate(requests, millis, burst);
            let times: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let passed = passed(rate, &times);
            for (index, from) in passed.iter().enumerate() {
                for (later, until) in passed.iter().enumerate().skip(index) {
                    let most = u64::from(burst) + (until - from) / rate.interval();
                    prop_assert!((later - index + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn d03_whoever_keeps_the_rate_is_never_refused(
            requests in 1_u32..200, millis in 20_u64..100_000, burst in 1_u32..50,
            extra in prop::collection::vec(0_u64..1000, 1..400),
        ) {
            let rate = rate(requests, millis, burst);
            // Never sooner than the rate says, which is not a whole number of ticks.
            let exact = |index: u64| (u128::from(index) * u128::from(millis) * u128::from(TICKS)).div_ceil(u128::from(requests));
            let times: Vec<u64> = extra.iter().scan(0, |late, more| { *late += more; Some(*late) })
                .zip(0_u64..).map(|(late, index)| u64::try_from(exact(index)).unwrap() + late).collect();
            prop_assert_eq!(passed(rate, &times), times);
        }

        #[test]
        fn d03_whoever_waits_as_long_as_they_are_told_passes(
            requests in 1_u32..200, millis in 20_u64..100_000, burst in 1_u32..50, used in any::<u64>(),
        ) {
            let rate = rate(requests, millis, burst);
            if let Err(wait) = rate.take(used) {
                let used = used.min(rate.room());
                prop_assert!(wait > 0 && wait <= rate.interval());
                prop_assert!(rate.take(used - wait).is_ok());
                prop_assert!(rate.take(used - wait + 1).is_err());
            }
        }
    }

    #[test]
    fn a_burst_of_the_longest_time_is_a_rate_and_one_more_is_not() {
        let most = u32::try_from(MAX_ROOM.as_secs() / 86_400).unwrap();
        assert!(Rate::new(1, Duration::from_secs(86_400), most).is_ok());
        assert_eq!(Rate::new(1, Duration::from_secs(86_400), most + 1).err(), Some(RateError::TooSlow));
    }
}
