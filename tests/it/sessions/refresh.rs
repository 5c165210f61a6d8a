//! Sessions that are refreshed: once for any number of requests, with claims that count at once, and what ends them.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup};
use crate::harness::provider::{Answer, Claim, Script};
use crate::harness::site::{SESSION, Site, ada, policy};
use crate::harness::soon;

const TICKET: &str = "lychgate-refresh";
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How long the old cookie is good; as the documentation says.
const GRACE: Duration = Duration::from_secs(60);

fn refreshing(upstream: &str) -> String {
    policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"")
}

async fn site() -> Site {
    site_with(|setup| setup).await
}

async fn site_with(change: impl FnOnce(Setup) -> Setup) -> Site {
    let site = Site::with(refreshing, change).await;
    site.provider.script().refresh_tokens = true;
    site
}

/// Ada with these groups from now on.
fn groups(site: &Site, groups: &[&str]) {
    site.provider.script().person[1].1 = json!(groups);
}

#[tokio::test]
async fn c10_fifty_parallel_requests_on_an_expiring_token_cause_one_refresh() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.clock.advance(EVERY);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (mut tab, url) = (browser.clone(), site.url("/"));
        requests.spawn(async move {
            let reply = tab.fetch(Method::GET, &url).await;
            (reply.status, tab)
        });
    }
    let tabs = soon(requests.join_all()).await;
    assert_eq!(site.provider.refreshes(), 1);
    assert!(!site.provider.grants().any_revoked());
    for (status, tab) in &tabs {
        assert_eq!(*status, StatusCode::OK);
        assert_ne!(tab.cookie(HOST, SESSION), browser.cookie(HOST, SESSION), "the new cookie");
        assert_ne!(tab.cookie(HOST, TICKET), browser.cookie(HOST, TICKET));
    }
    // Whichever answer came last: what the browser keeps goes on, and is refreshed in its turn.
    for (_, mut tab) in tabs.into_iter().take(3) {
        assert_eq!(site.status(&mut tab).await, 200);
    }
    assert_eq!(site.provider.refreshes(), 1);
    assert_eq!(site.status(&mut browser).await, 200, "the old cookie in its grace");
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(site.provider.refreshes(), 2);
    let metrics = format!("http://localhost:{}/metrics", site.gateway.admin().port());
    let metrics = Browser::new().get(&metrics).await.text();
    let counted = r#"lychgate_refreshes_total{provider="idp",outcome="succeeded"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn c10_the_old_cookie_is_good_for_a_grace_and_never_uses_its_token_again() {
    let site = site().await;
    let old = site.signed_in().await;
    site.clock.advance(EVERY);
    let mut new = old.clone();
    assert_eq!(site.status(&mut new).await, 200);
    site.clock.advance(GRACE - Duration::from_secs(1));
    let mut late = old.clone();
    assert_eq!(site.status(&mut late).await, 200);
    assert_ne!(late.cookie(HOST, SESSION), old.cookie(HOST, SESSION), "and gets the new one");
    site.clock.advance(Duration::from_secs(2));
    let mut too_late = old.clone();
    assert_eq!(site.status(&mut too_late).await, 401);
    assert_eq!(site.status(&mut new).await, 200, "which hurts nobody else");
    assert_eq!((site.provider.refreshes(), site.provider.grants().any_revoked()), (1, false));
    // A person signs in again and notices nothing.
    assert_eq!(too_late.open(&site.url("/statements")).await.text(), "hello");
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_superseded").count(), 2);
}

#[tokio::test]
async fn c10_an_answer_that_brings_the_old_session_back_signs_nobody_out() {
    let site = site().await;
    let old = site.signed_in().await;
    site.clock.advance(EVERY);
    let mut browser = old.clone();
    assert_eq!(site.status(&mut browser).await, 200);
    // A slow answer from before the refresh overwrites the session's cookie, and not the ticket.
    browser.plant(HOST, SESSION, &old.cookie(HOST, SESSION).unwrap().value);
    site.clock.advance(GRACE * 3);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!((site.provider.refreshes(), site.provider.grants().any_revoked()), (2, false));
}

