//! A provider's signing keys, reduced to those that may verify something.
//!
//! Left out when the set is read: symmetric keys (their only use here would be to forge), RSA keys under 2048 bits
//! (RFC 7518 section 3.3), keys published for encryption, and keys that this gateway does not understand. Keys that share
//! a `kid` stay, so that a token which two keys could answer is refused as ambiguous and not decided by their order.
//!
//! May touch: nothing but memory. Trust boundary: the set comes over TLS from the provider's `jwks_uri`.
//! Specifications: RFC 7517 (JWK), RFC 7518 section 6, RFC 8037 section 2, OIDC Core section 10.1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::availability::MetadataError;
use super::object;
use crate::crypto::{Curve, PublicKey, SignatureAlgorithm};

/// The most keys that are read from one set; real sets have two to ten.
const MAX_KEYS: usize = 64;

/// The keys of one provider.
#[derive(Clone, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<Box<str>>,
    /// The one algorithm that the key is for, where it says so.
    only_for: Option<SignatureAlgorithm>,
    public: PublicKey,
}

/// Why no key of a set is the one that signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None has the token's `kid` and kind.
    Unknown,
    /// More than one could have signed it.
    Ambiguous,
}

/// How many usable keys a key set has.
pub fn usable_keys(json: &[u8]) -> Result<usize, MetadataError> {
    KeySet::parse(json).map(|keys| keys.len())
}

impl KeySet {
    /// Reads a key set. A set without one usable key is an error: with it every login would fail.
    pub(super) fn parse(json: &[u8]) -> Result<Self, MetadataError> {
        let set: RawSet = object::read(json).map_err(|_| MetadataError::NotKeySet)?;
        let keys: Vec<Key> = set.keys.iter().take(MAX_KEYS).filter_map(usable).collect();
        if keys.is_empty() { Err(MetadataError::NoUsableKey) } else { Ok(Self(keys)) }
    }

    /// The one key that a token of this algorithm and `kid` may be signed with (OIDC Core 10.1).
    pub(super) fn find(&self, algorithm: SignatureAlgorithm, id: Option<&str>) -> Result<&PublicKey, NoKey> {
        let fits = |key: &&Key| {
            key.public.fits(algorithm)
                && key.only_for.is_none_or(|only| only == algorithm)
                && id.is_none_or(|id| key.id.as_deref() == Some(id))
        };
        let mut fitting = self.0.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.public),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
            (None, _) => Err(NoKey::Unknown),
        }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

fn usable(key: &Value) -> Option<Key> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    if text("use").is_some_and(|usage| usage != "sig") || !may_verify(key.get("key_ops")) {
        return None;
    }
    let public = match (text("kty")?, text("crv")) {
        ("RSA", _) => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
        ("EC", Some("P-256")) => PublicKey::ec(Curve::P256, &bytes("x")?, &bytes("y")?),
        ("EC", Some("P-384")) => PublicKey::ec(Curve::P384, &bytes("x")?, &bytes("y")?),
        ("EC", Some("P-521")) => PublicKey::ec(Curve::P521, &bytes("x")?, &bytes("y")?),
        ("OKP", Some("Ed25519")) => PublicKey::ed25519(&bytes("x")?),
        _ => None,
    }?;
    // A key for an algorithm that is not known here is for nothing that is.
    let only_for = match key.get("alg") {
        None | Some(Value::Null) => None,
        Some(name) => Some(SignatureAlgorithm::parse(name.as_str()?)?),
    };
    Some(Key { id: text("kid").map(Into::into), only_for, public })
}

/// RFC 7517 section 4.3: where the operations are listed, verifying must be one.
fn may_verify(operations: Option<&Value>) -> bool {
    match operations {
        None | Some(Value::Null) => true,
        Some(Value::Array(listed)) => listed.iter().any(|one| one == "verify"),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rsa(bytes: usize) -> Value {
        json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(vec![0xc1u8; bytes]), "kid": "k"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut key = rsa(256);
        key[name] = value;
        key
    }

    fn set(keys: Value) -> Option<KeySet> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).ok()
    }

    fn count(keys: Value) -> Option<usize> {
        set(keys).map(|set| set.len())
    }

    #[test]
    fn t02_a_key_set_that_is_no_utf_8_is_none_wherever_that_stands() {
        let sound = json!({"x": "ab", "keys": [rsa(256)]}).to_string();
        assert!(KeySet::parse(sound.as_bytes()).is_ok());
        let mut broken = sound.into_bytes();
        let at = broken.iter().rposition(|byte| *byte == b'b').unwrap();
        broken[at] = 0xcc;
        assert!(matches!(KeySet::parse(&broken), Err(MetadataError::NotKeySet)));
    }

    #[test]
    fn r01_keys_that_must_not_verify_anything_are_left_out() {
        let mut zeros = vec![0u8; 200];
        zeros.extend([0xc1; 100]);
        let padded = json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(zeros)});
        for bad in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            rsa(128),
            padded,
            with("use", "enc".into()),
            with("key_ops", json!(["encrypt"])),
            with("key_ops", json!("verify")),
            with("alg", "HS256".into()),
            with("alg", "RSA-OAEP".into()),
            with("alg", 7.into()),
            json!({"kty": "RSA", "e": "AQAB"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"}),
            json!({"kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode([1; 32])}),
            json!({"kty": "new", "n": "AQ"}),
            json!("text"),
            json!({}),
        ] {
            assert_eq!(count(json!([bad.clone()])), None, "{bad}");
            assert_eq!(count(json!([bad.clone(), rsa(256)])), Some(1), "{bad}");
        }
        assert_eq!(count(json!([with("key_ops", json!(["verify"])), with("alg", "PS512".into())])), Some(2));
    }

    #[test]
    fn r01_a_key_for_one_algorithm_verifies_no_other() {
        let keys = set(json!([with("alg", "PS256".into())])).unwrap();
        assert_eq!(keys.find(SignatureAlgorithm::Rs256, Some("k")).err(), Some(NoKey::Unknown));
        assert!(keys.find(SignatureAlgorithm::Ps256, Some("k")).is_ok());
    }

    #[test]
    fn r01_two_keys_that_could_both_have_signed_are_no_answer() {
        let other = with("kid", "other".into());
        let keys = set(json!([rsa(256), other.clone(), rsa(256)])).unwrap();
        let find = |id| keys.find(SignatureAlgorithm::Rs256, id).err();
        assert_eq!((find(None), find(Some("k"))), (Some(NoKey::Ambiguous), Some(NoKey::Ambiguous)));
        assert_eq!((find(Some("other")), find(Some("K"))), (None, Some(NoKey::Unknown)));
        assert!(set(json!([other])).unwrap().find(SignatureAlgorithm::Rs256, None).is_ok());
    }

    #[test]
    fn key_sets_that_are_none_are_refused() {
        for bad in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "null"] {
            assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(count(Value::Array(vec![rsa(256); 500])), Some(MAX_KEYS));
    }
}
