//! Metadata, keys and absence: what is believed of a provider, how it is found again, and how its keys rotate.
//!
//! Specifications: OpenID Connect Discovery 1.0, RFC 7517, OIDC Core section 10.1.

use std::sync::Arc;
use std::time::Duration;

use lychgate::clock::ManualClock;
use lychgate::http::ReturnTo;
use lychgate::oidc::{LoginRequest, Provider, Readiness};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{CALLBACK, NOW, Pair, header, params, settings_for};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{Answer, FakeProvider, Script};

/// What metadata or keys do wrong, the paragraph, the change, and a part of the reason that an operator reads.
type MetadataCase = (&'static str, &'static str, fn(&mut Script, &str), &'static str);

const METADATA: &[MetadataCase] = &[
    (
        "issuer of another",
        "Discovery 4.3",
        |s, _| s.metadata = header("issuer", "https://evil.example"),
        "is configured",
    ),
    (
        "issuer with a slash more",
        "Discovery 4.3",
        |s, i| s.metadata = header("issuer", format!("{i}/")),
        "is configured",
    ),
    ("no issuer", "Discovery 3", |s, _| s.metadata = header("issuer", json!(null)), "required member"),
    ("no token endpoint", "Discovery 3", |s, _| s.metadata = header("token_endpoint", json!(null)), "required member"),
    ("no jwks_uri", "Discovery 3", |s, _| s.metadata = header("jwks_uri", json!(null)), "required member"),
    ("endpoint no URL", "Discovery 3", |s, _| s.metadata = header("token_endpoint", "/token"), "required member"),
    (
        "token endpoint in clear text",
        "Discovery 3",
        |s, _| s.metadata = header("token_endpoint", "http://idp.example/token"),
        "`token_endpoint` is no https",
    ),
    (
        "authorization endpoint a script",
        "Discovery 3",
        |s, _| s.metadata = header("authorization_endpoint", "javascript:alert(1)"),
        "`authorization_endpoint` is no https",
    ),
    (
        "keys from a file",
        "Discovery 3",
        |s, _| s.metadata = header("jwks_uri", "file:///etc/passwd"),
        "`jwks_uri` is no https",
    ),
    (
        "userinfo with a password in its address",
        "Discovery 3",
        |s, _| s.metadata = header("userinfo_endpoint", "https://u:p@idp.example/"),
        "`userinfo_endpoint` is no https",
    ),
    (
        "logout with a fragment",
        "RP-Initiated Logout 2.1",
        |s, _| s.metadata = header("end_session_endpoint", "https://idp.example/#x"),
        "`end_session_endpoint` is no https",
    ),
    (
        "no code flow",
        "Discovery 3",
        |s, _| s.metadata = header("response_types_supported", json!(["id_token"])),
        "response type `code`",
    ),
    (
        "PKCE only plain",
        "RFC 9700 2.1.1",
        |s, _| s.metadata = header("code_challenge_methods_supported", json!(["plain"])),
        "PKCE with S256",
    ),
    (
        "no userinfo where it is configured",
        "Core 5.3",
        |s, _| s.metadata = header("userinfo_endpoint", json!(null)),
        "userinfo",
    ),
    ("metadata 500", "Discovery 4.2", |s, _| s.discovery_answer = Answer::Status(500), "status 500"),
    ("metadata 404", "Discovery 4.2", |s, _| s.discovery_answer = Answer::Status(404), "status 404"),
    (
        "metadata elsewhere",
        "RFC 9700 4.12",
        |s, i| s.discovery_answer = Answer::Redirect(format!("{i}/jwks")),
        "status 302",
    ),
    ("metadata a page", "Discovery 4.2", |s, _| s.discovery_answer = Answer::json("<html>"), "not JSON"),
    ("metadata cut off", "Discovery 4.2", |s, _| s.discovery_answer = Answer::json("{\"issuer\":"), "breaks off"),
    ("metadata a list", "Discovery 4.2", |s, _| s.discovery_answer = Answer::json("[]"), "required member"),
    ("metadata of 100 MB", "", |s, _| s.discovery_answer = Answer::Huge(100_000_000), "longer than the limit"),
    ("keys 500", "RFC 7517 5", |s, _| s.jwks_answer = Answer::Status(500), "status 500"),
    ("keys a page", "RFC 7517 5", |s, _| s.jwks_answer = Answer::json("<html>"), "list `keys`"),
    ("keys without keys", "RFC 7517 5", |s, _| s.jwks_answer = Answer::json("{}"), "list `keys`"),
    ("keys empty", "Core 10.1", |s, _| s.jwks = Some(vec![]), "no key"),
    ("only a shared secret", "Core 10.1", |s, _| s.jwks = Some(vec![json!({"kty": "oct", "k": "c2VjcmV0"})]), "no key"),
    ("keys of 100 MB", "", |s, _| s.jwks_answer = Answer::Huge(100_000_000), "longer than the limit"),
];

#[tokio::test]
async fn r02_r16_metadata_and_keys_that_cannot_be_believed_are_refused_with_a_reason() {
    for (name, rests_on, script, part) in METADATA {
        let pair = Pair::strangers(|settings| settings.userinfo = true, |_| {}).await;
        pair.play(|current| script(current, pair.fake.issuer()));
        let error = pair.provider.discovered_now().await.err().map_or_else(String::new, |error| error.reason);
        assert!(error.contains(part), "{name} ({rests_on}): {error}");
        assert_eq!(pair.provider.readiness(), Readiness::NotYet { reason: error }, "{name}");
        assert!(pair.provider.begin(LoginRequest::new(CALLBACK, ReturnTo::root())).await.is_err(), "{name}");
        // The provider recovers, and so does the gateway, after the window.
        pair.play(|_| {});
        assert!(pair.provider.discovered_now().await.is_err(), "{name}: asked again within the window");
        pair.time.advance(Duration::from_secs(5));
        assert!(pair.provider.discovered_now().await.is_ok(), "{name}");
        assert_eq!(pair.refusal().await, "signed in", "{name}");
    }
}

#[tokio::test]
async fn r14_keys_rotate_without_restart_and_a_flood_of_unknown_keys_asks_once_a_minute() {
    let pair = Pair::new().await;
    assert_eq!((pair.refusal().await, pair.asked("/jwks")), ("signed in", 1));

    let rotated = |s: &mut Script| {
        s.jwks = Some(vec![KEYS.stranger_jwk("new")]);
        s.signing = Signing::Stranger;
        s.header = header("kid", "new");
    };
    pair.play(rotated);
    let mut parallel = Vec::new();
    for _ in 0..10 {
        parallel.push(pair.begin().await);
    }
    let logins = parallel.into_iter().map(|begun| {
        let back = params(&pair.fake.authorize(&begun.authorize_url)).ok().unwrap();
        let provider = Arc::clone(&pair.provider);
        tokio::spawn(async move { provider.finish(&begun.pending, &back, CALLBACK).await.is_ok() })
    });
    for login in logins.collect::<Vec<_>>() {
        assert!(login.await.unwrap());
    }
    assert_eq!(pair.asked("/jwks"), 2);

    pair.play(|s| s.header = header("kid", "nobody"));
    for _ in 0..20 {
        assert_eq!(pair.refusal().await, "id_token_unknown_key");
    }
    assert_eq!(pair.asked("/jwks"), 2);
    pair.time.advance(Duration::from_secs(60));
    for _ in 0..20 {
        assert_eq!(pair.refusal().await, "id_token_unknown_key");
    }
    assert_eq!(pair.asked("/jwks"), 3);
}

#[tokio::test]
async fn r14_a_fetch_of_keys_is_finished_though_whoever_caused_it_leaves() {
    let pair = Pair::new().await;
    let held = Arc::new(Semaphore::new(0));
    pair.play(|s| {
        s.jwks = Some(vec![KEYS.stranger_jwk("new")]);
        s.signing = Signing::Stranger;
        s.header = header("kid", "new");
        s.jwks_held = Some(Arc::clone(&held));
    });
    let begun = pair.begin().await;
    let back = params(&pair.fake.authorize(&begun.authorize_url)).ok().unwrap();
    let provider = Arc::clone(&pair.provider);
    let leaving = tokio::spawn(async move { provider.finish(&begun.pending, &back, CALLBACK).await.is_ok() });
    while pair.asked("/jwks") == 1 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    held.add_permits(1);
    assert_eq!((pair.refusal().await, pair.asked("/jwks")), ("signed in", 2));
}

#[tokio::test]
async fn r16_a_provider_is_discovered_though_whoever_wanted_it_leaves() {
    let held = Arc::new(Semaphore::new(0));
    let pair = Pair::strangers(|_| {}, |s| s.jwks_held = Some(Arc::clone(&held))).await;
    let provider = Arc::clone(&pair.provider);
    let leaving = tokio::spawn(async move { provider.discovered_now().await.is_ok() });
    while pair.asked("/jwks") == 0 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    held.add_permits(1);
    assert!(pair.provider.discovered_now().await.is_ok());
    assert_eq!(pair.asked("/jwks"), 1);
}

#[tokio::test]
async fn r14_a_rotation_that_no_kid_tells_of_is_found_out_by_the_signature() {
    for kid in [json!(null), json!("rsa")] {
        let pair = Pair::new().await;
        pair.play(|s| s.header = header("kid", kid.clone()));
        assert_eq!((pair.refusal().await, pair.asked("/jwks")), ("signed in", 1), "{kid}");
        pair.play(|s| {
            s.jwks = Some(vec![KEYS.stranger_jwk("rsa")]);
            s.signing = Signing::Stranger;
            s.header = header("kid", kid.clone());
        });
        assert_eq!((pair.refusal().await, pair.asked("/jwks")), ("signed in", 2), "{kid}");
        pair.play(|s| {
            s.jwks = Some(vec![KEYS.stranger_jwk("rsa")]);
            s.header = header("kid", kid.clone());
        });
        for _ in 0..5 {
            assert_eq!(pair.refusal().await, "id_token_signature", "{kid}");
        }
        assert_eq!(pair.asked("/jwks"), 2, "{kid}: more than one fetch in a minute");
        pair.time.advance(Duration::from_secs(60));
        for _ in 0..5 {
            assert_eq!(pair.refusal().await, "id_token_signature", "{kid}");
        }
        assert_eq!(pair.asked("/jwks"), 3, "{kid}");
    }
}

#[tokio::test]
async fn r14_the_last_good_keys_survive_an_outage() {
    let pair = Pair::new().await;
    pair.play(|s| {
        s.jwks_answer = Answer::Status(500);
        s.header = header("kid", "nobody");
    });
    assert_eq!((pair.refusal().await, pair.asked("/jwks")), ("id_token_unknown_key", 2));
    pair.play(|s| s.jwks_answer = Answer::Status(500));
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r16_the_gateway_starts_without_its_provider_and_finds_it_by_itself() {
    let pair = Pair::strangers(|_| {}, |s| s.discovery_answer = Answer::Status(503)).await;
    assert!(matches!(pair.provider.readiness(), Readiness::NotYet { .. }));
    let keeping = tokio::spawn(Arc::clone(&pair.provider).keep_discovered());
    while pair.asked("/.well-known/openid-configuration") == 0 {
        tokio::task::yield_now().await;
    }
    pair.play(|_| {});
    pair.provider.ready().await;
    assert_eq!(pair.provider.readiness(), Readiness::Ready);
    assert_eq!(pair.refusal().await, "signed in");
    keeping.abort();
}

#[tokio::test]
async fn r16_nobody_listening_is_said_so() {
    let time = ManualClock::starting_at(NOW);
    let gone = FakeProvider::start(time.clock()).await.issuer().to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for issuer in [gone, free] {
        let provider = Provider::new(settings_for(&issuer), time.clock()).ok().unwrap();
        let error = provider.discovered_now().await.err().unwrap();
        assert!(!error.reason.is_empty(), "{issuer}");
        assert!(provider.end_session_url(None, "https://app.example/", None).is_none());
    }
}

#[tokio::test]
async fn r16_a_provider_behind_tls_needs_a_trusted_certificate() {
    let time = ManualClock::starting_at(NOW);
    let (fake, authority) = FakeProvider::start_with_tls(time.clock()).await;
    let mut settings = settings_for(fake.issuer());
    let untrusting = Provider::new(settings.clone(), time.clock()).ok().unwrap();
    let error = untrusting.discovered_now().await.err().unwrap();
    assert!(error.reason.contains("not trusted"), "{error}");
    assert!(fake.requests("/.well-known/openid-configuration").is_empty());

    settings.ca = Some(authority.into_bytes());
    let provider = Provider::new(settings, time.clock()).ok().unwrap();
    provider.discovered_now().await.unwrap();
    let begun = provider.begin(LoginRequest::new(CALLBACK, ReturnTo::root())).await.ok().unwrap();
    let back = params(&fake.authorize(&begun.authorize_url)).ok().unwrap();
    assert!(provider.finish(&begun.pending, &back, CALLBACK).await.is_ok());
}
