//! Refreshes that meet slow parties: an application that answers late, a provider that hangs.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::Answer;
use crate::harness::site::{SESSION, Site, policy};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const EVERY: Duration = Duration::from_secs(10 * 60);
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

fn refreshing(upstream: &str) -> String {
    policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"")
}

/// The next request at an application, which lets wait.
async fn waiting(application: &RawApplication) -> Wire {
    let mut wire = application.accept().await;
    wire.request_head().await.unwrap();
    wire
}

/// A script's request that is answered at once.
pub(super) async fn status(site: &Site, application: &RawApplication, browser: &mut Browser) -> StatusCode {
    let url = site.url("/");
    let mut asking = Box::pin(browser.fetch(Method::GET, &url));
    tokio::select! {
        reply = &mut asking => return reply.status,
        mut wire = waiting(application) => wire.send(HELLO).await.unwrap(),
    }
    asking.await.status
}

#[tokio::test]
async fn c10_the_grace_of_the_old_cookie_begins_when_an_answer_brings_the_new_one() {
    let application = RawApplication::start().await;
    let site = Site::with(|_| refreshing(&application.url()), |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let (old, ()) = soon(async {
        tokio::join!(site.signed_in(), async { waiting(&application).await.send(HELLO).await.unwrap() })
    })
    .await;
    site.clock.advance(EVERY);
    let (mut slow, url) = (old.clone(), site.url("/"));
    let (reply, ()) = soon(async {
        tokio::join!(slow.fetch(Method::GET, &url), async {
            let mut late = waiting(&application).await;
            // Another request of the browser, which knows nothing of the refresh, after more than the grace. Its client leaves.
            site.clock.advance(Duration::from_secs(120));
            let mut leaving = Wire::connect(site.gateway.address()).await;
            let pairs = old.cookies[HOST].iter().map(|(name, cookie)| format!("{name}={}", cookie.value));
            let cookies = pairs.collect::<Vec<_>>().join("; ");
            leaving.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookies}\r\n\r\n")).await.unwrap();
            let mut left = waiting(&application).await;
            drop(leaving);
            left.rest().await;
            site.clock.advance(Duration::from_secs(120));
            late.send(HELLO).await.unwrap();
        })
    })
    .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_ne!(slow.cookie(HOST, SESSION), old.cookie(HOST, SESSION), "the new one");
    site.clock.advance(Duration::from_secs(59));
    assert_eq!(soon(status(&site, &application, &mut old.clone())).await, StatusCode::OK);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(soon(status(&site, &application, &mut old.clone())).await, StatusCode::UNAUTHORIZED);
    assert_eq!(soon(status(&site, &application, &mut slow)).await, StatusCode::OK);
    assert_eq!((site.provider.refreshes(), site.provider.grants().any_revoked()), (1, false));
}

