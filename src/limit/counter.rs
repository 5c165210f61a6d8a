//! What each client has used up of a rate.
//!
//! A value is the moment (in ticks, modulo 2^44: four years) at which nothing that the client has used is left; whoever is past it is
//! as good as unknown. A newcomer takes the place of whoever has used the least. So nobody is ever refused for want of a place, and to push
//! out somebody who is at their limit takes as many clients at *their* limits as the set has places. A stranger would have to own 65,536
//! addresses and use up the limit of each of them before it wears off; whoever can do that is not held by a limit per address anyway.
//! People and addresses are kept apart: no number of addresses pushes a person out.
//!
//! Two workers that meet a new client in the same moment may count it in two places: at most one request for each worker passes beyond the
//! limit, once.

use std::net::IpAddr;
use std::time::Duration;

use super::address::counted_as;
use super::rate::{Moment, Rate, TICK_MICROS};
use super::slots::{Found, Slots, VALUE};

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who<'a> {
    /// Somebody who is known.
    Person {
        /// Who vouches for them.
        provider: &'a str,
        /// What they are called there.
        subject: &'a str,
    },
    /// Whoever has this address; of an IPv6 address the first 64 bits count, which one connection has to itself.
    Address(IpAddr),
}

impl Who<'_> {
    /// Whoever comes from `address`.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(counted_as(address))
    }
}

/// A rate, and what each client has used up of it. Shared by all workers.
pub struct RateCounter {
    rate: Rate,
    people: Slots,
    addresses: Slots,
}

impl RateCounter {
    /// Nobody has used anything.
    pub fn new(rate: Rate) -> Self {
        Self { rate, people: Slots::default(), addresses: Slots::default() }
    }

    /// The rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts one request of `who`; how long it must wait when it may not pass, which is then not counted.
    pub fn take(&self, who: Who<'_>, now: Moment) -> Result<(), Duration> {
        let Some(found) = self.find(who) else { return Ok(()) };
        loop {
            let own = found.own();
            let used = own.and_then(|slot| slot.value()).map_or(0, |until| self.used(until, now));
            let then = self.rate.take(used).map_err(waiting)?;
            let place = own.or_else(|| {
                found.all().min_by_key(|slot| slot.value().map_or(0, |until| self.used(until, now).saturating_add(1)))
            });
            let Some(place) = place else { return Ok(()) };
            if found.put(place, now.0.wrapping_add(then)) {
                return Ok(());
            }
        }
    }

    /// Takes back what one request of `who` has used: it was refused for another reason.
    pub fn give_back(&self, who: Who<'_>, now: Moment) {
        let Some(found) = self.find(who) else { return };
        while let Some((own, until)) = found.own().and_then(|own| Some((own, own.value()?))) {
            let left = self.used(until, now).saturating_sub(self.rate.interval());
            if found.put(own, now.0.wrapping_add(left)) {
                return;
            }
        }
    }

    /// Where a client is, or would be.
    fn find(&self, who: Who<'_>) -> Option<Found<'_>> {
        let slots = match who {
            Who::Person { .. } => &self.people,
            Who::Address(_) => &self.addresses,
        };
        slots.at(slots.number(who))
    }

    /// What is left at `now` of what is used until `until`. A moment too far off is not one of this round of the clock.
    fn used(&self, until: u64, now: Moment) -> u64 {
        let left = until.wrapping_sub(now.0) & VALUE;
        if left <= self.rate.room() * 2 { left } else { 0 }
    }
}

/// So many ticks.
fn waiting(ticks: u64) -> Duration {
    Duration::from_micros(ticks.saturating_mul(TICK_MICROS))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counter(requests: u32, every: Duration, burst: u32) -> RateCounter {
        RateCounter::new(Rate::new(requests, every, burst).unwrap())
    }

    fn address(number: u32) -> Who<'static> {
        Who::at(IpAddr::V4(number.into()))
    }

