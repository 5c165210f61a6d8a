//! Signing out: only by the person's own wish, at the provider too, and nothing that comes back can undo or bend it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::provider::{CLIENT_ID, value};
use crate::harness::site::{SESSION, Site, ada, line_of, parameter, policy};

/// The form's hidden token.
fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no token in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn r04_signing_out_ends_the_session_here_and_at_the_provider() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let page = browser.get(&site.url("/.lychgate/logout")).await;
    let form = format!("token={}", token(&page.text()));
    let reply = browser.post(&site.url("/.lychgate/logout"), &form, &[("origin", "null")]).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
    assert_eq!(site.status(&mut browser).await, 401);

    let away = reply.location().unwrap();
    assert!(away.starts_with(&format!("{}/logout?", site.provider.issuer())), "{away}");
    let back = browser.open(&away).await;
    assert_eq!(back.status, StatusCode::OK);
    assert!(back.url.starts_with(&site.url("/.lychgate/signed-out?")), "{}", back.url);
    assert!(back.text().contains("You are signed out") && back.text().contains("Sign in again"), "{}", back.text());

    let asked = &site.provider.requests("/logout")[0].query;
    assert_eq!(value(asked, "client_id"), Some(CLIENT_ID));
    assert_eq!(value(asked, "post_logout_redirect_uri"), Some(site.url("/.lychgate/signed-out").as_str()));
    assert!(value(asked, "state").is_some_and(|state| state.len() >= 22));
    let hint = value(asked, "id_token_hint").unwrap();
    let payload = URL_SAFE_NO_PAD.decode(hint.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((&claims["sub"], &claims["iss"]), (&json!("ada-7"), &json!(site.provider.issuer())));
}

#[tokio::test]
async fn r04_coming_back_with_no_state_or_a_wrong_one_is_signed_out_and_leads_nowhere() {
    let site = Site::new().await;
    let queries = [
        "",
        "?state=wrong",
        "?state=a&state=b",
        "?state=https://evil.example/",
        "?post_logout_redirect_uri=https://evil.example/",
        "?error=x&error_description=%3Cb%3Ecall%20555-0100%3C/b%3E",
    ];
    for query in queries {
        let mut browser = Browser::new();
        let reply = browser.get(&site.url(&format!("/.lychgate/signed-out{query}"))).await;
        assert_eq!((reply.status, reply.location()), (StatusCode::OK, None), "{query}");
        let text = reply.text();
        assert!(text.contains("You are signed out"), "{text}");
        assert!(!text.contains("evil.example") && !text.contains("555-0100"), "{text}");
        assert!(browser.cookie_names(HOST).is_empty());
    }
}

#[tokio::test]
async fn r04_a_provider_without_logout_ends_at_our_own_page() {
    let clock = crate::harness::gateway::clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    provider.script().person = ada();
    provider.script().metadata = vec![("end_session_endpoint".to_owned(), Value::Null)];
    let application = crate::harness::application::Application::start(crate::harness::site::IDENTITY).await;
    let setup = crate::harness::gateway::Setup::new(&clock).provider(&provider);
    let gateway = setup.policy("app", &policy(&application.url())).start().await;
    let mut browser = Browser::new();
    browser.open(&gateway.url("/")).await;
    let page = browser.get(&gateway.url("/.lychgate/logout")).await;
    let form = format!("token={}", token(&page.text()));
    let reply = browser.post(&gateway.url("/.lychgate/logout"), &form, &[]).await;
    assert_eq!(reply.location(), Some(gateway.url("/.lychgate/signed-out")));
    assert!(browser.cookie_names(HOST).is_empty());
}

#[tokio::test]
async fn c14_a_link_only_asks() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let reply = browser.get(&site.url("/.lychgate/logout")).await;
    assert_eq!((reply.status, reply.headers.get("set-cookie")), (StatusCode::OK, None));
    let text = reply.text();
    assert!(text.contains("Sign out?") && text.contains("method=\"post\""), "{text}");
    let csp = reply.header("content-security-policy").unwrap();
    assert!(csp.contains("frame-ancestors 'none'") && csp.contains("form-action"), "{csp}");
    assert_eq!(site.status(&mut browser).await, 200);
    assert_eq!(site.provider.requests("/logout").len(), 0);
}