#[tokio::test]
async fn d03_a_script_that_asks_to_sign_in_with_a_session_that_is_due_gets_401_and_the_log_says_why() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.clock.advance(EVERY);
    let reply = browser.fetch(Method::GET, &site.url("/.lychgate/sign-in?for=%2F")).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let log = site.gateway.stop().await;
    let line = log.iter().find(|line| line["path"] == "/.lychgate/sign-in").unwrap();
    assert_eq!((&line["reason"], &line["status"]), (&json!("session_due"), &json!(401)), "{line}");
}

#[tokio::test]
async fn c10_refreshed_claims_count_at_once() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let admin = async |browser: &mut Browser| browser.fetch(Method::GET, &site.url("/admin/x")).await.status.as_u16();
    assert_eq!(admin(&mut browser).await, 403);
    groups(&site, &["staff", "admins"]);
    assert_eq!(admin(&mut browser).await, 403, "not due");
    site.clock.advance(EVERY);
    assert_eq!(admin(&mut browser).await, 200);
    assert_eq!(site.application.last().header("x-remote-groups").as_deref(), Some("staff;admins"));
    // What is taken away is gone at once too, and the answer that says so brings the new cookie.
    groups(&site, &["artists"]);
    site.clock.advance(EVERY);
    let before = browser.clone();
    assert_eq!(admin(&mut browser).await, 403);
    assert_ne!(browser.cookie(HOST, SESSION), before.cookie(HOST, SESSION));
    assert_eq!(site.status(&mut browser).await, 403);
    site.provider.script().person.truncate(1);
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 403, "a claim that is no longer given is gone");
    assert_eq!(site.provider.refreshes(), 3);
}

#[tokio::test]
async fn c10_userinfo_is_read_again_too() {
    let policy = |upstream: &str| {
        refreshing(upstream).replace(
            "[[rules]]\nallow",
            "[[rules]]\npaths = [\"/archive/**\"]\nallow = \"user.department == 'archives'\"\n[[rules]]\nallow",
        )
    };
    let site = Site::with(policy, |setup| setup.provider_settings("userinfo = true")).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = site.signed_in().await;
    let archive =
        async |browser: &mut Browser| browser.fetch(Method::GET, &site.url("/archive/1")).await.status.as_u16();
    assert_eq!(archive(&mut browser).await, 200);
    site.provider.script().userinfo = vec![Claim::Set("department", json!("payroll"))];
    site.provider.script().refresh_without_id_token = true;
    site.clock.advance(EVERY);
    assert_eq!(archive(&mut browser).await, 403);
    // Userinfo away: the token that was rotated is kept, the claims are those from before, and it is asked again soon.
    site.provider.script().userinfo_answer = Answer::Status(503);
    site.provider.script().userinfo = Vec::new();
    site.clock.advance(EVERY);
    assert_eq!(archive(&mut browser).await, 403);
    site.provider.script().userinfo_answer = Answer::Normal;
    site.provider.script().refresh_without_id_token = false;
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(archive(&mut browser).await, 200);
    assert_eq!((site.provider.refreshes(), site.provider.grants().any_revoked()), (3, false));
    // Of another person: over.
    site.provider.script().userinfo = vec![Claim::Set("sub", json!("eve"))];
    site.clock.advance(EVERY);
    assert_eq!(archive(&mut browser).await, 401);
}

/// A policy with claims that only the ID token has, and one that userinfo has.
fn suspending(upstream: &str) -> String {
    refreshing(upstream).replace(
        "[[rules]]\nallow",
        "[[rules]]\npaths = [\"/archive/**\"]\ndeny = \"has(user.suspended) && user.suspended\"\n\
         allow = \"user.sub == 'ada-7' && user.department == 'archives'\"\n[[rules]]\nallow",
    )
}

