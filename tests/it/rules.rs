//! What rules do on the wire: optional sign-in, the gateway's own answers, selectors, and observe mode on live traffic.

use http::{Method, StatusCode};
use lychgate::app::Plan;
use lychgate::config::Environment;
use serde_json::{Value, json};

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{HOST, Setup, clock};
use crate::harness::site::{Site, ada, policy};

/// The usual policy with these rules in place of its own.
fn with_rules(upstream: &str, rules: &str) -> String {
    let usual = policy(upstream);
    format!("{}{rules}", usual.split("[[rules]]").next().unwrap())
}

async fn site(rules: &str) -> Site {
    Site::with(|upstream| with_rules(upstream, rules), |setup| setup).await
}

/// A policy that is tried beside the usual one.
fn tried(rules: &str) -> String {
    format!("mode = \"observe\"\n{}", with_rules("http://127.0.0.1:1", rules))
}

/// The lines about the application, each with these fields.
fn told(log: &[Value], fields: &[&str]) -> Vec<Value> {
    let lines = log.iter().filter(|line| line["decision"] != "reserved");
    let mut told: Vec<_> =
        lines.map(|line| fields.iter().map(|field| line[*field].clone()).collect::<Value>()).collect();
    told.sort_by_key(Value::to_string);
    told
}

/// The value of one sample of the gateway's metrics.
async fn sample(site: &Site, name: &str) -> Option<String> {
    let text = Browser::new().get(&format!("http://127.0.0.1:{}/metrics", site.gateway.admin().port())).await.text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
}

#[tokio::test]
async fn s02_s03_an_optional_page_tells_who_is_signed_in_and_nothing_of_anybody_else() {
    let site = site("[[rules]]\npaths = \"/start\"\naccess = \"optional\"\n[[rules]]\n").await;
    let forged = [("x-remote-user", "root"), ("x_remote_groups", "admins")];
    let reply = Browser::new().send(Method::GET, &site.url("/start"), &forged, bytes::Bytes::new()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let seen = site.application.last();
    assert_eq!((seen.header("x-remote-user"), seen.header("x-remote-groups")), (None, None));

    let mut browser = Browser::new();
    browser.open(&site.url("/")).await;
    let reply = browser.send(Method::GET, &site.url("/start"), &forged, bytes::Bytes::new()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let seen = site.application.last();
    assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-remote-groups").as_deref(), Some("staff;artists"));
    assert!(seen.header("x_remote_groups").is_none());
    let log = site.gateway.stop().await;
    let start: Vec<_> = log.iter().filter(|line| line["path"] == "/start").collect();
    assert_eq!(start.iter().filter(|line| line["decision"] == "public").count(), 1);
    assert_eq!(start.iter().filter(|line| line["decision"] == "allow" && line["who"] == "ada").count(), 1);
}

/// Rack, Rails and Express find parameters in the content of any request, and prefer them.
#[tokio::test]
async fn s08_a_get_with_a_body_is_denied_where_parameters_are_read() {
    let rules = "[[rules]]\npaths = \"/records\"\nmethods = \"GET\"\nquery = { action = \"show\" }\naccess = \"public\"\n\
                 [[rules]]\npaths = \"/form\"\naccess = \"public\"\n";
    let site = site(rules).await;
    let body = || bytes::Bytes::from_static(b"action=delete");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let mut browser = Browser::new();
    let mut ask = async |method, target: &str, body| {
        let reply = browser.send(method, &site.url(target), &form, body).await;
        reply.status.as_u16()
    };
    assert_eq!(ask(Method::GET, "/records?action=show", body()).await, 403);
    assert_eq!(ask(Method::HEAD, "/records?action=show", body()).await, 403);
    assert_eq!(ask(Method::GET, "/records?action=show", bytes::Bytes::new()).await, 200);
    assert_eq!(ask(Method::POST, "/form", body()).await, 200);
    assert_eq!(site.application.seen().len(), 2);
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "content_ambiguous").count(), 2);
}

