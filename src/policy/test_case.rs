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

use super::answer::Answer;
use super::compared::{Compare, Compared};
use super::decision::{Decision, Reply, RequestFacts, SessionFacts, SessionKind, Subject, TlsFacts};
use super::test_tls;
use super::{Policy, Prepared};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::http::{CanonicalPath, HostName, Scheme};
use http::{HeaderMap, HeaderName, Method};

/// When a test happens that says nothing of it.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// A compiled test.
pub(super) struct TestCase {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) person: Option<Person>,
    pub(super) method: Method,
    pub(super) path: CanonicalPath,
    pub(super) query: Option<String>,
    pub(super) circumstances: Circumstances,
    pub(super) expected: Expected,
}

/// From where and when a request comes, and what else it carries.
pub(super) struct Circumstances {
    /// Which of the application's hosts is asked; the first where none is named.
    pub(super) host: Option<HostName>,
    /// The client's address.
    pub(super) client: IpAddr,
    /// When it happens.
    pub(super) time: Timestamp,
    /// The fields of its head.
    pub(super) headers: HeaderMap,
    /// How it comes over TLS.
    pub(super) tls: TlsFacts,
}

impl Default for Circumstances {
    fn default() -> Self {
        Self {
            host: None,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            time: NOW,
            headers: HeaderMap::new(),
            tls: test_tls::usual(),
        }
    }
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
    /// What is asked: method, path and query.
    pub request: String,
    /// Who asks: `preferred_username`, else `sub`; none for nobody.
    pub who: Option<String>,
    /// The rule that decided, and the line on which it begins; none when no rule matched.
    pub rule: Option<(String, usize)>,
    /// Why it was denied.
    pub reason: Option<String>,
    /// Whether all is as expected.
    pub passed: bool,
    /// Everything that is expected beside what was found, in the order of the file's keys.
    pub compared: Vec<Compared>,
    /// What is not as expected, one line each; empty when the test passed.
    pub explanation: Vec<String>,
}

impl Policy {
    /// Runs the file's own tests.
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        self.tests.iter().filter_map(|test| test.run(self)).collect()
    }
}

impl TestCase {
    fn run(&self, policy: &Policy) -> Option<TestOutcome> {
        self.asked(policy, |request, prepared, now| {
            let decision = policy.decide(request, prepared, now);
            let compared = self.expected.compare(&decision, request.query);
            let explanation: Vec<_> = compared.iter().filter(|one| !one.same).map(ToString::to_string).collect();
            let rule = policy.rule_labelled(decision.rule()).map(|rule| (rule.label.to_string(), rule.written().line));
            TestOutcome {
                name: self.name.clone(),
                line: self.line,
                request: self.request(),
                who: self.person.as_ref().map(Person::label),
                rule,
                reason: summary(&decision).2,
                passed: explanation.is_empty(),
                compared,
                explanation,
            }
        })
    }

    /// Lets `look` see the test's request, person and moment; a policy has at least one host.
    pub(super) fn asked<T>(
        &self,
        policy: &Policy,
        look: impl FnOnce(&RequestFacts<'_>, Option<&Prepared>, Timestamp) -> T,
    ) -> Option<T> {
        let Circumstances { host, client, time, headers, tls } = &self.circumstances;
        let subject = self.person.as_ref().map(|person| person.subject(policy, *time));
        let prepared = subject.map(|subject| policy.prepare(Arc::new(subject)));
        let request = RequestFacts {
            method: &self.method,
            host: host.as_ref().or(policy.hosts().first())?,
            path: &self.path,
            query: self.query.as_deref(),
            client: *client,
            scheme: Scheme::Https,
            tls: Some(tls),
            headers,
            has_content: RequestFacts::announces_content(headers),
        };
        Some(look(&request, prepared.as_ref(), *time))
    }

    /// The request as text.
    fn request(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{} {}{query}", self.method, self.path)
    }
}

impl Person {
    fn label(&self) -> String {
        let name = self.claims.text("preferred_username").or_else(|| self.claims.text("sub"));
        name.unwrap_or("somebody").to_owned()
    }

    fn subject(&self, policy: &Policy, now: Timestamp) -> Subject {
        let provider = match self.kind {
            SessionKind::Browser => policy.login().map(|login| &login.provider),
            SessionKind::Bearer => policy.bearer().map(|bearer| &bearer.provider),
        };
        let session = SessionFacts {
            kind: self.kind,
            provider: provider.map(|name| &**name).unwrap_or_default().into(),
            acr: self.acr.as_deref().map(Into::into),
            amr: self.amr.iter().map(Into::into).collect(),
            authenticated_at: now.before(self.age),
        };
        Subject { claims: self.claims.clone(), session }
    }
}

impl Expected {
    /// Every expectation beside what was found.
    fn compare(&self, decision: &Decision<'_>, query: Option<&str>) -> Vec<Compared> {
        let (found, rule, why) = summary(decision);
        let as_expected = found == self.decision || (self.decision == Word::Allow && found == Word::Public);
        let said = match &why {
            Some(why) if !as_expected => format!("{} ({why})", word(found)),
            _ => word(found).to_owned(),
        };
        let mut compared = vec![Compared::new(Compare::Decision, word(self.decision), said, as_expected)];
        if let Some(expected) = &self.rule {
            let found = rule.map_or("none".to_owned(), |rule| format!("`{rule}`"));
            compared.push(Compared::equal(Compare::Rule, format!("`{expected}`"), found));
        }
        if let Decision::Answer(reply) = decision {
            self.compare_answer(reply.answer, query, &mut compared);
        }
        match decision {
            Decision::Allow(permit) => self.compare_headers(permit.headers(), &mut compared),
            _ if as_expected && !self.headers.is_empty() => self.compare_headers(&[], &mut compared),
            _ => {}
        }
        compared
    }

    fn compare_answer(&self, found: &Answer, query: Option<&str>, compared: &mut Vec<Compared>) {
        let (status, location) = match found {
            Answer::Redirect(redirect) => (redirect.status(), Some(redirect.location(query))),
            Answer::Respond(respond) => (respond.status, None),
        };
        if let Some(expected) = self.status {
            compared.push(Compared::equal(Compare::Status, expected.to_string(), status.as_u16().to_string()));
        }
        if let Some(expected) = &self.location {
            let found = location.map_or("none".to_owned(), |found| format!("\"{found}\""));
            compared.push(Compared::equal(Compare::Location, format!("\"{expected}\""), found));
        }
    }

    fn compare_headers(&self, found: &[(HeaderName, http::HeaderValue)], compared: &mut Vec<Compared>) {
        let value = |name: &str| found.iter().find(|(found, _)| found.as_str().eq_ignore_ascii_case(name));
        for (name, expected) in &self.headers {
            let found = value(name).map(|(_, value)| value);
            let same = found.is_some_and(|value| value.as_bytes() == expected.as_bytes());
            let shown = match found {
                None => "none".to_owned(),
                Some(value) if value.is_sensitive() && !same => "another value".to_owned(),
                Some(value) => show(value.as_bytes()),
            };
            compared.push(Compared::new(Compare::Header(name.clone()), show(expected.as_bytes()), shown, same));
        }
        for name in &self.absent {
            let found = if value(name).is_some() { "one" } else { "none" };
            compared.push(Compared::equal(Compare::Header(name.clone()), "none".to_owned(), found.to_owned()));
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
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("\"{text}\""),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