#[tokio::test]
async fn c10_without_a_new_id_token_what_the_first_one_said_stays() {
    let site = Site::with(suspending, |setup| setup.provider_settings("userinfo = true")).await;
    let sub = site.provider.script().person.clone();
    assert!(!sub.is_empty());
    site.provider.script().refresh_tokens = true;
    site.provider.script().claims = vec![Claim::Set("suspended", json!(false))];
    site.provider.script().userinfo =
        vec![Claim::Set("department", json!("archives")), Claim::Remove("suspended"), Claim::Remove("groups")];
    let mut browser = site.signed_in().await;
    let archive =
        async |browser: &mut Browser| browser.fetch(Method::GET, &site.url("/archive/1")).await.status.as_u16();
    assert_eq!(archive(&mut browser).await, 200);
    site.provider.script().refresh_without_id_token = true;
    site.clock.advance(EVERY);
    assert_eq!((archive(&mut browser).await, site.provider.refreshes()), (200, 1), "user.sub is there still");
    assert_eq!(site.status(&mut browser).await, 200, "and the groups of the ID token");
    site.provider.script().userinfo = vec![Claim::Set("department", json!("payroll"))];
    site.clock.advance(EVERY);
    assert_eq!((archive(&mut browser).await, site.provider.refreshes()), (403, 2), "what userinfo says counts");

    site.provider.script().claims = vec![Claim::Set("suspended", json!(true))];
    site.provider.script().userinfo = vec![Claim::Set("department", json!("archives")), Claim::Remove("suspended")];
    let mut suspended = site.signed_in().await;
    assert_eq!(archive(&mut suspended).await, 403);
    site.clock.advance(EVERY);
    assert_eq!((archive(&mut suspended).await, site.provider.refreshes()), (403, 3), "suspended still");
}

#[tokio::test]
async fn c10_a_claim_that_userinfo_stops_sending_is_gone_at_the_next_refresh() {
    let site = Site::with(refreshing, |setup| setup.provider_settings("userinfo = true")).await;
    site.provider.script().refresh_tokens = true;
    let sent = || vec![Claim::Set("groups", json!(["staff"]))];
    // At the login only userinfo knows the groups, or both do.
    for id_token in [vec![Claim::Remove("groups")], Vec::new()] {
        site.provider.script().claims = id_token;
        site.provider.script().userinfo = sent();
        site.provider.script().refresh_without_id_token = true;
        let mut browser = site.signed_in().await;
        for _ in 0..2 {
            site.clock.advance(EVERY);
            assert_eq!(site.status(&mut browser).await, 200, "userinfo still sends them");
        }
        site.provider.script().userinfo = Vec::new();
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 403, "as if they had been taken away");
        site.provider.script().userinfo = sent();
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 200, "given again");
    }
    assert_eq!((site.provider.refreshes(), site.provider.grants().any_revoked()), (8, false));
}

#[tokio::test]
async fn groups_that_userinfo_leaves_out_at_a_refresh_are_not_those_from_before() {
    let site = Site::with(refreshing, |setup| setup.provider_settings("userinfo = true")).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = site.signed_in().await;
    site.provider.script().refresh_without_id_token = true;
    site.provider.script().userinfo = vec![Claim::Remove("groups"), Claim::Set("hasgroups", json!(true))];
    site.clock.advance(EVERY);
    assert_eq!((site.status(&mut browser).await, site.provider.refreshes()), (401, 1));
}

#[tokio::test]
async fn r03_r14_a_new_key_that_cannot_be_fetched_keeps_the_session_and_its_rotated_token() {
    type Change = fn(&mut Script);
    let cases: [(&str, Change); 3] = [
        ("unknown kid", |script| script.header = vec![("kid".to_owned(), json!("new"))]),
        ("no kid", |script| script.header = vec![("kid".to_owned(), json!(null))]),
        ("userinfo", |script| {
            script.signing = crate::harness::keys::Signing::default();
            script.userinfo_signed = Some(crate::harness::keys::Signing::Stranger);
        }),
    ];
    let settings = |setup: Setup| setup.provider_settings("userinfo = true");
    for (case, change) in cases {
        let site = site_with(settings).await;
        let mut browser = site.signed_in().await;
        let rotate = |script: &mut Script| {
            script.person[1].1 = json!(["staff", "admins"]);
            script.jwks_answer = Answer::Status(503);
            script.signing = crate::harness::keys::Signing::Stranger;
            change(script);
        };
        rotate(&mut site.provider.script());
        site.clock.advance(EVERY);
        let admin =
            async |browser: &mut Browser| browser.fetch(Method::GET, &site.url("/admin/")).await.status.as_u16();
        assert_eq!((site.status(&mut browser).await, site.provider.refreshes()), (200, 1), "{case}");
        assert_eq!((admin(&mut browser).await, site.provider.refreshes()), (403, 1), "{case}: as it was");
        // The keys are there again; what the provider rotated was kept.
        site.provider.script().jwks_answer = Answer::Normal;
        let kid = if case == "unknown kid" { "new" } else { "rsa" };
        site.provider.script().jwks = Some(vec![crate::harness::keys::KEYS.stranger_jwk(kid)]);
        site.provider.script().signing = crate::harness::keys::Signing::Stranger;
        site.clock.advance(Duration::from_secs(60));
        assert_eq!((admin(&mut browser).await, site.provider.refreshes()), (200, 2), "{case}");
        assert!(!site.provider.grants().any_revoked(), "{case}");
        // What no key signed though they are all known ends it.
        site.provider.script().signing = crate::harness::keys::Signing::Broken;
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 401, "{case}");
    }
}

