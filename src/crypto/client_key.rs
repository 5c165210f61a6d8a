//! The private key by which the gateway proves at a provider that it is the client.
//!
//! It comes as PEM with one private key of RSA (2048 bits or more), P-256, P-384, P-521 or Ed25519 and never goes out again.
//!
//! May touch: nothing but memory. Trust boundary: key files are the operator's.
//! Specification: RFC 7518 section 3, RFC 8037 section 3.1, RFC 5958 (PKCS #8), RFC 5915 (SEC 1), RFC 8017 (PKCS #1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use subtle::ConstantTimeEq as _;

use super::{Secret, SignatureAlgorithm};

/// A private key and how it signs. No `Debug`.
#[derive(Clone)]
pub struct ClientKey {
    pair: Arc<Pair>,
    algorithm: SignatureAlgorithm,
    /// What it was read from, to see whether it is another one after a reload.
    text: Secret<String>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a text is no key that a client may sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKeyError {
    /// There is no PEM block with a private key.
    NoPrivateKey,
    /// It is no RSA key of 2048 to 8192 bits, no key on a known curve and no Ed25519 key.
    UnknownKind,
    /// The key cannot sign with the algorithm that was asked for.
    Algorithm {
        /// What it can sign with.
        possible: &'static str,
    },
}

impl fmt::Display for ClientKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrivateKey => {
                write!(f, "there is no private key in it, expected PEM with one block named PRIVATE KEY")
            }
            Self::UnknownKind => {
                write!(f, "its private key is none of RSA with 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519")
            }
            Self::Algorithm { possible } => write!(f, "the key cannot sign in this way; it can with {possible}"),
        }
    }
}

impl std::error::Error for ClientKeyError {}

impl ClientKey {
    /// Reads a key. Without `wanted` RSA keys sign RS256, and the others the one way that they can.
    pub fn from_pem(text: Secret<String>, wanted: Option<SignatureAlgorithm>) -> Result<Self, ClientKeyError> {
        let key = PrivateKeyDer::from_pem_slice(text.expose().as_bytes()).map_err(|_| ClientKeyError::NoPrivateKey)?;
        let (pair, usual) = read(&key).ok_or(ClientKeyError::UnknownKind)?;
        let algorithm = wanted.unwrap_or(usual);
        let possible = match pair {
            Pair::Rsa(_) if rsa_encoding(algorithm).is_some() => None,
            Pair::Rsa(_) => Some("RS256, RS384, RS512, PS256, PS384 and PS512"),
            _ if algorithm == usual => None,
            _ => Some(usual.name()),
        };
        match possible {
            Some(possible) => Err(ClientKeyError::Algorithm { possible }),
            None => Ok(Self { pair: Arc::new(pair), algorithm, text }),
        }
    }

    /// How it signs.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Signs; none when the system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(self.algorithm)?, &random, message, &mut out).ok()?;
                Some(out)
            }
            Pair::Ec(pair) => pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec()),
            Pair::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Whether both are the same key, used in the same way.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = self.text.expose().as_bytes().ct_eq(other.text.expose().as_bytes());
        self.algorithm == other.algorithm && bool::from(same)
    }
}

fn read(key: &PrivateKeyDer<'_>) -> Option<(Pair, SignatureAlgorithm)> {
    let der = key.secret_der();
    let rsa = match key {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der),
        _ => RsaKeyPair::from_pkcs8(der),
    };
    if let Ok(pair) = rsa {
        return (256..=1024)
            .contains(&pair.public_modulus_len())
            .then_some((Pair::Rsa(pair), SignatureAlgorithm::Rs256));
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Some((Pair::Ed25519(pair), SignatureAlgorithm::EdDsa));
    }
    let curves = [
        (&lc::ECDSA_P256_SHA256_FIXED_SIGNING, SignatureAlgorithm::Es256),
        (&lc::ECDSA_P384_SHA384_FIXED_SIGNING, SignatureAlgorithm::Es384),
        (&lc::ECDSA_P521_SHA512_FIXED_SIGNING, SignatureAlgorithm::Es512),
    ];
    curves.into_iter().find_map(|(curve, algorithm)| {
        EcdsaKeyPair::from_private_key_der(curve, der).ok().map(|pair| (Pair::Ec(pair), algorithm))
    })
}

