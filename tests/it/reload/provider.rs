//! Providers that come, change and go while the gateway runs.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::asked_site;
use crate::harness::browser::Browser;
use crate::harness::gateway::{Setup, clock, provider};
use crate::harness::provider::{Answer, CLIENT_ID, FakeProvider, Mutation};
use crate::harness::site::{Site, ada, parameter, policy, with_parameter};

#[tokio::test]
async fn an_unchanged_provider_goes_on_and_others_come_and_go() {
    let site = asked_site().await;
    let mut browser = site.signed_in().await;
    let first = site.gateway.running().providers();
    let discovered = |provider: &FakeProvider| provider.requests("/.well-known/openid-configuration").len();
    assert_eq!(discovered(&site.provider), 1);

    // A second one, which nobody can reach: a note, and no reason to be taken out of service.
    let settings = site.gateway.read("lychgate.toml");
    let away = "\n[providers.away]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"x\"\nclient_auth = \"none\"\n";
    site.gateway.write("lychgate.toml", &format!("{settings}{away}"));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    let now = site.gateway.running().providers();
    assert_eq!((now.len(), now.iter().any(|one| std::sync::Arc::ptr_eq(one, &first[0]))), (2, true));
    let ready = Browser::new().get(&site.admin_url("/readyz")).await;
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.json()["notes"][0].as_str().unwrap().starts_with("provider away, new since the start:"));
    assert_eq!(site.sample(r#"lychgate_provider_ready{provider="away"}"#).await, Some(0.0));

    // It goes, and so does its gauge.
    site.gateway.write("lychgate.toml", &settings);
    assert_eq!(site.reload().await.1["outcome"], "applied");
    assert_eq!(site.sample(r#"lychgate_provider_ready{provider="away"}"#).await, None);
    assert_eq!(site.gateway.running().providers().len(), 1);
    assert_eq!(discovered(&site.provider), 1, "what is unchanged is not asked again");

    // The first one moves: the new one is asked in the background, and what the old one said counts no more.
    let moved = provider(&site.clock).await;
    moved.script().person = ada();
    site.gateway.write("lychgate.toml", &settings.replace(site.provider.issuer(), moved.issuer()));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    let provider = site.gateway.running().providers().remove(0);
    crate::harness::soon(provider.ready()).await;
    assert_eq!(discovered(&moved), 1);
    assert_eq!(site.status(&mut browser).await, 401);
    assert_eq!(browser.open(&site.url("/")).await.text(), "hello", "new sessions come from the new one");
}

#[tokio::test]
async fn r16_a_provider_that_was_never_known_stays_a_reason_when_its_settings_change() {
    let clock = clock();
    let good = provider(&clock).await;
    let dead = "http://127.0.0.1:1";
    let setup = Setup::new(&clock).issuer(dead, "").policy("app", &policy("http://127.0.0.1:9"));
    let gateway = setup.settings("reload = \"signal\"").start_unready();
    let admin = |path: &str| format!("http://127.0.0.1:{}{path}", gateway.admin().port());
    let ready = async || Browser::new().get(&admin("/readyz")).await;
    let reload = async |settings: &str| {
        gateway.write("lychgate.toml", settings);
        let reply = Browser::new().fetch(Method::POST, &admin("/reload")).await;
        assert_eq!(reply.json()["outcome"], "applied", "{}", reply.text());
    };
    assert_eq!(ready().await.status, StatusCode::SERVICE_UNAVAILABLE);
    let settings = gateway.read("lychgate.toml");
    let moved = settings.replace(dead, "http://127.0.0.1:2");
    for settings in [&changed(&settings, "clock_skew = \"61s\""), &moved] {
        reload(settings).await;
        let reply = ready().await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text());
        assert!(reply.json()["reasons"][0].as_str().unwrap().starts_with("provider idp: "), "{}", reply.text());
    }
    // Reached at last, and then it is as any other: what changes of it later is no reason.
    reload(&settings.replace(dead, good.issuer())).await;
    crate::harness::soon(gateway.running().providers().remove(0).ready()).await;
    assert_eq!(ready().await.status, StatusCode::OK);
    reload(&moved).await;
    assert_eq!(ready().await.status, StatusCode::OK);
}

/// A site whose sessions are refreshed.
async fn refreshing_site() -> Site {
    let refreshing = |upstream: &str| policy(upstream).replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"");
    let site = Site::with(refreshing, |setup| setup.settings("reload = \"signal\"")).await;
    site.provider.script().refresh_tokens = true;
    site
}

/// A provider that does not say in its responses who it is.
fn unnamed(provider: &FakeProvider) {
    let mut script = provider.script();
    script.response_issuer = Some(String::new());
    script.metadata = vec![("authorization_response_iss_parameter_supported".to_owned(), json!(null))];
    script.person = ada();
}

#[tokio::test]
async fn r10_a_provider_that_becomes_another_under_its_name_inherits_nothing() {
    let site = refreshing_site().await;
    let (mut browser, mut coming_back) = (site.signed_in().await, Browser::new());
    let asked = site.begin(&mut coming_back, "/").await;
    let callback = with_parameter(&site.come_back(&mut coming_back, &asked).await, "iss", None);
    let other = provider(&site.clock).await;
    unnamed(&other);
    let settings = site.gateway.read("lychgate.toml");
    site.gateway.write("lychgate.toml", &settings.replace(site.provider.issuer(), other.issuer()));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    crate::harness::soon(site.gateway.running().providers().remove(0).ready()).await;

    // Neither the code that the first one gave, nor its refresh token, nor the person whom it vouched for.
    let reply = coming_back.get(&callback).await;
    assert_eq!((reply.status, other.requests("/token").len()), (StatusCode::BAD_REQUEST, 0));
    site.clock.advance(Duration::from_secs(600));
    assert_eq!((site.status(&mut browser).await, other.requests("/token").len()), (401, 0));
    let (mut leaving, mut stale, logout) = (browser.clone(), browser.clone(), site.url("/.lychgate/logout"));
    let page = leaving.get(&logout).await.text();
    let (_, token) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no token in {page}"));
    let form = format!("token={}", token.split('"').next().unwrap());
    let away = leaving.post(&logout, &form, &[("origin", "null")]).await.location().unwrap();
    assert!(away.starts_with(other.issuer()) && parameter(&away, "id_token_hint").is_none(), "{away}");
    assert_eq!(browser.open(&site.url("/")).await.text(), "hello");
    assert_eq!(site.status(&mut browser).await, 200);
    // Whom the first one called so is not who is called so now, even to sign out everywhere.
    let page = stale.get(&logout).await.text();
    let (_, token) = page.split_once("name=\"token\" value=\"").unwrap();
    let form = format!("token={}&everywhere=1", token.split('"').next().unwrap());
    stale.post(&logout, &form, &[("origin", "null")]).await;
    assert_eq!(site.status(&mut browser).await, 200);

    // Nor what was said to another client.
    let id = format!("client_id = \"{CLIENT_ID}\"");
    assert!(settings.contains(&id));
    let settings = settings.replace(site.provider.issuer(), other.issuer()).replace(&id, "client_id = \"another\"");
    site.gateway.write("lychgate.toml", &settings);
    assert_eq!(site.reload().await.1["outcome"], "applied");
    assert_eq!(site.status(&mut browser).await, 401);
    let log = site.gateway.stop().await;
    let reasons = |reason: &str| log.iter().filter(|line| line["reason"] == reason).count();
    assert_eq!((reasons("other_provider"), reasons("session_other_provider")), (1, 3), "{log:#?}");
}

/// The usual settings with the provider's changed.
fn changed(settings: &str, more: &str) -> String {
    let table = "[providers.idp]\n";
    assert!(settings.contains(table), "{settings}");
    settings.replacen(table, &format!("{table}{more}\n"), 1)
}

#[tokio::test]
async fn r16_a_provider_that_is_away_stays_known_when_its_settings_change() {
    let site = asked_site().await;
    let settings = site.gateway.read("lychgate.toml");
    {
        let mut script = site.provider.script();
        script.discovery_answer = Answer::Status(500);
        script.jwks_answer = Answer::Status(500);
    }
    site.gateway.write("lychgate.toml", &changed(&settings, "clock_skew = \"61s\""));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    let mut browser = site.signed_in().await;
    let token = site.provider.logout_token(&Mutation::default());
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    let reply = Browser::new().post(&site.url("/.lychgate/backchannel-logout"), &form, &[]).await;
    assert_eq!((reply.status.as_u16(), site.status(&mut browser).await), (200, 401));
}

#[tokio::test]
async fn r02_what_is_known_of_a_provider_is_measured_by_its_new_settings() {
    let site = Site::with(policy, |setup| setup.settings("reload = \"signal\"")).await;
    let settings = site.gateway.read("lychgate.toml");
    site.provider.script().metadata = vec![("userinfo_endpoint".to_owned(), json!(null))];
    site.gateway.write("lychgate.toml", &changed(&settings, "clock_skew = \"61s\""));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    // The new one has asked by itself, and knows that there is no such endpoint.
    while site.provider.requests("/jwks").len() < 2 {
        tokio::task::yield_now().await;
    }
    site.gateway.write("lychgate.toml", &changed(&settings, "userinfo = true"));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    let reply = Browser::new().open(&site.url("/")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text());
    let ready = Browser::new().get(&site.admin_url("/readyz")).await;
    assert!(ready.text().contains("userinfo"), "{}", ready.text());
}
