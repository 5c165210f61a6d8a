//! Why a policy decides as it does: every rule, what it asked, what it saw, and what came of it.
//!
//! The decision is the one that [`Policy::decide`] gives. What is told around it comes from the same functions, asked one by
//! one: the route table, the selectors, the conditions' own trees, what a sign-in lacks. The tests compare the two for every
//! test of every policy in the tree and for random requests.
//!
//! May touch: nothing but memory. It shows claims, because it is for those who hold them; secrets stay masked.
//! Trust boundary: the request's facts are a stranger's.

use std::cell::RefCell;

use http::Method;
use serde::Serialize;

use super::condition::Condition;
use super::decide::holds_one;
use super::decision::{Decision, DenialReason, RequestFacts};
use super::expression::{Seen, seen};
use super::header::Header;
use super::prepared::{Glance, Prepared};
use super::route::Offer;
use super::rule::{Access, Rule};
use super::selector::Unselected;
use super::{Answer, Policy};
use crate::clock::Timestamp;

/// A decision with everything that led to it.
#[derive(Debug)]
pub struct Explained<'p> {
    /// The decision.
    pub decision: Decision<'p>,
    /// What the rules that observe would have decided.
    pub observed: Option<Decision<'p>>,
    /// What applications may read in different ways, where the policy decides by it.
    pub doubtful: Option<String>,
    /// Every rule, in the order of the file.
    pub rules: Vec<ExplainedRule>,
    /// The limits that the request counts towards, in words: the application's, then the rule's.
    pub limits: Vec<ExplainedLimit>,
    /// The headers that go with the rule that decided, where it allowed somebody or a header was in the way.
    pub headers: Vec<ExplainedHeader>,
}

/// A limit that a request counts towards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedLimit {
    /// The rule that has it; none for one of the application's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What it is.
    pub limit: String,
    /// Whether it only observes.
    pub observes: bool,
}

/// One rule and what it had to do with the request.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedRule {
    /// Its label.
    pub rule: String,
    /// The line on which it begins.
    pub line: usize,
    /// Whether it only observes.
    pub observes: bool,
    /// What it had to do with the request.
    #[serde(flatten)]
    pub standing: Standing,
    /// What it asked, in order, as far as it came; empty for a rule that was not asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// What a rule had to do with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It decides.
    Decides,
    /// It only observes, and is the first that does.
    Observes,
    /// It matches, and an earlier rule does too.
    TooLate,
    /// It matches, and no rule is asked: the client may not come at all, or query, head or path is in doubt.
    NotAsked,
    /// It does not match.
    PassedOver {
        /// The key of the rule that says so.
        by: &'static str,
        /// What the key wants.
        wanted: String,
        /// What the request has.
        found: String,
    },
}

/// One thing that a rule asks.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum Check {
    /// For whom the rule is.
    Access {
        /// `public`, `optional` or `session`.
        wanted: &'static str,
        /// Whether somebody is signed in.
        signed_in: bool,
    },
    /// What `[login]` asks of every sign-in.
    Login {
        /// Any one of these.
        wanted: Vec<String>,
        /// What the sign-in has.
        found: Option<String>,
        /// Whether that is enough.
        good: bool,
    },
    /// A `deny` or `allow`.
    Condition {
        /// Which of them.
        key: &'static str,
        /// Whether it holds; none where it could not be evaluated.
        holds: Option<bool>,
        /// Its parts and their values.
        seen: Seen,
    },
    /// What `step_up` asks of the sign-in.
    StepUp {
        /// Any one of these; any at all when empty.
        wanted: Vec<String>,
        /// What the sign-in has.
        found: Option<String>,
        /// The most seconds that the sign-in may be ago.
        max_age: Option<u64>,
        /// The seconds that it is ago.
        age: u64,
        /// Whether that is enough.
        good: bool,
    },
    /// The gateway's own answer.
    Answer {
        /// Its status.
        status: u16,
        /// Where a redirect leads.
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<String>,
    },
}

/// One identity header and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedHeader {
    /// Its name.
    pub name: String,
    /// Its value's bytes, with everything but printable ASCII escaped; none where it is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether the value is a secret, which is not shown.
    pub masked: bool,
    /// Why it is not sent, or why it denies the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is shown in place of a secret.
const MASK: &str = "(secret)";

