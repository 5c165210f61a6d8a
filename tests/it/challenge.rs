//! Who must sign in first: people are sent to the provider, programs are told; tabs, step-up, a provider that is away.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::{Answer, Claim, Recorded, value};
use crate::harness::site::{SESSION, Site, ada, line_of, parameter, policy};
use lychgate::oidc::pending::MAX_PENDING;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn c12_a_background_request_without_session_gets_401_and_never_a_redirect() {
    let site = Site::new().await;
    let html = ("accept", "text/html,application/xhtml+xml");
    let upgrade: &[(&str, &str)] = &[
        html,
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    type Case<'a> = (&'a str, Method, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 14] = [
        ("fetch", Method::GET, &[("accept", "*/*"), ("sec-fetch-mode", "cors")]),
        ("fetch for HTML", Method::GET, &[html, ("sec-fetch-mode", "cors")]),
        ("same-origin fetch", Method::GET, &[html, ("sec-fetch-mode", "same-origin")]),
        ("image", Method::GET, &[("accept", "image/avif,*/*"), ("sec-fetch-mode", "no-cors")]),
        ("XMLHttpRequest", Method::GET, &[html, ("x-requested-with", "XMLHttpRequest")]),
        ("WebSocket", Method::GET, upgrade),
        ("WebSocket of a browser", Method::GET, &[("sec-fetch-mode", "websocket"), ("accept", "*/*")]),
        ("form", Method::POST, &[("accept", "application/json")]),
        ("PUT", Method::PUT, &[html]),
        ("DELETE", Method::DELETE, &[html]),
        ("prefetch", Method::GET, &[html, ("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch;prerender")]),
        ("JSON", Method::GET, &[("accept", "application/json")]),
        ("anything", Method::GET, &[("accept", "*/*")]),
        ("no Accept at all", Method::GET, &[]),
    ];
    for (case, method, headers) in cases {
        let mut browser = Browser::new();
        let reply = browser.send(method, &site.url("/statements"), headers, Bytes::new()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{case}");
        assert_eq!(reply.location(), None, "{case}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{case}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"app\""), "{case}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{case}");
        let body = reply.json();
        assert_eq!((body["error"].as_str(), body["sign_in_url"].as_str()), (Some("sign_in_required"), Some("/")));
        assert!(browser.cookie_names(HOST).is_empty(), "{case}: {:?}", browser.cookie_names(HOST));
    }
    assert_eq!(site.application.seen().len(), 0);
    assert_eq!(site.provider.requests("/authorize").len(), 0);
    let log = site.gateway.stop().await;
    assert!(log.iter().all(|line| line["decision"] == "sign_in" && line["reason"] == "session_absent"), "{log:#?}");
}

#[tokio::test]
async fn c12_a_form_that_a_person_sent_without_session_is_refused_with_a_page() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let reply = browser.post(&site.url("/statements"), "amount=1", &[]).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::UNAUTHORIZED, None));
    assert!(reply.text().contains("nothing of it has reached the application"), "{}", reply.text());
    assert!(browser.cookie_names(HOST).is_empty());
    assert_eq!(site.application.seen().len(), 0);
}

#[tokio::test]
async fn c08_ten_tabs_at_once_all_arrive() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    // All ten are asked for before the browser has any cookie.
    let mut begun = Vec::new();
    for tab in 0..10 {
        let mut fresh = Browser::new();
        begun.push(site.begin(&mut fresh, &format!("/tab/{tab}")).await);
        let cookies = fresh.cookies.remove(HOST).unwrap();
        browser.cookies.entry(HOST.to_owned()).or_default().extend(cookies);
    }
    for (tab, address) in begun.iter().enumerate() {
        let reply = browser.open(address).await;
        assert_eq!((reply.status, reply.url), (StatusCode::OK, site.url(&format!("/tab/{tab}"))));
    }
    assert_eq!(browser.cookie_names(HOST), [SESSION, "lychgate-hint"], "no login is left under way");
}

