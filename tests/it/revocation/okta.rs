//! Okta event hooks: the one-time question, the shared value, whom an event means (L03).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use lychgate::session::{Change, Done, Keeper, Patience};
use serde_json::{Value, json};

use super::{Site, later, listening, post, site};
use crate::harness::browser::{Browser, Reply};
use crate::harness::site::policy;

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
    let metrics = browser.get(&format!("http://{}/metrics", site.gateway.admin())).await.text();
    let counted = r#"lychgate_signals_total{endpoint="events_okta",outcome="signal_no_challenge"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
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

/// A hook with many events: of strangers, and as the last one of Ada.
fn long_hook() -> Value {
    let mut long = hook("last", "user.lifecycle.suspend", "00uadmin", "ada-7");
    let events = long["data"]["events"].as_array_mut().unwrap();
    for number in 0..499 {
        let one = hook(&format!("u{number}"), "user.lifecycle.suspend", "00uadmin", &format!("00u{number}"));
        events.insert(0, one["data"]["events"][0].clone());
    }
    long
}

/// A disk that writes nothing until it is told to: what it was asked to write, and what became of it.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Vec<(usize, Done)>>>);

impl Keeper for Disk {
    fn has_room(&self) -> bool {
        true
    }

    fn keep(&self, changes: Vec<Change>, done: Done) {
        self.0.lock().unwrap().push((changes.len(), done));
    }

    fn patience(&self) -> Patience {
        Box::pin(tokio::time::sleep(Duration::from_millis(100)))
    }
}

impl Disk {
    /// The jobs that came until now, as soon as there is one.
    async fn jobs(&self) -> Vec<(usize, Done)> {
        loop {
            match std::mem::take(&mut *self.0.lock().unwrap()) {
                none if none.is_empty() => {}
                jobs => return jobs,
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn l03_a_hook_with_many_events_is_carried_out_whole_while_the_disk_stalls_or_fails() {
    let disk = Disk::default();
    let site = Site::with(policy, |setup| listening(setup).keeper(disk.clone())).await;
    let mut browser = site.signed_in().await;
    let long = long_hook();
    // Nothing is written for as long as the sender is kept waiting.
    let reply = send(&site, &long).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, Some("5")));
    assert_eq!(site.status(&mut browser).await, 401, "the person of the last event");
    let stalled = disk.jobs().await;
    assert_eq!(stalled.iter().map(|(changes, _)| *changes).collect::<Vec<_>>(), [1000], "one job for all of it");
    stalled.into_iter().for_each(|(_, done)| done.tell(false));
    // When it comes again all of it is written again, though memory knows it.
    let writes = async {
        let mut sizes = Vec::new();
        for (changes, done) in disk.jobs().await {
            sizes.push(changes);
            done.tell(true);
        }
        sizes
    };
    let (reply, sizes) = tokio::join!(send(&site, &long), writes);
    assert_eq!((reply.status.as_u16(), sizes), (200, vec![1000]));
    // And then it is known.
    assert_eq!(send(&site, &long).await.status.as_u16(), 200);
    assert!(disk.0.lock().unwrap().is_empty());
}
