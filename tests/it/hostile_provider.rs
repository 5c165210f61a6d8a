//! A provider that is hostile or broken, in hundreds of ways: cases as data in `tests/data/hostile-provider/`.
//!
//! Each case is a whole login at one gateway in which one thing is wrong. What must come of every one: an error page, no session's
//! cookie, nothing at the application, no userinfo call before the ID token was verified, no token request before the response was, the
//! reason in the access log and none of the provider's texts on the page. A `reason` of `*` leaves open which of several broken
//! rules is named, but not that the login is refused.

mod case;
mod discovery;

use std::collections::BTreeSet;

use case::{Case, cases};

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Script;
use crate::harness::site::{SESSION, Site, ada, line_of, policy};

/// Whether what is wrong is found before the token endpoint may be asked.
fn before_tokens(case: &Case) -> bool {
    let found = ["state_", "issuer_", "code_missing", "duplicate", "malformed_response"];
    case.is_error() || found.iter().any(|prefix| case.reason.starts_with(prefix))
}

async fn run_all(file: &str, least: usize) {
    let site = Site::with(policy, |setup| setup.provider_settings("userinfo = true\n")).await;
    let cases = cases(file);
    assert!(cases.len() >= least, "{} cases", cases.len());
    let mut replies = Vec::new();
    for case in &cases {
        let issuer = site.provider.issuer().to_owned();
        *site.provider.script() = case.script(&issuer);
        let mut browser = Browser::new();
        let authorize_url = site.begin(&mut browser, "/").await;
        let back = site.come_back(&mut browser, &authorize_url).await;
        let (tokens, userinfo) = (site.provider.requests("/token").len(), site.provider.requests("/userinfo").len());
        let reply = browser.get(&case.callback(&back)).await;
        let name = &case.name;
        // A stale state begins again at the provider; everything else is a page.
        let again = reply.location().is_some_and(|location| location.starts_with(site.provider.issuer()));
        assert!(reply.status.is_client_error() || reply.status.is_server_error() || again, "{name}: {}", reply.status);
        assert_eq!(browser.cookie(HOST, SESSION), None, "{name} made a session");
        assert!(site.application.seen().is_empty(), "{name} reached the application");
        if !case.reason.starts_with("userinfo") {
            assert_eq!(site.provider.requests("/userinfo").len(), userinfo, "{name} led to userinfo");
        }
        if before_tokens(case) {
            assert_eq!(site.provider.requests("/token").len(), tokens, "{name} led to the token endpoint");
        }
        assert!(!reply.text().contains("<script") && !reply.text().contains("evil.example"), "{name} is shown");
        replies.push(reply);
    }
    *site.provider.script() = Script { person: ada(), ..Script::default() };
    site.signed_in().await;
    let log = site.gateway.stop().await;
    let wrong: Vec<String> = cases
        .iter()
        .zip(&replies)
        .filter(|(case, reply)| {
            case.reason != "*" && reply.location().is_none() && line_of(&log, reply)["reason"] != *case.reason
        })
        .map(|(case, reply)| format!("{}: {} ({})", case.name, line_of(&log, reply)["reason"], case.rests_on))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn r01_hostile_id_tokens_make_no_session() {
    run_all("id-tokens", 150).await;
}

#[tokio::test]
async fn r07_hostile_responses_of_the_authorization_endpoint_make_no_session() {
    run_all("responses", 40).await;
}

#[tokio::test]
async fn r05_hostile_answers_of_the_token_and_userinfo_endpoints_make_no_session() {
    run_all("endpoints", 35).await;
}

#[test]
fn there_are_hundreds_of_cases_and_each_rests_on_something() {
    let files = ["id-tokens", "responses", "endpoints", "metadata"];
    let all: Vec<Case> = files.into_iter().flat_map(cases).collect();
    assert!(all.len() >= 200, "{}", all.len());
    assert!(all.iter().all(|case| !case.rests_on.is_empty()));
    let names: BTreeSet<&str> = all.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "a name stands twice");
    let open = all.iter().filter(|case| case.reason == "*" && case.metadata.is_empty()).count();
    assert!(open * 4 < all.len(), "{open} cases do not name their reason");
}