#[tokio::test]
async fn r03_a_refreshed_id_token_of_somebody_or_somewhere_else_ends_the_session() {
    type Change = fn(&mut Script);
    let cases: [(&str, Change); 9] = [
        ("sub", |script| script.claims = vec![Claim::Set("sub", json!("eve-9"))]),
        ("iss", |script| script.claims = vec![Claim::Set("iss", json!("https://other.example"))]),
        ("aud", |script| script.claims = vec![Claim::Set("aud", json!("someone-else"))]),
        ("azp", |script| script.claims = vec![Claim::Set("azp", json!("someone-else"))]),
        ("nonce", |script| script.claims = vec![Claim::Set("nonce", json!("of another login"))]),
        ("no sub", |script| script.claims = vec![Claim::Remove("sub")]),
        ("exp", |script| script.claims = vec![Claim::At("exp", -600), Claim::At("iat", -650)]),
        ("signature", |script| script.signing = crate::harness::keys::Signing::Stranger),
        ("alg none", |script| script.signing = crate::harness::keys::Signing::Unsigned),
    ];
    let site = site().await;
    for (case, change) in cases {
        *site.provider.script() = Script { person: ada(), refresh_tokens: true, ..Script::default() };
        let mut browser = site.signed_in().await;
        site.clock.advance(EVERY);
        change(&mut site.provider.script());
        let before = site.provider.refreshes();
        assert_eq!(site.status(&mut browser).await, 401, "{case}");
        assert_eq!(site.status(&mut browser).await, 401, "{case}: it stays ended");
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 401, "{case}");
        assert_eq!(site.provider.refreshes(), before + 1, "{case}: asked once");
    }
    let log = site.gateway.stop().await;
    let count = |reason: &str| log.iter().filter(|line| line["reason"] == reason).count();
    assert_eq!((count("session_refresh_refused"), count("session_revoked")), (9, 18));
}

#[tokio::test]
async fn r03_a_refreshed_id_token_may_repeat_the_nonce_of_its_login() {
    let site = site().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let nonce = crate::harness::site::parameter(&address, "nonce").unwrap();
    let back = site.come_back(&mut browser, &address).await;
    assert_eq!(browser.open(&back).await.text(), "hello");
    site.provider.script().claims = vec![Claim::Set("nonce", json!(nonce))];
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(site.provider.refreshes(), 1);
}

#[tokio::test]
async fn r03_a_revoked_grant_ends_the_session_and_the_person_signs_in_anew() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.provider.grants().revoke();
    site.clock.advance(EVERY);
    let reply = browser.fetch(Method::GET, &site.url("/")).await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("sign_in_required")));
    let reply = browser.open(&site.url("/statements?year=2026")).await;
    assert_eq!((reply.text().as_str(), reply.url), ("hello", site.url("/statements?year=2026")));
    assert_eq!(site.provider.refreshes(), 1);
    assert_eq!(site.status(&mut browser).await, 200);
}

#[tokio::test]
async fn r03_a_refresh_for_which_the_person_must_be_asked_ends_the_session() {
    for (word, status) in [
        ("interaction_required", 401),
        ("login_required", 401),
        ("consent_required", 401),
        ("invalid_grant", 401),
        ("unauthorized_client", 200),
        ("interaction", 200),
    ] {
        let site = site().await;
        let mut browser = site.signed_in().await;
        let says = Answer::Says(400, "application/json", json!({ "error": word }).to_string());
        site.provider.script().refresh_answer = says;
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, status, "{word}");
    }
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.provider.script().refresh_answer =
        Answer::json(&json!({"access_token": "x", "token_type": "DPoP"}).to_string());
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 401, "a token of another type");
}