fn rsa_encoding(algorithm: SignatureAlgorithm) -> Option<&'static dyn lc::RsaEncoding> {
    Some(match algorithm {
        SignatureAlgorithm::Rs256 => &lc::RSA_PKCS1_SHA256,
        SignatureAlgorithm::Rs384 => &lc::RSA_PKCS1_SHA384,
        SignatureAlgorithm::Rs512 => &lc::RSA_PKCS1_SHA512,
        SignatureAlgorithm::Ps256 => &lc::RSA_PSS_SHA256,
        SignatureAlgorithm::Ps384 => &lc::RSA_PSS_SHA384,
        SignatureAlgorithm::Ps512 => &lc::RSA_PSS_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Curve, PublicKey};
    use super::*;
    use rcgen::PublicKeyData as _;

    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> (Secret<String>, Vec<u8>) {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        (Secret::new(pair.serialize_pem()), pair.der_bytes().to_vec())
    }

    #[test]
    fn r15_a_key_signs_what_its_public_half_verifies() {
        for (made, curve, algorithm) in [
            (made(&rcgen::PKCS_ECDSA_P256_SHA256), Curve::P256, SignatureAlgorithm::Es256),
            (made(&rcgen::PKCS_ECDSA_P384_SHA384), Curve::P384, SignatureAlgorithm::Es384),
            (made(&rcgen::PKCS_ECDSA_P521_SHA512), Curve::P521, SignatureAlgorithm::Es512),
        ] {
            let key = ClientKey::from_pem(made.0, None).ok().unwrap();
            let (x, y) = made.1[1..].split_at(curve.length());
            let public = PublicKey::ec(curve, x, y).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            assert!(public.verifies(algorithm, b"text", &key.sign(b"text").unwrap()));
            assert!(!public.verifies(algorithm, b"test", &key.sign(b"text").unwrap()));
        }
        let (text, public) = made(&rcgen::PKCS_ED25519);
        let key = ClientKey::from_pem(text, None).ok().unwrap();
        let public = PublicKey::ed25519(&public).unwrap();
        assert!(public.verifies(SignatureAlgorithm::EdDsa, b"text", &key.sign(b"text").unwrap()));
    }

    #[test]
    fn r15_an_rsa_key_signs_in_the_way_that_is_asked_for() {
        let (text, der) = made(&rcgen::PKCS_RSA_SHA256);
        let public = PublicKey::rsa(&der[9..265], &[1, 0, 1]).unwrap();
        for algorithm in &SignatureAlgorithm::ALL[..6] {
            let key = ClientKey::from_pem(text.clone(), Some(*algorithm)).ok().unwrap();
            assert!(public.verifies(*algorithm, b"text", &key.sign(b"text").unwrap()));
        }
        assert_eq!(ClientKey::from_pem(text, None).ok().unwrap().algorithm(), SignatureAlgorithm::Rs256);
    }

    #[test]
    fn r15_texts_that_are_no_key_are_refused() {
        let error = |text: &str, wanted| ClientKey::from_pem(Secret::new(text.to_owned()), wanted).err().unwrap();
        for bad in ["", "secret", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(error(bad, None), ClientKeyError::NoPrivateKey, "{bad}");
        }
        let torn = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(error(torn, None), ClientKeyError::UnknownKind);
        let (ec, _) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        let wrong = error(ec.expose(), Some(SignatureAlgorithm::Rs256));
        assert_eq!(wrong, ClientKeyError::Algorithm { possible: "ES256" });
    }
}