    fn person(subject: &str) -> Who<'_> {
        Who::Person { provider: "okta", subject }
    }

    const START: i64 = 1_795_000_000_000;

    fn at(millis: i64) -> Moment {
        Moment::from_millis(START + millis)
    }

    #[test]
    fn d03_a_burst_passes_and_the_rest_waits_as_long_as_it_is_told() {
        let counter = counter(10, Duration::from_secs(10), 3);
        assert!((0..3).all(|_| counter.take(person("ada"), at(0)).is_ok()));
        assert_eq!(counter.take(person("ada"), at(0)), Err(Duration::from_secs(1)));
        assert_eq!(counter.take(person("ada"), at(900)), Err(Duration::from_millis(100)));
        assert_eq!(counter.take(person("ada"), at(1000)), Ok(()));
        assert_eq!(counter.take(person("ada"), at(1000)), Err(Duration::from_secs(1)));
        assert!(counter.take(person("bob"), at(1000)).is_ok(), "somebody else");
    }

    #[test]
    fn d03_what_is_given_back_can_be_used_again_and_no_more() {
        let counter = counter(10, Duration::from_secs(10), 3);
        counter.give_back(person("ada"), at(0));
        assert!((0..3).all(|_| counter.take(person("ada"), at(0)).is_ok()));
        counter.give_back(person("ada"), at(0));
        assert!(counter.take(person("ada"), at(0)).is_ok() && counter.take(person("ada"), at(0)).is_err());
        (0..9).for_each(|_| counter.give_back(person("ada"), at(0)));
        assert_eq!((0..9).filter(|_| counter.take(person("ada"), at(0)).is_ok()).count(), 3);
    }

    #[test]
    fn d03_addresses_of_one_connection_are_one_client() {
        let v6 = |text: &str| Who::at(text.parse().unwrap());
        assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
        assert_eq!(v6("::ffff:192.0.2.7"), v6("192.0.2.7"));
        assert_ne!(v6("192.0.2.7"), v6("192.0.2.8"));
    }

    #[test]
    fn d03_a_stranger_with_many_addresses_frees_nobody_and_hinders_nobody() {
        let counter = counter(10, Duration::from_secs(600), 3);
        let flooder = address(u32::MAX);
        let used_up = || while counter.take(flooder, at(0)).is_ok() {};
        used_up();
        while counter.take(person("ada"), at(0)).is_ok() {}
        // Four times as many as there are places, each as often as it may without using up half of what it has.
        assert!(
            (0..262_144).all(|number| counter.take(address(number), at(1)).is_ok()),
            "nobody is refused for want of a place"
        );
        assert!(counter.take(flooder, at(1)).is_err(), "who is at the limit stays there");
        assert!(counter.take(person("ada"), at(1)).is_err(), "people are kept apart");
    }

    #[test]
    fn d03_a_clock_that_is_set_back_makes_nobody_wait_longer_than_a_burst() {
        let counter = counter(10, Duration::from_secs(10), 3);
        while counter.take(person("ada"), at(3_600_000)).is_ok() {}
        let passes = (0..).take_while(|second| counter.take(person("ada"), at(second * 1000)).is_err()).count();
        assert!(passes <= 3, "{passes}");
    }

    #[test]
    fn what_was_used_long_ago_is_forgotten() {
        let day = Duration::from_secs(86_400);
        let counter = counter(1, day, 1);
        assert!(counter.take(person("ada"), at(0)).is_ok());
        assert_eq!(counter.take(person("ada"), at(1000)), Err(day - Duration::from_secs(1)));
        assert!(counter.take(person("ada"), at(4 * 365 * 86_400_000)).is_ok());
    }

    #[test]
    fn d03_workers_together_let_no_more_pass() {
        let counter = Arc::new(counter(1, Duration::from_secs(600), 1000));
        let passed = Arc::new(AtomicU32::new(0));
        assert!(counter.take(person("ada"), at(0)).is_ok());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (counter, passed) = (Arc::clone(&counter), Arc::clone(&passed));
                std::thread::spawn(move || {
                    for _ in 0..5000 {
                        passed.fetch_add(u32::from(counter.take(person("ada"), at(0)).is_ok()), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(passed.load(Ordering::Relaxed), 999);
    }

    #[test]
    fn a_limit_that_few_meet_is_small() {
        let counter = counter(10, Duration::from_secs(10), 3);
        assert!((0..4).all(|number| counter.take(address(number), at(0)).is_ok()));
        assert!(counter.addresses.shards() <= 4 && counter.people.shards() == 0);
    }

    #[test]
    fn d03_a_clock_that_is_set_back_by_a_moment_forgives_nobody() {
        let counter = counter(10, Duration::from_secs(10), 3);
        while counter.take(person("ada"), at(3000)).is_ok() {}
        assert_eq!(counter.take(person("ada"), at(2000)), Err(Duration::from_secs(1)));
    }
}