#[tokio::test]
async fn the_gateway_answers_in_place_of_the_application() {
    let rules = r#"
[[rules]]
paths = "/old/**"
redirect = { to = "/new?a=1", status = 308, keep_query = true }
[[rules]]
paths = "/gone/**"
respond = 410
[[rules]]
paths = "/note"
respond = { status = 200, body = "<b>Back at noon.</b>", content_type = "text/html" }
[[rules]]
paths = "/staff"
allow = "'staff' in user.groups"
redirect = "https://intranet.example/staff"
[[rules]]
"#;
    let site = site(rules).await;
    let mut browser = Browser::new();
    let own = |reply: &Reply| {
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    };
    let reply = browser.get(&site.url("/old/x?next=//evil.example")).await;
    assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(reply.header("location"), Some("/new?a=1&next=//evil.example"));
    own(&reply);
    let reply = browser.fetch(Method::POST, &site.url("/gone/x")).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::GONE, "410 Gone\n"));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    own(&reply);
    let reply = browser.get(&site.url("/note")).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, Some("text/html")));
    assert_eq!(reply.text(), "<b>Back at noon.</b>");
    own(&reply);
    assert_eq!(browser.fetch(Method::GET, &site.url("/staff")).await.status, StatusCode::UNAUTHORIZED);
    browser.open(&site.url("/")).await;
    let reply = browser.get(&site.url("/staff")).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::FOUND, Some("https://intranet.example/staff")));
    assert_eq!(site.application.only().target, "/", "the answers are the gateway's own");

    let log = site.gateway.stop().await;
    let said = told(&log, &["path", "status", "decision", "rule"]);
    for line in [
        json!(["/old/x", 308, "redirect", "#1"]),
        json!(["/gone/x", 410, "respond", "#2"]),
        json!(["/note", 200, "respond", "#3"]),
        json!(["/staff", 401, "sign_in", "#4"]),
        json!(["/staff", 302, "redirect", "#4"]),
    ] {
        assert!(said.contains(&line), "{line} is not in {said:#?}");
    }
}

#[tokio::test]
async fn a_rule_never_answers_for_the_gateways_own_addresses() {
    let site = site("[[rules]]\nredirect = \"https://other.example/\"\n").await;
    let reply = Browser::new().get(&site.url("/.lychgate/logout")).await;
    assert_ne!(reply.header("location"), Some("https://other.example/"));
    let reply = Browser::new().get(&site.url("/.LYCHGATE/me")).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::NOT_FOUND, None));
}

