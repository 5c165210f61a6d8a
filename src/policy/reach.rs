//! What a policy's tests reach, and what no test does.
//!
//! A rule is reached when it decides a test (one that observes: when it would have decided). Every header is made for every
//! request that is allowed, so that alone says nothing: a header is reached when a test that is allowed names it, with the
//! value that is expected or as one that must be absent.
//!
//! May touch: nothing but memory. Trust boundary: none; the file is an administrator's.

use std::collections::BTreeSet;
use std::fmt;

use super::Policy;
use super::decision::Decision;
use super::test_case::TestCase;

/// What can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachable {
    /// The rule with this label, which begins on this line.
    Rule(String, usize),
    /// The header of this name.
    Header(String),
}

/// How much of a policy its tests reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many rules and headers there are.
    pub all: usize,
    /// Those that no test reaches, in the order of the file.
    pub missed: Vec<Reachable>,
}

impl fmt::Display for Reachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(label, _) => write!(f, "rule `{label}`"),
            Self::Header(name) => write!(f, "header `{name}`"),
        }
    }
}

/// Places among the rules, and headers by set and name.
#[derive(Default)]
struct Reached {
    rules: BTreeSet<usize>,
    headers: BTreeSet<(usize, String)>,
}

impl Policy {
    /// What the file's own tests reach.
    pub fn coverage(&self) -> Coverage {
        let mut reached = Reached::default();
        for test in &self.tests {
            reached.add(test, self);
        }
        let rules = self.front.rules.iter().enumerate().map(|(index, rule)| {
            let place = Reachable::Rule(rule.label.to_string(), rule.written().line);
            (place, reached.rules.contains(&index))
        });
        let sets = self.header_sets.iter().enumerate();
        let headers = sets.flat_map(|(index, set)| set.headers().iter().map(move |header| (index, header)));
        let headers = headers.map(|(index, header)| {
            let name = header.name.as_str().to_owned();
            (Reachable::Header(name.clone()), reached.headers.contains(&(index, name)))
        });
        let mut coverage = Coverage::default();
        for (what, is_reached) in rules.chain(headers) {
            coverage.all += 1;
            if !is_reached && !coverage.missed.contains(&what) {
                coverage.missed.push(what);
            }
        }
        coverage
    }
}

impl Reached {
    fn add(&mut self, test: &TestCase, policy: &Policy) {
        let _ = test.asked(policy, |request, who, now| {
            let decision = policy.decide(request, who, now);
            let observed = policy.observe(request, who, now);
            let place = |label: Option<&str>| policy.front.rules.iter().position(|rule| Some(&*rule.label) == label);
            let decided = place(decision.rule());
            self.rules.extend(decided);
            self.rules.extend(observed.and_then(|observed| place(observed.rule())));
            if let (Decision::Allow(permit), Some(rule)) =
                (&decision, decided.and_then(|rule| policy.front.rules.get(rule)))
                && !permit.is_public()
            {
                let named = test.expected.headers.keys().chain(&test.expected.absent);
                self.headers.extend(named.map(|name| (rule.header_set, name.to_ascii_lowercase())));
            }
        });
    }
}