#[tokio::test]
async fn c08_a_browser_has_at_most_eight_logins_under_way_and_no_tab_ends_in_an_error() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let mut begun = Vec::new();
    for tab in 0..10 {
        site.clock.advance(Duration::from_secs(1));
        begun.push(site.begin(&mut browser, &format!("/tab/{tab}")).await);
        assert!(browser.cookie_names(HOST).len() <= MAX_PENDING, "{:?}", browser.cookie_names(HOST));
    }
    assert_eq!(browser.cookie_names(HOST).len(), MAX_PENDING);
    // The newest arrive where they wanted to; the two whose login had to make room arrive at the application.
    for (tab, address) in begun.iter().enumerate().rev() {
        let reply = browser.open(address).await;
        let expected = if tab < 2 { site.url("/") } else { site.url(&format!("/tab/{tab}")) };
        assert_eq!((reply.status, reply.url), (StatusCode::OK, expected));
    }
}

#[tokio::test]
async fn c08_logins_under_way_with_long_addresses_do_not_lock_the_browser_out() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    for tab in 0..12 {
        site.clock.advance(Duration::from_secs(1));
        site.begin(&mut browser, &format!("/tab/{tab}?{}", "x".repeat(2000))).await;
    }
    assert_eq!(browser.open(&site.url("/")).await.status, StatusCode::OK);
}

/// `[login] acr` for everything, step-up by class, by age, and by both.
fn with_step_up(upstream: &str) -> String {
    let rules = r#"
[[rules]]
paths = ["/payouts/**"]
allow = "'staff' in user.groups"
step_up = { acr = ["phr"] }
[[rules]]
paths = ["/fresh/**"]
allow = "'staff' in user.groups"
step_up = { max_age = "10m" }
[[rules]]
paths = ["/both/**"]
allow = "'staff' in user.groups"
step_up = { acr = ["phr", "hwk"], max_age = "5m" }
[[rules]]
paths = ["/public/**"]
"#;
    policy(upstream).replacen("[[rules]]\npaths = [\"/public/**\"]\n", rules.trim_start(), 1)
}

fn with_login_acr(upstream: &str) -> String {
    with_step_up(upstream).replace("provider = \"idp\"", "provider = \"idp\"\nacr = [\"mfa\"]")
}

