//! One line of an access log, decided again.
//!
//! The request is decided with what the line holds, by the very function that decides requests; then what that decision
//! consulted is compared with what was recorded.
//!
//! May touch: nothing. Trust boundary: the line is text of any origin; what cannot be read is a broken line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::gateway::{admits, decided, is_reserved, refused_path};
use crate::http::{CanonicalPath, HostName, PathSwitches, RequestHead, Scheme};
use crate::policy::{Answer, Consulted, Decision, Policy, RequestFacts, SessionFacts, SessionKind, Subject};
use crate::snapshot::Snapshot;

/// A line of the access log, as far as it matters.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) client: IpAddr,
    pub(super) scheme: &'a str,
    pub(super) decision: &'a str,
    pub(super) status: u16,
    #[serde(default)]
    bytes_in: u64,
    pub(super) duration_ms: f64,
    pub(super) host: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) app: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) who: Option<String>,
    #[serde(borrow)]
    replay: Option<&'a RawValue>,
}

/// What was recorded for this.
#[derive(Default, Deserialize)]
struct Recorded {
    query: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    doubtful: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default)]
    absent: Vec<String>,
    session: Option<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(default)]
    kind: String,
    provider: String,
}

/// How a request is decided by the new policies.
pub(super) enum Now {
    Decided { app: String, word: String, rule: Option<String>, reason: Option<String> },
    Unknown { app: String, rule: Option<String>, missing: Vec<String> },
}

/// The decision's word, with the status where it is the policy's own answer.
pub(super) fn with_status(word: &str, status: u16) -> String {
    if matches!(word, "redirect" | "respond") { format!("{word} {status}") } else { word.to_owned() }
}

/// How the request is decided now; none when what was recorded cannot be read.
pub(super) fn again(line: &Line<'_>, snapshot: &Snapshot) -> Option<Now> {
    let ended: jiff::Timestamp = line.time.parse().ok()?;
    let took = Duration::try_from_secs_f64(line.duration_ms / 1000.0).ok()?;
    let now = Timestamp::from_millis(ended.as_millisecond()).before(took);
    let head = RequestHead {
        method: Method::from_bytes(line.method.as_ref()?.as_bytes()).ok()?,
        host: HostName::parse(line.host.as_ref()?).ok()?,
        port: None,
        path: CanonicalPath::parse_keeping(line.path.as_ref()?, PathSwitches::ALL).ok()?,
        query: None,
    };
    decide(line, &head, now, snapshot)
}

fn decide(line: &Line<'_>, head: &RequestHead, now: Timestamp, snapshot: &Snapshot) -> Option<Now> {
    let refused = |reason: &str| Now::Decided {
        app: line.app.clone().unwrap_or_else(|| "(none)".to_owned()),
        word: "refused".to_owned(),
        rule: None,
        reason: Some(reason.to_owned()),
    };
    let Some(route) = snapshot.route(head) else { return Some(refused("host_unknown")) };
    // In the order of `Gateway::respond`; a client that may not come at all is left to the policy.
    let (admitted, reserved) = (admits(&route, &head.path, line.client), is_reserved(&head.path));
    if admitted && let Some(error) = refused_path(&route, &head.path) {
        return Some(refused(error.code()));
    }
    if admitted && line.scheme == "http" && !route.host.is_loopback() && route.signs_in() {
        return Some(refused("clear_text"));
    }
    if reserved {
        // Of the gateway's own; no rule is asked.
        let (word, reason) = if admitted { ("reserved", None) } else { ("deny", Some("network_denied".to_owned())) };
        let app = line.app.clone().unwrap_or_else(|| "(none)".to_owned());
        return Some(Now::Decided { app, word: word.to_owned(), rule: None, reason });
    }
    let Some(application) = route.application else { return Some(refused("path_unknown")) };
    let policy = application.policy();
    let recorded = match line.replay {
        Some(raw) => Some(serde_json::from_str::<Recorded>(raw.get()).ok()?),
        None => None,
    };
    let query = recorded.as_ref().and_then(query);
    let subject = match &line.who {
        Some(_) => subject(line, recorded.as_ref(), policy, now)?,
        None => None,
    };
    let who = subject.map(|subject| policy.prepare(Arc::new(subject)));
    let headers = HeaderMap::new();
    let facts = RequestFacts {
        method: &head.method,
        host: route.host,
        path: &head.path,
        query: query.as_deref(),
        client: line.client,
        scheme: if line.scheme == "http" { Scheme::Http } else { Scheme::Https },
        tls: None,
        headers: &headers,
        has_content: line.bytes_in > 0 || line.reason.as_deref() == Some("content_ambiguous"),
    };
    let decision = policy.decide(&facts, who.as_ref(), now);
    let mut missing = missing(&policy.consulted(&facts, who.as_ref(), now), recorded.as_ref());
    let app = policy.name().to_string();
    let rule = decision.rule().map(str::to_owned);
    let (mut word, mut reason) = (decided(&decision).as_str().to_owned(), decision.reason().map(str::to_owned));
    // Which field or parameter stood there twice is not recorded where no rule asks for it: headers are made of more.
    let twice = line.reason.as_deref().filter(|was| ["query_ambiguous", "request_header_ambiguous"].contains(was));
    if twice.is_some_and(|was| reason.as_deref() != Some(was)) {
        missing.push("what the request held twice".to_owned());
    }
    match &decision {
        // The headers come last: whoever comes to them was allowed, and what they are made of is not recorded.
        Decision::Deny(denial) if denial.reason().is_of_a_header() => {
            (word, reason) = ("allow".to_owned(), None);
            if line.reason.as_deref().is_some_and(|reason| reason.starts_with("header_")) {
                missing.push("what headers are made of".to_owned());
            }
        }
        Decision::Answer(reply) => {
            let status = match reply.answer {
                Answer::Redirect(redirect) => redirect.status(),
                Answer::Respond(respond) => respond.status,
            };
            word = with_status(&word, status.as_u16());
        }
        _ => {}
    }
    if missing.is_empty() {
        return Some(Now::Decided { app, word, rule, reason });
    }
    Some(Now::Unknown { app, rule, missing })
}

