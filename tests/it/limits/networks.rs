//! From where an application can be reached at all.

use http::{Method, StatusCode};
use serde_json::json;

use super::{log, site, with_reason};
use crate::harness::browser::Browser;
use crate::harness::site::policy;

const NETWORKS: &str =
    "[networks]\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\", \"127.0.0.1\"]\ndeny = \"10.66.0.0/16\"";

#[tokio::test]
async fn d03_whoever_is_elsewhere_gets_403_before_any_login_and_on_public_pages_too() {
    let site = site(NETWORKS).await;
    for client in ["10.1.2.3", "2001:db8::1"] {
        assert_eq!(site.flood(client, "/public/x", 1).await, [200], "{client}");
        assert_eq!(site.flood(client, "/", 1).await, [302], "{client}");
    }
    for client in ["192.0.2.7", "10.66.0.1", "2001:db9::1"] {
        for path in ["/public/x", "/", "/admin/x"] {
            let reply = site.get_from(&mut Browser::new(), client, path).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{client} {path}");
            assert!(reply.header("location").is_none() && reply.header("set-cookie").is_none());
            let text = reply.text();
            let said = text.split_once("<h1>").unwrap().1;
            assert!(said.contains("not open from where you are"));
            assert!(["10.", client, "allow", "app"].iter().all(|inner| !said.contains(inner)), "{said}");
        }
    }
    // A session helps nobody who is elsewhere.
    let mut browser = site.signed_in().await;
    assert_eq!(site.get_from(&mut browser, "10.1.2.3", "/").await.status, StatusCode::OK);
    assert_eq!(site.get_from(&mut browser, "192.0.2.7", "/").await.status, StatusCode::FORBIDDEN);
    let log = log(site.gateway).await;
    let denied = with_reason(&log, "network_denied");
    assert_eq!(denied.len(), 10);
    assert!(denied.iter().all(|line| line["decision"] == "deny" && line["app"] == "app" && line["who"].is_null()));
}

#[tokio::test]
async fn d03_the_gateways_own_addresses_are_closed_to_people_elsewhere_and_open_to_providers() {
    let site = site(NETWORKS).await;
    for path in ["me", "logout", "callback?state=x", "sign-in?for=/", "signed-out", "nothing"] {
        let reply = site.get_from(&mut Browser::new(), "192.0.2.7", &format!("/.lychgate/{path}")).await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::FORBIDDEN, None), "{path}");
        assert!(reply.text().contains("not open from where you are"), "{path}");
    }
    let keys = site.get_from(&mut Browser::new(), "192.0.2.7", "/.lychgate/jwks").await;
    assert_eq!(keys.status, StatusCode::OK, "applications read them");
    for path in ["backchannel-logout", "events/set", "events/okta"] {
        let url = site.url(&format!("/.lychgate/{path}"));
        let fields = [("x-forwarded-for", "192.0.2.7")];
        let reply = Browser::new().send(Method::POST, &url, &fields, bytes::Bytes::new()).await;
        assert_ne!(reply.status, StatusCode::FORBIDDEN, "{path} is for providers, which are somewhere else");
    }
}

#[tokio::test]
async fn d03_a_host_of_several_applications_is_closed_to_those_who_may_use_none() {
    let site = site(NETWORKS).await;
    let other = policy(&site.application.url()).replace("hosts = ", "path = \"/open\"\nhosts = ");
    let other = other.replace("\"/public/**\"", "\"/open/public/**\"").replace("\"/admin/**\"", "\"/open/admin/**\"");
    site.gateway.write("policies/open.toml", &other);
    let before = site.get_from(&mut Browser::new(), "192.0.2.7", "/.lychgate/me").await;
    assert_eq!(before.status, StatusCode::FORBIDDEN);
    site.change_tables(NETWORKS).await;
    assert_eq!(site.flood("192.0.2.7", "/public/x", 1).await, [403]);
    assert_eq!(site.flood("192.0.2.7", "/open/public/x", 1).await, [200]);
    let after = site.get_from(&mut Browser::new(), "192.0.2.7", "/.lychgate/me").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "people of the open application sign in here");
    let log = log(site.gateway).await;
    assert_eq!(log.iter().filter(|line| line["reason"] == json!("network_denied")).count(), 2);
}
