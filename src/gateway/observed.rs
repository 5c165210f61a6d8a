//! What observe mode would have decided: a note in the log and a count, and nothing else.
//!
//! Rules and policies that observe are asked after the decision is made and can change neither it nor the answer.
//! Trust boundary: none; the same facts that the decision had.

use crate::clock::Timestamp;
use crate::observe::{Decision as Decided, ObservedEvent};
use crate::policy::{Answer, Decision, Reply, RequestFacts};
use crate::snapshot::Application;

use super::account::Account;
use super::caller::Caller;
use super::limits::Over;

/// What would have been decided.
pub(super) struct Observed {
    decision: Decided,
    rule: Option<Box<str>>,
    reason: Option<&'static str>,
    policy: Option<Box<str>>,
}

impl Observed {
    fn new(decision: &Decision<'_>, policy: Option<&str>) -> Self {
        let (rule, reason) = (decision.rule().map(Into::into), decision.reason());
        Self { decision: decided(decision), rule, reason, policy: policy.map(Into::into) }
    }

    /// What a limit would have refused, and the rule that has it.
    pub(super) fn over(over: Over, rule: Option<&str>) -> Self {
        Self { decision: Decided::Refused, rule: rule.map(Into::into), reason: Some(over.code()), policy: None }
    }

    /// Whether a limit would have refused the request.
    pub(super) fn is_of_a_limit(&self) -> bool {
        self.decision == Decided::Refused
    }

    /// The note for the log.
    pub(super) fn event(&self) -> ObservedEvent<'_> {
        ObservedEvent {
            decision: self.decision.as_str(),
            rule: self.rule.as_deref(),
            reason: self.reason,
            policy: self.policy.as_deref(),
        }
    }
}

/// The word for a decision.
pub fn decided(decision: &Decision<'_>) -> Decided {
    match decision {
        Decision::Allow(permit) if permit.is_public() => Decided::Public,
        Decision::Allow(_) => Decided::Allow,
        Decision::Deny(_) => Decided::Deny,
        Decision::SignIn { .. } => Decided::SignIn,
        Decision::StepUp(_) => Decided::StepUp,
        Decision::Answer(Reply { answer: Answer::Redirect(_), .. }) => Decided::Redirect,
        Decision::Answer(Reply { answer: Answer::Respond(_), .. }) => Decided::Respond,
    }
}

/// Asks what only observes. Both a rule and a shadow are counted; the log has room for one, and the shadow goes first.
pub(super) fn observe(
    application: &Application,
    facts: &RequestFacts<'_>,
    who: Option<&Caller>,
    now: Timestamp,
    account: &mut Account,
) {
    let by_rule = application.policy().observe(facts, who.map(Caller::prepared), now);
    let by_rule = by_rule.map(|decision| Observed::new(&decision, None));
    let by_shadow = application.shadow().map(|shadow| {
        let decision = shadow.decide(facts, who.and_then(Caller::shadow), now);
        Observed::new(&decision, Some(shadow.name()))
    });
    for observed in [by_rule, by_shadow].into_iter().flatten() {
        application.metrics().observed(observed.decision);
        account.observed(observed);
    }
}
