//! ID tokens: one table of refusals, one of what must still be accepted, and the key questions that need another key set.
//!
//! Specification: OIDC Core 3.1.3.7; the numbers in brackets are its rules.

use std::time::Duration;

use lychgate::claims::{ClaimValue, Claims};
use lychgate::crypto::SignatureAlgorithm;
use lychgate::oidc::ProviderSettings;
use serde_json::json;

use super::{NOW, Pair, TokenCase, header, set};
use crate::harness::keys::{KEYS, Signing};
use crate::harness::provider::{CLIENT_ID, Claim, Script};

const ID_TOKENS: &[TokenCase] = &[
    ("no iss", "Core 3.1.3.7 (2)", |s, _| s.claims = vec![Claim::Remove("iss")], "id_token_issuer"),
    ("iss of another", "Core 3.1.3.7 (2)", |s, _| s.claims = set("iss", "https://evil.example"), "id_token_issuer"),
    ("iss with a slash more", "Core 3.1.3.7 (2)", |s, i| s.claims = set("iss", format!("{i}/")), "id_token_issuer"),
    ("iss in capitals", "Core 3.1.3.7 (2)", |s, i| s.claims = set("iss", i.to_uppercase()), "id_token_issuer"),
    ("iss as a list", "Core 2", |s, i| s.claims = set("iss", json!([i])), "id_token_issuer"),
    ("no aud", "Core 3.1.3.7 (3)", |s, _| s.claims = vec![Claim::Remove("aud")], "id_token_audience"),
    ("aud of another", "Core 3.1.3.7 (3)", |s, _| s.claims = set("aud", "other"), "id_token_audience"),
    ("aud in capitals", "Core 3.1.3.7 (3)", |s, _| s.claims = set("aud", "Lychgate"), "id_token_audience"),
    ("aud empty", "Core 3.1.3.7 (3)", |s, _| s.claims = set("aud", ""), "id_token_audience"),
    ("aud an empty list", "Core 3.1.3.7 (3)", |s, _| s.claims = set("aud", json!([])), "id_token_audience"),
    ("aud an object", "Core 2", |s, _| s.claims = set("aud", json!({CLIENT_ID: 1})), "id_token_audience"),
    ("aud list of others", "Core 3.1.3.7 (3)", |s, _| s.claims = set("aud", json!(["a", "b"])), "id_token_audience"),
    (
        "an audience that is not trusted",
        "Core 3.1.3.7 (3)",
        |s, _| {
            s.claims = vec![Claim::Set("aud", json!([CLIENT_ID, "evil"])), Claim::Set("azp", CLIENT_ID.into())];
        },
        "id_token_audience",
    ),
    (
        "two audiences, no azp",
        "Core 3.1.3.7 (4)",
        |s, _| s.claims = set("aud", json!([CLIENT_ID, "partner"])),
        "id_token_authorized_party",
    ),
    (
        "two audiences, azp the other",
        "Core 3.1.3.7 (5)",
        |s, _| {
            s.claims = vec![Claim::Set("aud", json!([CLIENT_ID, "partner"])), Claim::Set("azp", "partner".into())];
        },
        "id_token_authorized_party",
    ),
    ("azp of another", "Core 3.1.3.7 (5)", |s, _| s.claims = set("azp", "partner"), "id_token_authorized_party"),
    ("no sub", "Core 2", |s, _| s.claims = vec![Claim::Remove("sub")], "id_token_subject"),
    ("sub empty", "Core 2", |s, _| s.claims = set("sub", ""), "id_token_subject"),
    ("sub a number", "Core 2", |s, _| s.claims = set("sub", 7), "id_token_subject"),
    ("sub too long", "Core 2", |s, _| s.claims = set("sub", "a".repeat(256)), "id_token_subject"),
    ("no exp", "Core 3.1.3.7 (9)", |s, _| s.claims = vec![Claim::Remove("exp")], "id_token_expired"),
    ("exp past the leeway", "Core 3.1.3.7 (9)", |s, _| s.claims = vec![Claim::At("exp", -60)], "id_token_expired"),
    ("exp long past", "Core 3.1.3.7 (9)", |s, _| s.claims = set("exp", 1), "id_token_expired"),
    ("exp negative", "Core 3.1.3.7 (9)", |s, _| s.claims = set("exp", -1), "id_token_expired"),
    ("exp a text", "RFC 7519 2", |s, _| s.claims = set("exp", "2100-01-01T00:00:00Z"), "id_token_expired"),
    ("exp null", "RFC 7519 2", |s, _| s.claims = set("exp", json!(null)), "id_token_expired"),
    ("no iat", "Core 2", |s, _| s.claims = vec![Claim::Remove("iat")], "id_token_issued_at"),
    ("iat in the future", "Core 3.1.3.7 (10)", |s, _| s.claims = vec![Claim::At("iat", 61)], "id_token_issued_at"),
    ("iat of yesterday", "Core 3.1.3.7 (10)", |s, _| s.claims = vec![Claim::At("iat", -86_400)], "id_token_issued_at"),
    ("iat a text", "RFC 7519 2", |s, _| s.claims = set("iat", "now"), "id_token_issued_at"),
    ("no nonce", "Core 3.1.3.7 (11)", |s, _| s.claims = vec![Claim::Remove("nonce")], "id_token_nonce"),
    ("nonce of another login", "Core 3.1.3.7 (11)", |s, _| s.claims = set("nonce", "x".repeat(43)), "id_token_nonce"),
    ("nonce empty", "Core 3.1.3.7 (11)", |s, _| s.claims = set("nonce", ""), "id_token_nonce"),
    ("nonce a number", "Core 3.1.3.7 (11)", |s, _| s.claims = set("nonce", 1), "id_token_nonce"),
    ("unsigned", "Core 3.1.3.7 (7), RFC 8725 3.1", |s, _| s.signing = Signing::Unsigned, "id_token_algorithm"),
    (
        "unsigned, in other letters",
        "RFC 8725 3.1",
        |s, _| {
            s.signing = Signing::Unsigned;
            s.header = header("alg", "nOnE");
        },
        "id_token_algorithm",
    ),
    ("HS256 with our secret", "Core 3.1.3.7 (8)", |s, _| s.signing = Signing::ClientSecret, "id_token_algorithm"),
    ("HS256 with the public key", "RFC 8725 2.1", |s, _| s.signing = Signing::PublicKeyAsSecret, "id_token_algorithm"),
    ("an algorithm of the future", "RFC 8725 3.1", |s, _| s.header = header("alg", "XS999"), "id_token_algorithm"),
    ("no alg", "RFC 7515 4.1.1", |s, _| s.header = header("alg", json!(null)), "id_token_algorithm"),
    ("signed by a stranger", "Core 3.1.3.7 (6)", |s, _| s.signing = Signing::Stranger, "id_token_signature"),
    ("one bit of the signature turned", "Core 3.1.3.7 (6)", |s, _| s.signing = Signing::Broken, "id_token_signature"),
    ("signature empty", "Core 3.1.3.7 (6)", |s, _| s.signing = Signing::EmptySignature, "id_token_signature"),
    (
        "key in the token's own header",
        "RFC 8725 3.10",
        |s, _| {
            s.signing = Signing::Stranger;
            s.header = header("jwk", KEYS.stranger_jwk("rsa"));
        },
        "id_token_signature",
    ),
    ("kid of nobody", "Core 10.1", |s, _| s.header = header("kid", "nobody"), "id_token_unknown_key"),
    ("kid of a key of another kind", "Core 10.1", |s, _| s.header = header("kid", "ec"), "id_token_unknown_key"),
    ("an access token", "RFC 8725 3.11", |s, _| s.header = header("typ", "at+jwt"), "id_token_malformed"),
    ("a logout token", "RFC 8725 3.11", |s, _| s.header = header("typ", "logout+jwt"), "id_token_malformed"),
    ("a nested token", "RFC 7519 5.2", |s, _| s.header = header("cty", "JWT"), "id_token_malformed"),
    ("a critical extension", "RFC 7515 4.1.11", |s, _| s.header = header("crit", json!(["exp"])), "id_token_malformed"),
    (
        "at_hash of another token",
        "Core 3.1.3.8",
        |s, _| s.claims = set("at_hash", "AAAA"),
        "id_token_access_token_hash",
    ),
    ("at_hash a number", "Core 3.1.3.8", |s, _| s.claims = set("at_hash", 1), "id_token_access_token_hash"),
    ("nbf in the future", "RFC 7519 4.1.5", |s, _| s.claims = vec![Claim::At("nbf", 61)], "id_token_issued_at"),
    ("nbf a text", "RFC 7519 4.1.5", |s, _| s.claims = set("nbf", "soon"), "id_token_issued_at"),
    ("payload not JSON", "RFC 7519 7.2", |s, _| s.payload = Some("hello".to_owned()), "id_token_malformed"),
    ("payload a list", "RFC 7519 7.2", |s, _| s.payload = Some("[]".to_owned()), "id_token_malformed"),
    ("no token at all", "Core 3.1.3.3", |s, _| s.id_token = Some(String::new()), "id_token_missing"),
    ("no token but a word", "RFC 7519 7.2", |s, _| s.id_token = Some("word".to_owned()), "id_token_malformed"),
    ("five parts", "Core 3.1.3.7 (1)", |s, _| s.id_token = Some("e30.a.b.c.d".to_owned()), "id_token_encrypted"),
];

