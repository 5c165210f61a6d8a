//! What one address may make the gateway do without being known.

use http::{Method, StatusCode};
use serde_json::json;

use super::{elsewhere, how_many, log, site_with, with_reason};
use crate::harness::browser::Browser;
use crate::harness::site::Site;

const FEW: &str = "[limits.strangers]\nrequests = 6\nevery = \"1m\"\nburst = 4\n";

async fn site() -> Site {
    site_with("", FEW).await
}

#[tokio::test]
async fn d03_logins_of_one_address_are_bounded_and_its_people_go_on() {
    let site = site().await;
    let fields = [("x-forwarded-for", "192.0.2.7")];
    let mut ada = site.signed_in().await;
    let logins = site.flood("192.0.2.7", "/", 20).await;
    assert_eq!((how_many(&logins, 302), how_many(&logins, 429)), (4, 16));
    assert_eq!(site.flood("192.0.2.8", "/", 2).await, [302, 302], "a neighbour");
    assert_eq!(site.get_from(&mut ada, "192.0.2.7", "/").await.status, StatusCode::OK, "who is known is no stranger");
    assert_eq!(site.flood("192.0.2.7", "/public/x", 10).await, [200; 10], "nor is what is public counted");
    let program = Browser::new().send(Method::GET, &site.url("/"), &fields, bytes::Bytes::new()).await;
    assert_eq!(program.status, StatusCode::UNAUTHORIZED, "a 401 costs nothing");
    let log = log(site.gateway).await;
    let refused = with_reason(&log, "rate_limited");
    assert_eq!(refused.len(), 16);
    assert!(refused.iter().all(|line| line["decision"] == "refused" && line["status"] == 429));
}

#[tokio::test]
async fn d03_a_flood_of_responses_does_not_reach_the_provider() {
    let site = site().await;
    let mut browser = Browser::new();
    let asked = site.get_from(&mut browser, "192.0.2.7", "/").await.location().unwrap();
    let state = crate::harness::site::parameter(&asked, "state").unwrap();
    let before = site.provider.requests("/token").len();
    let mut statuses = Vec::new();
    for code in 0..20 {
        // The cookie of the login is kept, as a stranger's program would.
        let path = format!("/.lychgate/callback?state={state}&code={code}");
        statuses.push(site.get_from(&mut browser.clone(), "192.0.2.7", &path).await.status.as_u16());
    }
    assert_eq!((how_many(&statuses, 400), how_many(&statuses, 429)), (3, 17), "{statuses:?}");
    assert!(site.provider.requests("/token").len() - before <= 3);
}

#[tokio::test]
async fn d03_what_is_not_there_is_not_asked_for_without_end() {
    let site = site().await;
    let mut statuses = Vec::new();
    for number in 0..10 {
        let url = elsewhere(&site.url("/"), &format!("host-{number}.localhost"));
        let fields = [("x-forwarded-for", "192.0.2.7")];
        statuses.push(Browser::new().send(Method::GET, &url, &fields, bytes::Bytes::new()).await.status.as_u16());
    }
    assert_eq!((how_many(&statuses, 404), how_many(&statuses, 429)), (4, 6));
    assert_eq!(site.flood("192.0.2.7", "/.lychgate/nothing", 1).await, [429]);
    assert_eq!(site.flood("192.0.2.8", "/.lychgate/nothing", 1).await, [404]);
    let log = log(site.gateway).await;
    assert!(with_reason(&log, "rate_limited").iter().all(|line| line["decision"] == json!("refused")));
}

#[tokio::test]
async fn d03_providers_are_not_strangers() {
    let site = site().await;
    let fields = [("x-forwarded-for", "192.0.2.7")];
    for path in ["backchannel-logout", "events/set", "events/okta"] {
        let url = site.url(&format!("/.lychgate/{path}"));
        for _ in 0..8 {
            let reply = Browser::new().send(Method::POST, &url, &fields, bytes::Bytes::new()).await;
            assert_ne!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        }
    }
}
