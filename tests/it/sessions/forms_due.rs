//! Kept forms whose session is due for a refresh: signing in beside them makes a session that is good for them.

use std::time::Duration;

use http::{Method, StatusCode};

use super::forms::{FORM, URLENCODED, confirm, send, sign_in, token};
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Answer;
use crate::harness::site::{Site, line_of, policy};

const EVERY: Duration = Duration::from_secs(10 * 60);

fn refreshing(upstream: &str) -> String {
    policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"")
}

#[tokio::test]
async fn c13_a_form_gets_to_the_application_after_a_refresh_was_refused() {
    for refused in [true, false] {
        let site = Site::with(refreshing, |setup| setup).await;
        site.provider.script().refresh_tokens = true;
        let mut browser = site.signed_in().await;
        if refused {
            let over = r#"{"error":"invalid_grant"}"#.to_owned();
            site.provider.script().refresh_answer = Answer::Says(400, "application/json", over);
        } else {
            browser.cookies.get_mut(HOST).unwrap().remove("lychgate-refresh");
        }
        site.clock.advance(EVERY);
        let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED);
        sign_in(&mut browser, &site, &page).await;
        let reply = confirm(&mut browser, &site, &token(&page)).await;
        assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "hello"));
        let got = site.application.last();
        assert_eq!((got.method, &got.body[..]), (Method::POST, FORM));
    }
}

#[tokio::test]
async fn c13_a_form_whose_session_ends_when_it_is_sent_is_not_used_up() {
    let site = Site::with(refreshing, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = Browser::new();
    let page = send(&mut browser, &site, "/pay", URLENCODED, FORM).await;
    sign_in(&mut browser, &site, &page).await;
    site.clock.advance(EVERY);
    let over = r#"{"error":"invalid_grant"}"#.to_owned();
    site.provider.script().refresh_answer = Answer::Says(400, "application/json", over);
    let reply = confirm(&mut browser, &site, &token(&page)).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&reply), token(&page), "the same form again");
    site.provider.script().refresh_answer = Answer::Normal;
    sign_in(&mut browser, &site, &reply).await;
    assert_eq!(confirm(&mut browser, &site, &token(&page)).await.text(), "hello");
    assert_eq!(site.application.last().body, FORM);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["decision"], "sign_in");
}

#[tokio::test]
async fn c13_the_page_that_says_signed_in_can_be_loaded_again_much_later() {
    let site = Site::with(refreshing, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = site.signed_in().await;
    let done = site.url("/.lychgate/sign-in?for=%2F&done");
    assert!(browser.get(&done).await.text().contains("You are signed in to app"));
    site.clock.advance(EVERY);
    let reply = browser.open(&done).await;
    assert!(reply.text().contains("You are signed in to app"), "{}", reply.text());
}
