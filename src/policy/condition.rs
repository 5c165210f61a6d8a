//! A condition of a rule, and what is remembered of it for one session.
//!
//! What reads the person alone is evaluated when the first request needs it; the outcome takes two bits of the session's
//! memory, so that a policy of a thousand rules costs a session 250 bytes and no evaluation. Why a condition failed is
//! needed only for the log of a denial and is found out again then.
//!
//! May touch: nothing but memory. Trust boundary: what fails is an error, which denies.

use super::Policy;
use super::expression::{Definition, Expression, Failure, Named, Truths, View};

/// A condition of a rule, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionText<'p> {
    /// The rule's name.
    pub rule: &'p str,
    /// The condition as it stands in the file.
    pub source: &'p str,
    /// The names that it uses, also by others: conditions with their text, groups without.
    pub uses: Vec<(&'p str, Option<&'p str>)>,
}

impl Policy {
    /// The conditions of all rules, `deny` before `allow`, with what they use by name.
    pub fn condition_texts(&self) -> impl Iterator<Item = ConditionText<'_>> {
        let conditions =
            self.rules.iter().flat_map(|rule| rule.conditions().map(|condition| (&*rule.label, condition)));
        conditions.map(|(rule, condition)| {
            let uses = condition.uses(&self.named).map(|used| (used.name(), used.source())).collect();
            ConditionText { rule, source: &condition.source, uses }
        })
    }
}

/// A compiled condition and its place among those of its policy.
#[derive(Debug)]
pub(super) struct Condition {
    expression: Expression,
    source: Box<str>,
    slot: usize,
    /// Whether it follows from the session alone; kept here so that a known outcome needs no look at the expression.
    for_ever: bool,
}

impl Condition {
    /// A condition that stands as `source` in the file; its place is given when the policy is put together.
    pub(super) fn new(expression: Expression, source: &str) -> Self {
        let for_ever = !expression.is_per_request();
        Self { expression, source: source.into(), slot: usize::MAX, for_ever }
    }

    /// The condition's expression.
    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The condition as it stands in the file.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The conditions and groups that it uses by name, also by others.
    pub(super) fn uses<'n>(&'n self, named: &'n Named) -> impl Iterator<Item = &'n Definition> {
        self.expression.uses().iter().filter_map(|id| named.get(*id))
    }

    /// Gives the condition its place.
    pub(super) fn place(&mut self, slot: usize) {
        self.slot = slot;
    }

    /// Whether it is true, as far as `known` remembers; `look` gives it something to look at when that is not enough.
    pub(super) fn test(
        &self,
        known: &Truths,
        look: impl FnOnce(&dyn Fn(&View<'_>) -> Result<bool, Failure>) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        if let Some(truth) = known.get(self.slot).filter(|_| self.for_ever) {
            return Ok(truth);
        }
        let outcome = look(&|view| self.expression.test(view));
        if let (true, Ok(truth)) = (self.for_ever, &outcome) {
            known.keep(self.slot, *truth);
        }
        outcome
    }
}
