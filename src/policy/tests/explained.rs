//! Explanations agree with decisions, and what a decision did not consult cannot change it.

use super::*;

/// The decision that follows from what an explanation says was asked: the rule's label and a word.
fn implied(policy: &Policy, request: &RequestFacts<'_>, explained: &Explained<'_>) -> (Option<String>, &'static str) {
    if policy.networks().is_some_and(|networks| !networks.admit(request.client)) {
        return (None, "deny network_denied");
    }
    if explained.doubtful.is_some() {
        return (None, "deny query_ambiguous");
    }
    let Some(rule) = explained.rules.iter().find(|rule| rule.standing == Standing::Decides) else {
        return (None, "deny no_rule");
    };
    (Some(rule.rule.clone()), asked(&rule.checks))
}

fn asked(checks: &[Check]) -> &'static str {
    let (mut open, mut optional) = (false, false);
    for check in checks {
        match check {
            Check::Access { wanted: "session", signed_in: false } => return "sign_in",
            Check::Access { wanted, signed_in } => {
                optional = *wanted == "optional";
                open = *wanted == "public" || (optional && !signed_in);
            }
            Check::Login { good: false, .. } if optional => open = true,
            Check::Login { good: false, .. } | Check::StepUp { good: false, .. } => return "step_up",
            Check::Condition { holds: None, .. } => return "deny expression_failed",
            Check::Condition { key: "deny", holds: Some(true), .. } => return "deny denied",
            Check::Condition { key: "allow", holds: Some(false), .. } => return "deny not_allowed",
            Check::Answer { .. } => return "answer",
            _ => {}
        }
    }
    if open { "public" } else { "allow" }
}

fn found(decision: &Decision<'_>) -> (Option<String>, &'static str) {
    let word = match decision {
        Decision::Allow(permit) if permit.is_public() => "public",
        Decision::Allow(_) => "allow",
        Decision::Deny(denial) if denial.reason().is_of_a_header() => "allow",
        Decision::Deny(denial) => match denial.code() {
            "network_denied" => "deny network_denied",
            "no_rule" => "deny no_rule",
            "query_ambiguous" | "path_ambiguous" => "deny query_ambiguous",
            "expression_failed" => "deny expression_failed",
            "denied" => "deny denied",
            "not_allowed" => "deny not_allowed",
            other => panic!("{other}"),
        },
        Decision::SignIn { .. } => "sign_in",
        Decision::StepUp(_) => "step_up",
        Decision::Answer(_) => "answer",
    };
    (decision.rule().map(str::to_owned), word)
}

/// Every condition's outcome is what its own tree came to.
fn trees_agree(explained: &Explained<'_>) -> bool {
    let checks = explained.rules.iter().flat_map(|rule| &rule.checks);
    checks.into_iter().all(|check| match check {
        Check::Condition { holds: Some(holds), seen, .. } => seen.value.as_deref() == Some(&*holds.to_string()),
        Check::Condition { holds: None, seen, .. } => seen.value.is_none() || seen.value.as_deref() != Some("true"),
        _ => true,
    })
}

#[test]
fn explanations_agree_with_decisions_for_every_test_of_every_policy_in_the_tree() {
    let policies = policies_of_the_tree();
    let mut count = 0;
    for policy in &policies {
        for test in &policy.tests {
            let agreed = test.asked(policy, |request, who, now| {
                let explained = policy.explain(request, who, now);
                assert_eq!(
                    implied(policy, request, &explained),
                    found(&policy.decide(request, who, now)),
                    "{}",
                    test.name
                );
                assert_eq!(explained.rules.len(), policy.front.rules.len());
                trees_agree(&explained)
            });
            assert_eq!(agreed, Some(true), "{}: {}", policy.name(), test.name);
            count += 1;
        }
    }
    assert!(policies.len() > 20 && count > 100, "{} policies, {count} tests", policies.len());
}

