//! Responses that a page of the provider posts: which cookies come with them, what is refused, and where the person arrives.
//!
//! Specification: OAuth 2.0 Form Post Response Mode, RFC 6265bis section 5.5 (SameSite).

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::harness::browser::{Browser, Reply};
use crate::harness::gateway::{Folder, HOST, Setup};
use crate::harness::provider::{Claim, posted};
use crate::harness::site::{Site, policy};

const SESSION: &str = "__Host-lychgate";

async fn site() -> Site {
    Site::with(policy, |setup| setup.behind_tls().provider_settings("response_mode = \"form_post\"\n")).await
}

/// Sends a form from another site: browsers leave all cookies at home but those with `SameSite=None`.
async fn post_across(browser: &mut Browser, site: &Site, action: &str, body: &str) -> Reply {
    let mut away = browser.clone();
    if let Some(cookies) = away.cookies.get_mut(HOST) {
        cookies.retain(|_, cookie| cookie.attributes.contains("SameSite=None"));
    }
    let reply = away.post(action, body, &[("origin", site.provider.issuer()), ("sec-fetch-site", "cross-site")]).await;
    take_over(browser, &reply);
    reply
}

/// What a browser does with the answer's cookies, with all the others still there.
fn take_over(browser: &mut Browser, reply: &Reply) {
    browser.keep(HOST, &reply.headers);
}

#[tokio::test]
async fn a_posted_response_signs_in_and_the_person_arrives_where_they_wanted_to() {
    let site = site().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/statements?year=2026").await;
    let names = browser.cookie_names(HOST);
    let pending = browser.cookie(HOST, &names[0]).unwrap();
    assert!(pending.attributes.contains("SameSite=None; Secure"), "{pending:?}");

    let (action, body) = posted(&site.provider.authorize(&address));
    let reply = post_across(&mut browser, &site, &action, &body).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    assert!(reply.location().unwrap().ends_with("/statements?year=2026"), "{reply:?}");
    let removed =
        reply.headers.get_all("set-cookie").iter().filter_map(|field| field.to_str().unwrap().strip_prefix(&names[0]));
    let attributes = "=; Path=/; HttpOnly; SameSite=None; Secure; Max-Age=0";
    assert_eq!(removed.collect::<Vec<_>>(), [attributes], "removed as it was set (C04)");
    let session = browser.cookie(HOST, SESSION).unwrap();
    assert!(session.attributes.contains("SameSite=Lax; Secure"), "{session:?}");
    assert_eq!(browser.get(&reply.location().unwrap()).await.text(), "hello");
    assert!(!browser.cookie_names(HOST).contains(&names[0]));
}

