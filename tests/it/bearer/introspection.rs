//! Opaque tokens: the provider is asked about each, once, and its word is good for its time.

use std::time::Duration;

use lychgate::crypto::Secret;
use lychgate::oidc::{Provider, ProviderSettings, Questioner, TokenError};
use lychgate::policy::{Bearer, TokenForm};
use serde_json::{Value, json};

use super::{AUDIENCE, Api, assert_refused};
use crate::harness::provider::{Answer, CLIENT_ID, CLIENT_SECRET, value};
use crate::harness::site::line_of;

const OPAQUE: &str = "tokens = \"opaque\"\nscopes = [\"read\"]\ncache = \"30s\"\nclients = \"export\"\n";
const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";

/// What the provider says of a token that is good for the usual application.
fn active() -> Value {
    json!({
        "active": true, "aud": AUDIENCE, "sub": "ada-7", "client_id": "export", "scope": "read", "token_type": "Bearer",
        "username": "ada@gmr.example", "preferred_username": "ada", "groups": ["staff"],
    })
}

async fn api(says: Value) -> Api {
    let api = Api::new(OPAQUE).await;
    answers(&api, says);
    api
}

fn answers(api: &Api, says: Value) {
    api.provider.script().introspection = vec![(TOKEN.to_owned(), says)];
}

fn questions(api: &Api) -> usize {
    api.provider.requests("/introspect").len()
}

