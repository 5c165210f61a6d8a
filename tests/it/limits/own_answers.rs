//! Every answer of 4xx or 5xx that the gateway gives by itself has a reason in the access log, and is counted by it (D03).
//!
//! What a policy says with `respond` is its author's answer, and what an application says is the application's: neither is among them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::log;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{Answer, Claim};
use crate::harness::site::{Site, policy};

const RULES: &str = r#"[[rules]]
paths = ["/strong/**"]
allow = "'staff' in user.groups"
step_up = { acr = ["phr"] }
[[rules]]
paths = ["/said/**"]
respond = 403
[[rules]]"#;

const DEAD: &str = r#"[app]
hosts = ["dead.localhost"]
upstream = "http://127.0.0.1:1"
[[rules]]
access = "public"
"#;

type Counts = BTreeMap<(String, String), u64>;

fn counts(all: &[(&str, &str, u64)]) -> Counts {
    all.iter().map(|(app, reason, count)| (((*app).to_owned(), (*reason).to_owned()), *count)).collect()
}

/// How often each application and reason stands in the metrics.
async fn counted(gateway: &TestGateway) -> Counts {
    let text = Browser::new().get(&format!("http://{}/metrics", gateway.admin())).await.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("lychgate_refused_total{"));
    let read = lines.map(|line| {
        let label = |name: &str| line.split_once(name).unwrap().1.split('"').next().unwrap().to_owned();
        ((label("app=\""), label("reason=\"")), line.rsplit_once(' ').unwrap().1.parse().unwrap())
    });
    read.collect()
}

/// The same of the gateway's own answers in the access log. None of them lacks a reason.
fn logged(log: &[Value]) -> Counts {
    let own = log.iter().filter(|line| {
        line["status"].as_u64().unwrap() >= 400 && line.get("upstream").is_none() && line["decision"] != "respond"
    });
    own.fold(Counts::new(), |mut counts, line| {
        let reason = line["reason"].as_str().unwrap_or_else(|| panic!("no reason: {line}"));
        let app = line["app"].as_str().unwrap_or("-");
        *counts.entry((app.to_owned(), reason.to_owned())).or_default() += 1;
        counts
    })
}

/// Log and metrics tell of these answers and of no others.
async fn told(gateway: TestGateway, expected: &[(&str, &str, u64)]) -> Vec<Value> {
    let (counted, log) = (counted(&gateway).await, log(gateway).await);
    assert_eq!(logged(&log), counts(expected), "{log:#?}");
    assert_eq!(counted, counts(expected), "{log:#?}");
    log
}

/// The field of a program of the staff's whose sign-in was none of the strong ones.
fn bearer(issuer: &str) -> String {
    let claims = json!({
        "iss": issuer, "aud": "api", "sub": "ada-7", "client_id": "export", "jti": "1", "iat": 1,
        "exp": 9_999_999_999_u64, "groups": ["staff"], "preferred_username": "ada",
    });
    let header = [("typ".to_owned(), "at+jwt".into())];
    format!("Bearer {}", KEYS.token(Signing::Rs256, &header, &claims.to_string(), ""))
}

async fn site() -> Site {
    let policy = |upstream: &str| {
        policy(upstream).replace("[login]", "[bearer]\naudience = \"api\"\n[login]").replacen("[[rules]]", RULES, 1)
    };
    let hooks = "okta_hooks = { authorization = { file = \"hook.secret\" } }\n";
    let change = |setup: Setup| {
        let setup = setup.file("hook.secret", "Bearer of-the-okta-hook-0123456789\n");
        setup.provider_settings(hooks).policy("dead", DEAD)
    };
    Site::with(policy, change).await
}

#[tokio::test]
async fn d03_every_error_that_the_gateway_answers_by_itself_has_a_reason_and_is_counted_by_it() {
    let site = site().await;
    let mut ada = site.signed_in().await;
    let token = bearer(site.provider.issuer());
    let by_token = [("authorization", token.as_str())];
    let reply = Browser::new().send(Method::GET, &site.url("/strong/x"), &by_token, Bytes::new()).await;
    assert_eq!(reply.status.as_u16(), 401);
    assert!(reply.header("www-authenticate").unwrap().contains("insufficient_user_authentication"));
    assert_eq!(ada.fetch(Method::GET, &site.url("/strong/x")).await.status.as_u16(), 401);
    // Shown the way to a stronger sign-in, which is no error.
    assert_eq!(ada.get(&site.url("/strong/x")).await.status.as_u16(), 302);
    for (path, status) in [
        ("/.lychgate/me", 401),
        ("/.lychgate/sign-in?for=%2F", 401),
        ("/.lychgate/events/okta", 400),
        ("/.lychgate/frontchannel-logout", 400),
        ("/said/x", 403),
        ("/statements", 401),
    ] {
        assert_eq!(Browser::new().fetch(Method::GET, &site.url(path)).await.status.as_u16(), status, "{path}");
    }
    // A form that is kept.
    let form = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let kept = Browser::new().send(Method::POST, &site.url("/pay"), &form, Bytes::from_static(b"a=1")).await;
    assert!(kept.status.as_u16() == 401 && kept.text().contains("name=\"token\""), "{}", kept.text());
    let dead = site.url("/x").replace(HOST, "dead.localhost");
    assert_eq!(Browser::new().get(&dead).await.status.as_u16(), 502);
    site.provider.script().claims = vec![Claim::Set("nonce", json!("of-another-login"))];
    assert_eq!(Browser::new().open(&site.url("/")).await.status.as_u16(), 502);
    site.provider.script().token_answer = Answer::Status(500);
    assert!(Browser::new().open(&site.url("/")).await.status.is_server_error());
    let expected = [
        ("-", "session_absent", 1),
        ("-", "signal_front_channel", 1),
        ("-", "signal_no_challenge", 1),
        ("app", "id_token_nonce", 1),
        ("app", "session_absent", 3),
        ("app", "step_up_needed", 2),
        ("app", "token_endpoint_malformed", 1),
        ("dead", "upstream_connect", 1),
    ];
    let log = told(site.gateway, &expected).await;
    let said = log.iter().find(|line| line["decision"] == "respond").unwrap();
    assert_eq!((&said["status"], said.get("reason")), (&json!(403), None), "{said}");
}

#[tokio::test]
async fn d03_a_login_that_cannot_begin_is_counted_as_the_gateways_own_error() {
    let setup = Setup::new(&clock()).issuer("http://127.0.0.1:1", "").policy("app", &policy("http://127.0.0.1:9"));
    let gateway = setup.start_unready();
    assert_eq!(Browser::new().get(&gateway.url("/")).await.status.as_u16(), 503);
    told(gateway, &[("app", "provider_unavailable", 1)]).await;
}
