//! `[[tests]]`: what a policy file says that it does, checked against what it does.
//!
//! A test names a person (or nobody), a request and the decision expected, if wished with the rule and the headers. They
//! run beside the running gateway before a policy is used, so they touch nothing and take no time.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use toml::de::DeValue;

use super::Policy;
use super::decision::{Decision, RequestFacts, SessionFacts, Subject};
use super::reader::{Reading, Section, Text, Value};
use crate::claims::{ClaimValue, Claims, MAX_DEPTH};
use crate::clock::Timestamp;
use crate::http::CanonicalPath;

/// When all tests happen.
const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// A compiled test.
pub(super) struct TestCase {
    name: String,
    line: usize,
    person: Option<Person>,
    method: Method,
    path: CanonicalPath,
    query: Option<String>,
    expected: Expected,
}

struct Person {
    claims: Claims,
    acr: Option<String>,
    amr: Vec<String>,
    age: Duration,
}

struct Expected {
    decision: Word,
    rule: Option<String>,
    headers: BTreeMap<String, String>,
    absent: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Allow,
    Public,
    Deny,
    SignIn,
    StepUp,
}

const WORDS: [(&str, Word); 5] = [
    ("allow", Word::Allow),
    ("public", Word::Public),
    ("deny", Word::Deny),
    ("sign-in", Word::SignIn),
    ("step-up", Word::StepUp),
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
            explanation = self.expected.differences(&decision);
        }
        TestOutcome { name: self.name.clone(), line: self.line, passed: explanation.is_empty(), explanation }
    }
}

impl Person {
    fn subject(&self, policy: &Policy) -> Subject {
        let provider = policy.login().map_or_else(|| Arc::from(""), |login| Arc::clone(&login.provider));
        let session = SessionFacts {
            provider,
            acr: self.acr.clone(),
            amr: self.amr.clone(),
            authenticated_at: NOW.before(self.age),
        };
        Subject { claims: self.claims.clone(), session }
    }
}

impl Expected {
    fn differences(&self, decision: &Decision<'_>) -> Vec<String> {
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
        if let Decision::Allow(permit) = decision {
            self.header_differences(permit.headers(), &mut differences);
        } else if as_expected && !self.headers.is_empty() {
            differences.push("headers are expected, and there are none without permission".to_owned());
        }
        differences
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
    }
}

fn word(word: Word) -> &'static str {
    WORDS.iter().find(|(_, known)| *known == word).map_or("", |(text, _)| text)
}

fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Reads all tests. `acr` is what a person of a test without `session.acr` has.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    prefix: &str,
    acr: Option<&str>,
    reading: &mut Reading<'_>,
) -> Vec<TestCase> {
    sections.into_iter().filter_map(|section| read_test(section, prefix, acr, reading)).collect()
}

fn read_test(mut section: Section<'_>, prefix: &str, acr: Option<&str>, reading: &mut Reading<'_>) -> Option<TestCase> {
    let span = section.span();
    let line = reading.line(span.start);
    let name = section.text("name", reading);
    let user = section.value("user");
    let claims = user.map(|user| read_claims(user, reading));
    let session = section.section("session", reading);
    let session_span = session.as_ref().map(Section::span);
    let session = session.map(|session| read_session(session, reading)).unwrap_or_default();
    let request = section.text("request", reading);
    let expect = section.value("expect");
    for key in ["request", "expect"] {
        if section.lacks(key) {
            let help = "request = \"GET /path\", expect = \"allow\", \"deny\", \"sign-in\", \"step-up\" or \"public\"";
            reading.error(format!("the test has no `{key}`"), span.clone(), help);
        }
    }
    section.finish(reading);
    if let (Some(span), None) = (session_span, user) {
        reading.error("a test with `session` needs `user`", span, "user = { preferred_username = \"ada\" }");
    }
    let expected = expect.and_then(|value| read_expected(value, reading));
    let request = request?;
    let (method, path, query) = read_request(&request, prefix, reading)?;
    let person = claims.map(|claims| {
        let (given, amr, age) = session;
        Person { claims, acr: given.or_else(|| acr.map(str::to_owned)), amr, age }
    });
    let name = name.map_or_else(|| request.text.to_owned(), |name| name.text.to_owned());
    Some(TestCase { name, line, person, method, path, query, expected: expected? })
}

type Session = (Option<String>, Vec<String>, Duration);