#[tokio::test]
async fn r03_claims_that_no_answer_has_brought_yet_are_no_older_than_the_policy_wants() {
    let application = RawApplication::start().await;
    let every_minute = |_: &str| refreshing(&application.url()).replace("refresh = \"10m\"", "refresh = \"1m\"");
    let site = Site::with(every_minute, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let (old, ()) = soon(async {
        tokio::join!(site.signed_in(), async { waiting(&application).await.send(HELLO).await.unwrap() })
    })
    .await;
    site.clock.advance(Duration::from_secs(60));
    let (mut slow, url) = (old.clone(), site.url("/"));
    let (reply, ()) = soon(async {
        tokio::join!(slow.fetch(Method::GET, &url), async {
            let mut late = waiting(&application).await;
            site.clock.advance(Duration::from_secs(50));
            assert_eq!(status(&site, &application, &mut old.clone()).await, StatusCode::OK, "young enough");
            site.provider.script().person[1].1 = serde_json::json!(["artists"]);
            site.clock.advance(Duration::from_secs(20));
            let mut other = old.clone();
            assert_eq!(status(&site, &application, &mut other).await, StatusCode::FORBIDDEN);
            assert_eq!(status(&site, &application, &mut other).await, StatusCode::FORBIDDEN);
            late.send(HELLO).await.unwrap();
        })
    })
    .await;
    assert_eq!(reply.status, StatusCode::OK, "decided before");
    assert_eq!(soon(status(&site, &application, &mut slow)).await, StatusCode::FORBIDDEN);
    assert_eq!((site.provider.refreshes(), site.provider.grants().any_revoked()), (2, false));
}

#[tokio::test]
async fn c10_a_late_answer_brings_no_older_cookie_over_a_newer_one() {
    let application = RawApplication::start().await;
    let every_minute = |_: &str| refreshing(&application.url()).replace("refresh = \"10m\"", "refresh = \"1m\"");
    let site = Site::with(every_minute, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let (mut browser, ()) = soon(async {
        tokio::join!(site.signed_in(), async { waiting(&application).await.send(HELLO).await.unwrap() })
    })
    .await;
    site.clock.advance(Duration::from_secs(60));
    let (mut slow, old, url) = (browser.clone(), browser.clone(), site.url("/"));
    let ((), ()) = soon(async {
        tokio::join!(
            async {
                slow.fetch(Method::GET, &url).await;
            },
            async {
                let mut late = waiting(&application).await;
                // The other tab gets what the first refresh brought, and what the next one brings.
                for _ in 0..2 {
                    assert_eq!(status(&site, &application, &mut browser).await, StatusCode::OK);
                    site.clock.advance(Duration::from_secs(61));
                }
                late.send(HELLO).await.unwrap();
            }
        )
    })
    .await;
    // Both tabs have one jar: what the late answer set is what is there now.
    for (name, cookie) in slow.cookies.remove(HOST).unwrap() {
        if old.cookie(HOST, &name) != Some(&cookie) {
            browser.cookies.get_mut(HOST).unwrap().insert(name, cookie);
        }
    }
    for _ in 0..2 {
        site.clock.advance(Duration::from_secs(61));
        assert_eq!(soon(status(&site, &application, &mut browser)).await, StatusCode::OK);
    }
    assert!(!site.provider.grants().any_revoked());
}

#[tokio::test]
async fn c09_an_answer_that_carries_a_refreshed_session_sets_it_once_and_as_used() {
    let application = RawApplication::start().await;
    let short = |_: &str| {
        refreshing(&application.url())
            .replace("refresh = \"10m\"", "refresh = \"1m\"")
            .replace("idle = \"30m\"", "idle = \"2m\"")
    };
    let site = Site::with(short, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let (mut browser, ()) = soon(async {
        tokio::join!(site.signed_in(), async { waiting(&application).await.send(HELLO).await.unwrap() })
    })
    .await;
    site.clock.advance(Duration::from_secs(62));
    let (mut slow, url) = (browser.clone(), site.url("/"));
    soon(async {
        tokio::join!(
            async {
                slow.fetch(Method::GET, &url).await;
            },
            async {
                let mut late = waiting(&application).await;
                site.clock.advance(Duration::from_secs(48));
                let mut asking = Box::pin(browser.fetch(Method::GET, &url));
                let mut wire = tokio::select! {
                    reply = &mut asking => panic!("{}", reply.status),
                    wire = waiting(&application) => wire,
                };
                wire.send(HELLO).await.unwrap();
                let reply = asking.await;
                let set: Vec<_> =
                    reply.headers.get_all("set-cookie").iter().map(|field| field.to_str().unwrap()).collect();
                let names = set.iter().map(|field| field.split('=').next().unwrap());
                assert_eq!(names.collect::<std::collections::BTreeSet<_>>().len(), set.len(), "{set:?}");
                late.send(HELLO).await.unwrap();
            }
        )
    })
    .await;
    site.clock.advance(Duration::from_secs(115));
    assert_eq!(soon(status(&site, &application, &mut browser)).await, StatusCode::OK, "it was in use");
}

#[tokio::test]
async fn r03_a_provider_that_hangs_makes_one_request_wait_and_not_every_one() {
    let site = Site::with(refreshing, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = site.signed_in().await;
    site.provider.script().refresh_answer = Answer::Never;
    site.clock.advance(EVERY);
    // Were each of them to wait, the provider's time would be over before the last one.
    for _ in 0..6 {
        assert_eq!(soon(site.status(&mut browser)).await, 200);
    }
    let metrics = format!("http://localhost:{}/metrics", site.gateway.admin().port());
    let metrics = Browser::new().get(&metrics).await.text();
    let failed = r#"lychgate_refreshes_total{provider="idp",outcome="failed"} 0"#;
    assert!(metrics.contains(failed), "{metrics}");
}
