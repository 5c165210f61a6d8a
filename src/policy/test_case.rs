//! `[[tests]]`: what a policy file says that it does, checked against what it does.
//!
//! A test names a person (or nobody), a request and the decision expected, if wished with the rule and the headers. They
//! run beside the running gateway before a policy is used, so they touch nothing and take no time.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::Policy;
use super::answer::Answer;
use super::decision::{Decision, Reply, RequestFacts, SessionFacts, SessionKind, Subject};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::http::CanonicalPath;
use http::{HeaderName, Method};

/// When all tests happen.
const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// A compiled test.
pub(super) struct TestCase {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) person: Option<Person>,
    pub(super) method: Method,
    pub(super) path: CanonicalPath,
    pub(super) query: Option<String>,
    pub(super) expected: Expected,
}

/// Who asks.
pub(super) struct Person {
    pub(super) kind: SessionKind,
    pub(super) claims: Claims,
    pub(super) acr: Option<String>,
    pub(super) amr: Vec<String>,
    pub(super) age: Duration,
}

/// What is expected.
pub(super) struct Expected {
    pub(super) decision: Word,
    pub(super) rule: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) absent: Vec<String>,
    /// Where a redirect leads.
    pub(super) location: Option<String>,
    /// The status of the gateway's own answer.
    pub(super) status: Option<u16>,
}

/// A decision in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Allow,
    Public,
    Deny,
    SignIn,
    StepUp,
    Redirect,
    Respond,
}

/// The words as they are written.
pub(super) const WORDS: [(&str, Word); 7] = [
    ("allow", Word::Allow),
    ("public", Word::Public),
    ("deny", Word::Deny),
    ("sign-in", Word::SignIn),
    ("step-up", Word::StepUp),
    ("redirect", Word::Redirect),
    ("respond", Word::Respond),
];

/// How one test of a policy went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// The test's name, or what it asks.
    pub name: String,
    /// The line of the policy file, from 1.
    pub line: usize,
    /// Whether all is as expected.
    pub passed: bool,
    /// What is not, one line each; empty when the test passed.
    pub explanation: Vec<String>,
}

impl Policy {
    /// Runs the file's own tests.
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        self.tests.iter().map(|test| test.run(self)).collect()
    }
}

impl TestCase {
    fn run(&self, policy: &Policy) -> TestOutcome {
        let prepared = self.person.as_ref().map(|person| policy.prepare(Arc::new(person.subject(policy))));
        let mut explanation = Vec::new();
        if let Some(host) = policy.hosts().first() {
            let request = RequestFacts {
                method: &self.method,
                host,
                path: &self.path,
                query: self.query.as_deref(),
                client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            let decision = policy.decide(&request, prepared.as_ref(), NOW);
            explanation = self.expected.differences(&decision, request.query);
        }
        TestOutcome { name: self.name.clone(), line: self.line, passed: explanation.is_empty(), explanation }
    }
}

impl Person {
    fn subject(&self, policy: &Policy) -> Subject {
        let provider = match self.kind {
            SessionKind::Browser => policy.login().map(|login| &login.provider),
            SessionKind::Bearer => policy.bearer().map(|bearer| &bearer.provider),
        };
        let session = SessionFacts {
            kind: self.kind,
            provider: provider.cloned().unwrap_or_else(|| Arc::from("")),
            acr: self.acr.clone(),
            amr: self.amr.clone(),
            authenticated_at: NOW.before(self.age),
        };
        Subject { claims: self.claims.clone(), session }
    }
}

impl Expected {
    fn differences(&self, decision: &Decision<'_>, query: Option<&str>) -> Vec<String> {
        let mut differences = Vec::new();
        let (found, rule, why) = summary(decision);
        let as_expected = found == self.decision || (self.decision == Word::Allow && found == Word::Public);
        if !as_expected {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            differences.push(format!("expected {}, found {}{why}", word(self.decision), word(found)));
        }
        if let Some(expected) = self.rule.as_deref().filter(|expected| Some(*expected) != rule) {
            differences.push(format!(
                "expected rule `{expected}`, found {}",
                rule.map_or("none".into(), |rule| format!("`{rule}`"))
            ));
        }
        if let Decision::Answer(reply) = decision {
            self.answer_differences(reply.answer, query, &mut differences);
        }
        if let Decision::Allow(permit) = decision {
            self.header_differences(permit.headers(), &mut differences);
        } else if as_expected && !self.headers.is_empty() {
            differences.push("headers are expected, and there are none without permission".to_owned());
        }
        differences
    }

    fn answer_differences(&self, found: &Answer, query: Option<&str>, differences: &mut Vec<String>) {
        let (status, location) = match found {
            Answer::Redirect(redirect) => (redirect.status(), Some(redirect.location(query))),
            Answer::Respond(respond) => (respond.status, None),
        };
        if let Some(expected) = self.status.filter(|expected| *expected != status.as_u16()) {
            differences.push(format!("expected status {expected}, found {}", status.as_u16()));
        }
        if let Some(expected) = self.location.as_ref().filter(|_| self.location != location) {
            let found = location.map_or("none".to_owned(), |found| format!("\"{found}\""));
            differences.push(format!("expected location \"{expected}\", found {found}"));
        }
    }

    fn header_differences(&self, found: &[(HeaderName, http::HeaderValue)], differences: &mut Vec<String>) {
        let value = |name: &str| found.iter().find(|(found, _)| found.as_str().eq_ignore_ascii_case(name));
        for (name, expected) in &self.headers {
            match value(name) {
                Some((_, value)) if value.as_bytes() == expected.as_bytes() => {}
                Some((_, value)) => {
                    let shown = if value.is_sensitive() { "another value".into() } else { show(value.as_bytes()) };
                    differences.push(format!("header `{name}`: expected \"{expected}\", found {shown}"));
                }
                None => differences.push(format!("header `{name}`: expected \"{expected}\", found none")),
            }
        }
        for name in &self.absent {
            if value(name).is_some() {
                differences.push(format!("header `{name}`: expected none, found one"));
            }
        }
    }
}

fn summary<'d>(decision: &'d Decision<'_>) -> (Word, Option<&'d str>, Option<String>) {
    match decision {
        Decision::Allow(permit) if permit.is_public() => (Word::Public, Some(permit.rule()), None),
        Decision::Allow(permit) => (Word::Allow, Some(permit.rule()), None),
        Decision::Deny(denial) => (Word::Deny, denial.rule(), Some(denial.reason().to_string())),
        Decision::SignIn { rule } => (Word::SignIn, Some(rule), None),
        Decision::StepUp(requirement) => (Word::StepUp, Some(requirement.rule), None),
        Decision::Answer(Reply { rule, answer: Answer::Redirect(_) }) => (Word::Redirect, Some(rule), None),
        Decision::Answer(Reply { rule, answer: Answer::Respond(_) }) => (Word::Respond, Some(rule), None),
    }
}

fn word(word: Word) -> &'static str {
    WORDS.iter().find(|(_, known)| *known == word).map_or("", |(text, _)| text)
}

fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
