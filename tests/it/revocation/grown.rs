//! Sessions that grow out of one another in one browser, by step-ups and by new sign-ins: what ends one ends them all (L07).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::signing_out::sign_out;
use super::{Site, listening};
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Answer;
use crate::harness::site::{SESSION, policy};

/// `/payouts/**` wants a stronger sign-in.
fn with_step_up(upstream: &str) -> String {
    let rule =
        "[[rules]]\npaths = [\"/payouts/**\"]\nallow = \"'staff' in user.groups\"\nstep_up = { acr = [\"phr\"] }\n";
    policy(upstream).replacen("[[rules]]\n", &format!("{rule}[[rules]]\n"), 1)
}

async fn site() -> Site {
    Site::with(with_step_up, listening).await
}

/// A browser after a step-up, and the copy of its cookies from before.
async fn stronger(site: &Site) -> (Browser, Browser) {
    let mut browser = site.signed_in().await;
    let copy = browser.clone();
    assert_eq!(browser.open(&site.url("/payouts/1")).await.text(), "hello");
    assert_ne!(browser.cookie(HOST, SESSION), copy.cookie(HOST, SESSION), "a new session (C07)");
    (browser, copy)
}

/// Signs out in one browser, and sees that the copy is over.
async fn sign_out_ends_both(site: &Site, browser: &mut Browser, copy: &mut Browser) {
    assert_eq!(sign_out(site, browser, "").await, 302);
    assert_eq!(site.status(copy).await, 401);
}

/// A request of this browser for which the provider refuses to refresh the session.
async fn refresh_is_refused(site: &Site, browser: &mut Browser) {
    let refused = Answer::Says(400, "application/json", r#"{"error":"invalid_grant"}"#.to_owned());
    let sound = std::mem::replace(&mut site.provider.script().refresh_answer, refused);
    assert_eq!(site.status(browser).await, 401);
    site.provider.script().refresh_answer = sound;
}

async fn identifier(site: &Site, browser: &mut Browser) -> Value {
    browser.fetch(Method::GET, &site.url("/.lychgate/me")).await.json()["session"]["id"].clone()
}

/// An operator ends the session with this identifier.
async fn end(site: &Site, identifier: &Value) {
    let address = format!("http://127.0.0.1:{}/revocations", site.gateway.admin().port());
    let (headers, body) = ([("content-type", "application/json")], json!({ "session": identifier }).to_string());
    let reply = Browser::new().send(Method::POST, &address, &headers, Bytes::from(body)).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
}

#[tokio::test]
async fn l07_a_cookie_from_before_a_step_up_is_dead_after_the_sign_out() {
    let mut site = site().await;
    let (mut browser, mut copy) = stronger(&site).await;
    assert_eq!(site.status(&mut copy).await, 200, "other tabs go on over the step-up");
    sign_out_ends_both(&site, &mut browser, &mut copy).await;
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!(site.status(&mut copy).await, 401);
    // Whoever signs in afterwards has a session of their own.
    assert_eq!(browser.open(&site.url("/payouts/1")).await.text(), "hello");
}

#[tokio::test]
async fn l07_a_sign_out_with_the_cookie_from_before_a_step_up_ends_what_grew_out_of_it() {
    let site = site().await;
    let (mut browser, mut copy) = stronger(&site).await;
    assert_eq!(sign_out(&site, &mut copy, "").await, 302);
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l04_the_identifier_in_the_log_is_the_same_after_a_step_up_and_ends_all_of_it() {
    let site = site().await;
    let (mut browser, mut copy) = stronger(&site).await;
    let now = identifier(&site, &mut browser).await;
    assert_eq!(now, identifier(&site, &mut copy).await);
    end(&site, &now).await;
    assert_eq!((site.status(&mut browser).await, site.status(&mut copy).await), (401, 401));
    let log = site.gateway.stop().await;
    assert!(log.iter().filter(|line| line["who"] == "ada").all(|line| line["session"] == now), "{log:#?}");
}

#[tokio::test]
async fn l07_of_tabs_that_sign_in_at_once_every_session_is_dead_after_the_sign_out() {
    let site = site().await;
    let mut browser = Browser::new();
    let begun = [site.begin(&mut browser, "/a").await, site.begin(&mut browser, "/b").await];
    assert_eq!(browser.open(&begun[0]).await.text(), "hello");
    let mut copy = browser.clone();
    assert_eq!(browser.open(&begun[1]).await.text(), "hello");
    assert_ne!(browser.cookie(HOST, SESSION), copy.cookie(HOST, SESSION));
    sign_out_ends_both(&site, &mut browser, &mut copy).await;
}

#[tokio::test]
async fn l07_a_session_that_nobody_used_here_for_long_ends_with_the_one_that_took_its_place() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let mut copy = browser.clone();
    for _ in 0..2 {
        site.clock.advance(Duration::from_secs(20 * 60));
        assert_eq!(site.status(&mut copy).await, 200);
    }
    assert_eq!(site.status(&mut browser).await, 401, "idle");
    assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
    sign_out_ends_both(&site, &mut browser, &mut copy).await;
}

#[tokio::test]
async fn l04_nothing_grows_out_of_a_session_that_was_ended() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let ended = identifier(&site, &mut browser).await;
    let step_up = site.begin(&mut browser, "/payouts/1").await;
    site.clock.advance(Duration::from_secs(31 * 60));
    end(&site, &ended).await;
    let mut other = browser.clone();
    assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
    assert_eq!(site.status(&mut browser).await, 200, "at the first sign-in");
    // A step-up that was under way meanwhile; it took too long, and begins again by itself.
    assert_eq!(other.open(&step_up).await.text(), "hello");
    assert_eq!(site.status(&mut other).await, 200);
    let identifiers = [identifier(&site, &mut browser).await, identifier(&site, &mut other).await];
    assert!(!identifiers.contains(&ended) && identifiers[0] != identifiers[1], "{identifiers:?}");
}