const RICH: &str = r#"
[groups]
staff = ["staff"]
[conditions]
mighty = "user.admin && !memberOf('staff')"
[login]
provider = "okta"
acr = ["mfa", "pwd"]
[headers]
X-Remote-User = "${user.name}"
X-Remote-Mail = { value = "${user.email}", missing = "deny" }
X-Path = "${request.path}"
[[rules]]
paths = ["/static/**"]
access = "public"
[[rules]]
name = "watching"
mode = "observe"
allow = "user.admin"
[[rules]]
paths = ["/a/**", "/b"]
methods = ["GET", "POST"]
query = { view = ["print", "pdf"] }
networks = ["10.0.0.0/8"]
deny = "'blocked' in user.groups || user.level > 3"
allow = "user.admin && (user.level == 1 || session.acr == 'mfa')"
[[rules]]
paths = ["/a/**"]
access = "optional"
hours = ["00:00-12:00"]
[[rules]]
paths = ["/b/**"]
step_up = { acr = ["mfa"], max_age = "10m" }
allow = "user.groups.exists(g, g.startsWith('s'))"
[[rules]]
paths = ["/c"]
respond = 404
allow = "request.query.contains('x') && user.level != 2"
[[rules]]
paths = ["/c/**", "/b/x"]
allow = "mighty || (has(user.email) ? 'staff' in user.groups : user.admin) && request.params.view != 'pdf'"
"#;

/// Tokens and browsers are asked for different things, and cookies can deny.
const MIXED: &str = r#"
[login]
provider = "okta"
LOGIN
[bearer]
audience = "x"
BEARER
[headers]
X-Remote-User = "${user.name}"
[cookies]
who = { value = "${user.email}", missing = "deny" }
[[rules]]
paths = ["/a/**"]
step_up = { max_age = "10m" }
allow = "session.kind == 'browser' || user.admin"
[[rules]]
paths = ["/b/**"]
access = "optional"
[[rules]]
paths = ["/c"]
step_up = { acr = "mfa" }
[[rules]]
allow = "user.level == 1"
"#;

/// All policies that are asked at random.
fn policies() -> Vec<Policy> {
    let mut texts = vec![RICH.to_owned()];
    for login in ["", "acr = [\"pwd\"]"] {
        for bearer in ["", "acr = [\"mfa\"]", "acr = []"] {
            texts.push(MIXED.replace("LOGIN", login).replace("BEARER", bearer));
        }
    }
    texts.iter().map(|text| policy(text)).collect()
}

static POLICIES: std::sync::LazyLock<Vec<Policy>> = std::sync::LazyLock::new(policies);

/// A request and who makes it, from small numbers.
#[derive(Clone, Debug)]
struct Asked {
    policy: usize,
    kind: SessionKind,
    method: &'static str,
    path: String,
    query: Option<String>,
    client: &'static str,
    hour: u64,
    claims: Option<Vec<(&'static str, &'static str)>>,
    acr: Option<&'static str>,
    age: u64,
}

fn asked_at_random() -> impl Strategy<Value = Asked> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "x", "static"]), 0..3);
    let query =
        prop::sample::select(vec!["view=print", "view=pdf&x=1", "view=other", "x", "view=print&view=pdf", "VIEW=a"]);
    let claim = prop::sample::select(vec![
        ("name", "\"ada\""),
        ("email", "\"ada@gmr.example\""),
        ("admin", "true"),
        ("admin", "false"),
        ("level", "1"),
        ("level", "2"),
        ("level", "7"),
        ("groups", "[\"staff\"]"),
        ("groups", "[\"blocked\",\"x\"]"),
        ("groups", "\"staff\""),
    ]);
    (
        prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "REPORT"]),
        path.prop_map(|segments| format!("/{}", segments.join("/"))),
        prop::option::of(query.prop_map(str::to_owned)),
        prop::sample::select(vec!["10.1.2.3", "192.0.2.7"]),
        0u64..24,
        prop::option::weighted(0.8, prop::collection::vec(claim, 0..6)),
        prop::option::of(prop::sample::select(vec!["mfa", "pwd", "none"])),
        prop::sample::select(vec![0u64, 300, 3600]),
        (0usize..7, prop::sample::select(vec![SessionKind::Browser, SessionKind::Bearer])),
    )
        .prop_map(|(method, path, query, client, hour, claims, acr, age, (policy, kind))| Asked {
            policy,
            kind,
            method,
            path,
            query,
            client,
            hour,
            claims,
            acr,
            age,
        })
}

