//! A person signs in through the whole gateway, and the application sees who it is.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::gateway::{Setup, clock, provider};
use crate::harness::provider::{Answer, CLIENT_ID, Claim, value};
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

/// A policy for a path of its host, with a rule that asks for a step-up.
fn below(upstream: &str) -> String {
    format!(
        "[app]\nhosts = [\"app.localhost\"]\npath = \"/archives\"\nupstream = \"{upstream}\"\n[login]\nprovider = \"idp\"\n\
         [[rules]]\npaths = [\"/archives/payouts/**\"]\nstep_up = {{ acr = [\"phr\"] }}\nallow = \"true\"\n[[rules]]\nallow = \"true\"\n"
    )
}

/// Where the link of a page leads, as a browser reads it.
fn link(page: &str) -> String {
    let href = page.split_once("href=\"").unwrap_or_else(|| panic!("{page}")).1.split('"').next().unwrap();
    let unescaped = [("&amp;", "&"), ("&#38;", "&"), ("&#x2f;", "/")];
    unescaped.into_iter().fold(href.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[tokio::test]
async fn o01_a_login_that_failed_is_tried_again_at_the_page_that_was_asked_for() {
    let site = Site::with(below, |setup| setup).await;
    for (error, path) in [
        ("access_denied", "/archives/17?a=b&c=d"),
        ("temporarily_unavailable", "/archives"),
        ("unmet_authentication_requirements", "/archives/payouts/1"),
    ] {
        site.provider.script().error = Some(error);
        let reply = Browser::new().open(&site.url(path)).await;
        assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{error}: {}", reply.status);
        assert_eq!(link(&reply.text()), path, "{error}");
    }
    site.provider.script().error = None;
    // A step-up that was not reached asks for the same step-up again.
    let mut browser = Browser::new();
    assert_eq!(browser.open(&site.url("/archives/")).await.status, StatusCode::OK);
    site.provider.script().claims = vec![Claim::Set("acr", json!("pwd"))];
    let reply = browser.open(&site.url("/archives/payouts/1?run=7")).await;
    assert_eq!((reply.status, link(&reply.text()).as_str()), (StatusCode::FORBIDDEN, "/archives/payouts/1?run=7"));
    // A response of which nobody knows what it was for leads to where people sign in on this host, and never elsewhere.
    for stray in ["", "?state=unknown&code=x", "?state=a&state=b", "?return_to=//evil.example"] {
        let reply = Browser::new().get(&site.url(&format!("/.lychgate/callback{stray}"))).await;
        assert_eq!((reply.status, link(&reply.text()).as_str()), (StatusCode::BAD_REQUEST, "/archives"), "{stray}");
    }
    // Signing in beside a form begins again as it began, and not at the address that only says how it went.
    site.provider.script().error = Some("access_denied");
    for begins in ["/.lychgate/sign-in?for=%2Farchives", "/.lychgate/sign-in?for=%2Farchives&done"] {
        let reply = Browser::new().open(&site.url(begins)).await;
        assert_eq!(link(&reply.text()), "/.lychgate/sign-in?for=%2Farchives", "{begins}");
    }
}

#[tokio::test]
async fn o01_where_no_login_can_begin_the_page_that_was_asked_for_is_tried_again() {
    let clock = clock();
    let provider = provider(&clock).await;
    provider.script().discovery_answer = Answer::Status(500);
    let setup = Setup::new(&clock).provider(&provider).policy("app", &below("http://127.0.0.1:9"));
    let gateway = setup.start_unready();
    let reply = Browser::new().get(&gateway.url("/archives/reports/17?a=b")).await;
    assert_eq!(
        (reply.status, link(&reply.text()).as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "/archives/reports/17?a=b")
    );
    // A script is told where a person signs in: what it asked for is no page.
    for path in ["/archives/api/rows", "/archives"] {
        let reply = Browser::new().fetch(Method::GET, &gateway.url(path)).await;
        assert_eq!((reply.status, &reply.json()["sign_in_url"]), (StatusCode::UNAUTHORIZED, &json!("/archives")));
    }
}

#[tokio::test]
async fn people_read_the_title_and_whom_to_ask_and_logs_have_the_file_s_name() {
    let called = |upstream: &str| {
        policy(upstream).replace("[app]", "[app]\ntitle = \" Royalty <statements> \"\ncontact = \"the desk, 555-0199\"")
    };
    let site = Site::with(called, |setup| setup).await;
    let mut browser = site.signed_in().await;
    let shown = "Royalty &lt;statements&gt;";
    let reply = browser.get(&site.url("/admin/x")).await;
    assert!(
        reply.status == StatusCode::FORBIDDEN && reply.text().contains(&format!("this page of {shown}.")),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("Contact: the desk, 555-0199<br>"), "{}", reply.text());
    let page = browser.get(&site.url("/.lychgate/logout")).await.text();
    assert!(page.contains(&format!("sign out of {shown}.")) && !page.contains("555-0199"), "{page}");
    assert!(browser.get(&site.url("/.lychgate/me")).await.text().contains(&format!("signed in to {shown} as ada")));
    let me = browser.fetch(Method::GET, &site.url("/.lychgate/me")).await.json();
    assert_eq!(me["app"], "app");
    let json = [("accept", "application/json")];
    let refused = browser.send(Method::GET, &site.url("/admin/x"), &json, Bytes::new()).await.json();
    assert_eq!(refused["contact"], "the desk, 555-0199");
    site.provider.script().error = Some("access_denied");
    let failed = Browser::new().open(&site.url("/")).await.text();
    assert!(failed.contains("Contact: the desk, 555-0199<br>"), "{failed}");
    let unknown = Browser::new().fetch(Method::GET, &site.url("/statements")).await;
    assert_eq!(unknown.header("www-authenticate"), Some("Bearer realm=\"app\""));
    let log = site.gateway.stop().await;
    assert!(log.iter().all(|line| line["app"] == "app" || line["app"].is_null()), "{log:#?}");
    assert!(!log.iter().any(|line| line.to_string().contains("Royalty")), "{log:#?}");
}