impl Policy {
    /// Decides as [`Policy::decide`] does, and says why.
    pub fn explain<'p>(
        &'p self,
        request: &RequestFacts<'_>,
        who: Option<&'p Prepared>,
        now: Timestamp,
    ) -> Explained<'p> {
        let decision = self.decide(request, who, now);
        let asking = Asking { policy: self, request, who, now };
        let doubtful = self.doubt(request, now).map(|reason| reason.to_string());
        let kept_out = decision.reason() == Some(DenialReason::NetworkDenied.code());
        let found = self.find(request, now);
        let candidates = asking.candidates();
        let rules = self.front.rules.iter().enumerate().map(|(index, rule)| {
            let standing = match asking.passed_over(index, rule, &candidates) {
                Some(passed_over) => passed_over,
                None if found.observes == Some(index) => Standing::Observes,
                None if found.decides != Some(index) => Standing::TooLate,
                None if doubtful.is_some() || kept_out => Standing::NotAsked,
                None => Standing::Decides,
            };
            let asked = matches!(standing, Standing::Decides | Standing::Observes);
            let checks = if asked { asking.checks(rule) } else { Vec::new() };
            ExplainedRule {
                rule: rule.label.to_string(),
                line: rule.written().line,
                observes: rule.observes,
                standing,
                checks,
            }
        });
        let rules = rules.collect();
        let headers = asking.headers(&decision);
        let limits = if kept_out { Vec::new() } else { self.explain_limits(decision.rule()) };
        Explained { observed: self.observe(request, who, now), doubtful, rules, limits, headers, decision }
    }
}

impl Policy {
    /// The limits of the application, and of this rule.
    fn explain_limits(&self, rule: Option<&str>) -> Vec<ExplainedLimit> {
        let of_rule = rule.and_then(|rule| Some((Some(rule), self.limits.of_rule(rule)?)));
        let all = self.limits.whole.iter().map(|limits| (None, limits)).chain(of_rule);
        let explained = all.flat_map(|(rule, limits)| {
            let said = move |limit| ExplainedLimit { rule: rule.map(str::to_owned), limit, observes: limits.observes };
            limits.in_words().into_iter().map(said)
        });
        explained.collect()
    }
}

/// A request that rules are asked about.
#[derive(Clone, Copy)]
pub(super) struct Asking<'p, 'r> {
    pub(super) policy: &'p Policy,
    pub(super) request: &'r RequestFacts<'r>,
    pub(super) who: Option<&'p Prepared>,
    pub(super) now: Timestamp,
}

