//! A condition of a rule, and what is remembered of it for one session.
//!
//! What reads the person alone is evaluated when the first request needs it; the outcome takes one byte of the session's
//! memory, so that a policy of a thousand rules costs a session a thousand bytes and no evaluation. Why a condition failed is
//! needed only for the log of a denial and is found out again then.
//!
//! May touch: nothing but memory. Trust boundary: what fails is an error, which denies.

use std::sync::atomic::{AtomicU8, Ordering};

use super::expression::{Expression, Failure, View};

const UNKNOWN: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;

/// A compiled condition and its place among those of its policy.
#[derive(Debug)]
pub(super) struct Condition {
    expression: Expression,
    slot: usize,
}

/// What the conditions of a policy gave for one session.
pub(super) struct Outcomes(Box<[AtomicU8]>);

impl Condition {
    /// A condition; its place is given when the policy is put together.
    pub(super) fn new(expression: Expression) -> Self {
        Self { expression, slot: usize::MAX }
    }

    /// The condition's expression.
    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Gives the condition its place.
    pub(super) fn place(&mut self, slot: usize) {
        self.slot = slot;
    }
}

impl Outcomes {
    /// Nothing known yet of `count` conditions.
    pub(super) fn unknown(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU8::new(UNKNOWN)).collect())
    }

    /// Whether `condition` is true; `look` gives it something to look at when that is not known yet.
    pub(super) fn test(
        &self,
        condition: &Condition,
        look: impl FnOnce(&dyn Fn(&View<'_>) -> Result<bool, Failure>) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let kept = self.0.get(condition.slot).filter(|_| !condition.expression.is_per_request());
        // The outcome follows from the session alone: whoever comes twice writes the same.
        match kept.map(|kept| kept.load(Ordering::Relaxed)) {
            Some(TRUE) => return Ok(true),
            Some(FALSE) => return Ok(false),
            _ => {}
        }
        let outcome = look(&|view| condition.expression.test(view));
        if let (Some(kept), Ok(truth)) = (kept, &outcome) {
            kept.store(if *truth { TRUE } else { FALSE }, Ordering::Relaxed);
        }
        outcome
    }
}
