//! Rules for everybody that tell the application who is signed in: they refresh like any other (R03, C10), and whoever is nobody is served as such.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::HOST;
use crate::harness::provider::Answer;
use crate::harness::site::{SESSION, Site, policy};

const TICKET: &str = "lychgate-refresh";
const EVERY: Duration = Duration::from_secs(10 * 60);

/// `/open/**` for everybody, with names; `/told` is answered by the gateway for everybody.
fn optional(upstream: &str) -> String {
    let rules = "[[rules]]\npaths = [\"/open/**\"]\naccess = \"optional\"\n[[rules]]\npaths = [\"/told\"]\naccess = \"public\"\nredirect = \"/public/x\"\n[[rules]]\n";
    policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"").replacen("[[rules]]\n", rules, 1)
}

async fn site() -> Site {
    let site = Site::with(optional, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    site
}

async fn open(site: &Site, browser: &mut Browser) -> (Reply, Option<String>, Option<String>) {
    let reply = browser.fetch(Method::GET, &site.url("/open/page")).await;
    assert_eq!(reply.status, StatusCode::OK, "an optional page is for everybody");
    let seen = site.application.last();
    (reply, seen.header("x-remote-user"), seen.header("x-remote-groups"))
}

#[tokio::test]
async fn r03_a_group_that_was_taken_away_is_gone_on_an_optional_page_too() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let (_, user, groups) = open(&site, &mut browser).await;
    assert_eq!((user.as_deref(), groups.as_deref()), (Some("ada"), Some("staff;artists")));
    site.provider.script().person[1].1 = json!(["artists"]);
    site.clock.advance(EVERY);
    let before = browser.clone();
    let (_, user, groups) = open(&site, &mut browser).await;
    assert_eq!((user.as_deref(), groups.as_deref()), (Some("ada"), Some("artists")));
    assert_eq!(site.provider.refreshes(), 1);
    assert_ne!(browser.cookie(HOST, SESSION), before.cookie(HOST, SESSION), "the answer brings the new cookie");
}

#[tokio::test]
async fn r03_a_session_that_the_provider_ended_is_nobodys_on_an_optional_page() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.provider.script().refresh_answer =
        Answer::Says(400, "application/json", r#"{"error":"invalid_grant"}"#.to_owned());
    site.clock.advance(EVERY);
    let (reply, user, groups) = open(&site, &mut browser).await;
    assert_eq!((user, groups), (None, None));
    assert!(!reply.headers.contains_key("set-cookie"), "nor is it renewed");
}

#[tokio::test]
async fn c10_a_session_that_is_due_and_lost_its_ticket_is_nobodys_on_an_optional_page() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    browser.cookies.get_mut(HOST).unwrap().remove(TICKET);
    site.clock.advance(EVERY);
    let (reply, user, _) = open(&site, &mut browser).await;
    assert_eq!((user, reply.headers.contains_key("set-cookie")), (None, false));
}

#[tokio::test]
async fn c10_what_is_public_or_nowhere_refreshes_nothing() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    site.clock.advance(EVERY);
    for (path, status) in [("/public/style.css", 200), ("/told", 302)] {
        let reply = browser.fetch(Method::GET, &site.url(path)).await;
        assert_eq!((reply.status.as_u16(), reply.headers.contains_key("set-cookie")), (status, false), "{path}");
    }
    assert_eq!(site.provider.refreshes(), 0);
    let (_, user, _) = open(&site, &mut browser).await;
    assert_eq!((user.as_deref(), site.provider.refreshes()), (Some("ada"), 1));
}
