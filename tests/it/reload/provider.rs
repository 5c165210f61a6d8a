//! Providers that come, change and go while the gateway runs.

use http::StatusCode;

use super::asked_site;
use crate::harness::browser::Browser;
use crate::harness::gateway::provider;

#[tokio::test]
async fn an_unchanged_provider_goes_on_and_others_come_and_go() {
    let site = asked_site().await;
    let mut browser = site.signed_in().await;
    let first = site.gateway.running().providers();
    let discovered = |provider: &crate::harness::provider::FakeProvider| {
        provider.requests("/.well-known/openid-configuration").len()
    };
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

    // The first one moves: the new one is asked in the background, and people with a session notice nothing.
    let moved = provider(&site.clock).await;
    moved.script().person = crate::harness::site::ada();
    site.gateway.write("lychgate.toml", &settings.replace(site.provider.issuer(), moved.issuer()));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    let provider = site.gateway.running().providers().remove(0);
    crate::harness::soon(provider.ready()).await;
    assert_eq!(discovered(&moved), 1);
    assert_eq!(site.status(&mut browser).await, 200);
    let reply = Browser::new().open(&site.url("/")).await;
    assert_eq!(reply.text(), "hello", "new sessions come from the new one");
}
