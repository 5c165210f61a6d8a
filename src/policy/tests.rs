//! Whole policies: compiled, prepared and asked.

mod definitions;
mod explained;
mod header_sets;
mod identity;
mod limits;
mod matching;
mod rules;
mod told;
mod tree;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::*;
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::crypto::{IdentityKeys, Secret};
use crate::diagnostic::{Report, Severity, SourceFile};
use crate::http::{CanonicalPath, Scheme};
use crate::reference;

/// The head of a request that says nothing.
fn no_headers() -> &'static HeaderMap {
    static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
    &NONE
}

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn secrets(source: &SecretSource) -> Result<Secret<String>, NoSecret> {
    match source {
        SecretSource::File(path) if path == Path::new("app.password") => Ok(Secret::new("s3cret:pa55".to_owned())),
        SecretSource::File(path) if path == Path::new("royalty.pw") => Ok(Secret::new("pw".to_owned())),
        SecretSource::File(path) if path == Path::new("app.token") => Ok(Secret::new("t0ken._~+/-==".to_owned())),
        SecretSource::File(path) if path == Path::new("app.secret") => Ok(Secret::new("proof".to_owned())),
        SecretSource::File(path) if path == Path::new("app.spaced") => Ok(Secret::new(" s3cret".to_owned())),
        SecretSource::Environment(name) if name == "CONTROL" => Ok(Secret::new("a\nb".to_owned())),
        other => Err(NoSecret { message: format!("{other:?} is not there"), help: "put it there".to_owned() }),
    }
}

static IDENTITY: std::sync::LazyLock<Arc<IdentityKeys>> = std::sync::LazyLock::new(Arc::default);

const OKTA: ProviderFacts<'_> = ProviderFacts { name: "okta", scopes: None };

fn surroundings<'a>(providers: &'a [ProviderFacts<'a>]) -> Environment<'a> {
    Environment { secrets: &secrets, files: &no_files, providers, identity: Some(&IDENTITY) }
}

fn compile_text(text: &str) -> Result<Policy, Report> {
    let mut report = Report::default();
    let source = SourceFile::new("app.toml", text);
    compile("app", &source, &surroundings(&[OKTA]), &mut report).ok_or(report)
}

/// A policy with these headers and rules.
fn policy(rest: &str) -> Policy {
    let head = "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n";
    compile_text(&format!("{head}{rest}")).unwrap_or_else(|report| panic!("{report}"))
}

/// Every error of a report as `line:column: message`; without the place where the line may not be shown.
fn errors(report: &Report) -> Vec<String> {
    let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error);
    let told = errors.map(|finding| match &finding.place {
        Some((file, span)) => {
            let (line, column) = file.line_column(span.start);
            format!("{line}:{column}: {}", finding.message)
        }
        None => finding.message.clone(),
    });
    told.collect()
}

fn subject(claims: &str) -> Subject {
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "okta".into(),
        acr: Some("mfa".into()),
        amr: Vec::new(),
        authenticated_at: NOW.before(Duration::from_secs(60)),
    };
    Subject { claims: Claims::from_json(claims.as_bytes()).unwrap(), session }
}

/// A GET of `path`.
fn facts<'a>(policy: &'a Policy, path: &'a CanonicalPath) -> RequestFacts<'a> {
    let host = policy.hosts().first().unwrap();
    RequestFacts {
        method: &Method::GET,
        host,
        path,
        query: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scheme: Scheme::Https,
        tls: None,
        headers: no_headers(),
        has_content: false,
    }
}

/// What a policy answers, in one word and a reason.
fn answer(policy: &Policy, who: Option<&Prepared>, method: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let request = RequestFacts {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        host: policy.hosts().first().unwrap(),
        path: &CanonicalPath::parse(path).unwrap(),
        query,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        scheme: Scheme::Https,
        tls: None,
        headers: no_headers(),
        has_content: false,
    };
    told(&policy.decide(&request, who, NOW), query)
}

