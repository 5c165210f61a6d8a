//! An answer that comes late brings no session back that another has taken the place of meanwhile, and takes none back in time.

use std::time::Duration;

use http::{Method, StatusCode};

use super::refresh_slow::status;
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Answer;
use crate::harness::site::{SESSION, Site, policy};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

/// Cookies are renewed after half a minute, and `/strong/` wants a stronger sign-in.
fn renewing(upstream: &str) -> String {
    let stronger = "allow = \"'staff' in user.groups\"\nstep_up = { acr = [\"phr\"] }";
    policy(upstream)
        .replace("idle = \"30m\"", "idle = \"5m\"")
        .replace("/admin/**", "/strong/**")
        .replace("allow = \"'admins' in user.groups\"", stronger)
}

async fn waiting(application: &RawApplication) -> Wire {
    let mut wire = application.accept().await;
    wire.request_head().await.unwrap();
    wire
}

/// Goes to a page that the application gives at once.
async fn open(site: &Site, application: &RawApplication, browser: &mut Browser, path: &str) {
    let url = site.url(path);
    let (reply, ()) = tokio::join!(browser.open(&url), async { waiting(application).await.send(HELLO).await.unwrap() });
    assert_eq!(reply.text(), "hello", "{path}");
}

/// A browser whose next answer renews its session.
async fn with_session_to_renew(site: &Site, application: &RawApplication) -> Browser {
    let mut browser = Browser::new();
    open(site, application, &mut browser, "/").await;
    site.clock.advance(Duration::from_secs(70));
    browser
}

/// Sends a request of the browser's, does `meanwhile`, and then lets the application answer; what the browser has then.
async fn after_late_answer(
    site: &Site,
    application: &RawApplication,
    browser: &Browser,
    meanwhile: impl Future<Output = ()>,
) -> Browser {
    let (mut slow, url) = (browser.clone(), site.url("/"));
    let (reply, ()) = tokio::join!(slow.fetch(Method::GET, &url), async {
        let mut late = waiting(application).await;
        meanwhile.await;
        late.send(HELLO).await.unwrap();
    });
    assert_eq!(reply.text(), "hello");
    slow
}

/// The same; whether the answer has a session's cookie.
async fn answered_late(
    site: &Site,
    application: &RawApplication,
    browser: &Browser,
    meanwhile: impl Future<Output = ()>,
) -> bool {
    let slow = after_late_answer(site, application, browser, meanwhile).await;
    slow.cookie(HOST, SESSION) != browser.cookie(HOST, SESSION)
}

