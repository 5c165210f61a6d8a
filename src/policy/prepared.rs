//! A person as one policy sees them: what depends on the person alone is evaluated once, when it is first needed.
//!
//! The gateway makes one when a session is first seen by a policy version and keeps it beside the session. Making it
//! evaluates nothing; a decision for a known person costs a look-up in the route table and, the second time, nothing else.
//!
//! What a decision reads lies here side by side, because with many sessions each place of its own is one more wait for memory.
//!
//! May touch: nothing but memory. Bound: as large as the claims that the policy reads, the headers made of them, two bits for
//! each condition and group and two words for each header set. Trust boundary: the claims are a provider's.

use std::sync::{Arc, OnceLock};

use super::Policy;
use super::condition::Condition;
use super::decision::{RequestFacts, Subject};
use super::expression::{BoundClaims, Definitions, Failure, Truths, View};
use super::header_set::Ready;
use crate::clock::Timestamp;

/// A signed-in person, prepared for one policy.
#[repr(C, align(64))]
pub struct Prepared {
    // In the order of the file, and what the usual decision reads in the first cache line.
    policy: u64,
    /// The policy's first header set, which most rules use.
    first_set: OnceLock<Ready>,
    outcomes: Truths,
    other_sets: Box<[OnceLock<Box<Ready>>]>,
    subject: Arc<Subject>,
    claims: BoundClaims,
    definitions: Truths,
}

const _: () = assert!(std::mem::offset_of!(Prepared, outcomes) + Truths::BESIDE <= 64);

impl Prepared {
    /// Whether this was prepared by exactly this compiled policy.
    pub fn is_for(&self, policy: &Policy) -> bool {
        self.policy == policy.front.id
    }

    /// The person.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    /// Whether `condition` of `policy` holds for this person and request.
    pub(super) fn test(&self, condition: &Condition, glance: Glance<'_>) -> Result<bool, Failure> {
        condition.test(&self.outcomes, |evaluate| self.with_view(glance, evaluate))
    }

    /// What is known of a policy's header set; evaluated when it is first asked for.
    pub(super) fn header_set(&self, index: usize, glance: Glance<'_>) -> Option<&Ready> {
        let known = match index.checked_sub(1) {
            None => self.first_set.get(),
            Some(other) => self.other_sets.get(other)?.get().map(|ready| &**ready),
        };
        known.or_else(|| self.make_header_set(index, glance))
    }

    fn make_header_set(&self, index: usize, glance: Glance<'_>) -> Option<&Ready> {
        let set = glance.policy.header_sets.get(index)?;
        let prepare = || self.with_view(glance, |view| set.prepare(view));
        match index.checked_sub(1) {
            None => Some(self.first_set.get_or_init(prepare)),
            Some(other) => Some(self.other_sets.get(other)?.get_or_init(|| Box::new(prepare()))),
        }
    }

    /// Lets `look` see everything that an expression may look at.
    pub(super) fn with_view<T>(&self, glance: Glance<'_>, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&View {
            claims: &self.subject.claims,
            bound: &self.claims,
            claims_read: &glance.policy.claims_read,
            session: &self.subject.session,
            request: Some(glance.request),
            now: glance.now,
            app: &glance.policy.door.name,
            definitions: Definitions { named: &glance.policy.named, truths: &self.definitions },
        })
    }
}

/// What is looked at beside the person.
#[derive(Clone, Copy)]
pub(super) struct Glance<'r> {
    pub(super) policy: &'r Policy,
    pub(super) request: &'r RequestFacts<'r>,
    pub(super) now: Timestamp,
}

impl Policy {
    /// Makes room for what requests of `subject` will need; evaluates nothing.
    pub fn prepare(&self, subject: Arc<Subject>) -> Prepared {
        Prepared {
            policy: self.front.id,
            subject,
            claims: BoundClaims::default(),
            outcomes: Truths::unknown(self.conditions),
            definitions: Truths::unknown(self.named.len()),
            first_set: OnceLock::new(),
            other_sets: self.header_sets.iter().skip(1).map(|_| OnceLock::new()).collect(),
        }
    }
}

#[cfg(test)]
impl Prepared {
    /// What is known of the definition called `name`.
    pub(super) fn known(&self, policy: &Policy, name: &str) -> Option<bool> {
        let mut all = (0..policy.named.len()).filter_map(|id| Some((id, policy.named.get(id)?.name())));
        self.definitions.get(all.find(|(_, known)| *known == name)?.0)
    }

    /// How many header sets were evaluated.
    pub(super) fn evaluated_sets(&self) -> usize {
        let others = self.other_sets.iter().filter(|set| set.get().is_some()).count();
        usize::from(self.first_set.get().is_some()) + others
    }

    /// Whether any claim was brought into the evaluator's form.
    pub(super) fn is_bound(&self) -> bool {
        self.claims.is_bound()
    }
}
