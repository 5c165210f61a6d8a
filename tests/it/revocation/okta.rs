//! Okta event hooks: the one-time question, the shared value, whom an event means (L03).

use http::Method;
use serde_json::{Value, json};

use super::{Site, later, post, site};
use crate::harness::browser::{Browser, Reply};

const PATH: &str = "/.lychgate/events/okta";
const SHARED: &str = "Bearer of-the-okta-hook-0123456789";

fn hook(uuid: &str, kind: &str, actor: &str, target: &str) -> Value {
    json!({
        "eventType": "com.okta.event_hook", "eventTypeVersion": "1.0", "eventId": "e",
        "data": {"events": [{
            "uuid": uuid, "eventType": kind, "outcome": {"result": "SUCCESS"},
            "actor": {"id": actor, "type": "User", "alternateId": "root@gmr.example"},
            "target": [{"id": "00g1", "type": "UserGroup"}, {"id": target, "type": "User"}],
        }]},
    })
}

async fn send(site: &Site, hook: &Value) -> Reply {
    post(site, PATH, "application/json", &[("authorization", SHARED)], hook.to_string()).await
}

#[tokio::test]
async fn l03_the_one_time_question_is_answered_with_the_challenge() {
    let site = site().await;
    let mut browser = Browser::new();
    let ask = |challenge: &'static str| [("x-okta-verification-challenge", challenge)];
    let reply = browser.send(Method::GET, &site.url(PATH), &ask("a\"b<c>"), bytes::Bytes::new()).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.json(), json!({"verification": "a\"b<c>"}));
    assert_eq!(browser.get(&site.url(PATH)).await.status.as_u16(), 400);
    let long: &'static str = Box::leak("x".repeat(513).into_boxed_str());
    let reply = browser.send(Method::GET, &site.url(PATH), &ask(long), bytes::Bytes::new()).await;
    assert_eq!(reply.status.as_u16(), 400);
    let without = Site::new().await;
    let reply = browser.send(Method::GET, &without.url(PATH), &ask("a"), bytes::Bytes::new()).await;
    assert_eq!(reply.status.as_u16(), 404);
}

#[tokio::test]
async fn l03_only_who_knows_the_shared_value_is_heard() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let body = hook("u", "user.lifecycle.suspend", "00uadmin", "ada-7").to_string();
    for wrong in [
        "",
        "Bearer",
        "bearer of-the-okta-hook-0123456789",
        "Bearer of-the-okta-hook-012345678",
        "of-the-okta-hook-0123456789",
    ] {
        let reply = post(&site, PATH, "application/json", &[("authorization", wrong)], body.as_str()).await;
        assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, Some("Bearer")), "{wrong:?}");
    }
    assert_eq!(post(&site, PATH, "application/json", &[], body.as_str()).await.status.as_u16(), 401);
    for (kind, bad) in [("text/plain", body.as_str()), ("application/json", "{}"), ("application/json", "no")] {
        assert_eq!(post(&site, PATH, kind, &[("authorization", SHARED)], bad).await.status.as_u16(), 400, "{bad}");
    }
    assert_eq!(site.status(&mut browser).await, 200);
    let reply = post(&site, PATH, "application/json; charset=UTF-8", &[("authorization", SHARED)], body).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, 401));
}

#[tokio::test]
async fn l03_the_person_is_the_target_and_for_the_end_of_a_session_the_actor() {
    let site = site().await;
    for (number, (kind, actor, target, status)) in [
        ("user.lifecycle.deactivate", "00uadmin", "ada-7", 401),
        ("user.lifecycle.suspend", "00uadmin", "ada-7", 401),
        ("user.session.clear", "00uadmin", "ada-7", 401),
        ("user.session.end", "ada-7", "00uother", 401),
        ("user.mfa.factor.reset_all", "00uadmin", "ada-7", 401),
        ("group.user_membership.remove", "00uadmin", "ada-7", 401),
        // The administrator who suspends somebody stays signed in.
        ("user.lifecycle.suspend", "ada-7", "00uother", 200),
        ("user.session.end", "00uother", "ada-7", 200),
        ("user.session.start", "ada-7", "ada-7", 200),
    ]
    .into_iter()
    .enumerate()
    {
        later(&site);
        let mut browser = site.signed_in().await;
        let reply = send(&site, &hook(&format!("u{number}"), kind, actor, target)).await;
        assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, status), "{kind} {actor} {target}");
    }
}

#[tokio::test]
async fn l03_l05_an_event_counts_once_by_its_uuid() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let event = hook("same", "user.lifecycle.suspend", "00uadmin", "ada-7");
    assert_eq!(send(&site, &event).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut browser).await, 401);
    later(&site);
    let mut again = site.signed_in().await;
    assert_eq!(send(&site, &event).await.status.as_u16(), 200);
    assert_eq!(site.status(&mut again).await, 200);
}
