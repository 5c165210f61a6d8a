//! Token and userinfo endpoint: client authentication, wrong answers, silence, and whose claims win.
//!
//! Specifications: RFC 6749 sections 2.3.1 and 5, OIDC Core 5.3.

use std::time::Duration;

use lychgate::crypto::Secret;
use lychgate::oidc::{ClientAuth, Limits, ProviderSettings};
use serde_json::Value;

use super::{Pair, TokenCase, says_400, set};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{Answer, CLIENT_SECRET, Claim, value};

#[tokio::test]
async fn r02_the_client_authenticates_as_configured_and_basic_is_form_encoded() {
    for (auth, secret, in_form) in [
        (ClientAuth::Basic, true, false),
        (ClientAuth::Post, true, true),
        (ClientAuth::None, true, false),
        (ClientAuth::None, false, false),
    ] {
        let configure = |settings: &mut ProviderSettings| {
            settings.client_auth = auth;
            settings.client_secret = secret.then(|| Secret::new(CLIENT_SECRET.to_owned()));
        };
        let pair = Pair::with(configure, |_| {}).await;
        assert_eq!(pair.refusal().await, "signed in", "{auth:?}");
        let request = pair.fake.requests("/token").remove(0);
        assert_eq!(request.authorization.is_some(), auth == ClientAuth::Basic, "{auth:?}");
        assert_eq!(value(&request.form, "client_secret"), in_form.then_some(CLIENT_SECRET), "{auth:?}");
        assert_eq!(value(&request.form, "client_id").is_some(), auth != ClientAuth::Basic, "{auth:?}");
        assert!(request.query.is_empty(), "credentials never stand in an address (RFC 6749 2.3.1)");
    }
    // RFC 6749 2.3.1: `lychgate:p%3Aa%25ss+w%C3%B6rd` in base64.
    let pair = Pair::new().await;
    pair.sign_in().await.ok().unwrap();
    let sent = pair.fake.requests("/token").remove(0).authorization.unwrap();
    assert_eq!(sent, "Basic bHljaGdhdGU6cCUzQWElMjVzcyt3JUMzJUI2cmQ=");

    let wrong = Pair::with(|settings| settings.client_secret = Some(Secret::new("wrong".to_owned())), |_| {}).await;
    assert_eq!(wrong.refusal().await, "token_endpoint_invalid_client");
}