#[tokio::test]
async fn c14_a_foreign_sign_out_is_refused() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let own = site.url("");
    // A token of another person's form.
    let mut attacker = site.signed_in().await;
    let theirs = format!("token={}", token(&attacker.get(&site.url("/.lychgate/logout")).await.text()));
    let look_alike = format!("{own}.evil.example");
    let other_port = format!("http://{HOST}:1");
    let https = own.replace("http:", "https:");
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 9] = [
        ("no origin and no token", "", &[]),
        ("foreign origin", "", &[("origin", "https://evil.example")]),
        ("opaque origin", "", &[("origin", "null")]),
        ("look-alike origin", "", &[("origin", &look_alike)]),
        ("other port", "", &[("origin", &other_port)]),
        ("other scheme", "", &[("origin", &https)]),
        ("another session's token", &theirs, &[("origin", "https://evil.example")]),
        ("empty token", "token=", &[]),
        ("token that is none", "token=AAAA", &[("origin", "null")]),
    ];
    let mut refused = Vec::new();
    for (case, form, headers) in cases {
        let reply = browser.post(&site.url("/.lychgate/logout"), form, headers).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{case}");
        assert_eq!((reply.location(), reply.headers.get("set-cookie")), (None, None), "{case}");
        assert_eq!(site.status(&mut browser).await, 200, "{case}: still signed in");
        refused.push(reply);
    }
    assert_eq!(site.provider.requests("/logout").len(), 0);
    let log = site.gateway.stop().await;
    assert!(refused.iter().all(|reply| line_of(&log, reply)["reason"] == "sign_out_foreign"));
}

#[tokio::test]
async fn c14_our_own_origin_needs_no_form() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let own = site.url("");
    let reply = browser.post(&site.url("/.lychgate/logout"), "", &[("origin", &own)]).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(browser.cookie(HOST, SESSION), None);
}

#[tokio::test]
async fn signing_out_without_a_session_is_signed_out() {
    let site = Site::new().await;
    let mut browser = Browser::new();
    let reply = browser.get(&site.url("/.lychgate/logout")).await;
    assert!(reply.text().contains("You are signed out"), "{}", reply.text());
    let reply = browser.post(&site.url("/.lychgate/logout"), "", &[]).await;
    assert_eq!(reply.location(), Some(site.url("/.lychgate/signed-out")));
}

#[tokio::test]
async fn r04_a_form_of_another_site_does_not_take_the_hint_from_a_browser() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    // Our cookies stay at home, and what the answer sets would be kept.
    let away = Browser::new().post(&site.url("/.lychgate/logout"), "", &[("origin", "https://evil.example")]).await;
    assert_eq!(away.location(), Some(site.url("/.lychgate/signed-out")));
    assert_eq!(away.header("set-cookie"), None);
    browser.keep(HOST, &away.headers);
    let own = site.url("");
    let reply = browser.post(&site.url("/.lychgate/logout"), "", &[("origin", &own)]).await;
    assert!(parameter(&reply.location().unwrap(), "id_token_hint").is_some(), "{:?}", reply.location());
    assert!(browser.cookie_names(HOST).is_empty(), "{:?}", browser.cookie_names(HOST));
}

#[tokio::test]
async fn reserved_addresses_take_their_own_methods_only_and_never_reach_the_application() {
    let site = Site::new().await;
    let mut browser = site.signed_in().await;
    let before = site.application.seen().len();
    for (method, path, status) in [
        ("PUT", "/.lychgate/callback", 405),
        ("PUT", "/.lychgate/logout", 405),
        ("POST", "/.lychgate/signed-out", 405),
        ("GET", "/.lychgate/unknown", 404),
        ("GET", "/.lychgate", 404),
        ("GET", "/.LYCHGATE/logout", 404),
    ] {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let reply = browser.send(method, &site.url(path), &[("accept", "text/html")], bytes::Bytes::new()).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.headers.contains_key("allow"), status == 405, "{path}");
    }
    assert_eq!(site.application.seen().len(), before);
}
