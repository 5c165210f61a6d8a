//! Limits and networks as they are read, warned of and explained.

use super::*;
use crate::limit::Rate;

/// The warnings about this policy, as `line: message`, counted from its own first line.
fn warnings(rest: &str) -> Vec<String> {
    let head = "[app]\nhosts = [\"app.example\"]\nupstream = \"http://127.0.0.1:7001\"\n";
    let mut report = Report::default();
    let source = SourceFile::new("app.toml", format!("{head}{rest}").as_str());
    assert!(compile("app", &source, &surroundings(&[OKTA]), &mut report).is_some(), "{report}");
    let told = report.findings().iter().map(|finding| {
        let (file, span) = finding.place.as_ref().unwrap();
        format!("{}: {}", file.line_column(span.start).0 - 3, finding.message)
    });
    told.collect()
}

#[test]
fn what_is_said_is_what_is_counted() {
    let policy = policy(
        r#"
[login]
[limits]
rate = { per = "address", requests = 100, every = "1m" }
concurrency = 50
[[rules]]
name = "uploads"
paths = "/upload"
limits = { mode = "observe", concurrency_per_person = 2, rate = [{ per = "person", requests = 5, every = "1h", burst = 2 }] }
[[rules]]
"#,
    );
    let rate = |requests, seconds, burst| Rate::new(requests, Duration::from_secs(seconds), burst).unwrap();
    let whole = Limits {
        rates: vec![RateLimit { per: Per::Address, rate: rate(100, 60, 100) }],
        concurrency: Some(50),
        ..Limits::default()
    };
    let of_rule = Limits {
        rates: vec![RateLimit { per: Per::Person, rate: rate(5, 3600, 2) }],
        concurrency_per_person: Some(2),
        observes: true,
        ..Limits::default()
    };
    assert_eq!(policy.limits(), &PolicyLimits { whole: Some(whole), rules: vec![("uploads".into(), of_rule)] });
    let path = CanonicalPath::parse("/upload").unwrap();
    let explained = policy.explain(&facts(&policy, &path), None, NOW);
    let told = explained.limits.iter().map(|one| (one.rule.as_deref(), one.limit.as_str(), one.observes));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (None, "100 requests in 1m, 100 at once, per address", false),
            (None, "50 at once in the application", false),
            (Some("uploads"), "5 requests in 1h, 2 at once, per person", true),
            (Some("uploads"), "2 at once in the application, per person", true),
        ]
    );
}

#[test]
fn d03_a_limit_that_can_never_bite_is_warned_of() {
    let rest = r#"[login]
[limits]
concurrency = 10
concurrency_per_person = 10
rate = [
  { per = "address", requests = 100, every = "1m", burst = 10 },
  { per = "address", requests = 200, every = "1m", burst = 10 },
  { per = "person", requests = 300, every = "1m", burst = 10 },
  { per = "person", requests = 300, every = "1m", burst = 10 },
]
[[rules]]
paths = "/a"
[rules.limits]
concurrency = 10
rate = { per = "address", requests = 100, every = "1m", burst = 20 }
[[rules]]
paths = "/b"
[rules.limits]
concurrency = 9
rate = [{ per = "address", requests = 90, every = "1m", burst = 20 }]
[[rules]]
"#;
    assert_eq!(
        warnings(rest),
        [
            "4: 10 of one person are never refused: no more than 10 are let in at all",
            "7: this rate never refuses anything: 100 requests in 1m, 10 at once lets no more pass",
            "9: this rate never refuses anything: 300 requests in 1m, 10 at once lets no more pass",
            "14: `concurrency` never refuses anything here: the application's is 10",
            "15: this rate never refuses anything: the application's, 100 requests in 1m, 10 at once, lets no more pass",
        ]
    );
    let tried = rest.replacen("[limits]\n", "[limits]\nmode = \"observe\"\n", 1);
    assert_eq!(warnings(&tried).len(), 3, "what only observes holds nothing back");
}

#[test]
fn people_that_nobody_knows_are_warned_of() {
    let rest = r#"[limits]
rate = { per = "person", requests = 100, every = "1m" }
[[rules]]
access = "public"
"#;
    assert_eq!(warnings(rest), ["2: nobody is known here, so each address counts by itself"]);
    assert_eq!(warnings(&format!("[login]\n{rest}")), [""; 0]);
}

#[test]
fn d03_networks_are_asked_before_any_rule() {
    let policy = policy(
        r#"
[networks]
allow = ["10.0.0.0/8", "2001:db8::/32"]
deny = "10.66.0.0/16"
[[rules]]
access = "public"
"#,
    );
    let path = CanonicalPath::parse("/").unwrap();
    for (client, admitted) in [
        ("10.0.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("2001:db8::1", true),
        ("10.66.1.1", false),
        ("::ffff:10.66.1.1", false),
        ("192.0.2.7", false),
        ("::1", false),
    ] {
        let client = client.parse().unwrap();
        let facts = RequestFacts { client, ..facts(&policy, &path) };
        let explained = policy.explain(&facts, None, NOW);
        assert_eq!(policy.networks().unwrap().admit(client), admitted, "{client}");
        let reason = (!admitted).then_some("network_denied");
        assert_eq!((explained.decision.reason(), explained.decision.rule().is_some()), (reason, admitted), "{client}");
        assert_eq!(explained.rules[0].standing == Standing::Decides, admitted);
    }
}

#[test]
fn networks_that_change_nothing_are_warned_of() {
    let rest = "[login]\n[networks]\nallow = \"10.0.0.0/8\"\ndeny = [\"192.0.2.0/24\", \"10.66.0.0/16\"]\n[[rules]]\n";
    assert_eq!(warnings(rest), ["4: 192.0.2.0/24 is not in `allow`, so it is kept out anyway"]);
}
