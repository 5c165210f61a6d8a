//! Responses of the authorization endpoint: nothing that breaks a rule may cause a token request.
//!
//! Specifications: RFC 6749 sections 3.1 and 4.1.2, RFC 9207, RFC 9700 sections 4.4 and 4.7.

use std::sync::Arc;
use std::time::Duration;

use lychgate::oidc::CallbackParams;
use serde_json::json;
use url::Url;

use super::{CALLBACK, Pair, header, params};
use crate::harness::provider::Script;

/// What a response does wrong, the paragraph, the change of the good parameters, and the code of the refusal.
type ResponseCase = (&'static str, &'static str, fn(&mut Vec<(String, String)>), &'static str);

fn replace(parameters: &mut Vec<(String, String)>, name: &str, value: &str) {
    parameters.retain(|(key, _)| key != name);
    parameters.push((name.to_owned(), value.to_owned()));
}

fn also(parameters: &mut Vec<(String, String)>, name: &str, value: &str) {
    parameters.push((name.to_owned(), value.to_owned()));
}

const RESPONSES: &[ResponseCase] = &[
    ("r08 no state", "RFC 6749 10.12", |p| p.retain(|(name, _)| name != "state"), "state_missing"),
    ("r08 state empty", "RFC 6749 3.1", |p| replace(p, "state", ""), "state_missing"),
    ("r08 state of another", "RFC 9700 4.7", |p| replace(p, "state", &"x".repeat(43)), "state_mismatch"),
    ("r08 state in capitals", "RFC 9700 4.7", |p| p[0].1 = p[0].1.to_uppercase(), "state_mismatch"),
    ("r09 no iss", "RFC 9207 2.4", |p| p.retain(|(name, _)| name != "iss"), "issuer_missing"),
    ("r09 iss empty", "RFC 9207 2.4", |p| replace(p, "iss", ""), "issuer_missing"),
    ("r09 iss of another", "RFC 9207 2.4", |p| replace(p, "iss", "https://evil.example"), "issuer_mismatch"),
    ("r09 iss with a slash more", "RFC 9207 2.4", |p| p[1].1.push('/'), "issuer_mismatch"),
    ("r09 iss in capitals", "RFC 9207 2.4", |p| p[1].1 = p[1].1.to_uppercase(), "issuer_mismatch"),
    ("r06 an error", "RFC 6749 4.1.2.1", |p| replace(p, "error", "access_denied"), "access_denied"),
    ("r06 an error with markup", "Core 3.1.2.6", |p| replace(p, "error", "<script>"), "other"),
    (
        "r09 an error, iss of another",
        "RFC 9207 2.4",
        |p| {
            replace(p, "error", "access_denied");
            replace(p, "iss", "https://evil.example");
        },
        "issuer_mismatch",
    ),
    ("no code", "RFC 6749 4.1.2", |p| p.retain(|(name, _)| name != "code"), "code_missing"),
    ("code empty", "RFC 6749 3.1", |p| replace(p, "code", ""), "code_missing"),
    ("r07 two states", "RFC 6749 3.1", |p| also(p, "state", "x"), "duplicate_parameter"),
    ("r07 two codes", "RFC 6749 3.1", |p| also(p, "code", "x"), "duplicate_parameter"),
    ("r07 two iss", "RFC 6749 3.1", |p| also(p, "iss", ""), "duplicate_parameter"),
    (
        "r07 two errors",
        "RFC 6749 3.1",
        |p| {
            also(p, "error", "a");
            also(p, "error", "b");
        },
        "duplicate_parameter",
    ),
];

#[tokio::test]
async fn r06_r07_r08_r09_responses_that_break_a_rule_cause_no_token_request() {
    let pair = Pair::new().await;
    for (name, rests_on, change, code) in RESPONSES {
        let begun = pair.begin().await;
        let back = Url::parse(&pair.fake.authorize(&begun.authorize_url)).unwrap();
        let mut parameters: Vec<_> = back.query_pairs().into_owned().collect();
        assert_eq!((parameters[0].0.as_str(), parameters[1].0.as_str()), ("state", "iss"));
        change(&mut parameters);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let outcome = match CallbackParams::parse(&query) {
            Ok(params) => pair.provider.finish(&begun.pending, &params, CALLBACK).await.err(),
            Err(error) => Some(error),
        };
        assert_eq!(outcome.map_or("signed in", |error| error.code()), *code, "{name} ({rests_on})");
    }
    assert_eq!(pair.asked("/token"), 0);
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r08_expired_replayed_and_foreign_responses_cause_no_token_request() {
    let pair = Pair::new().await;
    let begun = pair.begin().await;
    let back = params(&pair.fake.authorize(&begun.authorize_url)).ok().unwrap();
    pair.time.advance(Duration::from_secs(15 * 60 + 1));
    let late = pair.provider.finish(&begun.pending, &back, CALLBACK).await.err().unwrap();
    assert_eq!((late.code(), late.is_stale()), ("login_expired", true));

    let (mine, yours) = (pair.begin().await, pair.begin().await);
    let back = params(&pair.fake.authorize(&yours.authorize_url)).ok().unwrap();
    let swapped = pair.provider.finish(&mine.pending, &back, CALLBACK).await.err().unwrap();
    assert_eq!((swapped.code(), swapped.is_stale()), ("state_mismatch", false));
    assert_eq!(pair.asked("/token"), 0);

    assert!(pair.provider.finish(&yours.pending, &back, CALLBACK).await.is_ok());
    let again = pair.provider.finish(&yours.pending, &back, CALLBACK).await.err().unwrap();
    assert_eq!((again.code(), again.is_stale()), ("state_replayed", true));
    assert_eq!(pair.asked("/token"), 1);
}

#[tokio::test]
async fn r08_of_many_parallel_redemptions_of_one_response_one_is_made() {
    let pair = Pair::new().await;
    let begun = pair.begin().await;
    let back = params(&pair.fake.authorize(&begun.authorize_url)).ok().unwrap();
    let finish = || {
        let (provider, pending, back) = (Arc::clone(&pair.provider), begun.pending.clone(), back.clone());
        tokio::spawn(async move { provider.finish(&pending, &back, CALLBACK).await.is_ok() })
    };
    let mut signed_in = 0;
    for task in (0..20).map(|_| finish()).collect::<Vec<_>>() {
        signed_in += usize::from(task.await.unwrap());
    }
    assert_eq!((signed_in, pair.asked("/token")), (1, 1));
}

#[tokio::test]
async fn r10_a_response_of_one_provider_is_never_redeemed_at_another() {
    let (one, other) = (Pair::new().await, Pair::with(|settings| settings.name = "other".into(), |_| {}).await);
    let begun = one.begin().await;
    let back = params(&one.fake.authorize(&begun.authorize_url)).ok().unwrap();
    let error = other.provider.finish(&begun.pending, &back, CALLBACK).await.err().unwrap();
    assert_eq!((error.code(), other.asked("/token")), ("other_provider", 0));
}

#[tokio::test]
async fn r09_a_provider_that_promises_no_iss_may_leave_it_out_but_not_lie() {
    let silent = |s: &mut Script| {
        s.metadata = header("authorization_response_iss_parameter_supported", json!(null));
        s.response_issuer = Some(String::new());
    };
    let pair = Pair::with(|_| {}, silent).await;
    assert_eq!(pair.refusal().await, "signed in");
    pair.play(|s| s.response_issuer = Some("https://evil.example".to_owned()));
    assert_eq!(pair.refusal().await, "issuer_mismatch");
}

#[tokio::test]
async fn r06_an_error_of_the_provider_is_shown_without_its_words() {
    let pair = Pair::with(|_| {}, |s| s.error = Some("temporarily_unavailable")).await;
    let error = pair.sign_in().await.err().unwrap();
    assert_eq!((error.code(), error.status().as_u16()), ("temporarily_unavailable", 502));
    assert!(!error.advice().contains("555") && !error.to_string().contains("555"));
}
