//! What the hot path allocates: nothing, once a session is known.
//!
//! A binary of its own, because counting takes the place of the allocator.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use lychgate::claims::Claims;
use lychgate::clock::Timestamp;
use lychgate::crypto::Secret;
use lychgate::diagnostic::{Report, SourceFile};
use lychgate::http::{CanonicalPath, HostName, Scheme};
use lychgate::policy::{
    Decision, Environment, Policy, Prepared, ProviderFacts, RequestFacts, SecretSource, SessionFacts, SessionKind,
    Subject, compile, no_files,
};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_060);

const POLICY: &str = r#"
[app]
hosts = ["royalty.localhost"]
upstream = "http://127.0.0.1:7001"
ignore_case = true
[login]
acr = ["mfa"]
[conditions]
royal = "user.groups.exists(g, g.startsWith('royalty-'))"
known = "royal && !memberOf('blocked')"
[groups]
blocked = ["b-1", "b-2"]
[headers]
X-Remote-User = "${user.preferred_username}"
X-Remote-Groups = { list = "${user.groups.filter(g, g.startsWith('royalty-'))}", separator = ";" }
[[rules]]
paths = ["/static/**"]
access = "public"
[[rules]]
paths = ["/office/**"]
hosts = "royalty.localhost"
networks = ["10.0.0.0/8", "127.0.0.0/8"]
query = { view = "print" }
until = 2030-01-01
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
hours = ["00:00-12:00", "12:00-24:00"]
zone = "Europe/Vienna"
deny = "'blocked' in user.groups"
[[rules]]
paths = ["/Start/**"]
access = "optional"
[[rules]]
paths = ["/admin/**"]
allow = "'royalty-admins' in user.groups"
[[rules]]
paths = ["/named/**"]
allow = "known"
headers = { X-Known = "${known ? 'yes' : 'no'}" }
[[rules]]
paths = ["/print/**"]
allow = "request.params.view == 'print' && request.headers['x-requested-with'] != ''"
[[rules]]
paths = ["/songs/**"]
allow = "hasAny(user.groups, ['royalty-artists', 'royalty-admins']) && user.preferred_username.matches('^[a-z]+$')"
[[rules]]
allow = "user.groups.exists(g, g.startsWith('royalty-'))"
step_up = { max_age = "10h" }
"#;

/// The same with what gets stale: a signed assertion, in a header and in a cookie.
const SIGNED: &str = r#"
[app]
hosts = ["royalty.localhost"]
upstream = "http://127.0.0.1:7001"
[login]
[headers]
X-Remote-User = "${user.preferred_username}"
X-Identity = { jwt = { audience = "royalty", subject = "${user.preferred_username}", claims = ["groups"] } }
X-Proof = { secret = { env = "PROOF" } }
[cookies]
user = "${user.preferred_username}"
token = { jwt = { audience = "royalty", subject = "${user.preferred_username}" } }
[[rules]]
paths = ["/static/**"]
access = "public"
[[rules]]
"#;

fn policy() -> Policy {
    compiled(POLICY)
}

fn compiled(text: &str) -> Policy {
    let secrets = |_: &SecretSource| Ok(Secret::new("proof".to_owned()));
    let identity = Arc::default();
    let providers = [ProviderFacts { name: "idp", scopes: None }];
    let environment =
        Environment { secrets: &secrets, files: &no_files, providers: &providers, identity: Some(&identity) };
    let mut report = Report::default();
    compile("royalty", &SourceFile::new("royalty.toml", text), &environment, &mut report)
        .unwrap_or_else(|| panic!("{report}"))
}

fn ada(policy: &Policy) -> Prepared {
    let claims = br#"{"preferred_username":"ada","groups":["staff","royalty-artists"]}"#;
    let session = SessionFacts {
        kind: SessionKind::Browser,
        provider: "idp".into(),
        acr: Some("mfa".into()),
        amr: Vec::new(),
        authenticated_at: NOW.before(std::time::Duration::from_secs(60)),
    };
    policy.prepare(Arc::new(Subject { claims: Claims::from_json(claims).unwrap(), session }))
}

/// How many allocations one decision makes, and whether it allows.
fn allocations(policy: &Policy, who: Option<&Prepared>, target: &str) -> (u64, bool) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let (host, path) = (HostName::parse("royalty.localhost").unwrap(), CanonicalPath::parse(path).unwrap());
    let mut headers = HeaderMap::new();
    headers.insert("x-requested-with", HeaderValue::from_static("XMLHttpRequest"));
    let request = RequestFacts {
        method: &Method::GET,
        host: &host,
        path: &path,
        query,
        client: [127, 0, 0, 1].into(),
        scheme: Scheme::Https,
        tls: None,
        headers: &headers,
        has_content: false,
    };
    let mut allowed = false;
    let counted = allocation_counter::measure(|| {
        allowed = matches!(policy.decide(&request, who, NOW), Decision::Allow(_));
    });
    (counted.count_total, allowed)
}

#[test]
fn an_allow_decision_of_a_known_session_allocates_nothing() {
    let policy = policy();
    let who = ada(&policy);
    let (first, allowed) = allocations(&policy, Some(&who), "/statements");
    assert!(allowed && first > 0, "the first decision evaluates: {first}");
    assert_eq!(allocations(&policy, Some(&who), "/statements"), (0, true));
    assert_eq!(allocations(&policy, Some(&who), "/other/page"), (0, true));
    assert_eq!(allocations(&policy, None, "/static/site.css"), (0, true));
    assert_eq!(allocations(&policy, None, "/START/x"), (0, true));
    allocations(&policy, Some(&who), "/named/x");
    assert_eq!(allocations(&policy, Some(&who), "/named/x"), (0, true), "conditions, groups and headers of a rule");
    allocations(&policy, Some(&who), "/songs/7");
    assert_eq!(allocations(&policy, Some(&who), "/songs/7?view=print"), (0, true), "functions, once for the session");
    allocations(&policy, Some(&who), "/office/1?view=print");
    assert_eq!(allocations(&policy, Some(&who), "/Office/1?page=7&view=print"), (0, true), "every selector");
}

#[test]
fn an_assertion_that_is_kept_allocates_nothing() {
    let policy = compiled(SIGNED);
    let who = ada(&policy);
    let (first, allowed) = allocations(&policy, Some(&who), "/statements");
    assert!(allowed && first > 0, "the first decision signs: {first}");
    // A thread's first look at what is swapped makes its place there.
    allocations(&policy, Some(&who), "/statements");
    assert_eq!(allocations(&policy, Some(&who), "/other"), (0, true));
    assert_eq!(allocations(&policy, None, "/static/site.css"), (0, true), "a shared secret");
}