#[tokio::test]
async fn groups_that_a_refresh_leaves_out_are_never_taken_for_none() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.provider.script().person =
        vec![("preferred_username".to_owned(), json!("ada")), ("hasgroups".to_owned(), json!(true))];
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 401);
    let reply = browser.open(&site.url("/")).await;
    assert_eq!((reply.status, reply.text().contains("in so many groups")), (StatusCode::FORBIDDEN, true));
}

#[tokio::test]
async fn r03_a_provider_that_is_away_keeps_the_session_until_its_own_end() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    // What turns the gateway away is asked three times, at once; then the pause is kept.
    for (answer, times) in [
        (Answer::Status(500), 1),
        (Answer::Status(503), 3),
        (Answer::Says(429, "application/json", r#"{"error":"slow_down"}"#.to_owned()), 3),
        (Answer::Says(401, "application/json", r#"{"error":"invalid_client"}"#.to_owned()), 1),
        (Answer::json("this is no token response"), 1),
        (Answer::Redirect("http://127.0.0.1:9/".to_owned()), 1),
    ] {
        site.provider.script().refresh_answer = answer.clone();
        site.clock.advance(EVERY);
        let before = site.provider.refreshes();
        for _ in 0..5 {
            assert_eq!(site.status(&mut browser).await, 200, "{answer:?}");
        }
        assert_eq!(site.provider.refreshes(), before + times, "{answer:?}: the pause is kept");
    }
    site.provider.script().refresh_answer = Answer::Normal;
    site.clock.advance(EVERY);
    groups(&site, &["staff", "admins"]);
    assert_eq!(browser.fetch(Method::GET, &site.url("/admin/")).await.status, StatusCode::OK, "it is back");
    // Without it the session still ends at its time.
    site.provider.script().refresh_answer = Answer::Status(500);
    for _ in 0..25 {
        site.clock.advance(Duration::from_secs(20 * 60));
        site.status(&mut browser).await;
    }
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn c10_a_request_does_not_wait_for_ever_and_the_next_one_gets_what_came() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.provider.script().refresh_answer = Answer::Never;
    site.clock.advance(EVERY);
    assert_eq!(soon(site.status(&mut browser)).await, 200, "served under the session as it was");
}

#[tokio::test]
async fn l07_a_session_that_ends_while_it_is_refreshed_stays_ended() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let before = browser.clone();
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 200);
    let origin = site.url("");
    let reply = browser.post(&site.url("/.lychgate/logout"), "", &[("origin", origin.as_str())]).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    // The cookie from before takes over what the refresh brought, within the grace.
    let mut old = before;
    assert_eq!(site.status(&mut old).await, 401);

    // And while the provider is asked, which takes longer than the request waits.
    let mut browser = site.signed_in().await;
    let (mut waiting, asked) = (browser.clone(), site.provider.refreshes());
    site.provider.script().refresh_answer = Answer::Never;
    site.clock.advance(EVERY);
    let url = site.url("/");
    let request = tokio::spawn(async move { waiting.fetch(Method::GET, &url).await.status.as_u16() });
    soon(async {
        while site.provider.refreshes() == asked {
            tokio::task::yield_now().await;
        }
    })
    .await;
    browser.post(&site.url("/.lychgate/logout"), "", &[("origin", origin.as_str())]).await;
    assert_eq!(soon(request).await.unwrap(), 401);
}

#[tokio::test]
async fn c10_a_session_that_is_due_and_lost_its_ticket_is_none() {
    let site = site().await;
    let signed_in = site.signed_in().await;
    let mut other = site.signed_in().await;
    let foreign = other.cookie(HOST, TICKET).unwrap().value.clone();
    let damaged = format!("{}A", signed_in.cookie(HOST, TICKET).unwrap().value);
    site.clock.advance(EVERY);
    for (case, ticket) in [("none", None), ("of another session", Some(&foreign)), ("damaged", Some(&damaged))] {
        let mut browser = signed_in.clone();
        match ticket {
            None => drop(browser.cookies.get_mut(HOST).unwrap().remove(TICKET)),
            Some(value) => browser.plant(HOST, TICKET, value),
        }
        assert_eq!(site.status(&mut browser).await, 401, "{case}");
    }
    assert_eq!(site.provider.refreshes(), 0);
    assert_eq!(site.status(&mut other).await, 200);
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_refresh_lost").count(), 3);
}

#[tokio::test]
async fn c10_a_token_that_is_not_rotated_goes_on_being_used() {
    let site = site().await;
    site.provider.script().keeps_refresh_token = true;
    let mut browser = site.signed_in().await;
    for round in 1..=3 {
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 200);
        assert_eq!(site.provider.refreshes(), round);
    }
}

