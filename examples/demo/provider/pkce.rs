//! Proof key for code exchange, with `S256` only.
//!
//! Who starts a login sends the hash of a secret, who redeems the code sends the secret: a stolen code is
//! worthless. The development provider requires it of every client, so that a relying party that forgets
//! it fails here and not later. Pure.
//!
//! RFC 7636 sections 4.1-4.6, RFC 9700 section 2.1.1.

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The challenge of a login: the base64url text of a SHA-256 hash.
#[derive(Clone)]
pub(super) struct Challenge(String);

impl Challenge {
    /// Reads `code_challenge` and `code_challenge_method`; the error says what is missing or wrong.
    pub(super) fn read(challenge: Option<&str>, method: Option<&str>) -> Result<Self, &'static str> {
        let challenge = challenge.ok_or("code_challenge is missing: PKCE is required")?;
        if method != Some("S256") {
            return Err("code_challenge_method must be S256");
        }
        match URL_SAFE_NO_PAD.decode(challenge) {
            Ok(hash) if hash.len() == 32 => Ok(Self(challenge.to_owned())),
            _ => Err("code_challenge is not the base64url text of a SHA-256 hash"),
        }
    }

    /// Tells whether `verifier` is well formed and hashes to this challenge.
    pub(super) fn is_met_by(&self, verifier: &str) -> bool {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        well_formed(verifier) && constant_time::verify_slices_are_equal(hash.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

fn well_formed(verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn vector_of_rfc_7636_appendix_b() {
        let challenge = Challenge::read(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(challenge.is_met_by(VERIFIER));
    }

    #[test]
    fn another_verifier_is_refused() {
        let challenge = Challenge::read(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(!challenge.is_met_by(&VERIFIER.replace('d', "e")));
        assert!(!challenge.is_met_by(CHALLENGE));
        assert!(!challenge.is_met_by(""));
    }

    #[test]
    fn a_verifier_outside_the_alphabet_or_the_lengths_is_refused() {
        for verifier in ["a".repeat(42), "a".repeat(129), "ä".repeat(30), "a b".repeat(20)] {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
            let challenge = Challenge::read(Some(&hash), Some("S256")).unwrap();
            assert!(!challenge.is_met_by(&verifier), "{verifier}");
        }
    }

    #[test]
    fn only_s256_with_a_whole_hash_is_a_challenge() {
        assert!(Challenge::read(None, Some("S256")).is_err());
        assert!(Challenge::read(Some(CHALLENGE), None).is_err());
        assert!(Challenge::read(Some(CHALLENGE), Some("plain")).is_err());
        assert!(Challenge::read(Some("E9Melhoa"), Some("S256")).is_err());
    }
}