#[tokio::test]
async fn r13_a_class_that_a_rule_wants_is_asked_for_and_then_enough() {
    let site = Site::with(with_step_up, |setup| setup).await;
    let mut browser = site.signed_in().await;
    let before = browser.cookie(HOST, SESSION).unwrap().clone();
    let asked = site.begin(&mut browser, "/payouts/7").await;
    assert_eq!(parameter(&asked, "acr_values").as_deref(), Some("phr"));
    let reply = browser.open(&asked).await;
    assert_eq!((reply.status, reply.url), (StatusCode::OK, site.url("/payouts/7")));
    assert_ne!(browser.cookie(HOST, SESSION), Some(&before));
    // It holds for the next page and for the ordinary ones.
    for path in ["/payouts/8", "/"] {
        assert_eq!(browser.get(&site.url(path)).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(site.provider.requests("/authorize").len(), 2);
    let log = site.gateway.stop().await;
    let sessions: std::collections::BTreeSet<_> = log.iter().filter_map(|line| line["session"].as_str()).collect();
    assert_eq!(sessions.len(), 1, "the new session stands under the identifier of the one that it grew out of");
    assert!(log.iter().any(|line| line["decision"] == "step_up" && line["who"] == "ada"));
}

#[tokio::test]
async fn r13_a_sign_in_that_is_too_old_for_a_rule_is_asked_for_afresh() {
    let site = Site::with(with_step_up, |setup| setup).await;
    let mut browser = site.signed_in().await;
    assert_eq!(browser.get(&site.url("/fresh/1")).await.status, StatusCode::OK, "young enough");
    site.clock.advance(Duration::from_secs(10 * 60 + 1));
    let asked = site.begin(&mut browser, "/fresh/1").await;
    assert_eq!(parameter(&asked, "max_age").as_deref(), Some("600"));
    assert_eq!(browser.open(&asked).await.url, site.url("/fresh/1"));
    let asked = site.begin(&mut browser, "/both/1").await;
    assert_eq!(parameter(&asked, "acr_values").as_deref(), Some("phr hwk"));
    assert_eq!(parameter(&asked, "max_age").as_deref(), Some("300"));
    assert_eq!(browser.open(&asked).await.status, StatusCode::OK);
}

#[tokio::test]
async fn r13_too_little_gives_403_and_never_a_loop() {
    let site = Site::with(with_step_up, |setup| setup).await;
    let mut browser = site.signed_in().await;
    let mut asked = Vec::new();
    for (claims, path, reason) in [
        (vec![Claim::Set("acr", json!("pwd"))], "/payouts/1", "acr_not_reached"),
        (vec![Claim::Remove("acr")], "/payouts/1", "acr_not_reached"),
        (vec![Claim::At("auth_time", -3600)], "/both/1", "authentication_too_old"),
    ] {
        site.provider.script().claims = claims;
        let reply = browser.open(&site.url(path)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{reason}");
        assert!(reply.text().contains("A stronger sign-in is needed"), "{}", reply.text());
        assert_eq!(site.status(&mut browser).await, 200, "what the person had is not lost");
        asked.push(site.provider.requests("/authorize").len());
        // Two minutes later the browser has forgotten that a login began again.
        site.clock.advance(Duration::from_secs(121));
        browser.cookies.get_mut(HOST).unwrap().remove("lychgate-again");
    }
    // A sign-in that is too old is asked for once more with a demand for credentials, and then no more.
    assert_eq!(asked, [2, 3, 5]);
    let demanded = |request: &&Recorded| value(&request.query, "prompt") == Some("login");
    assert_eq!(site.provider.requests("/authorize").iter().filter(demanded).count(), 1);
    assert!(site.application.seen().iter().all(|seen| seen.target == "/"));
}

#[tokio::test]
async fn r13_a_sign_in_of_which_the_provider_does_not_say_when_it_was_meets_no_max_age() {
    let site = Site::with(with_step_up, |setup| setup).await;
    site.provider.script().claims = vec![Claim::Remove("auth_time")];
    let mut browser = site.signed_in().await;
    let told = browser.fetch(Method::GET, &site.url("/.lychgate/me")).await.json();
    assert_eq!((&told["signed_in"], &told["session"]["authenticated_at"]), (&json!(true), &Value::Null));
    assert!(browser.get(&site.url("/.lychgate/me")).await.text().contains("unknown"));
    let asked = site.begin(&mut browser, "/fresh/1").await;
    assert_eq!(parameter(&asked, "max_age").as_deref(), Some("600"));
    // OpenID Connect Core 2 requires it now. A provider that leaves it out is told of, once: no other login would bring it.
    let reply = browser.open(&asked).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!((site.status(&mut browser).await, site.provider.requests("/authorize").len()), (200, 2));
    site.provider.script().claims = Vec::new();
    assert_eq!(browser.open(&site.url("/fresh/1")).await.url, site.url("/fresh/1"));
    assert_eq!(browser.get(&site.url("/fresh/1")).await.status, StatusCode::OK);
    let log = site.gateway.stop().await;
    assert!(log.iter().any(|line| line["reason"] == "auth_time_missing"), "{log:#?}");
}

#[tokio::test]
async fn r13_a_provider_whose_clock_is_behind_causes_no_loop() {
    let site = Site::with(with_step_up, |setup| setup).await;
    let mut browser = site.signed_in().await;
    // Within the clock skew that logins allow, and older than the rule allows.
    site.provider.script().claims = vec![Claim::At("auth_time", -5 * 60 - 30)];
    let reply = browser.open(&site.url("/both/1")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(site.provider.requests("/authorize").len(), 3);
}

#[tokio::test]
async fn r13_a_program_is_told_what_it_lacks() {
    let site = Site::with(with_step_up, |setup| setup).await;
    let mut browser = site.signed_in().await;
    let names = browser.cookie_names(HOST);
    let reply = browser.fetch(Method::GET, &site.url("/payouts/1")).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let challenge = "Bearer error=\"insufficient_user_authentication\", acr_values=\"phr\"";
    assert_eq!(reply.header("www-authenticate"), Some(challenge));
    site.clock.advance(Duration::from_secs(6 * 60));
    let reply = browser.fetch(Method::POST, &site.url("/both/1")).await;
    let challenge = "Bearer error=\"insufficient_user_authentication\", acr_values=\"phr hwk\", max_age=\"300\"";
    assert_eq!(reply.header("www-authenticate"), Some(challenge));
    assert_eq!(reply.json()["error"], "sign_in_required");
    assert_eq!(browser.cookie_names(HOST), names);
}

#[tokio::test]
async fn r13_a_provider_may_reach_more_than_it_was_asked_for() {
    let site = Site::with(with_login_acr, |setup| setup).await;
    site.provider.script().claims = vec![Claim::Set("acr", json!("phr"))];
    let mut browser = Browser::new();
    assert_eq!(browser.open(&site.gateway.url("/statements")).await.status, StatusCode::OK);
    assert_eq!(value(&site.provider.requests("/authorize")[0].query, "acr_values"), Some("mfa"));
    assert_eq!(browser.get(&site.gateway.url("/payouts/1")).await.status, StatusCode::OK, "stepped up already");
}

#[tokio::test]
async fn r13_a_rule_that_asks_for_a_fresh_sign_in_takes_a_stronger_one_too() {
    let site = Site::with(with_login_acr, |setup| setup).await;
    let mut browser = site.signed_in().await;
    site.clock.advance(Duration::from_secs(10 * 60 + 1));
    // The provider reaches what another rule asks for, which is good for the application, too.
    site.provider.script().claims = vec![Claim::Set("acr", json!("phr"))];
    let reply = browser.open(&site.url("/fresh/1")).await;
    assert_eq!((reply.status, reply.url), (StatusCode::OK, site.url("/fresh/1")));
    assert_eq!(value(&site.provider.requests("/authorize")[1].query, "acr_values"), Some("mfa"));
    // A rule that names a class is content with that one only.
    site.clock.advance(Duration::from_secs(10 * 60 + 1));
    site.provider.script().claims = vec![Claim::Set("acr", json!("mfa"))];
    assert_eq!(browser.open(&site.url("/fresh/1")).await.status, StatusCode::OK);
    assert_eq!(browser.open(&site.url("/payouts/1")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn r13_what_the_application_wants_of_everybody_is_asked_for_at_the_first_login() {
    let site = Site::with(with_login_acr, |setup| setup).await;
    let mut browser = site.signed_in().await;
    assert_eq!(value(&site.provider.requests("/authorize")[0].query, "acr_values"), Some("mfa"));
    // Stepped up, the person is not asked to step down again.
    assert_eq!(browser.open(&site.url("/payouts/1")).await.status, StatusCode::OK);
    assert_eq!(browser.get(&site.url("/")).await.status, StatusCode::OK);
    assert_eq!(site.provider.requests("/authorize").len(), 2);

    site.provider.script().claims = vec![Claim::Set("acr", json!("pwd"))];
    let mut weak = Browser::new();
    let reply = weak.open(&site.url("/")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(weak.cookie(HOST, SESSION), None);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "acr_not_reached");
}

#[tokio::test]
async fn a_policy_that_reads_a_new_claim_sends_people_through_the_provider_once() {
    let key = lychgate::crypto::KeyRing::generate_key().expose().clone();
    let old = Site::with(policy, |setup| setup.keys(&[&key])).await;
    let mut browser = old.signed_in().await;
    let Site { clock, provider, application, gateway } = old;
    gateway.stop().await;
    let newer = policy(&application.url()).replace("'admins' in user.groups", "user.department == 'payouts'");
    let setup = crate::harness::gateway::Setup::new(&clock).provider(&provider).keys(&[&key]);
    let gateway = setup.policy("app", &newer).start().await;
    // The provider does not know the claim for this person: once asked for, that is known too.
    for _ in 0..3 {
        let reply = browser.open(&gateway.url("/statements")).await;
        assert_eq!((reply.status, reply.url), (StatusCode::OK, gateway.url("/statements")));
    }
    assert_eq!(provider.requests("/authorize").len(), 2);
    let log = gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_claim_missing").count(), 1);
}

#[tokio::test]
async fn r16_the_gateway_starts_and_serves_while_the_provider_is_away() {
    let clock = crate::harness::gateway::clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    provider.script().person = ada();
    provider.script().discovery_answer = Answer::Status(500);
    let application = crate::harness::application::Application::start(crate::harness::site::IDENTITY).await;
    let setup = crate::harness::gateway::Setup::new(&clock).provider(&provider);
    let gateway = setup.policy("app", &policy(&application.url())).start_unready();
    let admin = format!("http://127.0.0.1:{}", gateway.admin().port());

    let mut browser = Browser::new();
    let public = browser.get(&gateway.url("/public/style.css")).await;
    assert_eq!((public.status, public.text().as_str()), (StatusCode::OK, "hello"));
    let reply = browser.get(&gateway.url("/statements")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.text().contains("Signing in is not possible just now"), "{}", reply.text());
    assert!(reply.header("retry-after").is_some());
    assert_eq!(browser.fetch(Method::GET, &gateway.url("/statements")).await.status, StatusCode::UNAUTHORIZED);
    assert!(browser.cookie_names(HOST).is_empty());
    let ready = Browser::new().get(&format!("{admin}/readyz")).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let reasons = ready.json()["reasons"].clone();
    assert!(reasons[0].as_str().unwrap().contains("provider idp: "), "{reasons}");
    assert_eq!(Browser::new().get(&format!("{admin}/livez")).await.status, StatusCode::OK);

    provider.script().discovery_answer = Answer::Normal;
    tokio::time::timeout(PATIENCE, gateway.running().providers()[0].ready()).await.unwrap();
    let reply = browser.open(&gateway.url("/statements")).await;
    assert_eq!((reply.status, reply.url), (StatusCode::OK, gateway.url("/statements")));
    let ready = Browser::new().get(&format!("{admin}/readyz")).await;
    assert_eq!((ready.status, &ready.json()["ready"]), (StatusCode::OK, &Value::Bool(true)));
    let log = gateway.stop().await;
    assert!(log.iter().any(|line| line["reason"] == "provider_unavailable" && line["status"] == 503));
}

#[tokio::test]
async fn r16_a_provider_that_goes_away_hurts_only_new_logins() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    site.provider.script().token_answer = Answer::Status(500);
    site.provider.script().discovery_answer = Answer::Status(500);
    let mut other = Browser::new();
    let reply = other.open(&site.url("/")).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(other.cookie(HOST, SESSION), None);
    assert_eq!(site.status(&mut browser).await, 200);
}

#[tokio::test]
async fn r13_a_provider_that_cannot_reach_the_level_gives_403_and_never_a_loop() {
    let site = Site::new().await;
    site.provider.script().error = Some("unmet_authentication_requirements");
    let mut browser = Browser::new();
    let reply = browser.open(&site.url("/")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.text().contains("A stronger sign-in is needed"), "{}", reply.text());
    assert!(!reply.text().contains("555-0100"), "{}", reply.text());
    assert_eq!(site.provider.requests("/authorize").len(), 1);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "unmet_authentication_requirements");
}

#[tokio::test]
async fn what_a_policy_asks_of_its_logins_goes_to_the_provider_with_every_one_of_them() {
    let asking = |upstream: &str| {
        let more =
            "[login]\nprompt = \"select_account\"\nmax_age = \"1h\"\nparameters = { domain_hint = \"gmr.example\" }";
        policy(upstream).replace("[login]", more)
    };
    let general = "prompt = \"consent\"\nui_locales = [\"de-AT\"]\nparameters = { domain_hint = \"x\", hd = \"y\" }\n";
    let site = Site::with(asking, |setup| setup.provider_settings(general)).await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let asked = |name: &str| parameter(&address, name).unwrap_or_default();
    assert_eq!((asked("prompt"), asked("max_age")), ("select_account".to_owned(), "3600".to_owned()));
    assert_eq!(
        (asked("domain_hint"), asked("hd"), asked("ui_locales")),
        ("gmr.example".into(), "y".into(), "de-AT".into())
    );
}

#[tokio::test]
async fn r12_a_login_whose_request_cannot_be_pushed_is_told_with_503_and_hurts_nobody_else() {
    let site = Site::with(policy, |setup| setup.provider_settings("pushed_requests = true\n")).await;
    site.signed_in().await;
    site.provider.script().pushed_answer = Answer::Status(503);
    let mut browser = Browser::new();
    let reply = browser.get(&site.url("/")).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert_eq!(browser.get(&site.url("/public/x")).await.text(), "hello");
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "pushed_request_unreachable");
}