#[tokio::test]
async fn l07_nothing_grows_out_of_a_session_that_was_signed_out_of() {
    for form in ["", "everywhere=1"] {
        let site = site().await;
        let mut browser = site.signed_in().await;
        let ended = identifier(&site, &mut browser).await;
        let mut other = browser.clone();
        let step_up = site.begin(&mut other, "/payouts/1").await;
        assert_eq!(sign_out(&site, &mut browser, form).await, 302);
        site.clock.advance(Duration::from_secs(5));
        assert_eq!(other.open(&step_up).await.text(), "hello");
        assert_ne!(identifier(&site, &mut other).await, ended, "{form}");
    }
}

#[tokio::test]
async fn l04_somebody_else_who_signs_in_for_a_step_up_is_not_ended_with_the_first_one() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let mut ada = browser.clone();
    let of_ada = identifier(&site, &mut browser).await;
    site.provider.script().person.push(("sub".to_owned(), "grace-8".into()));
    assert_eq!(browser.open(&site.url("/payouts/1")).await.text(), "hello");
    assert_ne!(identifier(&site, &mut browser).await, of_ada);
    end(&site, &of_ada).await;
    assert_eq!((site.status(&mut ada).await, site.status(&mut browser).await), (401, 200));
}

#[tokio::test]
async fn l07_a_refused_refresh_of_the_cookie_from_before_a_step_up_does_not_end_what_grew_out_of_it() {
    let refreshing = |upstream: &str| with_step_up(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"");
    let site = Site::with(refreshing, listening).await;
    site.provider.script().refresh_tokens = true;
    let (mut browser, mut copy) = stronger(&site).await;
    site.clock.advance(Duration::from_secs(10 * 60));
    refresh_is_refused(&site, &mut copy).await;
    assert_eq!(site.status(&mut browser).await, 200);
}

#[tokio::test]
async fn l07_a_sign_out_ends_the_cookies_from_before_a_step_up_where_the_stronger_session_was_over_already() {
    let refreshing = |upstream: &str| with_step_up(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"");
    for signs_in_again in [false, true] {
        let site = Site::with(refreshing, listening).await;
        site.provider.script().refresh_tokens = true;
        let (mut browser, mut copy) = stronger(&site).await;
        site.clock.advance(Duration::from_secs(10 * 60));
        refresh_is_refused(&site, &mut browser).await;
        assert_eq!(site.status(&mut copy).await, 200, "it was the other one's refresh");
        if signs_in_again {
            assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
        }
        sign_out_ends_both(&site, &mut browser, &mut copy).await;
    }
}