/// A query that holds what was recorded: of a parameter in doubt, two values.
fn query(recorded: &Recorded) -> Option<String> {
    let known = recorded.query.as_ref()?;
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in known {
        if let Some(value) = value {
            text.append_pair(name, value);
        }
    }
    for name in &recorded.doubtful {
        text.append_pair(name, "1").append_pair(name, "2");
    }
    Some(text.finish())
}

/// The person as far as they were recorded; none where the application would not know them, or where nothing can be read.
fn subject(line: &Line<'_>, recorded: Option<&Recorded>, policy: &Policy, now: Timestamp) -> Option<Option<Subject>> {
    let session = recorded.and_then(|recorded| recorded.session.as_ref());
    let provider = match session.map(|session| &*session.kind) {
        Some("bearer") => policy.bearer().map(|bearer| Arc::clone(&bearer.provider)),
        _ => policy.login().map(|login| Arc::clone(&login.provider)),
    };
    let of_another = session.map(|session| &*session.provider);
    if of_another.is_some_and(|provider_then| Some(provider_then) != provider.as_deref()) {
        return Some(None);
    }
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: provider.unwrap_or_default().into(),
        acr: None,
        amr: Vec::new(),
        authenticated_at: now,
    };
    match line.replay.filter(|_| recorded.is_some_and(|recorded| recorded.session.is_some())) {
        Some(raw) => Subject::from_json(raw.get().as_bytes(), session).ok().map(Some),
        None => Subject::from_json(b"{}", session).ok().map(Some),
    }
}

/// What the decision rests on and the line does not hold.
fn missing(consulted: &Consulted, recorded: Option<&Recorded>) -> Vec<String> {
    let had_no_query = recorded.is_some_and(|recorded| recorded.query.is_none() && recorded.doubtful.is_empty());
    let known = |name: &str| {
        recorded.is_some_and(|recorded| {
            recorded.query.as_ref().is_some_and(|query| query.contains_key(name))
                || recorded.doubtful.iter().any(|doubtful| doubtful == name)
        })
    };
    let claim_known = |name: &str| {
        recorded.is_some_and(|recorded| {
            recorded.claims.contains_key(name) || recorded.absent.iter().any(|absent| absent == name)
        })
    };
    let in_every_line = ["request.method", "request.path", "request.host", "request.client", "request.scheme"];
    let mut missing = Vec::new();
    let parameters = consulted.parameters.iter().filter(|name| !had_no_query && !known(name));
    missing.extend(parameters.map(|name| format!("query parameter `{name}`")));
    let claims = consulted.claims.iter().filter(|name| !claim_known(name));
    missing.extend(claims.map(|name| format!("claim `{name}`")));
    let fields = consulted.request.iter().filter(|field| !in_every_line.contains(&field.as_str()));
    let fields = fields.filter(|field| !(had_no_query && *field == "request.query"));
    missing.extend(fields.map(|field| format!("`{field}`, which is never recorded")));
    if consulted.session && recorded.is_none_or(|recorded| recorded.session.is_none()) {
        missing.push("how the person signed in".to_owned());
    }
    missing
}