#[tokio::test]
async fn c09_a_refreshed_session_keeps_its_beginning_its_identifier_and_its_end() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    for _ in 0..(8 * 6 - 1) {
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 200);
    }
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 401);
    let log = site.gateway.stop().await;
    let sessions: std::collections::BTreeSet<_> = log.iter().filter_map(|line| line["session"].as_str()).collect();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert!(log.iter().any(|line| line["reason"] == "session_expired"));
}

#[tokio::test]
async fn c10_a_public_page_refreshes_nothing() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.clock.advance(EVERY);
    let reply = browser.fetch(Method::GET, &site.url("/public/style.css")).await;
    assert_eq!((reply.status, reply.headers.contains_key("set-cookie")), (StatusCode::OK, false));
    assert_eq!(site.provider.refreshes(), 0);
}

#[tokio::test]
async fn c05_the_ticket_keeps_the_session_small_and_goes_with_it() {
    let site = site_with(Setup::behind_tls).await;
    let url = |path: &str| site.url(path).replace("http://", "https://");
    let mut browser = Browser::new();
    assert_eq!(browser.open(&url("/")).await.text(), "hello");
    let (session, ticket) =
        (browser.cookie(HOST, "__Host-lychgate").unwrap(), browser.cookie(HOST, "__Host-lychgate-refresh").unwrap());
    assert!(session.value.len() < 400, "{}", session.value.len());
    assert_eq!(ticket.attributes, session.attributes);
    let origin = url("");
    browser.post(&url("/.lychgate/logout"), "", &[("origin", &origin)]).await;
    assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
}

#[tokio::test]
async fn c05_a_provider_without_refresh_tokens_still_signs_people_in() {
    let site = site().await;
    site.provider.script().refresh_tokens = false;
    let mut browser = site.signed_in().await;
    assert_eq!(browser.cookie(HOST, TICKET), None);
    site.clock.advance(EVERY * 2);
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(site.provider.refreshes(), 0);
}

#[tokio::test]
async fn r17_no_refresh_token_is_in_a_log_or_in_a_cookie() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 200);
    let log = serde_json::to_string(&site.gateway.stop().await).unwrap();
    assert!(!log.contains("refresh-0-") && !format!("{:?}", browser.cookies).contains("refresh-0-"));
}

#[tokio::test]
async fn s09_an_address_that_userinfo_alone_says_is_not_vouched_for_by_the_old_id_token() {
    let policy = |upstream: &str| {
        refreshing(upstream).replace("'admins' in user.groups", "domainOf(user.email) == 'gmr.example'")
    };
    let site = Site::with(policy, |setup| setup.provider_settings("userinfo = true")).await;
    site.provider.script().refresh_tokens = true;
    site.provider.script().refresh_without_id_token = true;
    let verified = || Claim::Set("email_verified", json!(true));
    site.provider.script().claims = vec![Claim::Set("email", json!("ada@old.example")), verified()];
    site.provider.script().userinfo = vec![Claim::Remove("email")];
    let mut browser = site.signed_in().await;
    let admin = async |browser: &mut Browser| browser.fetch(Method::GET, &site.url("/admin/x")).await.status.as_u16();
    assert_eq!(admin(&mut browser).await, 403);
    site.provider.script().userinfo = vec![Claim::Set("email", json!("ada@gmr.example"))];
    site.clock.advance(EVERY);
    assert_eq!((admin(&mut browser).await, site.provider.refreshes()), (403, 1), "nobody verified this address");
    site.provider.script().userinfo.push(verified());
    site.clock.advance(EVERY);
    assert_eq!((admin(&mut browser).await, site.provider.refreshes()), (200, 2));
    // Nor is the ID token's address vouched for by userinfo at a login.
    site.provider.script().claims = vec![Claim::Set("email", json!("ada@gmr.example"))];
    site.provider.script().userinfo = vec![Claim::Set("email", json!("ada@old.example")), verified()];
    let mut other = site.signed_in().await;
    assert_eq!(admin(&mut other).await, 403);
}
