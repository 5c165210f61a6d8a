//! Whole policies: compiled, prepared and asked.

mod definitions;
mod explained;
mod header_sets;
mod limits;
mod rules;
mod told;

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

fn secrets(source: &SecretSource) -> Result<Secret<String>, String> {
    match source {
        SecretSource::File(path) if path == Path::new("app.password") => Ok(Secret::new("s3cret:pa55".to_owned())),
        SecretSource::File(path) if path == Path::new("royalty.pw") => Ok(Secret::new("pw".to_owned())),
        SecretSource::File(path) if path == Path::new("app.token") => Ok(Secret::new("t0ken._~+/-==".to_owned())),
        SecretSource::File(path) if path == Path::new("app.secret") => Ok(Secret::new("proof".to_owned())),
        SecretSource::File(path) if path == Path::new("app.spaced") => Ok(Secret::new(" s3cret".to_owned())),
        SecretSource::Environment(name) if name == "CONTROL" => Ok(Secret::new("a\nb".to_owned())),
        other => Err(format!("{other:?} is not there")),
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

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
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

/// The file that bad policies can include.
const BAD_SHARED: (&str, &str) =
    ("shared.toml", "[conditions]\nshared = \"true\"\n[groups]\nstaff = \"s\"\n[header_sets.common]\nX-A = \"a\"\n");

#[test]
fn every_bad_policy_gives_all_its_errors_with_their_places() {
    let mut different = String::new();
    for (path, text) in files("bad") {
        let expected: Vec<_> = text.lines().map_while(|line| line.strip_prefix("# error: ")).collect();
        let (policy, report) = definitions::compiled(&text, &[BAD_SHARED]);
        assert!(policy.is_none(), "{} compiles", path.display());
        if errors(&report) != expected {
            different.push_str(&format!("{}: {:#?}\n", path.display(), errors(&report)));
        }
        assert!(!expected.is_empty(), "{}", path.display());
        assert!(!report.render().contains("hunter2"), "a secret is shown: {report}");
    }
    assert!(different.is_empty(), "{different}");
}

#[test]
fn every_key_of_the_reference_is_read() {
    for (_, text) in files("good").into_iter().chain(files("bad")) {
        let _ = definitions::compiled(&text, &[BAD_SHARED]);
    }
    for top in [&reference::policy::FILE, &reference::policy::DEFINITIONS] {
        let never = reference::asked::never(top);
        assert!(never.is_empty(), "src/reference has rows that no reader asks for: {never:#?}");
    }
}

#[test]
fn the_defaults_of_the_reference_are_those_that_hold() {
    let table = |name: &str, table: &reference::Table| {
        let given = table.keys.iter().filter_map(|key| match key.need {
            reference::Need::Default(value) => Some(format!("{} = {value}\n", key.name)),
            _ => None,
        });
        format!("[{name}]\n{}", given.collect::<String>())
    };
    let (app, rule) = (table("app", &reference::policy::APP), table("[rules]", &reference::policy::RULE));
    let written = format!(
        "{app}hosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n{}{}[login]\n{rule}",
        table("app.timeouts", &reference::policy::APP_TIMEOUTS),
        table("session", &reference::policy::SESSION),
    );
    let written = compile_text(&written).unwrap_or_else(|report| panic!("{report}"));
    let silent = policy("[login]\n[[rules]]\n");
    assert_eq!(written.upstream(), silent.upstream());
    assert_eq!(written.session(), silent.session());
    assert_eq!(written.prefix(), silent.prefix());
    assert_eq!(answer(&written, None, "GET", "/"), answer(&silent, None, "GET", "/"));
}

#[test]
fn every_form_of_a_header_has_the_keys_of_all_headers() {
    for (form, table) in reference::policy::HEADER_FORMS {
        assert!(table.key(form).is_some(), "{form}");
        for name in table.key_names() {
            assert!(reference::policy::HEADER.key(name).is_some(), "`{name}` of `{form}` is missing in HEADER");
        }
    }
}

#[test]
fn findings_lead_to_their_place_in_the_documentation() {
    let text = "colour = 1\n[app]\nhots = 1\n[app.timeouts]\nstall = \"soon\"\n[headers]\nX-A = { value = \"x\", encoding = \"utf8\" }\nX-B = { basic = { user = 1 } }\n[[rules]]\nallow = 1\n[[rules]]\npath = 1\n[[tests]]\nexpect = { decision = 1 }\n";
    let Err(report) = compile_text(text) else { panic!("it compiles") };
    let link = |message: &str| {
        let finding = report.findings().iter().find(|finding| finding.message.contains(message));
        finding.unwrap_or_else(|| panic!("no {message} in {report}")).docs
    };
    for (message, docs) in [
        ("colour", "docs/policy.md#a-whole-file"),
        ("`app` has no `hosts`", "docs/policy.md#app"),
        ("unknown key `hots`", "docs/policy.md#app"),
        ("stall", "docs/policy.md#app"),
        ("encoding", "docs/policy.md#encoding"),
        ("`user` is an integer", "docs/policy.md#basic-credentials"),
        ("allow", "docs/policy.md#rules"),
        ("unknown key `path`", "docs/policy.md#rules"),
        ("decision", "docs/policy.md#tests"),
    ] {
        assert_eq!(link(message), Some(docs), "{message}");
    }
}

#[test]
fn every_good_policy_compiles_and_passes_its_own_tests() {
    let mut count = 0;
    for (path, text) in files("good") {
        let policy = compile_text(&text).unwrap_or_else(|report| panic!("{}\n{report}", path.display()));
        for outcome in policy.run_tests() {
            count += 1;
            assert!(outcome.passed, "{}: {outcome:#?}", path.display());
        }
    }
    assert!(count > 20, "{count} tests ran");
}

#[test]
fn the_shipped_policies_pass_their_own_tests() {
    for name in ["royalty", "archives"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name).with_extension("toml");
        let policy = compile_text(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|report| panic!("{report}"));
        let outcomes = policy.run_tests();
        assert!(outcomes.len() > 5 && outcomes.iter().all(|outcome| outcome.passed), "{outcomes:#?}");
    }
}

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
fn every_example_of_the_reference_compiles_and_passes_its_tests() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 10, "{}", examples.len());
    // An example that says so in its first line is a file that others include.
    let path = |example: &str| {
        let name = example.lines().next()?.strip_prefix("# policies/")?;
        name.starts_with("shared/").then(|| name.to_owned())
    };
    let shared: Vec<_> = examples.iter().filter_map(|example| Some((path(example)?, *example))).collect();
    let shared: Vec<_> = shared.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    assert!(!shared.is_empty());
    for example in examples.into_iter().filter(|example| path(example).is_none()) {
        let mut text = String::new();
        // Keys of no section come first in a file.
        let (top, example) = example.split_at(
            example
                .find('[')
                .filter(|_| example.starts_with("include"))
                .map_or(0, |_| example.find("\n\n").unwrap_or(0)),
        );
        text.push_str(top);
        text.push('\n');
        if !example.contains("[app]") {
            text.push_str("[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n");
        }
        if !example.contains("[login]") {
            text.push_str("[login]\n");
        }
        text.push_str(example);
        if !example.contains("[[rules]]") {
            text.push_str("[[rules]]\n");
        }
        let (policy, report) = definitions::compiled(&text, &shared);
        let policy = policy.unwrap_or_else(|| panic!("{report}"));
        for outcome in policy.run_tests() {
            assert!(outcome.passed, "{outcome:#?}\n{example}");
        }
    }
}