impl Asked {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_767_225_600).after(Duration::from_secs(self.hour * 3600))
    }

    fn subject(&self, kept: &dyn Fn(&str) -> bool) -> Option<Subject> {
        let mut claims = Claims::default();
        for (name, json) in self.claims.as_ref()?.iter().filter(|(name, _)| kept(name)) {
            let one = Claims::from_json(format!("{{\"{name}\":{json}}}").as_bytes()).unwrap();
            claims.merge(one);
        }
        let session = SessionFacts {
            kind: self.kind,
            provider: "okta".into(),
            acr: self.acr.map(Into::into),
            amr: Vec::new(),
            authenticated_at: self.now().before(Duration::from_secs(self.age)),
        };
        Some(Subject { claims, session })
    }

    fn look<T>(&self, policy: &Policy, query: Option<&str>, look: impl FnOnce(&RequestFacts<'_>) -> T) -> T {
        look(&RequestFacts {
            method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
            host: policy.hosts().first().unwrap(),
            path: &CanonicalPath::parse(&self.path).unwrap(),
            query,
            client: self.client.parse().unwrap(),
            scheme: Scheme::Https,
            tls: None,
            headers: no_headers(),
            has_content: false,
        })
    }
}

proptest! {
    #[test]
    fn explanations_agree_with_decisions_for_random_requests(asked in asked_at_random()) {
        let policy = POLICIES.get(asked.policy).unwrap();
        let who = asked.subject(&|_| true).map(|subject| policy.prepare(Arc::new(subject)));
        let (implied, found, trees) = asked.look(policy, asked.query.as_deref(), |request| {
            let explained = policy.explain(request, who.as_ref(), asked.now());
            let decision = policy.decide(request, who.as_ref(), asked.now());
            let denied_by_value = matches!(&decision, Decision::Deny(denial) if denial.code().starts_with("header_"));
            let shown = explained.headers.iter().any(|header| header.why.is_some());
            assert!(shown || !denied_by_value, "what denied is not shown");
            (implied(policy, request, &explained), found(&decision), trees_agree(&explained))
        });
        prop_assert_eq!(implied, found);
        prop_assert!(trees);
    }

    #[test]
    fn what_was_not_consulted_cannot_change_a_decision(asked in asked_at_random()) {
        let policy = POLICIES.get(asked.policy).unwrap();
        let who = asked.subject(&|_| true).map(|subject| policy.prepare(Arc::new(subject)));
        let query = asked.query.as_deref();
        let (whole, consulted, doubtful) = asked.look(policy, query, |request| {
            let explained = policy.explain(request, who.as_ref(), asked.now());
            (found(&explained.decision), policy.consulted(request, who.as_ref(), asked.now()), explained.doubtful)
        });
        prop_assume!(doubtful.is_none());
        // Everything that was not consulted is taken away.
        let mut subject = asked.subject(&|name| consulted.claims.contains(name));
        if let Some(subject) = subject.as_mut().filter(|_| !consulted.session) {
            subject.session.kind = SessionKind::Browser;
            subject.session.acr = None;
            subject.session.authenticated_at = Timestamp::from_seconds(0);
        }
        let reads_query = consulted.parameters.contains("view") || consulted.request.contains("request.query");
        let less = subject.map(|subject| policy.prepare(Arc::new(subject)));
        let again = asked.look(policy, query.filter(|_| reads_query), |request| {
            found(&policy.decide(request, less.as_ref(), asked.now()))
        });
        prop_assert_eq!(again, whole);
    }
}

#[test]
fn an_explanation_names_what_refused_and_what_was_read() {
    let policy = policy(RICH);
    let asked = Asked {
        policy: 0,
        kind: SessionKind::Browser,
        method: "POST",
        path: "/a/x".to_owned(),
        query: Some("view=pdf".to_owned()),
        client: "10.1.2.3",
        hour: 1,
        claims: Some(vec![("admin", "true"), ("level", "2"), ("groups", "[\"staff\"]")]),
        acr: Some("pwd"),
        age: 0,
    };
    let who = asked.subject(&|_| true).map(|subject| policy.prepare(Arc::new(subject)));
    let rules =
        asked.look(&policy, asked.query.as_deref(), |request| policy.explain(request, who.as_ref(), asked.now()).rules);
    let Standing::PassedOver { by, wanted, found } = &rules[0].standing else { panic!("{rules:?}") };
    assert_eq!((*by, wanted.as_str(), found.as_str()), ("paths", "/static/**", "/a/x"));
    assert_eq!(rules[1].standing, Standing::Observes);
    assert_eq!(rules[2].standing, Standing::Decides);
    assert_eq!(rules[3].standing, Standing::TooLate);
    let Some(Check::Condition { key: "allow", holds: Some(false), seen }) = rules[2].checks.last() else {
        panic!("{:?}", rules[2].checks)
    };
    assert_eq!(seen.text, "user.admin && (user.level == 1 || session.acr == 'mfa')");
    let values = |seen: &Seen| seen.parts.iter().map(|part| part.value.clone().unwrap()).collect::<Vec<_>>();
    assert_eq!(values(seen), ["true", "false"]);
    assert_eq!(values(&seen.parts[1]), ["false", "false"]);
    assert_eq!(values(&seen.parts[1].parts[0]), ["2"]);
    assert_eq!(values(&seen.parts[1].parts[1]), ["\"pwd\""]);
}

