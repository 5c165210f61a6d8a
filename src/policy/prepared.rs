//! A person as one policy sees them: everything that depends on the person alone, evaluated once.
//!
//! The gateway makes one when a session is first seen by a policy version and keeps it beside the session, so that a
//! decision for a known person costs a look-up in the route table and nothing else.
//!
//! May touch: nothing but memory. Bound: as large as the claims that the policy reads and the headers made of them.
//! Trust boundary: the claims are a provider's.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::decision::{DenialReason, Subject};
use super::expression::{BoundClaims, View};
use super::header::Outcome;
use super::rule::Access;
use super::{Policy, expression};

/// A signed-in person, prepared for one policy.
pub struct Prepared {
    pub(super) policy: u64,
    pub(super) subject: Arc<Subject>,
    /// Kept only where some expression reads the request too.
    pub(super) claims: Option<BoundClaims>,
    /// The outcome of each rule's `allow`; none where it reads the request.
    pub(super) allowed: Box<[Option<Result<bool, expression::Failure>>]>,
    /// All headers, where none reads the request.
    pub(super) headers: Result<Box<[(HeaderName, HeaderValue)]>, DenialReason>,
    /// The outcome of each header, none where it reads the request; empty where none does.
    pub(super) each: Box<[Option<Outcome>]>,
}

impl Prepared {
    /// Whether this was prepared by exactly this compiled policy.
    pub fn is_for(&self, policy: &Policy) -> bool {
        self.policy == policy.id
    }

    /// The person.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }
}

impl Policy {
    /// Evaluates for `subject` all that does not depend on a request.
    pub fn prepare(&self, subject: Arc<Subject>) -> Prepared {
        let bound = BoundClaims::bind(&subject.claims, &self.claims_read);
        let view = View {
            claims: &subject.claims,
            bound: &bound,
            session: &subject.session,
            request: None,
            now: subject.session.authenticated_at,
            app: &self.name,
        };
        let allowed = self.rules.iter().map(|rule| match &rule.access {
            Access::When(condition) if !condition.is_per_request() => Some(condition.test(&view)),
            _ => None,
        });
        let allowed = allowed.collect();
        let each: Vec<Option<Outcome>> = self
            .headers
            .iter()
            .map(|header| if header.is_per_request() { None } else { Some(header.evaluate(&view)) })
            .collect();
        let (headers, each) = if self.headers_per_request {
            (Ok(Box::default()), each.into())
        } else {
            (self.collect(each.into_iter().flatten()), Box::default())
        };
        let claims = self.keeps_claims.then_some(bound);
        Prepared { policy: self.id, subject, claims, allowed, headers, each }
    }

    /// Names the outcomes, leaves out what is not sent, and stops at the first denial.
    fn collect(
        &self,
        outcomes: impl Iterator<Item = Outcome>,
    ) -> Result<Box<[(HeaderName, HeaderValue)]>, DenialReason> {
        let named = self.headers.iter().zip(outcomes);
        named
            .filter_map(|(header, outcome)| Some(outcome.transpose()?.map(|value| (header.name.clone(), value))))
            .collect()
    }
}
