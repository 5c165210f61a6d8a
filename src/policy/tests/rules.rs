//! Which rule decides, and what it decides: selectors, `deny`, `optional`, answers, observe mode.

mod doubtful;
mod walked;

use super::*;
use crate::policy::selector::Unselected;

/// A request and its time.
#[derive(Debug)]
struct Ask<'a> {
    method: &'a str,
    host: &'a str,
    target: &'a str,
    client: &'a str,
    now: &'a str,
}

const ASK: Ask<'static> =
    Ask { method: "GET", host: "app.example", target: "/", client: "192.0.2.7", now: "2026-11-23T12:00:00Z" };

/// What a policy decides on a request and what it observes.
fn verdict(policy: &Policy, who: Option<&Prepared>, ask: &Ask<'_>) -> (String, Option<String>) {
    let (path, query) = ask.target.split_once('?').map_or((ask.target, None), |(path, query)| (path, Some(query)));
    let request = RequestFacts {
        method: &Method::from_bytes(ask.method.as_bytes()).unwrap(),
        host: &HostName::parse(ask.host).unwrap(),
        path: &CanonicalPath::parse(path).unwrap(),
        query,
        client: ask.client.parse().unwrap(),
        scheme: Scheme::Https,
        tls: None,
        headers: no_headers(),
        has_content: false,
    };
    let now = Timestamp::from_millis(ask.now.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let observed = policy.observe(&request, who, now);
    (told(&policy.decide(&request, who, now), query), observed.map(|decision| told(&decision, query)))
}

fn ask(policy: &Policy, who: Option<&Prepared>, ask: &Ask<'_>) -> String {
    verdict(policy, who, ask).0
}

fn known(policy: &Policy, claims: &str) -> Prepared {
    policy.prepare(Arc::new(subject(claims)))
}

/// A policy of two hosts.
fn two_hosts(rest: &str) -> Policy {
    let head = "[app]\nhosts = [\"app.example\", \"b.example\"]\nupstream = \"http://127.0.0.1:7001\"\n[login]\n";
    compile_text(&format!("{head}{rest}")).unwrap_or_else(|report| panic!("{report}"))
}

const SELECTED: &str = r#"
[[rules]]
name = "print"
query = { view = ["print", "p d f"], lang = "de" }
access = "public"
[[rules]]
name = "other host"
hosts = ["b.example"]
access = "public"
[[rules]]
name = "office"
networks = ["10.0.0.0/8", "2001:db8::/32"]
access = "public"
[[rules]]
name = "partners"
paths = "/partners/**"
from = 2026-06-01
until = 2027-01-01
zone = "Europe/Vienna"
access = "public"
[[rules]]
name = "office hours"
paths = "/hours/**"
days = ["mon", "fri"]
hours = "08:00-18:00"
zone = "Europe/Vienna"
access = "public"
"#;

#[test]
fn a_rule_whose_selectors_do_not_match_is_passed_over() {
    let policy = two_hosts(SELECTED);
    let none = "deny none no_rule";
    let cases = [
        (Ask { target: "/?view=print&lang=de", ..ASK }, "public print"),
        (Ask { target: "/?lang=de&x=1&view=p+d%20f", ..ASK }, "public print"),
        (Ask { target: "/?view=print", ..ASK }, none),
        (Ask { target: "/?view=Print&lang=de", ..ASK }, none),
        (Ask { target: "/view=print&lang=de", ..ASK }, none),
        (Ask { host: "b.example", ..ASK }, "public other host"),
        (Ask { client: "10.1.2.3", ..ASK }, "public office"),
        (Ask { client: "::ffff:10.1.2.3", ..ASK }, "public office"),
        (Ask { client: "2001:db8::1", ..ASK }, "public office"),
        (Ask { client: "11.1.2.3", ..ASK }, none),
        (Ask { target: "/partners/x", ..ASK }, "public partners"),
        (Ask { target: "/partners", now: "2026-12-31T22:59:59Z", ..ASK }, "public partners"),
        (Ask { target: "/partners", now: "2026-12-31T23:00:00Z", ..ASK }, none),
        (Ask { target: "/partners", now: "2026-05-31T21:59:59Z", ..ASK }, none),
        (Ask { target: "/hours", ..ASK }, "public office hours"),
        (Ask { target: "/hours", now: "2026-11-23T17:00:00Z", ..ASK }, none),
        (Ask { target: "/hours", now: "2026-11-24T12:00:00Z", ..ASK }, none),
    ];
    for (request, expected) in cases {
        let Ask { host, target, client, now, .. } = request;
        assert_eq!(ask(&policy, None, &request), expected, "{host} {target} {client} {now}");
    }
}

#[test]
fn why_a_rule_is_passed_over_is_told() {
    let policy = two_hosts(SELECTED);
    let path = CanonicalPath::parse("/").unwrap();
    let request = RequestFacts { client: "192.0.2.7".parse().unwrap(), ..facts(&policy, &path) };
    // 2001-09-09: long before the partners come.
    let told: Vec<_> = policy
        .front
        .rules
        .iter()
        .map(|rule| rule.selector().refuses(&request, Timestamp::from_seconds(1_000_000_000)))
        .collect();
    let time = |key| Some(Unselected::Time(key));
    assert_eq!(
        told,
        [
            Some(Unselected::Query("view")),
            Some(Unselected::Host),
            Some(Unselected::Network),
            time("from"),
            time("hours")
        ]
    );
}

#[test]
fn a_query_in_doubt_denies_whichever_rule_would_match() {
    let policy = two_hosts(&format!("{SELECTED}\n[[rules]]\nname = \"rest\"\naccess = \"public\"\n"));
    for target in ["/?view=print&lang=de&view=x", "/?VIEW=print", "/hours?view[]=a", "/?lang=%ff", "/?x=1;lang=de"] {
        let request = Ask { target, ..ASK };
        assert_eq!(ask(&policy, None, &request), "deny none query_ambiguous", "{target}");
    }
    assert_eq!(ask(&policy, None, &Ask { target: "/?other=1&other=2", ..ASK }), "public rest");
}

#[test]
fn the_same_condition_is_remembered_once_and_one_that_reads_the_request_never() {
    let policy = policy(
        "[login]\n[[rules]]\npaths = \"/a\"\nallow = \"'staff' in user.groups\"\n\
         [[rules]]\npaths = \"/b\"\ndeny = \"'staff' in user.groups\"\nallow = \"'other' in user.groups\"\n\
         [[rules]]\npaths = \"/c\"\nallow = \"request.method == 'POST'\"\n\
         [[rules]]\nallow = \"'staff' in user.groups\"\n",
    );
    assert_eq!(policy.conditions, 2);
    let staff = known(&policy, r#"{"groups":["staff"]}"#);
    let other = known(&policy, r#"{"groups":["other"]}"#);
    let cases = [
        ("GET", "/a", "allow", "deny"),
        ("GET", "/b", "deny", "allow"),
        ("GET", "/c", "deny", "deny"),
        ("POST", "/c", "allow", "allow"),
        ("GET", "/d", "allow", "deny"),
    ];
    // Twice: once everything is found out, once it is remembered.
    for (method, target, of_staff, of_other) in cases.into_iter().chain(cases) {
        let request = Ask { method, target, ..ASK };
        for (who, expected) in [(&staff, of_staff), (&other, of_other)] {
            let decided = ask(&policy, Some(who), &request);
            assert!(decided.starts_with(expected), "{method} {target}: {decided}");
        }
    }
}

#[test]
fn what_deny_says_comes_before_allow() {
    let policy = policy(
        "[login]\n[[rules]]\ndeny = \"has(user.blocked) && user.blocked\"\nallow = \"'staff' in user.groups\"\n\
         step_up = { acr = \"phr\" }\n",
    );
    let cases = [
        (r#"{"groups": ["staff"]}"#, "step-up #1 phr None"),
        (r#"{"groups": ["staff"], "blocked": false}"#, "step-up #1 phr None"),
        (r#"{"groups": ["staff"], "blocked": true}"#, "deny #1 denied"),
        (r#"{"groups": ["staff"], "blocked": "yes"}"#, "deny #1 expression_failed"),
        (r#"{"groups": ["other"]}"#, "deny #1 not_allowed"),
    ];
    for (claims, expected) in cases {
        let who = known(&policy, claims);
        // Once evaluated, once remembered.
        assert_eq!(ask(&policy, Some(&who), &ASK), expected, "{claims}");
        assert_eq!(ask(&policy, Some(&who), &ASK), expected, "{claims}");
    }
    assert_eq!(ask(&policy, None, &ASK), "sign-in #1");
}

#[test]
fn an_optional_rule_tells_who_it_is_when_somebody_is_signed_in() {
    let text = "[login]\nacr = \"mfa\"\n[headers]\nX-User = { value = \"${user.id}\", missing = \"deny\" }\n\
                [[rules]]\naccess = \"optional\"\n";
    let policy = policy(text);
    let who = known(&policy, r#"{"id": "7"}"#);
    assert_eq!(ask(&policy, Some(&who), &ASK), "allow #1");
    assert_eq!(headers(&policy, r#"{"id": "7"}"#), Ok(vec![("x-user".to_owned(), "7".to_owned())]));
    assert_eq!(ask(&policy, None, &ASK), "public #1");
    let mut weak = subject(r#"{"id": "7"}"#);
    weak.session.acr = Some("pwd".into());
    assert_eq!(ask(&policy, Some(&policy.prepare(Arc::new(weak))), &ASK), "public #1", "too weak: nobody");
    assert_eq!(ask(&policy, Some(&known(&policy, "{}")), &ASK), "deny #1 header_missing");
}

#[test]
fn the_gateway_answers_itself_where_a_rule_says_so() {
    let policy = policy(
        r#"
[login]
[[rules]]
name = "moved"
paths = "/old/**"
redirect = { to = "/new?a=1", status = 308, keep_query = true }
[[rules]]
name = "gone"
paths = "/gone/**"
respond = 410
[[rules]]
name = "staff are told"
paths = "/notes/**"
allow = "'staff' in user.groups"
respond = { status = 503, body = "Back at noon." }
[[rules]]
name = "signed in"
paths = "/home"
access = "session"
redirect = "https://intranet.example/home"
"#,
    );
    let staff = known(&policy, r#"{"groups": ["staff"]}"#);
    let other = known(&policy, r#"{"groups": []}"#);
    let cases = [
        (None, "/old/x?b=2", "redirect moved 308 /new?a=1&b=2"),
        (Some(&staff), "/old", "redirect moved 308 /new?a=1"),
        (None, "/gone", "respond gone 410 410 Gone"),
        (None, "/notes", "sign-in staff are told"),
        (Some(&other), "/notes", "deny staff are told not_allowed"),
        (Some(&staff), "/notes", "respond staff are told 503 Back at noon."),
        (None, "/home", "sign-in signed in"),
        (Some(&other), "/home", "redirect signed in 302 https://intranet.example/home"),
    ];
    for (who, target, expected) in cases {
        assert_eq!(ask(&policy, who, &Ask { target, ..ASK }), expected, "{target}");
    }
}

#[test]
fn p03_paths_match_regardless_of_case_where_the_application_ignores_it() {
    let rules = "[[rules]]\nname = \"admin\"\npaths = [\"/Admin/**\", \"/r*T.pdf\"]\n[[rules]]\naccess = \"public\"\n";
    let head = "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n";
    let policy = compile_text(&format!("{head}ignore_case = true\n[login]\n{rules}")).unwrap();
    for target in ["/admin", "/ADMIN/x", "/aDmIn/", "/%41dmin/x", "/x/../ADMIN", "/Report.PDF"] {
        assert_eq!(ask(&policy, None, &Ask { target, ..ASK }), "sign-in admin", "{target}");
    }
    let exact = compile_text(&format!("{head}[login]\n{rules}")).unwrap();
    assert_eq!(ask(&exact, None, &Ask { target: "/admin", ..ASK }), "public #2");
}

const OBSERVED: &str = r#"
[login]
[[rules]]
name = "files"
paths = "/static/**"
access = "public"
[[rules]]
name = "only artists, perhaps"
mode = "observe"
paths = "/s/**"
allow = "'artists' in user.groups"
step_up = { acr = "phr" }
[[rules]]
name = "query, perhaps"
mode = "observe"
query = { view = "x" }
respond = 404
[[rules]]
name = "everybody"
"#;

#[test]
fn a_rule_that_observes_is_noted_and_never_decides() {
    let policy = policy(OBSERVED);
    let artist = known(&policy, r#"{"groups": ["artists"]}"#);
    let other = known(&policy, r#"{"groups": []}"#);
    let cases = [
        (Some(&other), "/s", "allow everybody", Some("deny only artists, perhaps not_allowed")),
        (Some(&artist), "/s", "allow everybody", Some("step-up only artists, perhaps phr None")),
        (None, "/s", "sign-in everybody", Some("sign-in only artists, perhaps")),
        (Some(&other), "/t", "allow everybody", None),
        (Some(&other), "/t?view=x", "allow everybody", Some("respond query, perhaps 404 404 Not Found")),
        (Some(&other), "/t?view=x&view=y", "allow everybody", Some("deny none query_ambiguous")),
        (Some(&other), "/static/x?view=x", "public files", None),
    ];
    for (who, target, decided, observed) in cases {
        let found = verdict(&policy, who, &Ask { target, ..ASK });
        assert_eq!((found.0.as_str(), found.1.as_deref()), (decided, observed), "{target}");
    }
}

#[test]
fn what_an_observing_rule_asks_in_step_up_is_not_enough_for_the_application() {
    let rules = "[[rules]]\nmode = \"observe\"\npaths = \"/a\"\nstep_up = { acr = \"weak\" }\n[[rules]]\n";
    let policy = policy(&format!("[login]\nacr = \"mfa\"\n{rules}"));
    let mut weak = subject("{}");
    weak.session.acr = Some("weak".into());
    let weak = policy.prepare(Arc::new(weak));
    assert_eq!(ask(&policy, Some(&weak), &ASK), "step-up #2 mfa None");
}

#[test]
fn a_policy_in_observe_mode_is_a_shadow() {
    let text = "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n[login]\n[[rules]]\n";
    assert!(compile_text(&format!("mode = \"observe\"\n{text}")).unwrap().is_shadow());
    assert!(
        !compile_text(text).unwrap().is_shadow()
            && !compile_text(&format!("mode = \"enforce\"\n{text}")).unwrap().is_shadow()
    );
}

/// What a policy that keeps encoded slashes says of a path, and what it is warned of.
fn kept(rules: &str, path: &str) -> (String, Vec<String>) {
    let text = format!(
        "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\nencoded_slash = \"keep\"\n[login]\n{rules}"
    );
    let mut report = Report::default();
    let policy = compile("app", &SourceFile::new("app.toml", text), &surroundings(&[OKTA]), &mut report).unwrap();
    let path = CanonicalPath::parse_keeping(path, PathSwitches::ALL).unwrap();
    let ada = known(&policy, r#"{"groups": ["staff"]}"#);
    let decision = told(&policy.decide(&facts(&policy, &path), Some(&ada), NOW), None);
    (decision, report.findings().iter().map(|finding| finding.message.clone()).collect())
}

#[test]
fn p02_both_readings_of_an_encoded_slash_are_decided_by_one_rule() {
    let rules = "[[rules]]\nname = \"a\"\npaths = [\"/a/**\"]\n[[rules]]\nname = \"b\"\npaths = [\"/b/*\"]\n\
                 [[rules]]\nname = \"rest\"\nmethods = [\"POST\"]\n";
    let sure = |path: &str| kept(rules, path).0;
    assert_eq!(sure("/a/x%2Fy"), "allow a");
    for path in ["/b/x%2Fy", "/a%2Fx", "/b%2Fx"] {
        assert_eq!(sure(path), "deny none path_ambiguous", "{path}");
    }
    assert_eq!(sure("/c%2Fx"), "deny none no_rule");
}

#[test]
fn p02_a_condition_of_the_path_denies_paths_with_two_readings_and_is_warned_of() {
    let reads = "[[rules]]\nname = \"a\"\npaths = [\"/a/**\"]\ndeny = \"request.path == '/a/x/y'\"\n[[rules]]\nname = \"rest\"\n";
    let (said, warned) = kept(reads, "/c/x%2Fy");
    assert_eq!(said, "deny none path_ambiguous");
    assert!(matches!(warned.as_slice(), [message] if message.contains("reads `request.path`")), "{warned:?}");
    let (said, warned) = kept("[[rules]]\nname = \"a\"\n", "/c/x%2Fy");
    assert_eq!((said.as_str(), warned.len()), ("allow a", 0));
    let header = "[headers]\nX-Page = \"${request.path}\"\n[[rules]]\nname = \"a\"\n";
    let (said, warned) = kept(header, "/c/x%2Fy");
    assert!(said == "deny none path_ambiguous" && warned.len() == 1, "{said} {warned:?}");
}

#[test]
fn what_only_observing_rules_would_send_denies_nobody() {
    let rules = |mode: &str| {
        let headers = "headers = { X-View = \"${request.params.view}\", X-Path = \"${request.path}\" }";
        two_hosts(&format!(
            "[[rules]]\nname = \"new\"\npaths = \"/new/**\"\n{mode}\n{headers}\n[[rules]]\nname = \"all\"\n"
        ))
    };
    let twice = Ask { target: "/old?view=1&view=2", ..ASK };
    let decided = |policy: &Policy| ask(policy, Some(&known(policy, "{}")), &twice);
    assert_eq!(decided(&rules("mode = \"observe\"")), "allow all");
    assert!(decided(&rules("")).contains("query_ambiguous"), "{}", decided(&rules("")));
}

#[test]
fn s08_a_condition_on_headers_alone_is_warned_of() {
    let told = |allow: &str| {
        let text = format!(
            "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n[login]\n[[rules]]\nallow = \"{allow}\"\n"
        );
        let mut report = Report::default();
        assert!(compile("app", &SourceFile::new("app.toml", text), &surroundings(&[OKTA]), &mut report).is_some());
        report.findings().iter().map(|finding| finding.message.clone()).collect::<Vec<_>>()
    };
    let warned = told("request.headers['user-agent'].contains('Mozilla')");
    assert!(matches!(warned.as_slice(), [message] if message.contains("proves nothing")), "{warned:?}");
    assert!(told("request.headers['user-agent'].contains('Mozilla') && 'staff' in user.groups").is_empty());
    let by_hand = told("user.email.endsWith('@gmr.example')");
    assert!(matches!(by_hand.as_slice(), [message] if message.contains("nobody verified")), "{by_hand:?}");
    // In what applications are told too.
    let in_a_header = told(
        "'staff' in user.groups\"\nheaders = { X-Role = \"${user.email.endsWith('@gmr.example') ? 'STAFF' : 'GUEST'}\" }\n#",
    );
    assert!(matches!(in_a_header.as_slice(), [message] if message.contains("nobody verified")), "{in_a_header:?}");
}
