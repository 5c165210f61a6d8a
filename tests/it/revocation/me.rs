//! `/.lychgate/me`: who the gateway thinks somebody is.

use http::Method;
use serde_json::json;

use super::{later, site};
use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::site::{IDENTITY, Site, policy};

const ME: &str = "/.lychgate/me";

#[tokio::test]
async fn a_script_is_told_who_is_signed_in_since_when_and_until_when_and_no_token() {
    let site = site().await;
    site.provider.script().person.push(("groups".to_owned(), json!(["staff", 10_000_000_000_000_000_001_u64])));
    let mut browser = site.signed_in().await;
    let reply = browser.fetch(Method::GET, &site.url(ME)).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let now = site.clock.clock().now().seconds();
    let told = reply.json();
    assert_eq!((&told["signed_in"], &told["app"], &told["who"]), (&json!(true), &json!("app"), &json!("ada")));
    assert_eq!((&told["subject"], &told["claims"]["preferred_username"]), (&json!("ada-7"), &json!("ada")));
    assert!(reply.text().contains("10000000000000000001"), "{}", reply.text());
    let session = &told["session"];
    assert_eq!((&session["provider"], &session["amr"]), (&json!("idp"), &json!(["pwd", "otp"])));
    for (name, seconds) in [("authenticated_at", 0), ("started_at", 0), ("idle_until", 1800), ("ends_at", 8 * 3600)] {
        assert_eq!(session[name], json!(now + seconds), "{name}");
    }
    assert_eq!(session["id"].as_str().unwrap().len(), 8);
    let text = reply.text();
    assert!(!text.contains("eyJ") && !text.contains("access-token"), "{text}");
    let log = site.gateway.stop().await;
    let line = log.iter().find(|line| line["path"] == ME).unwrap();
    assert_eq!(line["session"], session["id"]);
}

#[tokio::test]
async fn a_person_sees_a_page_and_signs_out_everywhere_with_its_form() {
    let site = site().await;
    let (mut browser, mut other) = (site.signed_in().await, site.signed_in().await);
    let page = browser.get(&site.url(ME)).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    for part in ["signed in to app as ada", "ada-7", "Sign out everywhere", "name=\"everywhere\"", "staff"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let (_, rest) = text.split_once("name=\"token\" value=\"").unwrap();
    let form = format!("token={}&everywhere=1", rest.split('"').next().unwrap());
    let reply = browser.post(&site.url("/.lychgate/logout"), &form, &[("origin", "null")]).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut other).await), (302, 401));
}

/// The form's hidden token.
fn token(page: &str) -> &str {
    page.split_once("name=\"token\" value=\"").unwrap().1.split('"').next().unwrap()
}

/// An application of the whole host, and one below `/nested` whose sessions last a minute without use.
async fn two_applications() -> (Site, Application) {
    let nested = Application::start(IDENTITY).await;
    let below = policy(&nested.url()).replace("[\"/", "[\"/nested/").replace("\"30m\"", "\"1m\"");
    let below = below.replace("[login]", "path = \"/nested\"\n[login]");
    (Site::with(policy, |setup| setup.policy("nested", &below)).await, nested)
}

#[tokio::test]
async fn c14_the_forms_of_the_page_work_beside_a_session_of_a_neighbour_that_is_over() {
    for everywhere in ["", "&everywhere=1"] {
        let (site, _nested) = two_applications().await;
        let mut browser = site.signed_in().await;
        assert_eq!(browser.open(&site.url("/nested/")).await.text(), "hello");
        site.clock.advance(std::time::Duration::from_secs(63));
        let mut copy = browser.clone();
        assert_eq!(site.status(&mut copy).await, 200);
        let page = browser.get(&site.url(ME)).await.text();
        let form = format!("token={}{everywhere}", token(&page));
        let reply = browser.post(&site.url("/.lychgate/logout"), &form, &[("origin", "null")]).await;
        assert_eq!((reply.status.as_u16(), site.status(&mut copy).await), (302, 401), "{}", reply.text());
        assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
    }
}

#[tokio::test]
async fn c14_a_form_that_was_shown_before_the_person_signed_in_at_a_neighbour_still_works() {
    let (site, _nested) = two_applications().await;
    let mut browser = site.signed_in().await;
    let page = browser.get(&site.url("/.lychgate/logout")).await.text();
    assert_eq!(browser.open(&site.url("/nested/")).await.text(), "hello");
    let form = format!("token={}", token(&page));
    let reply = browser.post(&site.url("/.lychgate/logout"), &form, &[("origin", "null")]).await;
    assert_eq!(reply.status.as_u16(), 302, "{}", reply.text());
    // The token of somebody else's session is still nobody's.
    let (mut other, mut own) = (site.signed_in().await, site.signed_in().await);
    let page = other.get(&site.url("/.lychgate/logout")).await.text();
    let form = format!("token={}", token(&page));
    let reply = own.post(&site.url("/.lychgate/logout"), &form, &[("origin", "null")]).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut own).await), (400, 200));
}

#[tokio::test]
async fn nobody_is_told_so_in_both_forms_and_asking_is_no_use_of_the_session() {
    let site = site().await;
    let reply = Browser::new().fetch(Method::GET, &site.url(ME)).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]), (401, &json!("sign_in_required")));
    assert!(reply.header("www-authenticate").is_some());
    let page = Browser::new().get(&site.url(ME)).await;
    assert_eq!((page.status.as_u16(), page.text().contains(">Sign in</a>")), (401, true));
    let mut browser = site.signed_in().await;
    let before = browser.cookies.clone();
    site.clock.advance(std::time::Duration::from_secs(1200));
    assert_eq!(browser.fetch(Method::GET, &site.url(ME)).await.status.as_u16(), 200);
    assert_eq!(browser.cookies, before);
    site.clock.advance(std::time::Duration::from_secs(600));
    assert_eq!(browser.fetch(Method::GET, &site.url(ME)).await.status.as_u16(), 401);
    later(&site);
    let post = browser.fetch(Method::POST, &site.url(ME)).await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn s02_the_application_never_sees_the_address() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let before = site.application.seen().len();
    browser.get(&site.url(ME)).await;
    browser.get(&site.url("/.LYCHGATE/me")).await;
    assert_eq!(site.application.seen().len(), before);
}
