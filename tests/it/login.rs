//! A person signs in through the whole gateway, and the application sees who it is.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::FakeProvider;
use lychgate::clock::ManualClock;

const IDENTITY: &[&str] = &["x-remote-user", "x-remote-groups"];

/// The policy of these tests.
pub(crate) fn policy(upstream: &str) -> String {
    format!(
        r#"
[app]
hosts = ["{HOST}"]
upstream = "{upstream}"
[login]
provider = "idp"
[session]
idle = "30m"
max = "8h"
[headers]
X-Remote-User = "${{user.preferred_username}}"
X-Remote-Groups = {{ list = "${{user.groups}}", separator = ";" }}
[[rules]]
paths = ["/public/**"]
access = "public"
[[rules]]
paths = ["/admin/**"]
allow = "'admins' in user.groups"
[[rules]]
allow = "'staff' in user.groups"
"#
    )
}

struct Site {
    clock: ManualClock,
    provider: FakeProvider,
    application: Application,
    gateway: TestGateway,
}

async fn site() -> Site {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().person =
        vec![("preferred_username".to_owned(), json!("ada")), ("groups".to_owned(), json!(["staff", "artists"]))];
    let application = Application::start(IDENTITY).await;
    let gateway = Setup::new(&clock).provider(&provider).policy("app", &policy(&application.url())).start().await;
    Site { clock, provider, application, gateway }
}

#[tokio::test]
async fn o02_a_person_signs_in_and_arrives_at_the_page_asked_for() {
    let site = site().await;
    let mut browser = Browser::new();
    let reply = browser.open(&site.gateway.url("/statements?year=2026&next=https://other.example/")).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "hello"));
    let seen = site.application.only();
    assert_eq!(seen.target, "/statements?year=2026&next=https://other.example/");
    assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-remote-groups").as_deref(), Some("staff;artists"));
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(site.provider.requests("/token").len(), 1);
}

#[tokio::test]
async fn c09_a_session_that_was_not_used_for_too_long_is_over() {
    let site = site().await;
    let mut browser = Browser::new();
    browser.open(&site.gateway.url("/")).await;
    site.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(browser.fetch(Method::GET, &site.gateway.url("/")).await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(browser.fetch(Method::GET, &site.gateway.url("/")).await.status, StatusCode::OK, "renewed by use");
    site.clock.advance(Duration::from_secs(31 * 60));
    let reply = browser.fetch(Method::GET, &site.gateway.url("/")).await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("sign_in_required")));
}

#[tokio::test]
async fn what_a_person_may_not_is_a_page_with_a_request_number() {
    let site = site().await;
    let mut browser = Browser::new();
    browser.open(&site.gateway.url("/")).await;
    let reply = browser.get(&site.gateway.url("/admin/payouts")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(site.application.seen().len(), 1);
    let log = site.gateway.stop().await;
    let line = log.iter().find(|line| line["decision"] == "deny").unwrap();
    assert_eq!((line["who"].as_str(), line["status"].as_u64()), (Some("ada"), Some(403)));
    assert!(reply.text().contains(line["request_id"].as_str().unwrap()));
}
