//! Pomerium.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use super::{ask, cookies, send};
use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::value;
use crate::harness::site::{IDENTITY, Site, policy};
use crate::harness::wire::Wire;

/// A path was matched to a route twice, by two readings, so that one route's rules let requests into another.
#[tokio::test]
async fn t03_cve_2023_33189_a_request_has_one_route_and_is_sent_along_it() {
    let open = Application::start(IDENTITY).await;
    let open_policy = format!(
        "[app]\nhosts = [\"{HOST}\"]\npath = \"/open\"\nupstream = \"{}\"\n[[rules]]\naccess = \"public\"\n",
        open.url()
    );
    let site = Site::with(policy, |setup| setup.policy("open", &open_policy)).await;
    for target in [
        "/open/x",
        "/open/../private",
        "/private/../open/x",
        "/open/%2e%2e/private",
        "/open/..%2fprivate",
        "/open%2fx",
        "/open/..;/private",
        "/open\\..\\private",
        "/OPEN/x",
        "//open/x",
        "/open//../private",
        "/openly/x",
        "/open",
        "/private?/open/x",
        "/./open/./x",
    ] {
        let status = ask(&site, &format!("GET {target}"), "").await.status;
        assert!(matches!(status, 200 | 400 | 401), "{target}: {status}");
    }
    assert_eq!(site.application.seen().len(), 0, "the other application is for people who sign in");
    let sent: Vec<String> = open.seen().into_iter().map(|seen| seen.target).collect();
    assert!(sent.len() >= 4 && sent.iter().all(|path| path == "/open" || path.starts_with("/open/")), "{sent:?}");
    for line in site.gateway.stop().await.iter().filter(|line| line["status"] == 200) {
        assert!(line["app"] == "open" && line["path"].as_str().unwrap().starts_with("/open"), "{line}");
    }
}

/// A token that was given to a program opened an internal interface as well.
#[tokio::test]
async fn t03_cve_2024_47616_what_was_issued_for_one_thing_opens_no_other() {
    let site = Site::with(policy, |setup| setup.settings("state = \"state\"")).await;
    let mut browser = site.signed_in().await;
    let mine = cookies(&browser);
    // The person's ID token, as the provider sees it at a logout.
    let mut other = site.signed_in().await;
    let origin = site.url("");
    let away = other.post(&site.url("/.lychgate/logout"), "", &[("origin", &origin)]).await.location().unwrap();
    other.get(&away).await;
    let id_token = value(&site.provider.requests("/logout")[0].query, "id_token_hint").unwrap().to_owned();

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = Bytes::from(format!("logout_token={id_token}"));
    let reply = Browser::new().send(Method::POST, &site.url("/.lychgate/backchannel-logout"), &form, body).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "an ID token ends nobody's session");
    let reply = ask(&site, "GET /mine", &format!("Authorization: Bearer {id_token}\r\n")).await;
    assert_eq!(reply.status, 401, "and signs nobody in");
    // The operators' interface is no address of the clients' listener, whatever is shown there.
    let request = "{\"who\": \"ada\"}";
    let asked = |shown: &str| {
        let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n{shown}", request.len());
        format!("POST /revocations HTTP/1.1\r\nHost: {HOST}\r\n{head}\r\n{request}")
    };
    let token = format!("Authorization: Bearer {id_token}\r\n");
    assert_eq!(send(&site, asked(&token)).await.status, 401);
    // With a session it is a page of the application's, like any other.
    assert_eq!(send(&site, asked(&mine)).await.status, 200);
    assert_eq!(site.application.last().target, "/revocations");
    assert_eq!(site.status(&mut browser).await, 200, "nobody's session was ended");
    // On their own listener operators are asked for nothing, and what a browser holds changes nothing there.
    for shown in [token, mine, "Authorization: Bearer wrong\r\n".to_owned(), String::new()] {
        let mut admin = Wire::connect(site.gateway.admin()).await;
        admin.send(asked(&shown)).await.unwrap();
        assert_eq!(admin.reply(false).await.unwrap().status, 200, "{shown}");
    }
}

/// Rules went on with the groups of the sign-in, whatever the provider had said since.
#[tokio::test]
async fn t03_cve_2021_41230_refreshed_claims_are_what_rules_see() {
    let refreshing = |upstream: &str| policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"");
    let site = Site::with(refreshing, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    let mut browser = site.signed_in().await;
    site.provider.script().person[1].1 = json!(["nothing"]);
    site.clock.advance(Duration::from_secs(10 * 60));
    let before = site.application.seen().len();
    assert_eq!(site.status(&mut browser).await, 403);
    assert_eq!(site.application.seen().len(), before);
}

/// The page that tells people who they are held their tokens.
#[tokio::test]
async fn t03_cve_2024_39315_the_page_about_a_person_holds_no_token() {
    let refreshing = |upstream: &str| policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"");
    let site = Site::with(refreshing, |setup| setup).await;
    site.provider.script().refresh_tokens = true;
    site.provider.script().access_token = Some("the-access-token-of-ada");
    let mut browser = site.signed_in().await;
    let sealed: Vec<String> = browser.cookies[HOST].values().map(|cookie| cookie.value.clone()).collect();
    assert!(!sealed.is_empty());
    for reply in [
        browser.get(&site.url("/.lychgate/me")).await,
        browser.fetch(Method::GET, &site.url("/.lychgate/me")).await,
        browser.get(&site.url("/admin/x")).await,
        browser.get(&site.url("/.lychgate/logout")).await,
    ] {
        let text = reply.text();
        for secret in ["the-access-token", "refresh-0-0", "eyJ"] {
            assert!(!text.contains(secret), "{}: {text}", reply.url);
        }
        assert!(sealed.iter().all(|value| !text.contains(value.as_str())), "{}: {text}", reply.url);
    }
}

/// Profiles and memory of the process could be read on a listener that clients reach.
#[tokio::test]
async fn t03_cve_2022_24797_no_listener_has_addresses_for_debugging() {
    let site = Site::new().await;
    for path in ["/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/.lychgate/debug", "/.pomerium/", "/config_dump"]
    {
        assert!(matches!(ask(&site, &format!("GET {path}"), "").await.status, 401 | 404), "{path}");
        let url = format!("http://127.0.0.1:{}{path}", site.gateway.admin().port());
        assert_eq!(Browser::new().get(&url).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(site.application.seen().len(), 0);
}