/// A decision on a request with this query, in one word and a reason.
fn told(decision: &Decision<'_>, query: Option<&str>) -> String {
    match decision {
        Decision::Allow(permit) if permit.is_public() => format!("public {}", permit.rule()),
        Decision::Allow(permit) => format!("allow {}", permit.rule()),
        Decision::Deny(denial) => format!("deny {} {}", denial.rule().unwrap_or("none"), denial.code()),
        Decision::SignIn { rule } => format!("sign-in {rule}"),
        Decision::StepUp(requirement) => {
            format!("step-up {} {} {:?}", requirement.rule, requirement.acr.join(" "), requirement.max_age)
        }
        Decision::Answer(Reply { rule, answer: Answer::Redirect(redirect) }) => {
            format!("redirect {rule} {} {}", redirect.status().as_u16(), redirect.location(query))
        }
        Decision::Answer(Reply { rule, answer: Answer::Respond(respond) }) => {
            format!("respond {rule} {} {}", respond.status.as_u16(), respond.body.trim_end())
        }
    }
}

/// The headers for a person at `/`, as text; or the reason why there are none.
fn headers(policy: &Policy, claims: &str) -> Result<Vec<(String, String)>, DenialReason> {
    let prepared = policy.prepare(Arc::new(subject(claims)));
    let request = RequestFacts {
        method: &Method::GET,
        host: policy.hosts().first().unwrap(),
        path: &CanonicalPath::parse("/a/b").unwrap(),
        query: None,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        scheme: Scheme::Https,
        tls: None,
        headers: no_headers(),
        has_content: false,
    };
    match policy.decide(&request, Some(&prepared), NOW) {
        Decision::Allow(permit) => {
            let text = |value: &http::HeaderValue| value.as_bytes().escape_ascii().to_string();
            Ok(permit.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect())
        }
        Decision::Deny(denial) => Err(denial.reason().clone()),
        other => panic!("{other:?}"),
    }
}

/// The one header `x` made by `value` for a person with `claims`.
fn header(value: &str, claims: &str) -> Result<Option<String>, &'static str> {
    let made = headers(&policy(&format!("[login]\n[headers]\nX = {value}\n[[rules]]\n")), claims);
    made.map(|list| list.into_iter().next().map(|(_, value)| value)).map_err(|reason| reason.code())
}

fn toml_files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            toml_files(&path, all);
        } else if path.extension().is_some_and(|end| end == "toml") {
            all.push(path);
        }
    }
}

/// Every policy in the tree that can be used by itself.
fn policies_of_the_tree() -> Vec<Policy> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["policies", "tests/data/policies/good", "examples"]
        .iter()
        .for_each(|folder| toml_files(&root.join(folder), &mut paths));
    let secrets = |_: &SecretSource| Ok(Secret::new("a long enough shared secret of forty-two bytes".to_owned()));
    let compiled = paths.iter().filter_map(|path| {
        let files = |wanted: &Path| {
            let whole = path.parent().unwrap().join(wanted);
            std::fs::read_to_string(&whole).map(|text| SourceFile::new(&whole, text)).map_err(|why| why.to_string())
        };
        let source = SourceFile::new(path, std::fs::read_to_string(path).unwrap());
        // A file may leave its provider away where there is only one.
        ["okta", "idp", "dev"].into_iter().find_map(|name| {
            let providers = [ProviderFacts { name, scopes: None }];
            let identity = Arc::default();
            let environment =
                Environment { secrets: &secrets, files: &files, providers: &providers, identity: Some(&identity) };
            compile(&path.file_stem().unwrap().to_string_lossy(), &source, &environment, &mut Report::default())
        })
    });
    compiled.collect()
}

const THREE_RULES: &str = r#"
[login]
acr = ["mfa"]
[[rules]]
name   = "files"
paths  = ["/static/**", "/favicon.ico"]
access = "public"
[[rules]]
name    = "payouts"
paths   = "/admin/**"
allow   = "'admins' in user.groups"
step_up = { acr = ["phr"], max_age = "10m" }
[[rules]]
paths = "/old/**"
methods = ["GET", "PROPFIND"]
[[rules]]
paths = ["/", "/statements/**"]
allow = "user.groups.exists(g, g.startsWith('royalty-'))"
"#;

