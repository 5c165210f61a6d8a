//! A person signs in through the whole gateway, and the application sees who it is.

use http::StatusCode;
use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::provider::{CLIENT_ID, Claim, value};
use crate::harness::site::{Site, line_of, policy};

#[tokio::test]
async fn o02_a_person_signs_in_and_arrives_at_the_page_asked_for() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let reply = browser.open(&site.url("/statements?year=2026&next=https://other.example/")).await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "hello"));
    let seen = site.application.only();
    assert_eq!(seen.target, "/statements?year=2026&next=https://other.example/");
    assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-remote-groups").as_deref(), Some("staff;artists"));
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(site.provider.requests("/token").len(), 1);
}

#[tokio::test]
async fn what_a_person_may_not_is_a_page_with_a_request_number() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let reply = browser.get(&site.url("/admin/payouts")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(site.application.seen().len(), 1);
    let log = site.gateway.stop().await;
    let line = line_of(&log, &reply);
    assert_eq!((line["who"].as_str(), line["decision"].as_str()), (Some("ada"), Some("deny")));
}

#[tokio::test]
async fn r02_endpoints_come_from_discovery_and_basic_is_form_encoded() {
    let site = Site::new().await;
    site.signed_in().await;
    // The client's secret has a colon, a percent sign, a space and a letter beyond ASCII: the provider takes it only
    // form-encoded (RFC 6749 section 2.3.1), so that a login which passed proves it.
    let token = &site.provider.requests("/token")[0];
    assert!(token.authorization.as_deref().is_some_and(|basic| basic.starts_with("Basic ")));
    assert_eq!(value(&token.form, "client_secret"), None);
    assert_eq!(site.provider.requests("/.well-known/openid-configuration").len(), 1);
}

#[tokio::test]
async fn r11_every_login_has_its_own_state_nonce_and_pkce_and_shows_no_verifier() {
    let site = Site::new().await;
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let mut browser = Browser::new();
        let address = site.begin(&mut browser, "/").await;
        let back = site.come_back(&mut browser, &address).await;
        assert_eq!(browser.get(&back).await.status, StatusCode::FOUND);
        addresses.extend([address, back]);
    }
    let asked = site.provider.requests("/authorize");
    for name in ["state", "nonce", "code_challenge"] {
        let values = [value(&asked[0].query, name), value(&asked[1].query, name)];
        assert!(values[0].is_some() && values[0] != values[1], "{name}: {values:?}");
    }
    for asked in &asked {
        assert_eq!(value(&asked.query, "code_challenge_method"), Some("S256"));
        assert_eq!(value(&asked.query, "client_id"), Some(CLIENT_ID));
    }
    assert_eq!(site.provider.requests("/token").len(), 2);
    for redeemed in site.provider.requests("/token") {
        let verifier = value(&redeemed.form, "code_verifier").unwrap().to_owned();
        assert!(verifier.len() >= 43);
        assert!(addresses.iter().all(|address| !address.contains(&verifier)));
    }
}

#[tokio::test]
async fn r05_userinfo_is_asked_where_configured_and_must_be_of_the_same_person() {
    let with_department = |upstream: &str| policy(upstream).replace("${user.preferred_username}", "${user.department}");
    let site = Site::with(with_department, |setup| setup.provider_settings("userinfo = true")).await;
    let mut browser = Browser::new();
    assert_eq!(browser.open(&site.url("/")).await.status, StatusCode::OK);
    assert_eq!(site.application.only().header("x-remote-user").as_deref(), Some("archives"));

    site.provider.script().userinfo = vec![Claim::Set("sub", json!("somebody-else"))];
    let mut other = Browser::new();
    let reply = other.open(&site.url("/")).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert!(other.cookie_names("app.localhost").is_empty(), "{:?}", other.cookies);
    assert_eq!(site.application.seen().len(), 1);
    let log = site.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "userinfo_subject");
}
