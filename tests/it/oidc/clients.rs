//! How the gateway proves to be the client: secrets, assertions, and keys of every kind.
//!
//! Specifications: RFC 7523 sections 2.2 and 3, OIDC Core 9. The fake provider checks assertions as strictly as a real one.

use lychgate::crypto::{ClientKey, Secret, SignatureAlgorithm};
use lychgate::oidc::{AssertionAudience, ClientAuth, ProviderSettings};
use rcgen::PublicKeyData as _;
use serde_json::Value;

use super::Pair;
use crate::harness::client::ClientPublicKey;
use crate::harness::provider::value;

/// A private key in PEM, and its public half.
fn key(kind: &'static rcgen::SignatureAlgorithm) -> (Secret<String>, Vec<u8>) {
    let pair = rcgen::KeyPair::generate_for(kind).unwrap();
    (Secret::new(pair.serialize_pem()), pair.der_bytes().to_vec())
}

fn assertion(pair: &Pair) -> (Value, Value) {
    let request = pair.fake.requests("/token").pop().unwrap();
    let token = value(&request.form, "client_assertion").unwrap().to_owned();
    let part = |index: usize| {
        use base64::Engine as _;
        let text = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    (part(0), part(1))
}

#[tokio::test]
async fn r15_an_assertion_is_signed_with_the_secret() {
    let pair = Pair::with(|settings| settings.client_auth = ClientAuth::SecretJwt, |_| {}).await;
    assert_eq!(pair.refusal().await, "signed in");
    let (header, claims) = assertion(&pair);
    assert_eq!((header["alg"].as_str(), header.get("kid")), (Some("HS256"), None));
    assert_eq!(claims["aud"], format!("{}/token", pair.fake.issuer()));
    let request = pair.fake.requests("/token").pop().unwrap();
    assert_eq!((request.authorization, value(&request.form, "client_secret")), (None, None));

    let wrong = |settings: &mut ProviderSettings| {
        settings.client_auth = ClientAuth::SecretJwt;
        settings.client_secret = Some(Secret::new("wrong".to_owned()));
    };
    assert_eq!(Pair::with(wrong, |_| {}).await.refusal().await, "token_endpoint_invalid_client");
}

#[tokio::test]
async fn r15_an_assertion_is_signed_with_a_private_key_of_any_kind() {
    for (kind, wanted, algorithm) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, None, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, None, "ES384"),
        (&rcgen::PKCS_ED25519, None, "EdDSA"),
        (&rcgen::PKCS_RSA_SHA256, None, "RS256"),
        (&rcgen::PKCS_RSA_SHA256, Some(SignatureAlgorithm::Ps256), "PS256"),
    ] {
        let (private, public) = key(kind);
        let configure = |settings: &mut ProviderSettings| {
            settings.client_secret = None;
            settings.client_auth = ClientAuth::PrivateKeyJwt;
            settings.client_key = ClientKey::from_pem(private, wanted).ok();
            settings.client_key_id = Some("2026-11".to_owned());
        };
        let registered = ClientPublicKey { algorithm, id: Some("2026-11"), bytes: public };
        let pair = Pair::with(configure, |s| s.client_key = Some(registered)).await;
        // Twice: the provider refuses an assertion that it saw before.
        assert_eq!((pair.refusal().await, pair.refusal().await), ("signed in", "signed in"), "{algorithm}");

        let (_, other) = key(kind);
        pair.play(|s| s.client_key = Some(ClientPublicKey { algorithm, id: Some("2026-11"), bytes: other }));
        assert_eq!(pair.refusal().await, "token_endpoint_invalid_client", "{algorithm}");
    }
}

#[tokio::test]
async fn r15_an_assertion_can_be_for_the_issuer_and_ends_after_a_minute() {
    let configure = |settings: &mut ProviderSettings| {
        settings.client_auth = ClientAuth::SecretJwt;
        settings.assertion_audience = AssertionAudience::Issuer;
    };
    let pair = Pair::with(configure, |_| {}).await;
    assert_eq!(pair.refusal().await, "signed in");
    let (_, claims) = assertion(&pair);
    assert_eq!(claims["aud"], pair.fake.issuer());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
}

#[test]
fn r15_settings_that_cannot_authenticate_are_refused() {
    use lychgate::clock::Clock;
    use lychgate::oidc::{Provider, SettingsError};
    for auth in [ClientAuth::Basic, ClientAuth::Post, ClientAuth::SecretJwt] {
        let mut settings = ProviderSettings::new("idp", "https://idp.example", "id");
        settings.client_auth = auth;
        assert_eq!(Provider::new(settings, Clock::system()).err(), Some(SettingsError::SecretMissing), "{auth:?}");
    }
    let mut settings = ProviderSettings::new("idp", "https://idp.example", "id");
    settings.client_auth = ClientAuth::PrivateKeyJwt;
    assert_eq!(Provider::new(settings, Clock::system()).err(), Some(SettingsError::KeyMissing));
}