/// What token or userinfo endpoint do wrong, the paragraph, the change, and the code of the refusal.
const ENDPOINTS: &[TokenCase] = &[
    ("token 500", "RFC 6749 5.1", |s, _| s.token_answer = Answer::Status(500), "token_endpoint_malformed"),
    ("token 204", "RFC 6749 5.1", |s, _| s.token_answer = Answer::Status(204), "token_endpoint_malformed"),
    (
        "token elsewhere",
        "RFC 9700 4.12",
        |s, i| s.token_answer = Answer::Redirect(format!("{i}/userinfo")),
        "token_endpoint_malformed",
    ),
    (
        "token 400, code used",
        "RFC 6749 5.2",
        |s, _| s.token_answer = says_400("invalid_grant"),
        "token_endpoint_invalid_grant",
    ),
    (
        "token 400, client",
        "RFC 6749 5.2",
        |s, _| s.token_answer = says_400("invalid_client"),
        "token_endpoint_invalid_client",
    ),
    ("token 400, other", "RFC 6749 5.2", |s, _| s.token_answer = says_400("x<b>"), "token_endpoint_refused"),
    (
        "token a page",
        "RFC 6749 5.1",
        |s, _| s.token_answer = Answer::Says(200, "text/html", "<p>".to_owned()),
        "token_endpoint_malformed",
    ),
    (
        "token not JSON",
        "RFC 6749 5.1",
        |s, _| s.token_answer = Answer::json("access_token=a"),
        "token_endpoint_malformed",
    ),
    ("token empty", "RFC 6749 5.1", |s, _| s.token_answer = Answer::json(""), "token_endpoint_malformed"),
    ("token without tokens", "RFC 6749 5.1", |s, _| s.token_answer = Answer::json("{}"), "token_endpoint_malformed"),
    ("token of 100 MB", "", |s, _| s.token_answer = Answer::Huge(100_000_000), "token_endpoint_unreachable"),
    ("token type of another kind", "Core 3.1.3.3", |s, _| s.token_type = Some("mac"), "token_endpoint_token_type"),
    (
        "an ID token that is a number",
        "Core 3.1.3.3",
        |s, _| s.token_answer = Answer::json(r#"{"access_token":"a","token_type":"Bearer","id_token":7}"#),
        "token_endpoint_malformed",
    ),
    ("userinfo of another", "Core 5.3.2", |s, _| s.userinfo = set("sub", "eve"), "userinfo_subject"),
    ("userinfo of nobody", "Core 5.3.2", |s, _| s.userinfo = vec![Claim::Remove("sub")], "userinfo_subject"),
    ("userinfo 401", "Core 5.3.3", |s, _| s.userinfo_answer = Answer::Status(401), "userinfo_status"),
    ("userinfo 500", "Core 5.3.2", |s, _| s.userinfo_answer = Answer::Status(500), "userinfo_status"),
    (
        "userinfo elsewhere",
        "RFC 9700 4.12",
        |s, i| s.userinfo_answer = Answer::Redirect(format!("{i}/jwks")),
        "userinfo_status",
    ),
    (
        "userinfo a list",
        "Core 5.3.2",
        |s, _| s.userinfo_answer = Answer::json(r#"[{"sub":"ada-7"}]"#),
        "userinfo_not_an_object",
    ),
    ("userinfo not JSON", "Core 5.3.2", |s, _| s.userinfo_answer = Answer::json("sub=ada-7"), "userinfo_not_an_object"),
    (
        "userinfo as a token",
        "Core 5.3.2",
        |s, _| s.userinfo_answer = Answer::Says(200, "application/jwt", r#"{"sub":"ada-7"}"#.to_owned()),
        "userinfo_signature",
    ),
    (
        "signed userinfo of a stranger",
        "Core 5.3.2",
        |s, _| s.userinfo_signed = Some(Signing::Stranger),
        "userinfo_signature",
    ),
    (
        "signed userinfo, one bit turned",
        "Core 5.3.2",
        |s, _| s.userinfo_signed = Some(Signing::Broken),
        "userinfo_signature",
    ),
    (
        "userinfo not signed at all",
        "Core 5.3.2",
        |s, _| s.userinfo_signed = Some(Signing::Unsigned),
        "userinfo_signature",
    ),
    (
        "userinfo signed with our secret",
        "RFC 8725 3.1",
        |s, _| s.userinfo_signed = Some(Signing::ClientSecret),
        "userinfo_signature",
    ),
    (
        "signed userinfo of another issuer",
        "Core 5.3.2",
        |s, _| {
            s.userinfo_signed = Some(Signing::Es256);
            s.userinfo = set("iss", "https://evil.example");
        },
        "userinfo_not_for_us",
    ),
    (
        "signed userinfo for another client",
        "Core 5.3.2",
        |s, _| {
            s.userinfo_signed = Some(Signing::Es256);
            s.userinfo = set("aud", "partner");
        },
        "userinfo_not_for_us",
    ),
    (
        "signed userinfo of the past",
        "RFC 7519 4.1.4",
        |s, _| {
            s.userinfo_signed = Some(Signing::Es256);
            s.userinfo = vec![Claim::At("exp", -61)];
        },
        "userinfo_not_for_us",
    ),
    (
        "signed userinfo of another person",
        "Core 5.3.2",
        |s, _| {
            s.userinfo_signed = Some(Signing::Es256);
            s.userinfo = set("sub", "eve");
        },
        "userinfo_subject",
    ),
    ("userinfo of 100 MB", "", |s, _| s.userinfo_answer = Answer::Huge(100_000_000), "userinfo_unreachable"),
    (
        "an access token with a line end",
        "RFC 6750 2.1",
        |s, _| s.access_token = Some("a\r\nX-Evil: 1"),
        "userinfo_unreachable",
    ),
];

#[tokio::test]
async fn r05_r16_endpoints_that_answer_wrongly_are_refused() {
    let pair = Pair::with(|settings| settings.userinfo = true, |_| {}).await;
    for (name, rests_on, script, code) in ENDPOINTS {
        pair.play(|current| script(current, pair.fake.issuer()));
        assert_eq!(pair.refusal().await, *code, "{name} ({rests_on})");
    }
    pair.play(|_| {});
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r16_a_provider_that_never_answers_costs_a_login_its_time_limit_and_no_more() {
    let hurried = |settings: &mut ProviderSettings| {
        settings.userinfo = true;
        settings.limits = Limits { total: Duration::from_millis(1500), ..Limits::default() };
    };
    for silence in [Answer::Never, Answer::Stalls] {
        let pair = Pair::strangers(hurried, |s| s.discovery_answer = silence.clone()).await;
        assert!(pair.provider.discovered_now().await.err().unwrap().reason.contains("time limit"), "{silence:?}");

        let pair = Pair::with(hurried, |s| s.token_answer = silence.clone()).await;
        assert_eq!(pair.refusal().await, "token_endpoint_unreachable", "{silence:?}");

        let pair = Pair::with(hurried, |s| s.userinfo_answer = silence.clone()).await;
        assert_eq!(pair.refusal().await, "userinfo_unreachable", "{silence:?}");
    }
}

#[tokio::test]
async fn r05_userinfo_adds_claims_and_overrides_none() {
    let pair = Pair::with(|settings| settings.userinfo = true, |_| {}).await;
    pair.play(|s| {
        s.person = vec![("email".to_owned(), "signed@gmr.example".into())];
        s.userinfo = set("acr", "phr");
    });
    let signed_in = pair.sign_in().await.ok().unwrap();
    assert_eq!(signed_in.claims.text("email"), Some("signed@gmr.example"));
    assert_eq!(signed_in.claims.text("department"), Some("archives"));
    assert_eq!((signed_in.claims.text("acr"), signed_in.acr), (None, None));
}

#[tokio::test]
async fn r05_signed_userinfo_adds_claims_too() {
    let pair = Pair::with(|settings| settings.userinfo = true, |_| {}).await;
    for signing in [Signing::Rs256, Signing::Es256, Signing::EdDsa] {
        pair.play(|s| s.userinfo_signed = Some(signing));
        let signed_in = pair.sign_in().await.ok().unwrap();
        assert_eq!(signed_in.claims.text("department"), Some("archives"), "{signing:?}");
    }
    pair.play(|s| {
        s.userinfo_signed = Some(Signing::Ps256);
        s.userinfo = vec![Claim::Remove("iss"), Claim::Remove("aud")];
    });
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r14_userinfo_by_a_key_that_is_not_known_yet_is_verified_with_it() {
    let rsa: Vec<Value> = KEYS.jwks().into_iter().filter(|key| key["kid"] == "rsa").collect();
    let pair = Pair::with(|settings| settings.userinfo = true, |s| s.jwks = Some(rsa)).await;
    pair.play(|s| {
        s.jwks = None;
        s.userinfo_signed = Some(Signing::Es256);
    });
    let signed_in = pair.sign_in().await.ok().unwrap();
    assert_eq!(signed_in.claims.text("department"), Some("archives"));
    assert_eq!(pair.fake.requests("/jwks").len(), 2);
}
