//! How the fake provider checks the assertion by which a client authenticates (RFC 7523 section 3, OIDC Core 9).

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::provider::{CLIENT_ID, CLIENT_SECRET, value};

/// A client's registered key: the algorithm, its `kid`, and the public key as aws-lc reads it.
#[derive(Clone)]
pub(crate) struct ClientPublicKey {
    pub(crate) algorithm: &'static str,
    pub(crate) id: Option<&'static str>,
    pub(crate) bytes: Vec<u8>,
}

/// The `jti` of a sound assertion; none of one that breaks a rule.
pub(crate) fn check_assertion(
    form: &[(String, String)],
    key: Option<&ClientPublicKey>,
    audiences: &[String],
    now: i64,
) -> Option<String> {
    let kind = value(form, "client_assertion_type")?;
    let assertion = value(form, "client_assertion")?;
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let (header, claims, signature) = (json(header)?, json(payload)?, URL_SAFE_NO_PAD.decode(signature).ok()?);
    let sound = kind == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        && value(form, "client_id") == Some(CLIENT_ID)
        && value(form, "client_secret").is_none()
        && claims["iss"] == CLIENT_ID
        && claims["sub"] == CLIENT_ID
        && audiences.iter().any(|audience| claims["aud"] == audience.as_str())
        && claims["iat"].as_i64()? <= now
        && (now + 1..=now + 300).contains(&claims["exp"].as_i64()?)
        && is_signed(&header, key, signed.as_bytes(), &signature);
    sound.then(|| claims["jti"].as_str().map(str::to_owned)).flatten().filter(|id| id.len() >= 22)
}

fn is_signed(header: &Value, key: Option<&ClientPublicKey>, signed: &[u8], signature: &[u8]) -> bool {
    let Some(key) = key else {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
        return header["alg"] == "HS256" && hmac::verify(&secret, signed, signature).is_ok();
    };
    let algorithm: &'static dyn signature::VerificationAlgorithm = match key.algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        "EdDSA" => &signature::ED25519,
        other => panic!("{other}"),
    };
    header["alg"] == key.algorithm
        && header.get("kid").and_then(Value::as_str) == key.id
        && UnparsedPublicKey::new(algorithm, &key.bytes).verify(signed, signature).is_ok()
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