#[test]
fn what_a_login_must_have_is_shown_for_the_kind_of_session_that_asks() {
    let [login, bearer] = [["acr = [\"pwd\"]", "acr = []"], ["", "acr = [\"mfa\"]"]];
    let shown = |[login, bearer]: [&str; 2], kind, acr: &str| {
        let policy = policy(&MIXED.replace("LOGIN", login).replace("BEARER", bearer));
        let mut one = subject(r#"{"admin": true, "email": "a@b"}"#);
        (one.session.kind, one.session.acr) = (kind, Some(acr.into()));
        let who = policy.prepare(Arc::new(one));
        let path = CanonicalPath::parse("/a").unwrap();
        let explained = policy.explain(&facts(&policy, &path), Some(&who), NOW);
        let asked = explained.rules.iter().flat_map(|rule| &rule.checks).find_map(|check| match check {
            Check::Login { wanted, good, .. } => Some((wanted.join(" "), *good)),
            _ => None,
        });
        (asked, found(&explained.decision).1, policy.consulted(&facts(&policy, &path), Some(&who), NOW).session)
    };
    let (browser, token) = (SessionKind::Browser, SessionKind::Bearer);
    assert_eq!(shown(login, browser, "x"), (Some(("pwd mfa".to_owned(), false)), "step_up", true));
    assert_eq!(shown(login, token, "x"), (None, "allow", true));
    assert_eq!(shown(bearer, browser, "x"), (None, "allow", true));
    assert_eq!(shown(bearer, token, "x"), (Some(("mfa mfa".to_owned(), false)), "step_up", true));
    assert_eq!(shown(bearer, token, "mfa"), (Some(("mfa mfa".to_owned(), true)), "allow", true));
}

#[test]
fn a_token_whose_sign_in_is_too_old_is_told_what_tokens_must_vouch_for() {
    for (login, bearer, browsers, tokens) in [
        ("acr = [\"pwd\"]", "acr = []", "pwd", ""),
        ("acr = [\"pwd\"]", "acr = [\"mfa\"]", "pwd", "mfa"),
        ("acr = [\"pwd\"]", "", "pwd", "pwd"),
        ("", "acr = [\"mfa\"]", "", "mfa"),
    ] {
        let policy = policy(&MIXED.replace("LOGIN", login).replace("BEARER", bearer));
        for (kind, wanted) in [(SessionKind::Browser, browsers), (SessionKind::Bearer, tokens)] {
            let mut old = subject(r#"{"admin": true}"#);
            (old.session.kind, old.session.acr) = (kind, Some(wanted.into()));
            old.session.authenticated_at = NOW.before(Duration::from_secs(3600));
            let who = policy.prepare(Arc::new(old));
            let path = CanonicalPath::parse("/a").unwrap();
            let decision = policy.decide(&facts(&policy, &path), Some(&who), NOW);
            let Decision::StepUp(asked) = &decision else { panic!("{:?}", found(&decision)) };
            assert_eq!(asked.acr.join(" "), wanted, "{login} {bearer} {kind:?}");
        }
    }
}

#[test]
fn a_cookie_that_denies_is_shown_and_counts_as_what_comes_after_all_rules() {
    let policy = policy(&MIXED.replace("LOGIN", "").replace("BEARER", ""));
    let who = policy.prepare(Arc::new(subject(r#"{"name": "ada"}"#)));
    let path = CanonicalPath::parse("/b").unwrap();
    let explained = policy.explain(&facts(&policy, &path), Some(&who), NOW);
    let Decision::Deny(denial) = &explained.decision else { panic!("{:?}", found(&explained.decision)) };
    assert!(denial.reason().is_of_a_header(), "{}", denial.code());
    let shown: Vec<_> =
        explained.headers.iter().map(|header| (header.value.as_deref(), header.why.is_some())).collect();
    assert_eq!(shown, [(Some("ada"), false), (None, true)]);
}