#[tokio::test]
async fn a_query_in_doubt_and_a_time_that_is_over_deny() {
    // The clock stands at 2026-11-18.
    let rules = r#"
[[rules]]
name = "print"
query = { view = "print" }
access = "public"
[[rules]]
name = "partners"
paths = "/partners"
until = 2026-11-20
access = "public"
"#;
    let site = site(rules).await;
    let mut browser = Browser::new();
    assert_eq!(browser.get(&site.url("/a?view=print")).await.status, StatusCode::OK);
    assert_eq!(browser.get(&site.url("/a?view=print&view=x")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get(&site.url("/partners")).await.status, StatusCode::OK);
    site.clock.advance(std::time::Duration::from_secs(132_800));
    assert_eq!(browser.get(&site.url("/partners")).await.status, StatusCode::FORBIDDEN);
    let log = site.gateway.stop().await;
    let expected = [
        json!(["/a", "deny", null, "query_ambiguous"]),
        json!(["/a", "public", "print", null]),
        json!(["/partners", "deny", null, "no_rule"]),
        json!(["/partners", "public", "partners", null]),
    ];
    assert_eq!(told(&log, &["path", "decision", "rule", "reason"]), expected);
}

#[tokio::test]
async fn live_traffic_passes_while_the_log_says_what_a_stricter_rule_would_deny() {
    let rules = "[[rules]]\nname = \"soon\"\nmode = \"observe\"\npaths = \"/statements/**\"\n\
                 allow = \"'admins' in user.groups\"\n[[rules]]\n";
    let site = site(rules).await;
    let mut browser = site.signed_in().await;
    assert_eq!(browser.get(&site.url("/statements/1")).await.text(), "hello");
    assert_eq!(browser.get(&site.url("/other")).await.text(), "hello");
    assert_eq!(sample(&site, "lychgate_observed_total{app=\"app\",decision=\"deny\"}").await.as_deref(), Some("1"));
    let log = site.gateway.stop().await;
    let fields = ["path", "decision", "rule", "observed", "observed_rule", "observed_reason", "observed_policy"];
    let said = told(&log, &fields);
    assert!(said.contains(&json!(["/statements/1", "allow", "#2", "deny", "soon", "not_allowed", null])), "{said:#?}");
    assert!(said.contains(&json!(["/other", "allow", "#2", null, null, null, null])), "{said:#?}");
}

#[tokio::test]
async fn a_shadow_is_decided_beside_the_policy_and_never_enforced() {
    let shadow = "[[rules]]\npaths = \"/public/**\"\nredirect = \"/elsewhere\"\n[[rules]]\nname = \"sales\"\n\
                  paths = \"/s/**\"\nallow = \"user.department == 'sales'\"\n[[rules]]\naccess = \"public\"\n";
    let site = Site::with(policy, |setup| setup.policy("next", &tried(shadow))).await;
    site.provider.script().person = [ada(), vec![("department".to_owned(), json!("art"))]].concat();
    let mut browser = site.signed_in().await;
    assert_eq!(browser.get(&site.url("/s/1")).await.text(), "hello");
    assert_eq!(browser.get(&site.url("/public/x")).await.text(), "hello");
    // What the shadow would let pass is as closed as before.
    assert_eq!(browser.get(&site.url("/admin/x")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(Browser::new().fetch(Method::GET, &site.url("/t")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sample(&site, "lychgate_observed_total{app=\"app\",decision=\"redirect\"}").await.as_deref(), Some("1"));
    let log = site.gateway.stop().await;
    let said = told(&log, &["path", "decision", "observed", "observed_rule", "observed_reason", "observed_policy"]);
    for line in [
        json!(["/s/1", "allow", "deny", "sales", "not_allowed", "next"]),
        json!(["/public/x", "public", "redirect", "#1", null, "next"]),
        json!(["/admin/x", "deny", "public", "#3", null, "next"]),
        json!(["/t", "sign_in", "public", "#3", null, "next"]),
    ] {
        assert!(said.contains(&line), "{line} is not in {said:#?}");
    }
    assert!(said.iter().all(|line| line[5] == "next"), "{said:#?}");
}

#[tokio::test]
async fn s01_the_names_of_a_shadow_are_taken_from_clients_too() {
    let shadow = tried("[[rules]]\n").replace("X-Remote-User", "X-Next-User");
    let site = Site::with(policy, |setup| setup.policy("next", &shadow)).await;
    let forged = [("x-next-user", "root"), ("x_next_user", "root")];
    Browser::new().send(Method::GET, &site.url("/public/x"), &forged, bytes::Bytes::new()).await;
    let seen = site.application.only();
    assert!(seen.headers.keys().all(|name| !name.as_str().contains("next")), "{:?}", seen.headers);
}

/// What is wrong with a gateway of the usual policy and these others.
fn findings(others: &[(&str, String)]) -> String {
    let setup = Setup::new(&clock()).issuer("http://127.0.0.1:1", "").policy("app", &policy("http://127.0.0.1:1"));
    let setup = others.iter().fold(setup, |setup, (name, text)| setup.policy(name, text));
    let (plan, report) = Plan::read(&setup.write(), &Environment::from_iter([]), &[]);
    assert!(plan.is_none());
    report.render()
}

#[test]
fn a_shadow_needs_the_one_policy_that_it_stands_beside() {
    let shadow = tried("[[rules]]\n");
    let elsewhere = findings(&[("next", shadow.replace(HOST, "other.localhost"))]);
    assert!(elsewhere.contains("`next` only observes, and no policy is enforced at other.localhost/"), "{elsewhere}");
    assert!(elsewhere.contains("next.toml:4:9"), "{elsewhere}");
    let below = findings(&[("next", shadow.replace("[login]", "path = \"/x\"\n[login]"))]);
    assert!(below.contains("no policy is enforced at app.localhost/x"), "{below}");
    let wider = findings(&[("next", shadow.replace(&format!("\"{HOST}\""), &format!("\"{HOST}\", \"b.localhost\"")))]);
    assert!(wider.contains("`next` observes b.localhost, which is no host of `app`"), "{wider}");
    let two = findings(&[("first", shadow.clone()), ("second", shadow)]);
    assert!(two.contains("`first` and `second` both observe beside `app`"), "{two}");
}

#[tokio::test]
async fn s08_expressions_see_the_scrubbed_head_and_one_value_of_each_parameter() {
    let rules = r#"
[[rules]]
paths = "/hop"
allow = "'referer' in request.headers && has(user.sub)"
[[rules]]
paths = "/print"
allow = "request.params.view == 'print' && request.headers['accept-language'] == 'de' && request.tls.version == '' && has(user.sub)"
[[rules]]
"#;
    let site = site(rules).await;
    let mut browser = Browser::new();
    browser.open(&site.url("/")).await;
    let mut ask = async |target: &str, head: &[(&str, &str)]| {
        browser.send(Method::GET, &site.url(target), head, bytes::Bytes::new()).await.status
    };
    // What a policy emits cannot be read at all; what `Connection` lists is gone before rules are asked.
    assert_eq!(ask("/hop", &[("referer", "a")]).await, StatusCode::OK);
    assert_eq!(ask("/hop", &[("referer", "a"), ("connection", "referer")]).await, StatusCode::FORBIDDEN);
    assert_eq!(ask("/print?view=print", &[("accept-language", "de")]).await, StatusCode::OK);
    assert_eq!(ask("/print?view=print", &[("accept-language", "en")]).await, StatusCode::FORBIDDEN);
    assert_eq!(
        ask("/print?view=print", &[("accept-language", "de"), ("accept_language", "de")]).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(ask("/?view=print&view=full", &[]).await, StatusCode::FORBIDDEN);
    let log = site.gateway.stop().await;
    let reasons: Vec<_> = told(&log, &["path", "reason"]).iter().map(ToString::to_string).collect();
    for expected in [
        r#"["/hop","not_allowed"]"#,
        r#"["/print","not_allowed"]"#,
        r#"["/print","request_header_ambiguous"]"#,
        r#"["/","query_ambiguous"]"#,
    ] {
        assert!(reasons.iter().any(|reason| reason == expected), "{expected}: {reasons:?}");
    }
}
