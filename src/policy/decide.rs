//! May this request pass? The one place that makes a [`Permit`].
//!
//! The first rule whose methods and paths match decides; what it does not allow is denied, never passed on to a later
//! rule. Order of the questions: is there a rule; is it public; is somebody signed in; is the login good enough for the
//! application; is the person allowed; is the login good enough for the rule; can the headers be made.
//!
//! May touch: nothing but memory. For a person prepared before and a rule that reads only them, nothing is evaluated and
//! nothing is allocated. Trust boundary: the request's facts are a stranger's, already canonical.

use http::{HeaderName, HeaderValue};

use super::decision::{Decision, Denial, DenialReason, Headers, Permit, RequestFacts, Requirement, SessionFacts};
use super::expression::{BoundClaims, Failure, View};
use super::prepared::Prepared;
use super::rule::{Access, Rule, StepUp};
use super::{LoginAccepts, Policy};
use crate::clock::Timestamp;

impl Policy {
    /// Decides on `request`, made by the person `who` (prepared by this very policy) or by nobody known, at `now`.
    pub fn decide<'p>(&'p self, request: &RequestFacts<'_>, who: Option<&'p Prepared>, now: Timestamp) -> Decision<'p> {
        let found = self.routes.find(request.method, request.path.as_str());
        let Some((index, rule)) = found.and_then(|index| Some((index, self.rules.get(index)?))) else {
            return Decision::Deny(Denial::new(None, DenialReason::NoRule));
        };
        if matches!(rule.access, Access::Public) {
            return Decision::Allow(Permit::public(&rule.label));
        }
        let Some(who) = who else { return Decision::SignIn { rule: &rule.label } };
        let question = Question { policy: self, request, who, now };
        question.answer(index, rule).unwrap_or_else(|reason| Decision::Deny(Denial::new(Some(&rule.label), reason)))
    }
}

/// A request of a known person.
struct Question<'p, 'r> {
    policy: &'p Policy,
    request: &'r RequestFacts<'r>,
    who: &'p Prepared,
    now: Timestamp,
}

impl<'p> Question<'p, '_> {
    fn answer(&self, index: usize, rule: &'p Rule) -> Result<Decision<'p>, DenialReason> {
        if !self.who.is_for(self.policy) {
            return Err(DenialReason::OtherPolicy);
        }
        let session = &self.who.subject.session;
        if let Some(acr) = self.policy.login_accepts.lacking(session) {
            return Ok(Decision::StepUp(Requirement { rule: &rule.label, acr, max_age: None }));
        }
        if !self.is_allowed(index, rule)? {
            return Err(DenialReason::NotAllowed);
        }
        if let Some(requirement) = rule.step_up.as_ref().and_then(|step_up| self.lacking(rule, step_up)) {
            return Ok(Decision::StepUp(requirement));
        }
        Ok(Decision::Allow(Permit::new(&rule.label, self.headers()?)))
    }

    fn is_allowed(&self, index: usize, rule: &Rule) -> Result<bool, DenialReason> {
        let Access::When(condition) = &rule.access else { return Ok(true) };
        match self.who.allowed.get(index) {
            Some(Some(Ok(allowed))) => Ok(*allowed),
            Some(Some(Err(why))) => Err(expression_failed(why)),
            _ => self.with_view(|view| condition.test(view)).map_err(|why| expression_failed(&why)),
        }
    }

    /// What the rule asks of the sign-in beyond what it is.
    fn lacking(&self, rule: &'p Rule, step_up: &'p StepUp) -> Option<Requirement<'p>> {
        let session = &self.who.subject.session;
        let acr_is_good = step_up.acr.is_empty() || holds_one(session, &step_up.acr);
        let age = self.now.since(session.authenticated_at);
        let age_is_good = step_up.max_age.is_none_or(|max_age| age <= max_age);
        if acr_is_good && age_is_good {
            return None;
        }
        let login = self.policy.login.as_ref().map(|login| login.acr.as_slice()).unwrap_or_default();
        let acr = if step_up.acr.is_empty() { login } else { &step_up.acr };
        Some(Requirement { rule: &rule.label, acr, max_age: step_up.max_age })
    }

    fn headers(&self) -> Result<Headers<'p>, DenialReason> {
        if !self.policy.headers_per_request {
            return match &self.who.headers {
                Ok(ready) => Ok(Headers::Ready(ready)),
                Err(reason) => Err(reason.clone()),
            };
        }
        self.with_view(|view| self.made_headers(view)).map(Headers::Made)
    }

    fn made_headers(&self, view: &View<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, DenialReason> {
        let mut made = Vec::with_capacity(self.policy.headers.len());
        for (header, ready) in self.policy.headers.iter().zip(&self.who.each) {
            let value = match ready {
                Some(outcome) => outcome.clone()?,
                None => header.evaluate(view)?,
            };
            made.extend(value.map(|value| (header.name.clone(), value)));
        }
        Ok(made)
    }

    fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let subject = &self.who.subject;
        let made;
        let bound = match &self.who.claims {
            Some(bound) => bound,
            None => {
                made = BoundClaims::bind(&subject.claims, &self.policy.claims_read);
                &made
            }
        };
        look(&View {
            claims: &subject.claims,
            bound,
            session: &subject.session,
            request: Some(self.request),
            now: self.now,
            app: &self.policy.name,
        })
    }
}

fn expression_failed(why: &Failure) -> DenialReason {
    DenialReason::ExpressionFailed(why.to_string())
}

fn holds_one(session: &SessionFacts, acr: &[String]) -> bool {
    session.acr.as_ref().is_some_and(|held| acr.contains(held))
}

impl LoginAccepts {
    /// What to ask for when the login is not good enough for the application.
    fn lacking(&self, session: &SessionFacts) -> Option<&[String]> {
        if self.asked.is_empty() || holds_one(session, &self.asked) || holds_one(session, &self.stronger) {
            return None;
        }
        Some(&self.asked)
    }
}
