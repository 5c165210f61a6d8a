//! The session of one refresh with the ticket of another: it may be refreshed, and is worth nothing until it is.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Answer;
use crate::harness::site::{SESSION, Site, policy};
use crate::harness::soon;

const EVERY: Duration = Duration::from_secs(10 * 60);

#[tokio::test]
async fn r03_claims_from_before_a_refresh_are_not_kept_alive_with_a_newer_ticket_while_the_provider_is_away() {
    let refreshing = |upstream: &str| {
        policy(upstream)
            .replace("idle = \"30m\"", "idle = \"2h\"")
            .replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"")
    };
    let site = Site::with(refreshing, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    site.provider.script().person[1].1 = json!(["staff", "admins"]);
    let mut browser = site.signed_in().await;
    let old = browser.cookie(HOST, SESSION).unwrap().value.clone();
    site.provider.script().person[1].1 = json!(["staff"]);
    for _ in 0..2 {
        site.clock.advance(EVERY);
        assert_eq!(site.status(&mut browser).await, 200);
    }
    let admin = async |browser: &Browser| {
        let mut browser = browser.clone();
        browser.plant(HOST, SESSION, &old);
        let reply = soon(browser.fetch(Method::GET, &site.url("/admin/"))).await;
        (reply.status, reply.headers.contains_key("set-cookie"))
    };
    site.clock.advance(Duration::from_secs(61));
    site.provider.script().refresh_answer = Answer::Status(500);
    for _ in 0..2 {
        // The first finds the provider away, the second that it was.
        assert_eq!(admin(&browser).await, (StatusCode::UNAUTHORIZED, false));
    }
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut browser).await, 200, "the session of the ticket goes on");
    // An answer from before that comes late does no harm where the provider is there.
    site.provider.script().refresh_answer = Answer::Normal;
    site.clock.advance(Duration::from_secs(300));
    assert_eq!(admin(&browser).await, (StatusCode::FORBIDDEN, true), "with the claims of now");
    assert_eq!(site.status(&mut browser).await, 200);
    let mut another = site.signed_in().await;
    let first = another.cookie(HOST, SESSION).unwrap().value.clone();
    site.provider.script().refresh_without_id_token = false;
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut another).await, 200);
    site.provider.script().refresh_without_id_token = true;
    another.plant(HOST, SESSION, &first);
    site.clock.advance(EVERY);
    assert_eq!(site.status(&mut another).await, 401, "nor with claims that nobody said again");
    site.provider.script().refresh_without_id_token = false;
    site.provider.script().refresh_answer = Answer::Never;
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(admin(&browser).await, (StatusCode::UNAUTHORIZED, false), "nor while it is slow");
    let log = site.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_refresh_lost").count(), 3);
}
