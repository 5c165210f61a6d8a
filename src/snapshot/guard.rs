//! What counts an application's requests towards its limits, and those of its rules.
//!
//! Made of a policy's limits; counters of a limit that is unchanged are taken over from the set before, and so is what is under way, so that a
//! reload forgives nobody anything. Bound: a few counters a policy, each as `limit` says.
//! Trust boundary: none; made of checked configuration.

use std::sync::Arc;

use crate::limit::{Crowd, Places, RateCounter};
use crate::policy::{Limits, Per, PolicyLimits};

/// The limits of an application and of its rules.
pub struct Guard {
    whole: Option<Arc<Limiter>>,
    rules: Vec<(Box<str>, Arc<Limiter>)>,
}

/// One table of limits with its counters.
pub struct Limiter {
    limits: Limits,
    rates: Vec<(Per, Arc<RateCounter>)>,
    places: Arc<Places>,
    crowd: Arc<Crowd>,
}

impl Guard {
    /// The guard of a policy with these limits; none where it has none.
    pub(super) fn build(limits: &PolicyLimits, before: Option<&Self>) -> Option<Box<Self>> {
        let whole = limits.whole.as_ref().map(|limits| {
            let before = before.and_then(|before| before.whole.as_deref());
            Arc::new(Limiter::new(limits.clone(), before))
        });
        let of_rule = |(label, limits): &(Box<str>, Limits)| {
            let before = before.and_then(|before| before.of_rule(label)).map(|limiter| &**limiter);
            (label.clone(), Arc::new(Limiter::new(limits.clone(), before)))
        };
        let rules: Vec<_> = limits.rules.iter().map(of_rule).collect();
        (whole.is_some() || !rules.is_empty()).then(|| Box::new(Self { whole, rules }))
    }

    /// The limits of the application.
    pub fn whole(&self) -> Option<&Arc<Limiter>> {
        self.whole.as_ref()
    }

    /// The limits of the rule with this label.
    pub fn of_rule(&self, label: &str) -> Option<&Arc<Limiter>> {
        self.rules.iter().find(|(rule, _)| **rule == *label).map(|(_, limiter)| limiter)
    }
}

impl Limiter {
    fn new(limits: Limits, before: Option<&Self>) -> Self {
        // Each is taken over once: a rate that stands twice has two counters.
        let mut left: Vec<_> = before.into_iter().flat_map(|before| &before.rates).collect();
        let mut known = |per, rate| {
            let place = left.iter().position(|(whose, counter)| *whose == per && counter.rate() == rate)?;
            Some(Arc::clone(&left.swap_remove(place).1))
        };
        let rates = limits.rates.iter().map(|limit| {
            let counter = known(limit.per, limit.rate);
            (limit.per, counter.unwrap_or_else(|| Arc::new(RateCounter::new(limit.rate))))
        });
        Self {
            rates: rates.collect(),
            places: before.map(|before| Arc::clone(&before.places)).unwrap_or_default(),
            crowd: before.map(|before| Arc::clone(&before.crowd)).unwrap_or_default(),
            limits,
        }
    }

    /// What is allowed.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The counters of the rates that are counted by address, or by person.
    pub fn rates(&self, per: Per) -> impl Iterator<Item = &RateCounter> {
        self.rates.iter().filter(move |(whose, _)| *whose == per).map(|(_, counter)| &**counter)
    }

    /// What is in the application.
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// What is in the application of each person.
    pub fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::{Moment, Rate, Who};
    use crate::policy::RateLimit;

    fn limits(requests: u32, concurrency: u32) -> PolicyLimits {
        let rate = Rate::new(requests, Duration::from_secs(60), 1).unwrap();
        let rates = vec![RateLimit { per: Per::Address, rate }];
        let whole = Limits { rates, concurrency: Some(concurrency), ..Limits::default() };
        PolicyLimits { rules: vec![("uploads".into(), whole.clone())], whole: Some(whole) }
    }

    fn passes(limiter: &Limiter) -> bool {
        let now = Moment::from_millis(1_795_000_000_000);
        let client = Who::at([192, 0, 2, 7].into());
        limiter.rates(Per::Address).all(|counter| counter.take(client, now).is_ok())
    }

    #[test]
    fn d03_counters_of_an_unchanged_limit_are_taken_over() {
        let first = Guard::build(&limits(10, 1), None).unwrap();
        let all = |guard: &Guard| [guard.whole().unwrap(), guard.of_rule("uploads").unwrap()].map(Arc::clone);
        assert!(all(&first).iter().all(|limiter| passes(limiter)));
        let place = first.whole().unwrap().places().take(1).unwrap();
        let second = Guard::build(&limits(10, 2), Some(&first)).unwrap();
        assert!(all(&second).iter().all(|limiter| !passes(limiter)), "the same rates");
        assert_eq!(second.whole().unwrap().places().taken(), 1, "what is under way is under way");
        drop(place);
        let third = Guard::build(&limits(11, 2), Some(&second)).unwrap();
        assert!(all(&third).iter().all(|limiter| passes(limiter)), "other rates begin anew");
        assert!(Guard::build(&PolicyLimits::default(), Some(&third)).is_none());
    }

    #[test]
    fn d03_a_rate_that_stands_twice_counts_a_request_once_after_a_reload_too() {
        let mut twice = limits(10, 1);
        let rates = &mut twice.whole.as_mut().unwrap().rates;
        rates.extend_from_within(..);
        let first = Guard::build(&twice, None).unwrap();
        let second = Guard::build(&twice, Some(&first)).unwrap();
        assert!(passes(second.whole().unwrap()));
        let third = Guard::build(&twice, Some(&second)).unwrap();
        assert!(!passes(third.whole().unwrap()), "both were taken over");
    }
}