#[tokio::test]
async fn r07_posted_responses_that_are_doubtful_ask_for_no_token() {
    let site = site().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let (action, body) = posted(&site.provider.authorize(&address));
    let form = "application/x-www-form-urlencoded";
    let long = format!("{body}&x={}", "x".repeat(9000));
    let cases = [
        ("a parameter twice", action.clone(), form, format!("{body}&code=x")),
        ("state twice", action.clone(), form, format!("{body}&state=x")),
        ("iss twice", action.clone(), form, format!("{body}&iss=x")),
        ("parameters in the query too", format!("{action}?iss=x"), form, body.clone()),
        ("JSON", action.clone(), "application/json", body.clone()),
        ("multipart", action.clone(), "multipart/form-data; boundary=x", body.clone()),
        ("no type", action.clone(), "", body.clone()),
        ("no state", action.clone(), form, "code=x".to_owned()),
        ("nothing", action.clone(), form, String::new()),
        ("too long", action.clone(), form, long),
    ];
    for (name, action, kind, body) in cases {
        let headers = [("accept", "text/html"), ("content-type", kind)];
        let reply = browser.clone().send(Method::POST, &action, &headers, Bytes::from(body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}: {}", reply.text());
        assert_eq!(reply.header("set-cookie"), None, "{name}");
    }
    assert_eq!(site.provider.requests("/token").len(), 0);
    assert_eq!(post_across(&mut browser, &site, &action, &body).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn r08_a_posted_response_of_nobody_comes_round_once_and_ends() {
    let site = site().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let (action, body) = posted(&site.provider.authorize(&address));
    let mut stranger = Browser::new();
    let reply = post_across(&mut stranger, &site, &action, &body).await;
    let next = reply.location().unwrap();
    assert!(next.contains("/.lychgate/callback?state=") && !next.contains("code"), "{next}");
    let told = stranger.get(&next).await;
    assert_eq!((told.status, told.location()), (StatusCode::BAD_REQUEST, None));
    assert_eq!(site.provider.requests("/token").len(), 0);

    // Who is signed in already comes back to the application.
    let reply = post_across(&mut browser, &site, &action, &body).await;
    assert_eq!(browser.get(&reply.location().unwrap()).await.text(), "hello");
    let again = post_across(&mut browser, &site, &action, &body).await;
    let home = browser.get(&again.location().unwrap()).await;
    assert_eq!(browser.get(&home.location().unwrap()).await.text(), "hello");
    assert_eq!(site.provider.requests("/token").len(), 1);
}

#[tokio::test]
async fn r08_a_code_in_the_query_is_not_redeemed_where_it_should_be_posted() {
    let site = site().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let back = site.provider.authorize(&address);
    assert_eq!(browser.get(&back).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.provider.requests("/token").len(), 0);
}

#[tokio::test]
async fn r13_a_posted_response_that_is_too_old_begins_again_once_and_never_loops() {
    let site = Site::with(
        |upstream| policy(upstream).replace("[login]", "[login]\nmax_age = \"10m\""),
        |setup| setup.behind_tls().provider_settings("response_mode = \"form_post\"\n"),
    )
    .await;
    site.provider.script().claims = vec![Claim::At("auth_time", -3600)];
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    assert!(address.contains("max_age=600"), "{address}");
    let (action, body) = posted(&site.provider.authorize(&address));
    let again = post_across(&mut browser, &site, &action, &body).await;
    let address = again.location().unwrap();
    assert!(address.contains("prompt=login"), "{address}");
    let (action, body) = posted(&site.provider.authorize(&address));
    let end = post_across(&mut browser, &site, &action, &body).await;
    assert_eq!((end.status, end.location()), (StatusCode::FORBIDDEN, None), "{}", end.text());
}

#[tokio::test]
async fn r06_an_error_that_is_posted_is_told_in_our_own_words_only() {
    let site = site().await;
    site.provider.script().error = Some("access_denied");
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/").await;
    let (action, body) = posted(&site.provider.authorize(&address));
    let reply = post_across(&mut browser, &site, &action, &body).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(!reply.text().contains("555-0100"), "{}", reply.text());
}

#[tokio::test]
async fn r08_an_expired_posted_login_begins_again_by_itself_at_most_once() {
    let site = site().await;
    let mut browser = Browser::new();
    let address = site.begin(&mut browser, "/deep").await;
    let (action, body) = posted(&site.provider.authorize(&address));
    site.clock.advance(Duration::from_secs(16 * 60));
    let again = post_across(&mut browser, &site, &action, &body).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
    let address = again.location().unwrap();
    assert!(address.starts_with(site.provider.issuer()), "{address}");
    let (action, body) = posted(&site.provider.authorize(&address));
    site.clock.advance(Duration::from_secs(16 * 60));
    let end = post_across(&mut browser, &site, &action, &body).await;
    assert_eq!((end.status, end.location()), (StatusCode::BAD_REQUEST, None), "{}", end.text());
}

#[tokio::test]
async fn l07_a_cookie_from_before_a_posted_step_up_is_dead_after_the_sign_out() {
    let stronger = |upstream: &str| {
        policy(upstream).replace("allow = \"'admins' in user.groups\"", "step_up = { acr = [\"phr\"] }")
    };
    let posting = |setup: Setup| setup.behind_tls().provider_settings("response_mode = \"form_post\"\n");
    let site = Site::with(stronger, posting).await;
    let mut browser = Browser::new();
    let signing_in = async |browser: &mut Browser, path: &str| {
        let mut address = site.begin(browser, path).await;
        // One that takes too long begins again by itself, still without the session's cookie.
        for late in [path == "/admin/", false] {
            let (action, body) = posted(&site.provider.authorize(&address));
            site.clock.advance(Duration::from_secs(if late { 16 * 60 } else { 0 }));
            let reply = post_across(browser, &site, &action, &body).await;
            address = reply.location().unwrap();
            if !late {
                break;
            }
        }
        assert_eq!(browser.get(&address).await.text(), "hello");
    };
    signing_in(&mut browser, "/").await;
    let mut copy = browser.clone();
    signing_in(&mut browser, "/admin/").await;
    assert_ne!(browser.cookie(HOST, SESSION), copy.cookie(HOST, SESSION));
    assert_eq!(site.status(&mut copy).await, 200);
    let origin = site.url("").replace("http:", "https:");
    let reply = browser.post(&site.url("/.lychgate/logout"), "", &[("origin", origin.as_str())]).await;
    assert_eq!((reply.status, site.status(&mut copy).await), (StatusCode::FOUND, 401));
}

#[tokio::test]
async fn posted_responses_are_refused_where_a_host_is_served_over_plain_http() {
    let folder = Folder::new();
    folder.write("policies/app.toml", &policy("http://127.0.0.1:9"));
    let config = folder.write(
        "lychgate.toml",
        "policies = [\"policies/*.toml\"]\nstate = \"state\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.2:0\"\nscheme = \"https\"\n[providers.idp]\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nclient_auth = \"none\"\nresponse_mode = \"form_post\"\n",
    );
    let (code, _, err) = crate::harness::program::command("check", &config);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("served over plain http, and its provider has response_mode"), "{err}");
}