fn read_session(mut section: Section<'_>, reading: &mut Reading<'_>) -> Session {
    let acr = section.text("acr", reading).map(|text| text.text.to_owned());
    let amr = section.texts("amr", reading).unwrap_or_default();
    let age = section.duration("age", reading).unwrap_or_default();
    section.finish(reading);
    (acr, amr.iter().map(|text| text.text.to_owned()).collect(), age)
}

fn read_request(
    text: &Text<'_>,
    prefix: &str,
    reading: &mut Reading<'_>,
) -> Option<(Method, CanonicalPath, Option<String>)> {
    let (method, target) = text.text.split_once(' ').unwrap_or(("GET", text.text));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let problem = match (Method::from_bytes(method.as_bytes()), CanonicalPath::parse(path)) {
        (Err(_), _) => format!("`{method}` is no method"),
        (_, Err(why)) => format!("the gateway refuses this path: {why}"),
        (_, Ok(path)) if !path.is_below(prefix) => format!("the application is at `{prefix}` and never sees this path"),
        (Ok(method), Ok(path)) => return Some((method, path, query.map(str::to_owned))),
    };
    reading.error(problem, text.span.clone(), "for example \"GET /admin/payouts?page=2\"");
    None
}

fn read_expected(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<Expected> {
    let none = Expected { decision: Word::Allow, rule: None, headers: BTreeMap::new(), absent: Vec::new() };
    if let Some(text) = value.get_ref().as_str() {
        let text = Text { text, span: value.span() };
        return Some(Expected { decision: read_word(&text, reading)?, ..none });
    }
    let mut section = reading.section(value, "expect")?;
    let decision = section.text("decision", reading);
    let rule = section.text("rule", reading).map(|text| text.text.to_owned());
    let headers = section.section("headers", reading).map(|section| read_headers(&section, reading));
    let absent = section.texts("absent", reading).unwrap_or_default();
    if section.lacks("decision") {
        reading.error(
            "`expect` has no `decision`",
            value.span(),
            "expect = { decision = \"allow\", rule = \"staff\" }",
        );
    }
    section.finish(reading);
    let absent = absent.iter().map(|text| text.text.to_owned()).collect();
    Some(Expected { decision: read_word(&decision?, reading)?, rule, headers: headers.unwrap_or_default(), absent })
}

fn read_word(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Word> {
    let found = WORDS.iter().find(|(word, _)| *word == text.text).map(|(_, word)| *word);
    if found.is_none() {
        let words = WORDS.map(|(word, _)| word);
        let message = format!("`{}` is no decision", text.text);
        super::reader::unknown_name(reading, &message, text.text, text.span.clone(), &words);
    }
    found
}

fn read_headers(section: &Section<'_>, reading: &mut Reading<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (key, value) in section.in_order() {
        if let Some(text) = reading.text(value, key.text) {
            headers.insert(key.text.to_owned(), text.text.to_owned());
        }
    }
    headers
}

fn read_claims(value: &Value<'_>, reading: &mut Reading<'_>) -> Claims {
    let mut claims = Claims::default();
    let Some(table) = value.get_ref().as_table() else {
        reading.wrong_kind::<()>("user", "a table of claims", value.get_ref(), value.span());
        return claims;
    };
    for (name, value) in table {
        match claim(value.get_ref(), 0) {
            Some(value) => claims.insert(name.get_ref(), value),
            None => {
                let message = format!("claims nest deeper than {MAX_DEPTH} levels");
                push_depth(message, value.span(), reading);
            }
        }
    }
    claims
}

fn push_depth(message: String, span: Range<usize>, reading: &mut Reading<'_>) {
    reading.error(message, span, "no provider's claims do");
}

fn claim(value: &DeValue<'_>, depth: usize) -> Option<ClaimValue> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match value {
        DeValue::String(text) => ClaimValue::Text((&**text).into()),
        DeValue::Integer(number) => ClaimValue::Number(number.to_string().into()),
        DeValue::Float(number) => ClaimValue::Number(number.to_string().into()),
        DeValue::Boolean(truth) => ClaimValue::Bool(*truth),
        DeValue::Datetime(moment) => ClaimValue::Text(moment.to_string().into()),
        DeValue::Array(items) => {
            ClaimValue::List(items.iter().map(|item| claim(item.get_ref(), depth + 1)).collect::<Option<_>>()?)
        }
        DeValue::Table(members) => ClaimValue::Object(
            members
                .iter()
                .map(|(name, value)| Some((name.get_ref().as_ref().into(), claim(value.get_ref(), depth + 1)?)))
                .collect::<Option<_>>()?,
        ),
    })
}
