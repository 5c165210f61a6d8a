//! The signing keys of the development provider.
//!
//! One RSA and one EC key, made when the provider starts and gone when it ends. Signs ID tokens, verifies
//! its own ID tokens when they come back as a hint, and publishes the public halves.
//! The private halves leave this module in no form.
//!
//! RFC 7515 (JWS compact form), RFC 7517 and 7518 section 6 (keys), RFC 7638 (key ids).

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The algorithm that a client's ID tokens are signed with (`id_token_signed_response_alg`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, the default of OpenID Connect.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// Every algorithm that the provider offers.
    pub(super) const ALL: [Self; 2] = [Self::Rs256, Self::Es256];

    /// The name in JSON Web Algorithms.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// One key pair for each algorithm.
pub(super) struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    random: SystemRandom,
}

impl Keys {
    /// Makes fresh keys.
    pub(super) fn generate() -> Result<Self, Unspecified> {
        Ok(Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            random: SystemRandom::new(),
        })
    }

    /// The JWK set of the public keys.
    pub(super) fn published(&self) -> Value {
        json!({ "keys": Algorithm::ALL.map(|algorithm| self.published_key(algorithm)) })
    }

    /// Signs `claims` as a JSON Web Token in compact form.
    pub(super) fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<String, Unspecified> {
        let kid = thumbprint(&self.public_members(algorithm));
        let header = json!({ "alg": algorithm.name(), "kid": kid, "typ": "JWT" });
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.signature(algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode(signature)))
    }

    /// The claims of a token that one of these keys signed; its times are not looked at.
    pub(super) fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let named = header.get("alg")?.as_str()?;
        let algorithm = Algorithm::ALL.into_iter().find(|known| known.name() == named)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.check(algorithm, signed.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match algorithm {
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)?;
                Ok(signature)
            }
            Algorithm::Es256 => Ok(self.ec.sign(&self.random, message)?.as_ref().to_vec()),
        }
    }

    fn check(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        let (rule, key): (&'static dyn VerificationAlgorithm, &[u8]) = match algorithm {
            Algorithm::Rs256 => (&RSA_PKCS1_2048_8192_SHA256, self.rsa.public_key().as_ref()),
            Algorithm::Es256 => (&ECDSA_P256_SHA256_FIXED, self.ec.public_key().as_ref()),
        };
        UnparsedPublicKey::new(rule, key).verify(message, signature)
    }

    fn published_key(&self, algorithm: Algorithm) -> Value {
        let mut key = self.public_members(algorithm);
        let kid = thumbprint(&key);
        if let Some(members) = key.as_object_mut() {
            members.insert("kid".into(), kid.into());
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), algorithm.name().into());
        }
        key
    }

    /// The members that make a key, and no others: what RFC 7638 hashes.
    fn public_members(&self, algorithm: Algorithm) -> Value {
        match algorithm {
            Algorithm::Rs256 => {
                let key = self.rsa.public_key();
                json!({
                    "kty": "RSA",
                    "n": encode(key.modulus().big_endian_without_leading_zero()),
                    "e": encode(key.exponent().big_endian_without_leading_zero()),
                })
            }
            Algorithm::Es256 => {
                // An uncompressed point: 4, then 32 bytes of x, then 32 bytes of y.
                let coordinates = self.ec.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at_checked(32).unwrap_or_default();
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
        }
    }
}

/// The hash of the members in the order of their names, which is how `serde_json` writes a map.
fn thumbprint(members: &Value) -> String {
    encode(Sha256::digest(members.to_string()))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_verifies_with_either_key() {
        let keys = Keys::generate().unwrap();
        for algorithm in Algorithm::ALL {
            let token = keys.sign(algorithm, &json!({ "sub": "ada" })).unwrap();
            assert_eq!(keys.verify(&token), Some(json!({ "sub": "ada" })));
        }
    }

    #[test]
    fn a_changed_or_foreign_token_does_not_verify() {
        let (keys, others) = (Keys::generate().unwrap(), Keys::generate().unwrap());
        for algorithm in Algorithm::ALL {
            let token = keys.sign(algorithm, &json!({ "sub": "ada" })).unwrap();
            let parts: Vec<_> = token.split('.').collect();
            let payload = encode(json!({ "sub": "eve" }).to_string());
            assert_eq!(keys.verify(&format!("{}.{payload}.{}", parts[0], parts[2])), None);
            assert_eq!(keys.verify(&format!("{}.{}.", parts[0], parts[1])), None);
            assert_eq!(others.verify(&token), None);
        }
    }

    #[test]
    fn an_unsigned_token_does_not_verify() {
        let keys = Keys::generate().unwrap();
        let header = encode(json!({ "alg": "none" }).to_string());
        let payload = encode(json!({ "sub": "ada" }).to_string());
        assert_eq!(keys.verify(&format!("{header}.{payload}.")), None);
        assert_eq!(keys.verify(""), None);
    }

    #[test]
    fn the_key_id_in_a_token_is_published() {
        let keys = Keys::generate().unwrap();
        let published = keys.published().to_string();
        for algorithm in Algorithm::ALL {
            let token = keys.sign(algorithm, &json!({})).unwrap();
            let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
            let header: Value = serde_json::from_slice(&header).unwrap();
            assert!(published.contains(header["kid"].as_str().unwrap()));
        }
    }
}
