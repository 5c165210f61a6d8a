//! A provider's signing keys, reduced to those that may verify something.
//!
//! Left out when the set is read: symmetric keys (their only use here would be to forge), RSA keys under 2048 bits
//! (RFC 7518 section 3.3), keys published for encryption, and keys that this gateway does not understand. Keys that share
//! a `kid` stay, so that a token which two keys could answer is refused as ambiguous and not decided by their order.
//!
//! May touch: nothing but memory. Trust boundary: the set comes over TLS from the provider's `jwks_uri`.
//! Specifications: RFC 7517 (JWK), RFC 7518 section 6, OIDC Core section 10.1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::availability::MetadataError;

/// The most keys that are read from one set; real sets have two to ten.
const MAX_KEYS: usize = 64;
const MIN_RSA_BYTES: usize = 256;

/// Every algorithm that an ID token may be signed with. Never `none`, never a shared secret.
pub(super) const ALGORITHMS: [(&str, CoreJwsSigningAlgorithm); 9] = [
    ("RS256", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
    ("RS384", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384),
    ("RS512", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512),
    ("PS256", CoreJwsSigningAlgorithm::RsaSsaPssSha256),
    ("PS384", CoreJwsSigningAlgorithm::RsaSsaPssSha384),
    ("PS512", CoreJwsSigningAlgorithm::RsaSsaPssSha512),
    ("ES256", CoreJwsSigningAlgorithm::EcdsaP256Sha256),
    ("ES384", CoreJwsSigningAlgorithm::EcdsaP384Sha384),
    ("EdDSA", CoreJwsSigningAlgorithm::EdDsa),
];

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

/// Reads a key set. A set without one usable key is an error: with it every login would fail.
pub(super) fn parse(json: &[u8]) -> Result<CoreJsonWebKeySet, MetadataError> {
    let set: RawSet = serde_json::from_slice(json).map_err(|_| MetadataError::NotKeySet)?;
    let keys: Vec<CoreJsonWebKey> = set.keys.into_iter().take(MAX_KEYS).filter_map(usable).collect();
    if keys.is_empty() { Err(MetadataError::NoUsableKey) } else { Ok(CoreJsonWebKeySet::new(keys)) }
}

fn usable(key: Value) -> Option<CoreJsonWebKey> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let wanted = match text("kty")? {
        "RSA" => modulus_bytes(text("n")?)? >= MIN_RSA_BYTES,
        "EC" | "OKP" => true,
        _ => false,
    };
    let verifies = text("use").is_none_or(|usage| usage == "sig");
    if wanted && verifies { serde_json::from_value(key).ok() } else { None }
}

/// The length of an RSA modulus without its leading zeros.
fn modulus_bytes(text: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    Some(bytes.iter().skip_while(|byte| **byte == 0).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rsa(bytes: usize) -> Value {
        json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(vec![0xc1u8; bytes]), "kid": "k"})
    }

    fn count(keys: Value) -> Option<usize> {
        parse(json!({ "keys": keys }).to_string().as_bytes()).ok().map(|set| set.keys().len())
    }

    #[test]
    fn r01_keys_that_must_not_verify_anything_are_left_out() {
        let mut zeros = vec![0u8; 200];
        zeros.extend([0xc1; 100]);
        let padded = json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(zeros)});
        let mut encryption = rsa(256);
        encryption["use"] = "enc".into();
        for bad in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            rsa(128),
            padded,
            encryption,
            json!({"kty": "RSA", "e": "AQAB"}),
            json!({"kty": "new", "n": "AQ"}),
            json!("text"),
            json!({}),
        ] {
            assert_eq!(count(json!([bad.clone()])), None, "{bad}");
            assert_eq!(count(json!([bad.clone(), rsa(256)])), Some(1), "{bad}");
        }
    }

    #[test]
    fn key_sets_that_are_none_are_refused() {
        for bad in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "null"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(count(Value::Array(vec![rsa(256); 500])), Some(MAX_KEYS));
    }
}
