//! A key that signs what the gateway says of a person: ECDSA on P-256 with SHA-256, `ES256` in JSON Web Tokens.
//!
//! A private key comes in as PKCS #8 or SEC 1, in PEM or DER, and never goes out again; what it publishes is a JSON Web Key with the
//! key's own thumbprint for a name, so that two gateways with one key call it the same.
//!
//! Trust boundary: key files are the operator's. Specification: RFC 7518 section 3.4 (ES256), RFC 7517 (JWK), RFC 7638 (thumbprint).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Secret;

/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// Why a text is no signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKeyError {
    /// There is no PEM block with a private key, and it is no base64 either.
    NoPrivateKey,
    /// It is a private key, and not one for P-256.
    NotP256,
    /// The system gave no random numbers.
    NotMade,
}

impl fmt::Display for SigningKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPrivateKey => "there is no private key in it, expected PEM with one block named PRIVATE KEY",
            Self::NotP256 => "the private key is no EC key on the curve P-256",
            Self::NotMade => "no key could be made: the system gave no random numbers",
        })
    }
}

impl std::error::Error for SigningKeyError {}

/// A key pair for ES256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    id: Box<str>,
    x: Box<str>,
    y: Box<str>,
}

impl SigningKey {
    /// A fresh key, as base64 of its PKCS #8.
    pub fn generate() -> Result<Secret<String>, SigningKeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| SigningKeyError::NotMade)?;
        Ok(Secret::new(STANDARD.encode(document.as_ref())))
    }

    /// Reads what [`SigningKey::generate`] made.
    pub fn from_base64(text: &Secret<String>) -> Result<Self, SigningKeyError> {
        let der = STANDARD.decode(text.expose()).map_err(|_| SigningKeyError::NoPrivateKey)?;
        Self::from_der(&Zeroizing::new(der))
    }

    /// Reads PEM with one private key, such as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` writes.
    pub fn from_pem(text: &Secret<String>) -> Result<Self, SigningKeyError> {
        use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
        let key = PrivateKeyDer::from_pem_slice(text.expose().as_bytes()).map_err(|_| SigningKeyError::NoPrivateKey)?;
        Self::from_der(key.secret_der())
    }

    fn from_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|_| SigningKeyError::NotP256)?;
        let point = pair.public_key().as_ref();
        let (first, coordinates) = point.split_first().ok_or(SigningKeyError::NotP256)?;
        let (x, y) = coordinates.split_at_checked(32).ok_or(SigningKeyError::NotP256)?;
        if *first != UNCOMPRESSED || y.len() != 32 {
            return Err(SigningKeyError::NotP256);
        }
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)).into();
        Ok(Self { id, x: x.into(), y: y.into(), pair })
    }

    /// The key's name: its thumbprint.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs; 64 bytes. None when the system gives no random numbers.
    pub fn sign(&self, message: &[u8]) -> Option<impl AsRef<[u8]> + use<>> {
        self.pair.sign(&SystemRandom::new(), message).ok()
    }

    /// What others verify with: a JSON Web Key.
    pub fn public_jwk(&self) -> String {
        let Self { id, x, y, .. } = self;
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","kid":"{id}","use":"sig","alg":"ES256"}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    fn key() -> SigningKey {
        SigningKey::from_base64(&SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn what_is_signed_verifies_with_what_is_published_and_nothing_else_does() {
        let key = key();
        let jwk: serde_json::Value = serde_json::from_str(&key.public_jwk()).unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [vec![UNCOMPRESSED], part("x"), part("y")].concat();
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let signature = key.sign(b"message").unwrap();
        assert!(verifier.verify(b"message", signature.as_ref()).is_ok());
        assert!(verifier.verify(b"massage", signature.as_ref()).is_err());
        assert_eq!(jwk["kid"], key.id());
        assert!(!key.public_jwk().contains("\"d\""));
    }

    #[test]
    fn pem_of_either_form_is_read_and_has_one_name() {
        let text = SigningKey::generate().unwrap();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", text.expose());
        let key = SigningKey::from_base64(&text).unwrap();
        assert_eq!(SigningKey::from_pem(&Secret::new(pem)).unwrap().id(), key.id());
    }

    #[test]
    fn what_is_no_key_for_es256_is_refused() {
        let pem = |text: &str| SigningKey::from_pem(&Secret::new(text.to_owned())).err();
        assert_eq!(pem(""), Some(SigningKeyError::NoPrivateKey));
        assert_eq!(
            pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            Some(SigningKeyError::NotP256)
        );
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        assert_eq!(pem(&other), Some(SigningKeyError::NotP256));
        let base64 = |text: &str| SigningKey::from_base64(&Secret::new(text.to_owned())).err();
        assert_eq!(base64("not base64!"), Some(SigningKeyError::NoPrivateKey));
        assert_eq!(base64("AAAA"), Some(SigningKeyError::NotP256));
    }
}
