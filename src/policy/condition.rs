//! A condition of a rule, and what is remembered of it for one session.
//!
//! What reads the person alone is evaluated when the first request needs it; the outcome takes two bits of the session's
//! memory, once for all rules that ask the same, so that a policy of a thousand rules costs a session 250 bytes and no evaluation. Why a condition failed is
//! needed only for the log of a denial and is found out again then.
//!
//! May touch: nothing but memory. Trust boundary: what fails is an error, which denies.

use std::collections::HashMap;

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
            self.front.rules.iter().flat_map(|rule| rule.conditions().map(|condition| (&*rule.label, condition)));
        conditions.map(|(rule, condition)| {
            let uses = condition.uses(&self.named).map(|used| (used.name(), used.source())).collect();
            ConditionText { rule, source: condition.source(), uses }
        })
    }
}

/// A compiled condition and the place of its outcome among those of its policy.
///
/// A known outcome needs no look at what is behind the pointer.
#[derive(Debug)]
pub(super) struct Condition {
    what: Box<What>,
    slot: u32,
    /// Whether it follows from the session alone, so that its outcome can be kept.
    for_ever: bool,
}

#[derive(Debug)]
struct What {
    expression: Expression,
    source: Box<str>,
}

/// The places of a policy's conditions: one for each text, however many rules ask it.
#[derive(Default)]
pub(super) struct Places(HashMap<Box<str>, u32>);

impl Places {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Condition {
    /// A condition that stands as `source` in the file; its place is given when the policy is put together.
    pub(super) fn new(expression: Expression, source: &str) -> Self {
        let for_ever = !expression.is_per_request();
        Self { what: Box::new(What { expression, source: source.into() }), slot: u32::MAX, for_ever }
    }

    /// The condition's expression.
    pub(super) fn expression(&self) -> &Expression {
        &self.what.expression
    }

    /// The condition as it stands in the file.
    pub(super) fn source(&self) -> &str {
        &self.what.source
    }

    /// The conditions and groups that it uses by name, also by others.
    pub(super) fn uses<'n>(&'n self, named: &'n Named) -> impl Iterator<Item = &'n Definition> {
        self.what.expression.uses().iter().filter_map(|id| named.get(*id))
    }

    /// Gives the condition its place, the same for the same text. Without one, or where it reads the request, nothing is remembered.
    pub(super) fn place(&mut self, places: &mut Places) {
        let next = u32::try_from(places.count()).unwrap_or(u32::MAX);
        if self.for_ever {
            self.slot = *places.0.entry(self.what.source.clone()).or_insert(next);
        }
    }

    /// Whether it is true, as far as `known` remembers; `look` gives it something to look at when that is not enough.
    pub(super) fn test(
        &self,
        known: &Truths,
        look: impl FnOnce(&dyn Fn(&View<'_>) -> Result<bool, Failure>) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let slot = self.slot as usize;
        if let Some(truth) = known.get(slot).filter(|_| self.for_ever) {
            return Ok(truth);
        }
        let outcome = look(&|view| self.what.expression.test(view));
        if let (true, Ok(truth)) = (self.for_ever, &outcome) {
            known.keep(slot, *truth);
        }
        outcome
    }
}
