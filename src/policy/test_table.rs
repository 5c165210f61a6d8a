//! Reads `[[tests]]`.
//!
//! A person's claims stand in the file as TOML and become what a provider's JSON would have been; numbers keep their
//! text. A request is written as `METHOD /path?query`, and must be one that the gateway would bring before the rules.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use toml::de::DeValue;

use super::circumstances;
use super::decision::SessionKind;
use super::pattern::segments;
use super::reader::{Reading, Section, Text, Value, unknown_name};
use super::rule::{Place, RESERVED};
use super::test_case::{Expected, Person, TestCase, WORDS, Word};
use crate::claims::{ClaimValue, Claims, MAX_DEPTH};
use crate::http::CanonicalPath;
use crate::reference;

/// The authentication context of a test without `session.acr`.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) browser: Option<&'a str>,
    pub(super) bearer: Option<&'a str>,
}

/// Reads all tests.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    place: Place<'_>,
    defaults: Defaults<'_>,
    reading: &mut Reading<'_>,
) -> Vec<TestCase> {
    sections.into_iter().filter_map(|section| read_test(section, place, defaults, reading)).collect()
}

fn read_test(
    mut section: Section<'_>,
    place: Place<'_>,
    defaults: Defaults<'_>,
    reading: &mut Reading<'_>,
) -> Option<TestCase> {
    let span = section.span();
    let line = reading.line(span.start);
    let name = section.text("name", reading);
    let user = section.value("user");
    let claims = user.map(|user| read_claims(user, reading));
    let session = section.section("session", reading);
    let session_span = session.as_ref().map(Section::span);
    let session = session.map(|session| read_session(session, reading)).unwrap_or_default();
    let request = section.text("request", reading);
    let circumstances = circumstances::read(&mut section, place.hosts, reading);
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
    let (method, path, query) = read_request(&request, place, reading)?;
    let person = claims.map(|claims| {
        let (kind, given, amr, age) = session;
        let acr = match kind {
            SessionKind::Browser => defaults.browser,
            SessionKind::Bearer => defaults.bearer,
        };
        Person { kind, claims, acr: given.or_else(|| acr.map(str::to_owned)), amr, age }
    });
    let name = name.map_or_else(|| request.text.to_owned(), |name| name.text.to_owned());
    Some(TestCase { name, line, person, method, path, query, circumstances: circumstances?, expected: expected? })
}

type Session = (SessionKind, Option<String>, Vec<String>, Duration);

fn read_session(mut section: Section<'_>, reading: &mut Reading<'_>) -> Session {
    let kinds = [SessionKind::Browser, SessionKind::Bearer].map(|kind| (kind.as_str(), kind));
    let kind = section.word("kind", &kinds, reading).unwrap_or_default();
    let acr = section.text("acr", reading).map(|text| text.text.to_owned());
    let amr = section.texts("amr", reading).unwrap_or_default();
    let age = section.duration("age", reading).unwrap_or_default();
    section.finish(reading);
    (kind, acr, amr.iter().map(|text| text.text.to_owned()).collect(), age)
}

fn read_request(
    text: &Text<'_>,
    place: Place<'_>,
    reading: &mut Reading<'_>,
) -> Option<(Method, CanonicalPath, Option<String>)> {
    let Place { prefix, path_switches, .. } = place;
    let (method, target) = text.text.split_once(' ').unwrap_or(("GET", text.text));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let problem = match (Method::from_bytes(method.as_bytes()), CanonicalPath::parse_keeping(path, path_switches)) {
        (Err(_), _) => format!("`{method}` is no method"),
        (_, Err(why)) => format!("the gateway refuses this path: {why}"),
        (_, Ok(path)) if !path.is_below(prefix) => format!("the application is at `{prefix}` and never sees this path"),
        (_, Ok(path)) if is_reserved(&path) => "this path is the gateway's own, and no rule is asked".to_owned(),
        (Ok(method), Ok(path)) => return Some((method, path, query.map(str::to_owned))),
    };
    reading.error(problem, text.span.clone(), "for example \"GET /admin/payouts?page=2\"");
    None
}

/// Whether the gateway keeps a path for itself, in any case and any reading.
fn is_reserved(path: &CanonicalPath) -> bool {
    let own = |path: &CanonicalPath| {
        let first = segments(path.as_str()).next();
        first.zip(segments(RESERVED).next()).is_some_and(|(first, own)| first.eq_ignore_ascii_case(own))
    };
    own(path) || path.other_reading().is_some_and(|other| own(&other))
}

fn read_expected(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<Expected> {
    let none = Expected {
        decision: Word::Allow,
        rule: None,
        headers: BTreeMap::new(),
        absent: Vec::new(),
        location: None,
        status: None,
    };
    if let Some(text) = value.get_ref().as_str() {
        let text = Text { text, span: value.span() };
        return Some(Expected { decision: read_word(&text, reading)?, ..none });
    }
    let mut section = reading.section(value, "expect", &reference::policy::EXPECT)?;
    let decision = section.text("decision", reading);
    let rule = section.text("rule", reading).map(|text| text.text.to_owned());
    let headers = section.section("headers", reading).map(|section| read_headers(&section, reading));
    let absent = section.texts("absent", reading).unwrap_or_default();
    let location = section.text("location", reading).map(|text| text.text.to_owned());
    let status = section.value("status").and_then(|value| read_status(value, reading));
    if section.lacks("decision") {
        reading.error(
            "`expect` has no `decision`",
            value.span(),
            "expect = { decision = \"allow\", rule = \"staff\" }",
        );
    }
    section.finish(reading);
    let absent = absent.iter().map(|text| text.text.to_owned()).collect();
    let (decision, headers) = (read_word(&decision?, reading)?, headers.unwrap_or_default());
    Some(Expected { decision, rule, headers, absent, location, status })
}

fn read_status(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<u16> {
    match value.get_ref().as_integer().map(|number| number.to_string().parse()) {
        Some(Ok(status)) => Some(status),
        _ => reading.wrong_kind("status", "a status such as 404", value.get_ref(), value.span()),
    }
}

fn read_word(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Word> {
    let found = WORDS.iter().find(|(word, _)| *word == text.text).map(|(_, word)| *word);
    if found.is_none() {
        let words = WORDS.map(|(word, _)| word);
        let message = format!("`{}` is no decision", text.text);
        unknown_name(reading, &message, text.text, text.span.clone(), &words);
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
                reading.error(message, value.span(), "no provider's claims do");
            }
        }
    }
    claims
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
