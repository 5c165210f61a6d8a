//! What of a request and a person a decision rests on, so that whoever knows only a part can tell whether that is enough.
//!
//! A decision made with unknown things left out is exact when nothing that it consulted is unknown: the same questions are
//! asked in the same order and get the same answers. Query parameters that can be read in different ways are the one thing
//! not covered: whoever does not know a parameter does not know that either.
//!
//! May touch: nothing but memory. Trust boundary: the request's facts are a stranger's.

use std::collections::BTreeSet;

use super::Policy;
use super::condition::Condition;
use super::decision::RequestFacts;
use super::explain::Asking;
use super::expression::fields_read;
use super::prepared::Prepared;
use super::rule::Access;
use crate::clock::Timestamp;

/// What was consulted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consulted {
    /// The query parameters that rules selected by.
    pub parameters: BTreeSet<String>,
    /// The top-level claims that conditions read.
    pub claims: BTreeSet<String>,
    /// The fields of the request that conditions read: `request.path`.
    pub request: BTreeSet<String>,
    /// Whether it mattered how and when the person signed in.
    pub session: bool,
}

impl Policy {
    /// What [`Policy::decide`] looks at for this request, up to the headers, which nobody consults for a decision.
    pub fn consulted(&self, request: &RequestFacts<'_>, who: Option<&Prepared>, now: Timestamp) -> Consulted {
        let asking = Asking { policy: self, request, who, now };
        let other = request.path.other_reading();
        let other = other.as_ref().map(|path| RequestFacts { path, ..*request });
        let other = other.as_ref().map(|request| Asking { request, ..asking });
        let decides = self.find(request, now).decides;
        let mut consulted = Consulted::default();
        let candidates =
            asking.candidates().into_iter().filter(|index| decides.is_none_or(|decides| *index <= decides));
        // Both readings of a path must find the same rule, so all that the other one finds is asked, too.
        let candidates = candidates.chain(other.iter().flat_map(Asking::candidates));
        for rule in candidates.filter_map(|index| self.front.rules.get(index)).filter(|rule| !rule.observes) {
            if rule.selector().refuses_beside_query(request, now).is_none() {
                consulted.parameters.extend(rule.selector().parameters().map(str::to_owned));
            }
        }
        let rule = decides.and_then(|index| self.front.rules.get(index)).filter(|rule| rule.access != Access::Public);
        let (Some(rule), Some(who)) = (rule, who) else { return consulted };
        if self.hurdles().login.ask() {
            consulted.session = true;
            if self.hurdles().login.lacking(who).is_some() {
                return consulted;
            }
        }
        for (condition, good) in [(rule.deny(), false), (rule.allow.as_ref(), true)] {
            let Some(condition) = condition else { continue };
            consulted.add(condition, self);
            if who.test(condition, asking.glance()) != Ok(good) {
                return consulted;
            }
        }
        consulted.session |= rule.step_up().is_some();
        consulted
    }
}

impl Consulted {
    fn add(&mut self, condition: &Condition, policy: &Policy) {
        let expression = condition.expression();
        self.claims.extend(expression.claims().iter().map(|claim| claim.to_string()));
        self.parameters.extend(expression.reads().parameters.iter().map(|name| name.to_string()));
        // However it is read: `has(…)`, `'name' in request.headers`, by name or in brackets.
        self.request.extend(expression.reads().headers.iter().map(|name| format!("request.headers['{name}']")));
        let used = condition.uses(&policy.named).filter_map(|used| used.source());
        for read in used.chain([condition.source()]).flat_map(fields_read) {
            self.session |= read.starts_with("session.");
            let by_name = ["request.params", "request.headers"].iter().any(|map| read.contains(map));
            if read.starts_with("request.") && !by_name {
                self.request.insert(read);
            }
        }
    }
}