#[tokio::test]
async fn an_active_token_is_mapped_to_the_same_view_and_asked_about_by_an_authenticated_client() {
    let api = api(active()).await;
    assert_eq!(api.bearer("/", TOKEN).await.status, 200);
    let seen = api.application.last();
    assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("x-kind").as_deref(), Some("bearer"));
    assert_eq!(seen.header("authorization"), None);
    // The provider answers 401 to a client that does not authenticate, so that it did is shown by the answer.
    let asked = api.provider.requests("/introspect").remove(0);
    assert_eq!(value(&asked.form, "token"), Some(TOKEN));
    assert_eq!(value(&asked.form, "token_type_hint"), Some("access_token"));
    assert!(asked.authorization.unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn answers_are_kept_for_their_time_and_a_withdrawn_token_ends_with_it() {
    let api = api(active()).await;
    for _ in 0..6 {
        assert_eq!(api.bearer("/", TOKEN).await.status, 200);
    }
    assert_eq!(questions(&api), 1, "each worker asked");
    answers(&api, json!({"active": false}));
    api.clock.advance(Duration::from_secs(29));
    assert_eq!(api.bearer("/", TOKEN).await.status, 200);
    api.clock.advance(Duration::from_secs(1));
    for _ in 0..6 {
        let reply = api.bearer("/", TOKEN).await;
        assert_refused(&reply, 401, "invalid_token", "withdrawn");
    }
    assert_eq!(questions(&api), 2, "a bad token is remembered, too");
}

#[tokio::test]
async fn no_answer_outlives_the_token() {
    let now = Api::new(OPAQUE).await.claims()["iat"].as_i64().unwrap();
    let mut says = active();
    // With a minute of leeway, five seconds are left.
    says["exp"] = (now - 55).into();
    let api = api(says).await;
    assert_eq!(api.bearer("/", TOKEN).await.status, 200);
    api.clock.advance(Duration::from_secs(5));
    let reply = api.bearer("/", TOKEN).await;
    assert_refused(&reply, 401, "invalid_token", "over");
    let log = api.gateway.stop().await;
    assert_eq!(line_of(&log, &reply)["reason"], "token_expired");
}

#[tokio::test]
async fn many_requests_with_one_new_token_are_one_question() {
    let api = api(active()).await;
    let requests = (0..24).map(|_| api.bearer("/", TOKEN));
    let mut all = Vec::new();
    for request in requests {
        all.push(Box::pin(request));
    }
    let replies = join_all(all).await;
    assert!(replies.iter().all(|reply| *reply == 200), "{replies:?}");
    assert_eq!(questions(&api), 1);
}

/// Polls all at once.
async fn join_all<F: Future<Output = crate::harness::browser::Reply> + Unpin>(mut futures: Vec<F>) -> Vec<u16> {
    let mut done: Vec<Option<u16>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(reply) = std::pin::Pin::new(future).poll(context)
            {
                *slot = Some(reply.status.as_u16());
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// What the provider says, the paragraph that it rests on, the status and the reason.
type Case = (&'static str, &'static str, fn(&mut Value), u16, &'static str);

const HOSTILE: &[Case] = &[
    ("not active", "RFC 7662 2.2", |says| says["active"] = false.into(), 401, "token_inactive"),
    (
        "active in words",
        "RFC 7662 2.2: boolean",
        |says| says["active"] = "true".into(),
        503,
        "token_provider_unavailable",
    ),
    ("active a number", "RFC 7662 2.2: boolean", |says| says["active"] = 1.into(), 503, "token_provider_unavailable"),
    ("active null", "RFC 7662 2.2: REQUIRED", |says| says["active"] = Value::Null, 503, "token_provider_unavailable"),
    ("a list", "RFC 7662 2.2: a JSON object", |says| *says = json!([true]), 503, "token_provider_unavailable"),
    ("for others", "RFC 7662 4: audience", |says| says["aud"] = "https://other.example".into(), 401, "token_audience"),
    ("for nobody", "RFC 7662 4: audience", |says| says["aud"] = json!([]), 401, "token_audience"),
    ("of another issuer", "RFC 7662 2.2", |says| says["iss"] = "https://evil.example".into(), 401, "token_issuer"),
    ("over, but active", "RFC 7662 4", |says| says["exp"] = 1.into(), 401, "token_expired"),
    ("exp a text", "RFC 7662 2.2", |says| says["exp"] = "tomorrow".into(), 401, "token_expired"),
    (
        "not yet good, but active",
        "RFC 7662 4",
        |says| says["nbf"] = 9_999_999_999_u64.into(),
        401,
        "token_not_yet_valid",
    ),
    ("of another kind", "RFC 7662 2.2: token_type", |says| says["token_type"] = "DPoP".into(), 401, "token_not_access"),
    ("a refresh token", "RFC 7662 4", |says| says["token_type"] = "refresh_token".into(), 401, "token_not_access"),
    (
        "a refresh token by Ory Hydra",
        "RFC 7662 4",
        |says| says["token_use"] = "refresh_token".into(),
        401,
        "token_not_access",
    ),
    (
        "a refresh token by OpenIddict",
        "RFC 7662 4",
        |says| says["token_usage"] = "refresh_token".into(),
        401,
        "token_not_access",
    ),
    ("a refresh token by Keycloak", "RFC 7662 4", |says| says["typ"] = "Refresh".into(), 401, "token_not_access"),
    ("an offline token by Keycloak", "RFC 7662 4", |says| says["typ"] = "Offline".into(), 401, "token_not_access"),
    ("an ID token by Keycloak", "RFC 8725 3.12", |says| says["typ"] = "ID".into(), 401, "token_not_access"),
    ("an ID token by its use", "RFC 8725 3.12", |says| says["token_use"] = "id".into(), 401, "token_not_access"),
    ("a use that is a list", "RFC 8725 3.12", |says| says["token_use"] = json!(["access"]), 401, "token_not_access"),
    (
        "one use of two",
        "RFC 8725 3.12",
        |says| (says["typ"], says["token_use"]) = (json!("Bearer"), json!("id")),
        401,
        "token_not_access",
    ),
    (
        "an ID token, or a refresh token by authentik",
        "OIDC Core 2",
        |says| (says["nonce"], says["at_hash"]) = (json!("n"), json!("h")),
        401,
        "token_not_access",
    ),
    (
        "an ID token typed as any JWT",
        "OIDC Core 2",
        |says| (says["typ"], says["at_hash"]) = (json!("JWT"), json!("h")),
        401,
        "token_not_access",
    ),
    ("a logout token", "RFC 8417 2.2", |says| says["events"] = json!({}), 401, "token_not_access"),
    ("bound to a key", "RFC 9449 7.1", |says| says["cnf"] = json!({"jkt": "x"}), 401, "token_bound"),
    ("of another client", "the policy's clients", |says| says["client_id"] = "other".into(), 401, "token_client"),
    ("sub a list", "RFC 7662 2.2", |says| says["sub"] = json!(["ada-7"]), 401, "token_subject"),
    ("another scope", "RFC 6750 3.1", |says| says["scope"] = "write".into(), 403, "token_scope"),
];

#[tokio::test]
async fn answers_that_are_not_for_this_application_accept_nothing() {
    let api = api(active()).await;
    let mut replies = Vec::new();
    for (name, _, change, status, _) in HOSTILE {
        let mut says = active();
        change(&mut says);
        answers(&api, says);
        api.clock.advance(Duration::from_secs(31));
        let reply = api.bearer("/", TOKEN).await;
        assert_eq!(reply.status, *status, "{name}: {}", reply.text());
        assert_eq!(reply.header("retry-after").is_some(), *status == 503, "{name}");
        replies.push(reply);
    }
    assert!(api.application.seen().is_empty());
    let log = api.gateway.stop().await;
    for ((name, rests_on, .., reason), reply) in HOSTILE.iter().zip(&replies) {
        assert_eq!(line_of(&log, reply)["reason"], *reason, "{name} ({rests_on})");
    }
}

#[tokio::test]
async fn access_tokens_are_accepted_however_providers_say_so_or_say_nothing() {
    let api = api(active()).await;
    for (provider, said) in [
        ("Ory Hydra", json!({"token_use": "access_token"})),
        ("Cognito, by its name", json!({"token_use": "access"})),
        ("OpenIddict", json!({"token_usage": "access_token"})),
        ("Keycloak, with a nonce", json!({"typ": "Bearer", "nonce": "n"})),
        ("RFC 9068", json!({"typ": "at+jwt"})),
        ("RFC 9068, the long type", json!({"typ": "application/at+jwt", "nonce": "n"})),
        ("what is in any header", json!({"typ": "JWT"})),
        ("Duende", json!({"token_type": "access_token"})),
        ("without case", json!({"token_type": "bearer"})),
        ("null", json!({"token_type": null, "token_use": null, "typ": null, "nonce": null})),
        ("RFC 8693", json!({"token_use": "urn:ietf:params:oauth:token-type:access_token"})),
    ] {
        let mut says = active();
        says.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        answers(&api, says);
        api.clock.advance(Duration::from_secs(31));
        assert_eq!(api.bearer("/", TOKEN).await.status, 200, "{provider}");
    }
    // Doorkeeper and others leave out what RFC 7662 lets them; authentik does, and has the login's nonce.
    for nonce in [json!(null), json!("n")] {
        let mut says = active();
        says["nonce"] = nonce.clone();
        says.as_object_mut().unwrap().remove("token_type");
        answers(&api, says);
        api.clock.advance(Duration::from_secs(31));
        assert_eq!(api.bearer("/", TOKEN).await.status, 200, "{nonce}");
    }
}

#[tokio::test]
async fn c11_a_token_that_was_accepted_while_the_clock_was_ahead_is_asked_about_again() {
    let api = api(active()).await;
    assert_eq!(api.bearer("/", TOKEN).await.status, 200);
    answers(&api, json!({"active": false}));
    api.clock.set_back(Duration::from_secs(3600));
    assert_refused(&api.bearer("/", TOKEN).await, 401, "invalid_token", "withdrawn");
    assert_eq!(questions(&api), 2);
}

#[tokio::test]
async fn r16_a_provider_that_does_not_answer_makes_no_token_bad() {
    let api = api(active()).await;
    for (name, answer) in [
        ("500", Answer::Status(500)),
        ("401: it does not know us", Answer::Status(401)),
        ("a redirect", Answer::Redirect("http://127.0.0.1:9/".to_owned())),
        ("no JSON", Answer::json("active")),
        ("without end", Answer::Huge(100 << 20)),
    ] {
        api.provider.script().introspection_answer = answer;
        let reply = api.bearer("/", TOKEN).await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, Some("5")), "{name}");
        assert_eq!(reply.header("www-authenticate"), None, "{name}");
    }
    assert!(api.application.seen().is_empty());
    api.provider.script().introspection_answer = Answer::Normal;
    assert_eq!(api.bearer("/", TOKEN).await.status, 200, "a failure was remembered");
}

/// Whoever counts nothing.
struct Nobody;

impl Questioner for Nobody {
    fn asks(&self) -> Result<(), Duration> {
        Ok(())
    }

    fn asked_for_nothing(&self) {}
}

#[tokio::test]
async fn r16_a_provider_that_never_answers_is_waited_for_no_longer_than_its_limit() {
    let clock = crate::harness::gateway::clock();
    let provider = crate::harness::gateway::provider(&clock).await;
    let mut settings = ProviderSettings::new("idp", provider.issuer(), CLIENT_ID);
    settings.client_secret = Some(Secret::new(CLIENT_SECRET.to_owned()));
    settings.limits.total = Duration::from_millis(200);
    let party = Provider::new(settings, clock.clock()).unwrap();
    party.discovered_now().await.unwrap();
    provider.script().introspection_answer = Answer::Never;
    let terms = Bearer {
        provider: "idp".into(),
        form: TokenForm::Opaque,
        audience: vec![AUDIENCE.to_owned()],
        scopes: Vec::new(),
        clients: Vec::new(),
        algorithms: Vec::new(),
        any_type: false,
        acr: None,
        cache: Duration::from_secs(30),
        forward: false,
    };
    let outcome = crate::harness::soon(party.accept(TOKEN, &terms, &Nobody)).await;
    assert_eq!(outcome.err(), Some(TokenError::Unavailable));
}
