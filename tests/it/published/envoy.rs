//! Envoy.

use http::StatusCode;
use lychgate::crypto::{Binding, KeyRing};
use serde_json::json;

use super::{ask, cookies};
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup};
use crate::harness::site::{Site, ada, policy};

/// A request that lacked one of the session's cookies was taken for signed in.
#[tokio::test]
async fn t03_cve_2022_29226_a_session_that_lacks_a_cookie_is_none() {
    let quiet =
        |upstream: &str| policy(upstream).replace("\"${user.groups}\"", "\"${user.groups.filter(g, g == 'staff')}\"");
    let site = Site::with(quiet, |setup| setup).await;
    let many = (0..80).map(|number| format!("{number:04}-{}", "g".repeat(90)));
    let groups: Vec<String> = std::iter::once("staff".to_owned()).chain(many).collect();
    site.provider.script().person = vec![ada()[0].clone(), ("groups".to_owned(), json!(groups))];
    let mut browser = Browser::new();
    let mut next = site.url("/");
    for _ in 0..3 {
        next = browser.get(&next).await.location().unwrap();
    }
    let parts: Vec<String> = browser.cookie_names(HOST).into_iter().filter(|name| is_part(name)).collect();
    assert_eq!(parts.len(), 3, "{parts:?}");
    // Each choice of cookies that leaves one out, and then all of them.
    for choice in 0..8u32 {
        let mut thief = Browser::new();
        let chosen = parts.iter().enumerate().filter(|(index, _)| choice & (1 << index) != 0);
        for (_, name) in chosen {
            thief.plant(HOST, name, &browser.cookie(HOST, name).unwrap().value);
        }
        let fields = if thief.cookies.is_empty() { String::new() } else { cookies(&thief) };
        let status = ask(&site, "GET /mine", &fields).await.status;
        assert_eq!(status == 200, choice == 7, "{status} for {choice:03b}");
    }
    assert_eq!(site.application.seen().len(), 1);
}

fn is_part(name: &str) -> bool {
    name == "lychgate" || name.strip_prefix("lychgate.").is_some_and(|rest| rest.parse::<u8>().is_ok())
}

/// What stood under the MAC was put together without separators, so that its parts could be cut differently.
#[tokio::test]
async fn t03_cve_2023_35941_what_is_bound_cannot_be_cut_differently() {
    let keys = KeyRing::new(&[KeyRing::generate_key()]).ok().unwrap();
    let text = "abcdef";
    let splits = || (0..=text.len()).flat_map(|first| (first..=text.len()).map(move |second| (first, second)));
    let binding = |(first, second): (usize, usize)| Binding {
        purpose: &text[..first],
        name: &text[first..second],
        scope: &text[second..],
    };
    for made in splits() {
        let sealed = keys.seal(binding(made), b"content");
        for tried in splits() {
            let opened = keys.open(binding(tried), sealed.as_bytes());
            assert_eq!(opened.is_ok(), made == tried, "{:?} {:?}", binding(made), binding(tried));
        }
    }
}

/// A client's `x-envoy-original-path` stood in for the path that was asked for.
#[tokio::test]
async fn t03_cve_2023_27487_no_field_stands_in_for_the_path() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let before = site.application.seen().len();
    for name in
        ["X-Envoy-Original-Path", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Original-Method"]
    {
        let fields = format!("{name}: /public/x\r\n");
        assert_eq!(ask(&site, "GET /private", &fields).await.status, 401, "{name}");
        assert_eq!(ask(&site, "GET /admin/x", &format!("{mine}{fields}")).await.status, 403, "{name}");
    }
    assert_eq!(site.application.seen().len(), before);
    let log = site.gateway.stop().await;
    let told: Vec<_> = log.iter().filter(|line| line["status"] == 403).map(|line| line["path"].clone()).collect();
    assert_eq!(told, vec![json!("/admin/x"); 5], "the log tells the path that was asked for");
}

/// A response without `state` made the process crash.
#[tokio::test]
async fn t03_cve_2023_27496_a_response_without_state_crashes_nothing() {
    let site = Site::new().await;
    for query in [
        "",
        "?",
        "?code=x",
        "?state=",
        "?state",
        "?code=x&state=%",
        "?state=%00&code=x",
        "?error=x",
        "?=&=&=",
        "?state=a&state=b",
    ] {
        let mut browser = site.signed_in().await;
        let reply = browser.get(&site.url(&format!("/.lychgate/callback{query}"))).await;
        assert!(reply.status.is_client_error() || reply.status.is_redirection(), "{query}: {}", reply.status);
        assert_eq!(site.status(&mut browser).await, 200, "{query}: who was signed in still is");
    }
    assert_eq!(site.provider.requests("/token").len(), 10, "only the sign-ins asked for tokens");
}

/// `__Host-` cookies were deleted without `Secure`, which browsers ignore, so that people stayed signed in.
#[tokio::test]
async fn t03_cve_2025_55162_host_cookies_are_deleted_as_browsers_demand() {
    let site = Site::with(policy, Setup::behind_tls).await;
    let url = |path: &str| site.url(path).replace("http://", "https://");
    let mut browser = Browser::new();
    assert_eq!(browser.open(&url("/")).await.status, StatusCode::OK);
    let prefixed: Vec<String> = browser.cookie_names(HOST).into_iter().filter(|name| name.starts_with("__")).collect();
    assert!(prefixed.iter().any(|name| name == "__Host-lychgate"), "{prefixed:?}");
    let origin = url("");
    let reply = browser.post(&url("/.lychgate/logout"), "", &[("origin", &origin)]).await;
    let removals: Vec<&str> = reply.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    for name in prefixed {
        let line = removals.iter().find(|line| line.starts_with(&format!("{name}="))).unwrap();
        let has = |attribute: &str| line.split("; ").any(|one| one == attribute);
        assert!(has("Secure") && has("Max-Age=0") && !line.contains("Domain"), "{line}");
        assert!(!name.starts_with("__Host-") || has("Path=/"), "{line}");
    }
}

/// Rules saw `%2F` and `%5C` as they stood, and applications as slashes.
#[tokio::test]
async fn t03_cve_2021_29492_an_encoded_slash_or_backslash_is_refused() {
    let site = Site::new().await;
    for target in [
        "/public%2f..%2fadmin",
        "/public/..%2Fadmin",
        "/public/%2e%2e%2fadmin",
        "/admin%2fx",
        "/public/..%5cadmin",
        "/public%5c..%5cadmin",
        "/public/..\\admin",
        "/%2fadmin",
    ] {
        assert_eq!(ask(&site, &format!("GET {target}"), "").await.status, 400, "{target}");
    }
    assert_eq!(site.application.seen().len(), 0);
}

/// A fragment was taken for a part of the path by rules, and cut off by applications.
#[tokio::test]
async fn t03_cve_2021_32779_a_target_with_a_fragment_is_refused() {
    let site = Site::new().await;
    let mine = cookies(&site.signed_in().await);
    let before = site.application.seen().len();
    for target in ["/admin/x#/public/x", "/admin#", "/public/x#admin", "http://app.localhost/admin#/public/x", "#"] {
        assert_eq!(ask(&site, &format!("GET {target}"), &mine).await.status, 400, "{target}");
    }
    assert_eq!(site.application.seen().len(), before);
}