#[test]
fn headers_that_are_never_sent_are_a_warning() {
    let text = "[app]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"\n\
                [headers]\nX-A = \"x\"\n[[rules]]\naccess = \"public\"\n";
    let mut report = Report::default();
    let policy = compile("a", &SourceFile::new("a.toml", text), &surroundings(&[]), &mut report);
    assert!(policy.is_some_and(|policy| policy.login().is_none()));
    let told: Vec<_> = report.findings().iter().map(|finding| (finding.severity, finding.message.as_str())).collect();
    assert_eq!(told, [(Severity::Warning, "these headers are never sent: every rule is public")]);
}

#[test]
fn policies_and_what_they_prepare_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Policy>();
    shared::<Prepared>();
}

#[test]
fn what_an_application_asks_of_every_login_comes_first() {
    let policy = policy(THREE_RULES);
    let with = |acr: Option<&str>, seconds: u64| {
        let mut ada = subject(r#"{"groups": ["royalty-artists", "admins"]}"#);
        ada.session.acr = acr.map(Into::into);
        ada.session.authenticated_at = NOW.before(Duration::from_secs(seconds));
        policy.prepare(Arc::new(ada))
    };
    let cases = [
        (with(None, 0), "/", "step-up #4 mfa None"),
        (with(Some("pwd"), 0), "/admin", "step-up payouts mfa None"),
        (with(Some("mfa"), 0), "/", "allow #4"),
        (with(Some("phr"), 0), "/", "allow #4"),
        (with(Some("phr"), 600), "/admin", "allow payouts"),
        (with(Some("phr"), 601), "/admin", "step-up payouts phr Some(600s)"),
        (with(Some("mfa"), 0), "/admin", "step-up payouts phr Some(600s)"),
    ];
    for (who, target, expected) in &cases {
        assert_eq!(answer(&policy, Some(who), "GET", target), *expected, "{target}");
    }
}

#[test]
fn a_condition_that_fails_denies() {
    for claims in ["{}", r#"{"groups": null}"#, r#"{"groups": 5}"#, r#"{"groups": "royalty-x"}"#] {
        let policy = policy(THREE_RULES);
        let who = policy.prepare(Arc::new(subject(claims)));
        assert_eq!(answer(&policy, Some(&who), "GET", "/"), "deny #4 expression_failed", "{claims}");
    }
    let absent = policy("[login]\n[[rules]]\nallow = \"user.groups == request.path\"\n");
    let who = absent.prepare(Arc::new(subject("{}")));
    assert_eq!(answer(&absent, Some(&who), "GET", "/"), "deny #1 expression_failed");
    let reason = headers(&absent, "{}").unwrap_err().to_string();
    assert!(reason.contains("`groups` is absent"), "{reason}");
}

#[test]
fn what_was_prepared_for_one_policy_does_not_open_another() {
    let (one, other) = (policy(THREE_RULES), policy(THREE_RULES));
    let who = one.prepare(Arc::new(subject(r#"{"groups": ["royalty-artists"]}"#)));
    assert!(who.is_for(&one) && !who.is_for(&other));
    assert_eq!(answer(&other, Some(&who), "GET", "/"), "deny #4 other_policy");
}

#[test]
fn conditions_can_read_the_request() {
    let policy = policy(
        "[login]\n[[rules]]\nallow = \"user.id == request.query && request.client == '192.0.2.7' && session.age == 60\"\n",
    );
    let who = policy.prepare(Arc::new(subject(r#"{"id": "7"}"#)));
    assert_eq!(answer(&policy, Some(&who), "GET", "/?7"), "allow #1");
    assert_eq!(answer(&policy, Some(&who), "GET", "/?8"), "deny #1 not_allowed");
}

#[test]
fn only_the_claims_that_are_read_are_asked_for() {
    let policy = policy(
        "[login]\n[headers]\nX-A = \"${user.a}\"\nX-B = { list = \"${user['b c']}\" }\n[[rules]]\nallow = \"has(user.d)\"\n",
    );
    let read: Vec<_> = policy.claims_read().iter().map(|name| &**name).collect();
    assert_eq!(read, ["a", "b c", "d"]);
}

#[test]
fn a_decision_for_a_known_person_is_ready() {
    let policy = policy(
        "[login]\n[headers]\nX-A = \"${user.a}\"\n[[rules]]\nallow = \"'staff' in user.groups && session.acr == 'mfa'\"\n",
    );
    let who = policy.prepare(Arc::new(subject(r#"{"a": "1", "groups": ["staff"]}"#)));
    assert!(!who.is_bound() && who.evaluated_sets() == 0, "preparing evaluates nothing");
    let path = CanonicalPath::parse("/").unwrap();
    let request = facts(&policy, &path);
    let Decision::Allow(first) = policy.decide(&request, Some(&who), NOW) else { panic!("denied") };
    let Decision::Allow(second) = policy.decide(&request, Some(&who), NOW) else { panic!("denied") };
    assert!(std::ptr::eq(first.headers(), second.headers()), "the headers were made again");
    assert_eq!((first.headers().len(), who.evaluated_sets()), (1, 1));
}

#[test]
fn an_applications_settings_are_read() {
    let text = r#"
[app]
hosts    = ["A.example.", "b.example"]
path     = "/statements/"
upstream = ["http://10.0.0.1:7001", "https://app.internal/"]
host     = "legacy.internal:8080"
ca       = "ca.pem"
keep_alive = "without_body"
[app.timeouts]
connect = "2s"
stall   = "1h"
[login]
acr = "mfa"
[session]
max = "30m"
[[rules]]
paths = "/statements/**"
"#;
    let policy = compile_text(text).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(policy.hosts().iter().map(HostName::as_str).collect::<Vec<_>>(), ["a.example", "b.example"]);
    assert_eq!((policy.prefix(), &**policy.name()), ("/statements", "app"));
    let upstream = policy.upstream();
    let targets: Vec<_> = upstream.targets.iter().map(|to| format!("{} {} {}", to.tls, to.host, to.port)).collect();
    assert_eq!(targets, ["false 10.0.0.1 7001", "true app.internal 443"]);
    assert_eq!(upstream.host, HostMode::Fixed("legacy.internal:8080".into()));
    assert_eq!(upstream.ca.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(policy.keep_alive(), KeepAlive::WithoutBody);
    let times = [upstream.connect, upstream.first_byte, upstream.stall].map(|time| time.as_secs());
    assert_eq!(times, [2, 60, 3600]);
    assert_eq!(
        policy.login().map(|login| (&*login.provider, login.acr.as_slice())),
        Some(("okta", &["mfa".into()][..]))
    );
    let limits = policy.session();
    assert_eq!((limits.idle, limits.max), (Duration::from_secs(1800), Duration::from_secs(1800)));
}

#[test]
fn a_failing_test_tells_what_differs() {
    let text = r#"
[login]
[headers]
X-User = "${user.id}"
[[rules]]
name = "staff"
allow = "user.id == 'ada'"
[[tests]]
name = "wrong"
user = { id = "ada" }
request = "GET /"
expect = { decision = "allow", rule = "all", headers = { X-User = "bob", X-Other = "1" }, absent = ["x-user"] }
[[tests]]
user = { id = "bob" }
request = "/"
expect = "allow"
"#;
    let outcomes = policy(text).run_tests();
    let told: Vec<_> = outcomes.iter().map(|one| (one.name.as_str(), one.line, one.explanation.join("\n"))).collect();
    let first = "expected rule `all`, found `staff`\nheader `X-Other`: expected \"1\", found none\n\
                 header `X-User`: expected \"bob\", found \"ada\"\nheader `x-user`: expected none, found one";
    let second = "expected allow, found deny (the rule does not allow this person)";
    assert_eq!(told, [("wrong", 11, first.to_owned()), ("/", 16, second.to_owned())]);
    assert!(outcomes.iter().all(|one| !one.passed));
}