async fn site(application: &RawApplication, refresh: &str) -> Site {
    let max = format!("max = \"8h\"\n{refresh}");
    let site = Site::with(|_| renewing(&application.url()).replace("max = \"8h\"", &max), |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    site
}

#[tokio::test]
async fn c07_a_late_answer_does_not_put_the_session_from_before_a_step_up_over_the_new_one() {
    for refresh in ["", "refresh = \"1m\""] {
        let application = RawApplication::start().await;
        let site = site(&application, refresh).await;
        soon(async {
            let mut browser = with_session_to_renew(&site, &application).await;
            assert!(answered_late(&site, &application, &browser, async {}).await, "renewed {refresh}");
            let before = browser.clone();
            let stepping_up = async {
                site.clock.advance(Duration::from_secs(5));
                open(&site, &application, &mut browser, "/strong/1").await;
            };
            assert!(!answered_late(&site, &application, &before, stepping_up).await, "{refresh}");
            open(&site, &application, &mut browser, "/strong/2").await;
            // A request that left before the browser had the new one.
            assert!(!answered_late(&site, &application, &before, async {}).await, "{refresh}");
            // The new one is renewed as ever, and so is the old one where the new one never got to the browser.
            site.clock.advance(Duration::from_secs(60));
            assert!(answered_late(&site, &application, &browser, async {}).await, "{refresh}");
            if refresh.is_empty() {
                assert!(answered_late(&site, &application, &before, async {}).await);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn l07_an_answer_from_before_the_sign_out_brings_no_cookie_back() {
    for refresh in ["", "refresh = \"1m\""] {
        let application = RawApplication::start().await;
        let site = site(&application, refresh).await;
        soon(async {
            let mut browser = with_session_to_renew(&site, &application).await;
            let before = browser.clone();
            let origin = site.url("");
            let signing_out = async {
                let url = site.url("/.lychgate/logout");
                browser.post(&url, "", &[("origin", origin.as_str())]).await;
                assert_eq!(browser.cookie(HOST, SESSION), None);
                open(&site, &application, &mut browser, "/").await;
            };
            assert!(!answered_late(&site, &application, &before, signing_out).await, "{refresh}");
        })
        .await;
    }
}

#[tokio::test]
async fn c09_a_late_answer_says_that_the_session_was_used_until_then() {
    let application = RawApplication::start().await;
    let site = site(&application, "").await;
    soon(async {
        // Renewed a moment before the request came, or due when it does: what is open is in use.
        for since in [0, 70] {
            let mut browser = Browser::new();
            open(&site, &application, &mut browser, "/").await;
            site.clock.advance(Duration::from_secs(since));
            let waiting = async { site.clock.advance(Duration::from_secs(280 - since)) };
            let mut slow = after_late_answer(&site, &application, &browser, waiting).await;
            site.clock.advance(Duration::from_secs(280));
            assert_eq!(status(&site, &application, &mut slow).await, StatusCode::OK, "{since}");
        }
    })
    .await;
}

#[tokio::test]
async fn c10_a_late_answer_does_not_put_the_session_from_before_a_refresh_over_the_new_one() {
    let application = RawApplication::start().await;
    let site = site(&application, "refresh = \"2m\"").await;
    soon(async {
        let mut browser = with_session_to_renew(&site, &application).await;
        let before = browser.clone();
        let refreshing = async {
            site.clock.advance(Duration::from_secs(60));
            assert_eq!(status(&site, &application, &mut browser).await, StatusCode::OK);
        };
        assert!(!answered_late(&site, &application, &before, refreshing).await);
        assert_ne!(browser.cookie(HOST, SESSION), before.cookie(HOST, SESSION), "refreshed");
        assert_eq!(site.provider.refreshes(), 1);
        // While the provider cannot be asked there is nothing newer, and what is used is renewed.
        site.clock.advance(Duration::from_secs(110));
        let failing = async {
            site.provider.script().refresh_answer = Answer::Says(503, "text/plain", String::new());
            site.clock.advance(Duration::from_secs(20));
            assert_eq!(status(&site, &application, &mut browser.clone()).await, StatusCode::OK);
        };
        assert!(answered_late(&site, &application, &browser, failing).await);
        assert!(site.provider.refreshes() > 1, "it was asked");
    })
    .await;
}

#[tokio::test]
async fn c07_a_late_answer_does_not_put_somebody_elses_session_over_that_of_who_signed_in_meanwhile() {
    for refresh in ["", "refresh = \"1m\""] {
        let application = RawApplication::start().await;
        let site = site(&application, refresh).await;
        soon(async {
            let mut browser = with_session_to_renew(&site, &application).await;
            let before = browser.clone();
            let signing_in = async {
                site.provider.script().person.push(("sub".to_owned(), "grace-8".into()));
                open(&site, &application, &mut browser, "/strong/1").await;
                assert_ne!(browser.cookie(HOST, SESSION), before.cookie(HOST, SESSION));
            };
            assert!(!answered_late(&site, &application, &before, signing_in).await, "{refresh}");
            site.clock.advance(Duration::from_secs(60));
            assert!(answered_late(&site, &application, &browser, async {}).await, "{refresh}");
        })
        .await;
    }
}