impl<'p> Asking<'p, '_> {
    /// The rules whose methods and paths match, as the route table finds them.
    pub(super) fn candidates(&self) -> Vec<usize> {
        self.offered(self.request.method)
    }

    fn offered(&self, method: &Method) -> Vec<usize> {
        let offered = RefCell::new(Vec::new());
        let note = |offer: Offer| {
            offered.borrow_mut().push(offer.rule());
            false
        };
        self.policy.front.routes.find(method, self.request.path.as_str(), note);
        let mut offered = offered.into_inner();
        offered.sort_unstable();
        offered.dedup();
        offered
    }

    fn passed_over(&self, index: usize, rule: &Rule, candidates: &[usize]) -> Option<Standing> {
        if !candidates.contains(&index) {
            return Some(self.elsewhere(index, rule));
        }
        let unselected = rule.selector().refuses(self.request, self.now)?;
        let by = match &unselected {
            Unselected::Query(_) => "query",
            Unselected::Host => "hosts",
            Unselected::Network => "networks",
            Unselected::Time(key) => key,
        };
        let (wanted, found) = rule.selector().compared(&unselected, self.request, self.now);
        Some(Standing::PassedOver { by, wanted, found })
    }

    /// A rule that the route table does not offer, because of its methods or its paths.
    fn elsewhere(&self, index: usize, rule: &Rule) -> Standing {
        let methods = self.policy.front.routes.methods(index);
        let path_matches =
            methods.and_then(|methods| methods.first()).is_some_and(|method| self.offered(method).contains(&index));
        let (by, wanted, found) = match methods.filter(|_| path_matches) {
            Some(methods) => ("methods", methods.to_string(), self.request.method.to_string()),
            None => ("paths", rule.written().paths.join(", "), self.request.path.as_str().to_owned()),
        };
        Standing::PassedOver { by, wanted, found }
    }

    fn checks(&self, rule: &Rule) -> Vec<Check> {
        let wanted = match rule.access {
            Access::Public => "public",
            Access::Optional => "optional",
            Access::Session => "session",
        };
        let mut checks = vec![Check::Access { wanted, signed_in: self.who.is_some() }];
        if let Some(who) = self.who.filter(|_| rule.access != Access::Public) {
            let optional = rule.access == Access::Optional;
            if !self.ask(who, rule, &mut checks) && !optional {
                return checks;
            }
        } else if rule.access == Access::Session {
            return checks;
        }
        checks.extend(rule.answer().map(|answer| self.answer(answer)));
        checks
    }

    /// Asks everything that is asked of a known person; whether all of it is good.
    fn ask(&self, who: &Prepared, rule: &Rule, checks: &mut Vec<Check>) -> bool {
        let (session, accepts) = (&who.subject().session, &self.policy.hurdles().login);
        if let Some(wanted) = accepts.accepted_of(session) {
            let good = accepts.lacking(who).is_none();
            checks.push(Check::Login { wanted, found: session.acr.as_deref().map(str::to_owned), good });
            if !good {
                return false;
            }
        }
        for (key, condition, good) in [("deny", rule.deny(), false), ("allow", rule.allow.as_ref(), true)] {
            let Some(condition) = condition else { continue };
            let check = self.condition(who, key, condition);
            let passes = matches!(&check, Check::Condition { holds, .. } if *holds == Some(good));
            checks.push(check);
            if !passes {
                return false;
            }
        }
        let Some(step_up) = rule.step_up() else { return true };
        let age = self.now.since(session.authenticated_at);
        let acr_is_good = step_up.acr.is_empty() || holds_one(session, &step_up.acr);
        let good = acr_is_good && step_up.max_age.is_none_or(|max_age| age <= max_age);
        let (wanted, max_age) = (step_up.acr.clone(), step_up.max_age.map(|max_age| max_age.as_secs()));
        checks.push(Check::StepUp {
            wanted,
            found: session.acr.as_deref().map(str::to_owned),
            max_age,
            age: age.as_secs(),
            good,
        });
        good
    }

    fn condition(&self, who: &Prepared, key: &'static str, condition: &Condition) -> Check {
        let holds = who.test(condition, self.glance()).ok();
        let seen = who.with_view(self.glance(), |view| seen(condition.source(), view));
        Check::Condition { key, holds, seen }
    }

    fn answer(&self, answer: &Answer) -> Check {
        match answer {
            Answer::Redirect(redirect) => Check::Answer {
                status: redirect.status().as_u16(),
                location: Some(redirect.location(self.request.query)),
            },
            Answer::Respond(respond) => Check::Answer { status: respond.status.as_u16(), location: None },
        }
    }

    /// The headers of an allowed request, and those of one that a header denies.
    fn headers(&self, decision: &Decision<'_>) -> Vec<ExplainedHeader> {
        let public = matches!(decision, Decision::Allow(permit) if permit.is_public());
        let denied_by_header = matches!(decision, Decision::Deny(denial) if denial.reason().is_of_a_header());
        let told = (matches!(decision, Decision::Allow(_)) && !public) || denied_by_header;
        let rule = self.policy.rule_labelled(decision.rule()).filter(|_| told);
        let set = rule.and_then(|rule| self.policy.header_sets.get(rule.header_set));
        let (Some(set), Some(who)) = (set, self.who) else { return Vec::new() };
        set.headers().iter().map(|header| self.header(header, who)).collect()
    }

    fn header(&self, header: &Header, who: &Prepared) -> ExplainedHeader {
        let outcome = who.with_view(self.glance(), |view| header.evaluate(view));
        let name = header.name.to_string();
        let none = ExplainedHeader { name, value: None, masked: false, why: None };
        match outcome {
            Ok(Some(value)) if value.is_sensitive() => {
                ExplainedHeader { value: Some(MASK.to_owned()), masked: true, ..none }
            }
            Ok(Some(value)) => ExplainedHeader { value: Some(printed(value.as_bytes())), ..none },
            Ok(None) => {
                let why = who.with_view(self.glance(), |view| header.why_omitted(view));
                ExplainedHeader { why: Some(why), ..none }
            }
            Err(reason) => ExplainedHeader { why: Some(reason.to_string()), ..none },
        }
    }

    pub(super) fn glance(&self) -> Glance<'_> {
        Glance { policy: self.policy, request: self.request, now: self.now }
    }
}

/// A field value for showing: printable ASCII as it is, every other byte as `\x1f`, and a backslash as two.
pub fn printed(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out
}

impl DenialReason {
    /// Whether all conditions held and a header or cookie stood in the way.
    pub fn is_of_a_header(&self) -> bool {
        match self {
            Self::Cookie(_, reason) => reason.is_of_a_header(),
            Self::HeaderMissing(_) | Self::HeaderFailed(..) | Self::HeaderUnencodable(..) | Self::HeaderTooLong(_) => {
                true
            }
            Self::NetworkDenied
            | Self::NoRule
            | Self::QueryAmbiguous(_)
            | Self::ContentAmbiguous
            | Self::PathAmbiguous
            | Self::RequestHeaderAmbiguous(_)
            | Self::Denied
            | Self::NotAllowed
            | Self::ExpressionFailed(_)
            | Self::OtherPolicy => false,
        }
    }
}
