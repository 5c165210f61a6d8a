//! May this request pass? The one place that makes a [`Permit`].
//!
//! The first rule that matches decides; what it does not allow is denied, never passed on to a later rule. Order of the
//! questions: may the client come at all; are query, head and path clear; is there a rule; is it for everybody; is somebody signed in; is
//! the login good enough for
//! the application; is the person denied, allowed; is the login good enough for the rule; does the gateway answer itself;
//! can the headers be made. Rules that observe are never among those that decide ([`Policy::observe`]).
//!
//! May touch: nothing but memory. For a person prepared before and a rule that reads only them, nothing is evaluated and
//! nothing is allocated. Trust boundary: the request's facts are a stranger's, already canonical.

use super::Policy;
use super::condition::Condition;
use super::decision::{
    Decision, Denial, DenialReason, Headers, Permit, Reply, RequestFacts, Requirement, SessionFacts,
};
use super::doubt::Doubtful;
use super::expression::Failure;
use super::header_set::Ready;
use super::hurdles::{self, Hurdles};
use super::prepared::{Glance, Prepared};
use super::route::{Found, Offer};
use super::rule::{Access, Rule, StepUp};
use crate::clock::Timestamp;

impl Policy {
    /// Decides on `request`, made by the person `who` (prepared by this very policy) or by nobody known, at `now`.
    pub fn decide<'p>(&'p self, request: &RequestFacts<'_>, who: Option<&'p Prepared>, now: Timestamp) -> Decision<'p> {
        if self.hurdles().networks.as_ref().is_some_and(|networks| !networks.admit(request.client)) {
            return Decision::Deny(Denial::new(None, DenialReason::NetworkDenied));
        }
        if let Some(reason) = self.doubt(request, now) {
            return Decision::Deny(Denial::new(None, reason));
        }
        match self.find(request, now).decides.and_then(|index| self.front.rules.get(index)) {
            Some(rule) => self.apply(rule, request, who, now),
            None => Decision::Deny(Denial::new(None, DenialReason::NoRule)),
        }
    }

    /// What the first observing rule before the one that decides would have decided; for the log, it changes nothing.
    pub fn observe<'p>(
        &'p self,
        request: &RequestFacts<'_>,
        who: Option<&'p Prepared>,
        now: Timestamp,
    ) -> Option<Decision<'p>> {
        if !self.front.routes.observes() {
            return None;
        }
        let path_doubt = || self.path_doubt(request, now, &self.observed_doubtful, |found| found.observes);
        if let Some(reason) = self.observed_doubtful.doubt(request).or_else(path_doubt) {
            return Some(Decision::Deny(Denial::new(None, reason)));
        }
        let rule = self.front.rules.get(self.find(request, now).observes?)?;
        Some(self.apply(rule, request, who, now))
    }

    /// Whether what is decided on `request` is the same whoever makes it, and says nothing of `who`.
    pub fn asks_nobody(&self, request: &RequestFacts<'_>, who: &Prepared, now: Timestamp) -> bool {
        let rule = self.find(request, now).decides.and_then(|index| self.front.rules.get(index));
        match rule.map(|rule| rule.access) {
            None | Some(Access::Public) => true,
            // As `apply` has it.
            Some(Access::Optional) => self.hurdles().login.lacking(who).is_some(),
            Some(Access::Session) => false,
        }
    }

    /// Why no rule is asked; nothing when all is clear.
    pub(super) fn doubt(&self, request: &RequestFacts<'_>, now: Timestamp) -> Option<DenialReason> {
        let doubtful = &self.hurdles().doubtful;
        doubtful.doubt(request).or_else(|| self.path_doubt(request, now, doubtful, |found| found.decides))
    }

    /// Whether a path that can be read in two ways finds two rules, or is read by an expression.
    fn path_doubt(
        &self,
        request: &RequestFacts<'_>,
        now: Timestamp,
        doubtful: &Doubtful,
        rule: fn(Found) -> Option<usize>,
    ) -> Option<DenialReason> {
        let path = &request.path.other_reading()?;
        let other = RequestFacts { path, ..*request };
        let alike = !doubtful.path && rule(self.find(request, now)) == rule(self.find(&other, now));
        (!alike).then_some(DenialReason::PathAmbiguous)
    }

    /// The rules that a request matches.
    pub(super) fn find(&self, request: &RequestFacts<'_>, now: Timestamp) -> Found {
        let is_selected = |rule: &Rule| rule.selector().refuses(request, now).is_none();
        let accepts = |offer: Offer| !offer.selects() || self.front.rules.get(offer.rule()).is_some_and(is_selected);
        self.front.routes.find(request.method, request.path.as_str(), accepts)
    }

    /// What stands before the rules.
    pub(super) fn hurdles(&self) -> &Hurdles {
        self.front.hurdles.as_deref().unwrap_or(&hurdles::NONE)
    }

    fn apply<'p>(
        &'p self,
        rule: &'p Rule,
        request: &RequestFacts<'_>,
        who: Option<&'p Prepared>,
        now: Timestamp,
    ) -> Decision<'p> {
        let who = match rule.access {
            Access::Public => return self.open(rule),
            // Whoever is not signed in well enough for the application is nobody here.
            Access::Optional => match who.filter(|who| self.hurdles().login.lacking(who).is_none()) {
                Some(who) => who,
                None => return self.open(rule),
            },
            Access::Session => match who {
                Some(who) => who,
                None => return Decision::SignIn { rule: &rule.label },
            },
        };
        let question = Question { rule, who, glance: Glance { policy: self, request, now }, policy: self };
        question.answer().unwrap_or_else(|reason| Decision::Deny(Denial::new(Some(&rule.label), reason)))
    }

    /// The decision of a rule for somebody who is nobody to it.
    fn open<'p>(&'p self, rule: &'p Rule) -> Decision<'p> {
        if let Some(answer) = rule.answer() {
            return Decision::Answer(Reply { rule: &rule.label, answer });
        }
        let set = self.header_sets.get(rule.header_set);
        Decision::Allow(Permit::public(&rule.label, set.map(|set| set.for_everybody()).unwrap_or_default()))
    }
}

