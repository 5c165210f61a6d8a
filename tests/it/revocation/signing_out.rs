//! What a sign-out here ends: the session itself, not only the browser's cookie (L07), and everywhere where that is asked for.

use http::Method;
use lychgate::app::{Options, Plan};
use lychgate::config::Environment;

use super::{Site, later, site};
use crate::harness::browser::Browser;
use crate::harness::site::policy;

const LOGOUT: &str = "/.lychgate/logout";

pub(crate) async fn sign_out(site: &Site, browser: &mut Browser, form: &str) -> u16 {
    let origin = site.url("");
    browser.post(&site.url(LOGOUT), form, &[("origin", origin.as_str())]).await.status.as_u16()
}

#[tokio::test]
async fn l07_a_cookie_copied_before_the_sign_out_is_dead_after_it_and_after_a_restart() {
    let mut site = site().await;
    let mut browser = site.signed_in().await;
    let mut copy = browser.clone();
    let mut other = site.signed_in().await;
    assert_eq!(site.status(&mut copy).await, 200);
    assert_eq!(sign_out(&site, &mut browser, "").await, 302);
    assert_eq!((site.status(&mut copy).await, site.status(&mut other).await), (401, 200));
    site.gateway = site.gateway.restart(&site.clock).await;
    assert_eq!((site.status(&mut copy).await, site.status(&mut other).await), (401, 200));
    let log = site.gateway.stop().await;
    assert!(log.iter().any(|line| line["reason"] == "session_revoked"));
}

#[tokio::test]
async fn l07_without_a_state_directory_the_copy_is_dead_as_long_as_the_gateway_runs() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let mut copy = browser.clone();
    assert_eq!(sign_out(&site, &mut browser, "").await, 302);
    assert_eq!(site.status(&mut copy).await, 401);
}

#[tokio::test]
async fn l07_a_renewed_cookie_of_the_session_is_dead_too() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let mut old = browser.clone();
    site.clock.advance(std::time::Duration::from_secs(600));
    assert_eq!(site.status(&mut browser).await, 200);
    assert_ne!(browser.cookies, old.cookies, "the cookie was renewed");
    assert_eq!(sign_out(&site, &mut old, "").await, 302);
    assert_eq!(site.status(&mut browser).await, 401);
}

#[tokio::test]
async fn l07_everywhere_ends_all_sessions_of_the_person_and_of_nobody_else() {
    let site = site().await;
    let (mut here, mut there) = (site.signed_in().await, site.signed_in().await);
    site.provider.script().person.push(("sub".to_owned(), "grace-8".into()));
    let mut grace = site.signed_in().await;
    assert_eq!(sign_out(&site, &mut here, "everywhere=1").await, 302);
    assert_eq!((site.status(&mut there).await, site.status(&mut grace).await), (401, 200));
    site.provider.script().person.pop();
    later(&site);
    let mut again = site.signed_in().await;
    assert_eq!(site.status(&mut again).await, 200);
}

#[tokio::test]
async fn l07_everywhere_ends_the_browsers_own_session_where_the_clock_was_set_back() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let mut copy = browser.clone();
    site.clock.set_back(std::time::Duration::from_secs(300));
    assert_eq!(site.status(&mut copy).await, 200);
    assert_eq!(sign_out(&site, &mut browser, "everywhere=1").await, 302);
    assert_eq!(site.status(&mut copy).await, 401);
    site.clock.advance(std::time::Duration::from_secs(600));
    assert_eq!(site.status(&mut copy).await, 401);
}

#[tokio::test]
async fn c14_everywhere_from_another_site_or_without_our_form_ends_nothing() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    for (form, origin) in [
        ("everywhere=1", "https://evil.example"),
        ("everywhere=1", "null"),
        ("everywhere=1&token=", "null"),
        ("everywhere=1&token=AAAA", "https://evil.example"),
    ] {
        let reply = browser.post(&site.url(LOGOUT), form, &[("origin", origin)]).await;
        assert_eq!(reply.status.as_u16(), 400, "{form} {origin}");
    }
    let reply = browser.fetch(Method::GET, &site.url("/.lychgate/logout?everywhere=1")).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, 200));
}

#[tokio::test]
async fn l04_a_gateway_whose_list_is_damaged_does_not_start_and_says_what_to_do() {
    let clock = crate::harness::gateway::clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    let setup = crate::harness::gateway::Setup::new(&clock)
        .provider(&provider)
        .policy("app", &policy("http://127.0.0.1:9"))
        .settings("state = \"state\"")
        .file("state/revocations.redb", "garbage");
    let (plan, report) = Plan::read(&setup.write(), &Environment::from_iter([]), &[]);
    let plan = plan.unwrap_or_else(|| panic!("{}", report.render()));
    let error = plan.start(Options::default()).err().unwrap();
    assert!(error.is_configuration());
    let text = error.to_string();
    for part in ["revocations.redb", "cannot be read", "move it away"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn l07_a_sign_out_with_a_cookie_that_nobody_used_for_long_ends_the_copy_that_somebody_does() {
    for (form, by_page) in [("", false), ("everywhere=1", false), ("", true)] {
        let site = site().await;
        let mut browser = site.signed_in().await;
        let mut copy = browser.clone();
        for _ in 0..2 {
            site.clock.advance(std::time::Duration::from_secs(20 * 60));
            assert_eq!(site.status(&mut copy).await, 200);
        }
        assert_eq!(site.status(&mut browser).await, 401, "idle");
        if by_page {
            let page = browser.get(&site.url(LOGOUT)).await.text();
            let token = page.split("name=\"token\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}"));
            let form = format!("token={}", token.split('"').next().unwrap());
            assert_eq!(browser.post(&site.url(LOGOUT), &form, &[("origin", "null")]).await.status, 302);
        } else {
            assert_eq!(sign_out(&site, &mut browser, form).await, 302);
        }
        assert_eq!(site.status(&mut copy).await, 401, "{form} {by_page}");
    }
}

#[tokio::test]
async fn c14_another_site_does_not_sign_out_with_a_cookie_that_nobody_used_for_long() {
    let site = site().await;
    let mut browser = site.signed_in().await;
    let mut copy = browser.clone();
    site.clock.advance(std::time::Duration::from_secs(20 * 60));
    assert_eq!(site.status(&mut copy).await, 200);
    site.clock.advance(std::time::Duration::from_secs(20 * 60));
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(browser.post(&site.url(LOGOUT), "everywhere=1", &foreign).await.status, 400);
    assert_eq!(site.status(&mut copy).await, 200);
}