#[tokio::test]
async fn r01_id_tokens_that_break_a_rule_are_refused_and_userinfo_is_not_asked() {
    let trusting = |settings: &mut ProviderSettings| {
        settings.userinfo = true;
        settings.trusted_audiences = vec!["partner".to_owned()];
    };
    let pair = Pair::with(trusting, |_| {}).await;
    for (name, rests_on, script, code) in ID_TOKENS {
        pair.play(|current| script(current, pair.fake.issuer()));
        assert_eq!(pair.refusal().await, *code, "{name} ({rests_on})");
        assert_eq!(pair.asked("/userinfo"), 0, "{name}");
    }
    assert_eq!(pair.asked("/token"), ID_TOKENS.len());
    pair.play(|_| {});
    assert_eq!(pair.refusal().await, "signed in");
    assert_eq!(pair.asked("/userinfo"), 1);
    assert!(ID_TOKENS.len() >= 40);
}

/// What an ID token does that some would not expect, and the change.
type SoundCase = (&'static str, fn(&mut Script));

#[tokio::test]
async fn r01_id_tokens_that_keep_every_rule_are_accepted() {
    let pair = Pair::with(|settings| settings.trusted_audiences = vec!["partner".to_owned()], |_| {}).await;
    let sound: &[SoundCase] = &[
        ("RS256", |s| s.signing = Signing::Rs256),
        ("RS384", |s| s.signing = Signing::Rs384),
        ("RS512", |s| s.signing = Signing::Rs512),
        ("PS256", |s| s.signing = Signing::Ps256),
        ("PS384", |s| s.signing = Signing::Ps384),
        ("PS512", |s| s.signing = Signing::Ps512),
        ("ES256", |s| s.signing = Signing::Es256),
        ("ES384", |s| s.signing = Signing::Es384),
        ("ES512", |s| s.signing = Signing::Es512),
        ("EdDSA", |s| s.signing = Signing::EdDsa),
        ("no kid, one key of the kind", |s| s.header = header("kid", json!(null))),
        ("no typ", |s| s.header = header("typ", json!(null))),
        ("aud a list of us", |s| s.claims = set("aud", json!([CLIENT_ID]))),
        ("azp us", |s| s.claims = set("azp", CLIENT_ID)),
        ("a trusted audience, azp us", |s| {
            s.claims = vec![Claim::Set("aud", json!(["partner", CLIENT_ID])), Claim::Set("azp", CLIENT_ID.into())];
        }),
        ("exp within the leeway", |s| s.claims = vec![Claim::At("exp", -59)]),
        ("nbf within the leeway", |s| s.claims = vec![Claim::At("nbf", 60)]),
        ("iat within the leeway", |s| s.claims = vec![Claim::At("iat", 60)]),
        ("iat with a fraction", |s| s.claims = set("iat", 1_800_000_000.25)),
        ("exp past 2038", |s| s.claims = set("exp", 4_102_444_800_u64)),
        ("at_hash", |s| s.at_hash = true),
        ("e-mail checked in words, null name", |s| {
            s.claims = vec![
                Claim::Set("email_verified", "true".into()),
                Claim::Set("name", json!(null)),
                Claim::Set("updated_at", "2026-11-23T00:00:00Z".into()),
            ];
        }),
    ];
    for (name, script) in sound {
        pair.play(script);
        assert_eq!(pair.refusal().await, "signed in", "{name}");
    }
}

#[tokio::test]
async fn r01_two_keys_of_one_kid_or_no_kid_among_several_keys_are_refused() {
    let doubled = |s: &mut Script| s.jwks = Some(vec![KEYS.jwks()[0].clone(), KEYS.stranger_jwk("rsa")]);
    let pair = Pair::with(|_| {}, doubled).await;
    assert_eq!(pair.refusal().await, "id_token_ambiguous_key");
    let several = |s: &mut Script| {
        s.jwks = Some(vec![KEYS.jwks()[0].clone(), KEYS.stranger_jwk("other")]);
        s.header = header("kid", json!(null));
    };
    let pair = Pair::with(|_| {}, several).await;
    assert_eq!(pair.refusal().await, "id_token_ambiguous_key");
}

#[tokio::test]
async fn r01_an_algorithm_that_the_provider_does_not_publish_is_refused() {
    let only = |s: &mut Script| s.metadata = header("id_token_signing_alg_values_supported", json!(["ES256"]));
    let pair = Pair::with(|_| {}, only).await;
    assert_eq!(pair.refusal().await, "id_token_algorithm");
    pair.play(|s| s.signing = Signing::Es256);
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn s06_claims_keep_their_exact_numbers() {
    let pair = Pair::new().await;
    let exact = "10000000000000000001";
    pair.play(|s| {
        s.person =
            vec![("staff".to_owned(), serde_json::from_str(exact).unwrap()), ("groups".to_owned(), json!(["a", "b"]))];
    });
    let signed_in = pair.sign_in().await.ok().unwrap();
    assert_eq!(signed_in.claims.value("staff"), Some(&ClaimValue::Number(exact.into())));
    assert_eq!(signed_in.claims.value("groups"), Claims::from_json(br#"{"g":["a","b"]}"#).unwrap().value("g"));
    assert_eq!((signed_in.subject.as_str(), signed_in.sid.as_deref()), ("ada-7", Some("session-1")));
    assert_eq!((signed_in.amr, signed_in.authenticated_at), (vec!["pwd".to_owned(), "otp".to_owned()], NOW));
    assert_eq!(signed_in.expires, NOW.after(Duration::from_secs(300)));
    assert_eq!(signed_in.id_token.expose().split('.').count(), 3);
}

#[tokio::test]
async fn r01_an_algorithm_that_is_not_configured_is_refused_though_it_is_published() {
    let only = |settings: &mut ProviderSettings| settings.algorithms = vec![SignatureAlgorithm::Es256];
    let pair = Pair::with(only, |_| {}).await;
    assert_eq!(pair.refusal().await, "id_token_algorithm");
    pair.play(|s| s.signing = Signing::Es256);
    assert_eq!(pair.refusal().await, "signed in");
}

#[tokio::test]
async fn r01_an_encrypted_id_token_is_refused_and_the_operator_told_what_to_do() {
    let pair = Pair::with(|_| {}, |s| s.id_token = Some("eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d".to_owned())).await;
    let error = pair.sign_in().await.err().unwrap();
    assert_eq!(error.code(), "id_token_encrypted");
    assert!(error.operator_help().unwrap().contains("switch ID token encryption off"), "{error:?}");
}