/// A request of a known person, and the rule that decides on it.
struct Question<'p, 'r> {
    policy: &'p Policy,
    rule: &'p Rule,
    who: &'p Prepared,
    glance: Glance<'r>,
}

impl<'p> Question<'p, '_> {
    fn answer(&self) -> Result<Decision<'p>, DenialReason> {
        if !self.who.is_for(self.policy) {
            return Err(DenialReason::OtherPolicy);
        }
        let rule = &*self.rule.label;
        if let Some(acr) = self.policy.hurdles().login.lacking(self.who) {
            let also_good = self.policy.stronger_acr();
            return Ok(Decision::StepUp(Requirement { rule, acr, also_good, max_age: None }));
        }
        if self.rule.deny().map_or(Ok(false), |deny| self.holds(deny))? {
            return Err(DenialReason::Denied);
        }
        if !self.rule.allow.as_ref().map_or(Ok(true), |allow| self.holds(allow))? {
            return Err(DenialReason::NotAllowed);
        }
        if let Some(requirement) = self.rule.step_up().and_then(|step_up| self.lacking(step_up)) {
            return Ok(Decision::StepUp(requirement));
        }
        match self.rule.answer() {
            Some(answer) => Ok(Decision::Answer(Reply { rule, answer })),
            None => Ok(Decision::Allow(Permit::new(rule, self.headers()?))),
        }
    }

    fn holds(&self, condition: &Condition) -> Result<bool, DenialReason> {
        self.who.test(condition, self.glance).map_err(|why| expression_failed(&why))
    }

    /// What the rule asks of the sign-in beyond what it is.
    fn lacking(&self, step_up: &'p StepUp) -> Option<Requirement<'p>> {
        let session = &self.who.subject().session;
        let acr_is_good = step_up.acr.is_empty() || holds_one(session, &step_up.acr);
        let age = self.glance.now.since(session.authenticated_at);
        let age_is_good = step_up.max_age.is_none_or(|max_age| age <= max_age);
        if acr_is_good && age_is_good {
            return None;
        }
        // Who names no class takes what the application takes; who names one takes no other.
        let (acr, also_good) = match step_up.acr.as_slice() {
            [] => (self.policy.hurdles().login.asked_of(session), self.policy.stronger_acr()),
            named => (named, &[][..]),
        };
        Some(Requirement { rule: &self.rule.label, acr, also_good, max_age: step_up.max_age })
    }

    fn headers(&self) -> Result<Headers<'p>, DenialReason> {
        let ready = self.who.header_set(self.rule.header_set, self.glance).ok_or(DenialReason::OtherPolicy)?;
        // The usual case, for which the set itself is not looked at.
        if let Ready::Whole(Ok(fields)) = ready {
            return Ok(Headers::Ready(fields));
        }
        let set = self.policy.header_sets.get(self.rule.header_set).ok_or(DenialReason::OtherPolicy)?;
        set.fields(ready, self.glance.now, |header| self.who.with_view(self.glance, |view| header.evaluate(view)))
    }
}

fn expression_failed(why: &Failure) -> DenialReason {
    DenialReason::ExpressionFailed(why.to_string())
}

pub(super) fn holds_one(session: &SessionFacts, acr: &[String]) -> bool {
    session.acr.as_ref().is_some_and(|held| acr.iter().any(|one| held == one))
}