#[test]
fn policies_and_what_they_prepare_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Policy>();
    shared::<Prepared>();
}

#[test]
fn rules_decide_in_order_and_none_is_passed_over() {
    let policy = policy(THREE_RULES);
    let ada = policy.prepare(Arc::new(subject(r#"{"groups": ["royalty-artists", "admins"]}"#)));
    let bob = policy.prepare(Arc::new(subject(r#"{"groups": ["visitors"]}"#)));
    let cases = [
        (None, "GET", "/static/x.css", "public files"),
        (Some(&ada), "GET", "/static/x.css", "public files"),
        (None, "GET", "/admin/x", "sign-in payouts"),
        (None, "GET", "/nowhere", "deny none no_rule"),
        (Some(&ada), "GET", "/nowhere", "deny none no_rule"),
        (Some(&ada), "GET", "/admin", "step-up payouts phr Some(600s)"),
        (Some(&bob), "GET", "/admin", "deny payouts not_allowed"),
        (Some(&ada), "GET", "/", "allow #4"),
        (Some(&bob), "GET", "/", "deny #4 not_allowed"),
        (Some(&bob), "GET", "/old/x", "allow #3"),
    ];
    for (who, method, target, expected) in cases {
        assert_eq!(answer(&policy, who, method, target), expected, "{method} {target}");
    }
}

#[test]
fn p06_unknown_methods_are_denied_unless_named() {
    let policy = policy(THREE_RULES);
    let ada = policy.prepare(Arc::new(subject(r#"{"groups": ["royalty-artists"]}"#)));
    let cases = [
        ("HEAD", "/old/x", "allow #3"),
        ("PROPFIND", "/old/x", "allow #3"),
        ("POST", "/old/x", "deny none no_rule"),
        ("PROPFIND", "/", "deny none no_rule"),
        ("TRACE", "/static/x", "deny none no_rule"),
        ("get", "/", "deny none no_rule"),
        ("DELETE", "/", "allow #4"),
    ];
    for (method, target, expected) in cases {
        assert_eq!(answer(&policy, Some(&ada), method, target), expected, "{method} {target}");
    }
}

#[test]
fn p03_a_rule_covers_the_path_with_and_without_a_last_slash() {
    let policy = policy(THREE_RULES);
    for target in ["/admin", "/admin/", "//admin", "/x/../admin", "/%61dmin", "/admin/x/"] {
        assert_eq!(answer(&policy, None, "GET", target), "sign-in payouts", "{target}");
    }
}

#[test]
fn p04_query_never_matches_a_path_rule() {
    let policy = policy(THREE_RULES);
    for target in ["/nowhere?/static/x", "/nowhere?x=/favicon.ico", "/nowhere?/../static/x"] {
        assert_eq!(answer(&policy, None, "GET", target), "deny none no_rule", "{target}");
    }
    assert_eq!(answer(&policy, None, "GET", "/favicon.ico?v=/admin"), "public files");
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
fn s03_a_public_rule_sends_no_identity() {
    let policy = policy("[login]\n[headers]\nX-User = \"${user.id}\"\n[[rules]]\naccess = \"public\"\n");
    assert_eq!(headers(&policy, r#"{"id": "7"}"#), Ok(Vec::new()));
    assert_eq!(policy.emitted_headers().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-user"]);
}

#[test]
fn s03_one_field_per_header_in_the_order_of_the_file_and_none_when_absent() {
    let text = r#"
[login]
[headers]
X-B = "${user.b}"
X-Path = "${request.path} by ${user.b}"
X-A = "${user.a}"
X-None = "${user.none}"
X-Gone = "before ${user.gone} after"
[[rules]]
"#;
    let made = headers(&policy(text), r#"{"a": "1", "b": "2", "none": null}"#).unwrap();
    let made: Vec<_> = made.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(made, ["x-b: 2", "x-path: /a/b by 2", "x-a: 1"]);
}

#[test]
fn s06_a_value_is_sent_exactly_or_not_at_all() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    let cases = [
        (r#""${user.v}""#, r#""plain""#, some("plain")),
        (r#""${user.v}""#, "10000000000000000001", some("10000000000000000001")),
        (r#""${user.v}""#, "98765432109876543210", some("98765432109876543210")),
        (r#""${user.v}""#, "1.50", some("1.50")),
        (r#""${user.v}""#, "true", some("true")),
        (r#""${user.v}""#, r#""""#, some("")),
        (r#""${user.v}""#, r#""名""#, some(r"\xe5\x90\x8d")),
        (r#""${user.v}""#, r#""a\r\nX-Admin: 1""#, Err("header_unencodable")),
        (r#""${user.v}""#, r#""a\u0000b""#, Err("header_unencodable")),
        (r#""${user.v}""#, r#"" admin""#, Err("header_unencodable")),
        (r#""${user.v}""#, r#"["a"]"#, Err("header_failed")),
        (r#""${user.v}""#, r#"{"a": 1}"#, Err("header_failed")),
        (r#""$${user.v} $5 ${user.v}""#, "1", some("${user.v} $5 1")),
        (r#"'${"}" + user.v + "}"}'"#, r#""x""#, some("}x}")),
        (r#"{ value = "${user.v}", encoding = "latin1" }"#, r#""Zoë""#, some(r"Zo\xeb")),
        (r#"{ value = "${user.v}", encoding = "latin1" }"#, r#""名""#, Err("header_unencodable")),
        (
            r#"{ value = "${user.v}", encoding = "latin1", unencodable = "percent" }"#,
            r#""名 %""#,
            some("%E5%90%8D%20%25"),
        ),
        (r#"{ value = "${user.v}", encoding = "latin1", unencodable = "omit" }"#, r#""名""#, Ok(None)),
        (
            r#"{ value = "${user.v}", encoding = "latin1", unencodable = "percent" }"#,
            r#""a\n""#,
            Err("header_unencodable"),
        ),
        (r#"{ value = "${user.v}", unencodable = "percent" }"#, r#"" admin""#, some("%20admin")),
        (r#"{ value = "${user.v}", encoding = "percent" }"#, r#""Zoë a""#, some("Zo%C3%AB%20a")),
        (r#"{ value = "${user.v}", encoding = "base64" }"#, r#""名""#, some("5ZCN")),
    ];
    for (value, claim, expected) in cases {
        assert_eq!(header(value, &format!("{{\"v\": {claim}}}")), expected, "{value} {claim}");
    }
}

#[test]
fn s06_a_value_that_is_too_long_denies_and_is_never_cut() {
    let claims = |length: usize| format!("{{\"v\": \"{}\"}}", "x".repeat(length));
    assert_eq!(header("\"${user.v}\"", &claims(MAX_HEADER_VALUE)).unwrap().unwrap().len(), MAX_HEADER_VALUE);
    assert_eq!(header("\"${user.v}\"", &claims(MAX_HEADER_VALUE + 1)), Err("header_too_long"));
}

#[test]
fn s06_a_list_is_taken_apart_into_the_same_elements_or_refused() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    let plain = r#"{ list = "${user.v}", separator = ";" }"#;
    let percent = r#"{ list = "${user.v}", separator = "; ", contains = "percent" }"#;
    let cases = [
        (plain, r#"["a", "b,c"]"#, some("a;b,c")),
        (plain, r#"["a", 98765432109876543210, 1.50, true]"#, some("a;98765432109876543210;1.50;true")),
        (plain, r#"["a;admin"]"#, Err("header_unencodable")),
        (plain, r#"["a", ""]"#, Err("header_unencodable")),
        (plain, r#"["a", " b"]"#, Err("header_unencodable")),
        (plain, r#"["a", "b\n"]"#, Err("header_unencodable")),
        (plain, r#"["a", ["b"]]"#, Err("header_failed")),
        (plain, r#"["a", null]"#, Ok(None)),
        (plain, r#""one""#, some("one")),
        (plain, "[]", Ok(None)),
        (plain, "null", Ok(None)),
        (percent, r#"["a;b", "c%3B", "d e", " f "]"#, some("a%3Bb; c%253B; d%20e; %20f%20")),
        (r#"{ list = "${user.v}", separator = ", " }"#, r#"["a,b"]"#, Err("header_unencodable")),
        (r#"{ list = "${user.v}", missing = "deny" }"#, "[]", Err("header_missing")),
        (r#"{ list = "${user.v.filter(g, g.startsWith('r-'))}" }"#, r#"["r-1", "x", "r-2"]"#, some("r-1,r-2")),
        (r#"{ list = "${user.v.filter(g, g.startsWith('r-'))}", default = "none" }"#, r#"["x"]"#, some("none")),
    ];
    for (value, claim, expected) in cases {
        assert_eq!(header(value, &format!("{{\"v\": {claim}}}")), expected, "{value} {claim}");
    }
}

#[test]
fn a_missing_value_does_what_the_policy_says() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(header("\"${user.v}\"", "{}"), Ok(None));
    assert_eq!(header("{ value = \"${user.v}\", missing = \"omit\" }", "{}"), Ok(None));
    assert_eq!(header("{ value = \"${user.v}\", missing = \"empty\" }", "{}"), some(""));
    assert_eq!(header("{ value = \"${user.v}\", missing = \"deny\" }", "{}"), Err("header_missing"));
    assert_eq!(header("{ value = \"${user.v}\", default = \"guest\" }", "{}"), some("guest"));
    assert_eq!(header("\"${user.v > 5 ? 'a' : 'b'}\"", "{\"v\": \"x\"}"), Err("header_failed"));
}

#[test]
fn basic_credentials_are_sensitive_and_cannot_be_confused() {
    let basic = r#"{ basic = { user = "${user.v}", password = { file = "app.password" } } }"#;
    assert_eq!(header(basic, r#"{"v": "ada"}"#), Ok(Some("Basic YWRhOnMzY3JldDpwYTU1".to_owned())));
    assert_eq!(header(basic, r#"{"v": "a:b"}"#), Err("header_unencodable"));
    assert_eq!(header(basic, r#"{"v": "a\nb"}"#), Err("header_unencodable"));
    assert_eq!(header(basic, "{}"), Ok(None));
    let policy = policy(&format!("[login]\n[headers]\nAuthorization = {basic}\n[[rules]]\n"));
    let who = policy.prepare(Arc::new(subject(r#"{"v": "ada"}"#)));
    let request = CanonicalPath::parse("/").unwrap();
    let request = facts(&policy, &request);
    let Decision::Allow(permit) = policy.decide(&request, Some(&who), NOW) else { panic!("denied") };
    let value = &permit.headers().first().unwrap().1;
    assert!(value.is_sensitive() && !format!("{value:?}").contains("YWRh"));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_gives_a_policy_or_errors_and_never_a_panic(text in "\\PC{0,200}") {
        if let Err(report) = compile_text(&text) {
            prop_assert!(report.has_errors());
            report.render();
        }
    }

    #[test]
    fn any_change_of_a_good_policy_is_survived(at in 0usize..2000, cut in 0usize..20, put in "[\\PC\n\"'\\[\\]{}$=]{0,6}") {
        for (_, text) in files("good") {
            let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (start, end) = (boundary(at % text.len()), boundary(at % text.len() + cut));
            let changed = format!("{}{put}{}", &text[..start], &text[end.max(start)..]);
            match compile_text(&changed) {
                Ok(policy) => { policy.run_tests(); }
                Err(report) => { report.render(); }
            }
        }
    }
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
