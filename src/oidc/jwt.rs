//! A JWT access token before and until its signature is verified.
//!
//! Exactly three parts in base64url without padding; header and claims are JSON objects whose names are unique, so that no two parsers
//! read different things. The signature is verified over the text as it was sent.
//!
//! May touch: nothing but memory. Trust boundary: everything here is a stranger's. Bound: the caller's on the text, see
//! [`MAX_TOKEN`](super::MAX_TOKEN). Specifications: RFC 7515 sections 4, 5.2 and 7.1, RFC 9068 section 4, RFC 8725 sections 3.1 to 3.11.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJsonWebKeyType, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey as _, JsonWebKeyAlgorithm};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::keys::ALGORITHMS;
use super::token_error::TokenError;
use crate::claims::Claims;
use crate::policy::Bearer;

/// A JWT that nobody has vouched for yet. No `Debug`.
pub struct UnverifiedJwt<'t> {
    header: Claims,
    /// Header and payload as they are signed.
    message: &'t str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> UnverifiedJwt<'t> {
    /// Takes a token apart.
    pub fn parse(text: &'t str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.split('.').take(6).collect();
        let (header, payload, signature) = match parts.as_slice() {
            [header, payload, signature] => (*header, *payload, *signature),
            // RFC 7516 section 3.1: a JWE has five parts.
            [_, _, _, _, _] => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::Malformed),
        };
        let message = text.get(..header.len() + 1 + payload.len()).ok_or(TokenError::Malformed)?;
        let header = object(&decode(header)?)?;
        if header.value("enc").is_some() {
            return Err(TokenError::Encrypted);
        }
        Ok(Self { header, message, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// What the header says, against what the policy allows.
    pub(super) fn check_header(&self, terms: &Bearer) -> Result<(), TokenError> {
        // RFC 8725 section 3.1, RFC 9068 section 4: the algorithm is one that is allowed, and never `none`.
        let algorithm = self.header.text("alg").ok_or(TokenError::Algorithm)?;
        if !terms.algorithms.iter().any(|allowed| allowed == algorithm) {
            return Err(TokenError::Algorithm);
        }
        // RFC 7515 section 4.1.11: an extension that is not understood makes the token invalid. RFC 7797 needs `crit` for `b64`.
        if self.header.value("crit").is_some() || self.header.value("b64").is_some() {
            return Err(TokenError::Critical);
        }
        // RFC 7519 section 5.2: a JWT within a JWT is none of the access tokens.
        if self.header.value("cty").is_some() {
            return Err(TokenError::Malformed);
        }
        self.check_type(terms)
    }

    /// RFC 9068 section 4: `typ` MUST be `at+jwt` or `application/at+jwt`; compared as media types are, without case.
    fn check_type(&self, terms: &Bearer) -> Result<(), TokenError> {
        let Some(kind) = self.header.value("typ") else {
            return if terms.any_type { Ok(()) } else { Err(TokenError::Type) };
        };
        let kind = kind.as_text().ok_or(TokenError::Type)?.to_ascii_lowercase();
        match kind.strip_prefix("application/").unwrap_or(&kind) {
            "at+jwt" => Ok(()),
            "jwt" if terms.any_type => Ok(()),
            _ => Err(TokenError::Type),
        }
    }

    /// Whether one of the provider's keys made the signature.
    pub(super) fn check_signature(&self, keys: &CoreJsonWebKeySet) -> Result<(), TokenError> {
        let name = self.header.text("alg").ok_or(TokenError::Algorithm)?;
        let known = ALGORITHMS.iter().find(|(known, _)| *known == name);
        let algorithm = known.map(|(_, algorithm)| algorithm).ok_or(TokenError::Algorithm)?;
        let key = self.key(keys, algorithm)?;
        key.verify_signature(algorithm, self.message.as_bytes(), &self.signature).map_err(|_| TokenError::Signature)
    }

    /// The one key that the header means.
    fn key<'k>(
        &self,
        keys: &'k CoreJsonWebKeySet,
        algorithm: &CoreJwsSigningAlgorithm,
    ) -> Result<&'k CoreJsonWebKey, TokenError> {
        let wanted = match self.header.value("kid") {
            None => None,
            Some(kid) => Some(kid.as_text().ok_or(TokenError::Malformed)?),
        };
        let meant = |key: &&CoreJsonWebKey| {
            let named = wanted.is_none_or(|wanted| key.key_id().is_some_and(|kid| **kid == *wanted));
            named && suits(key, algorithm)
        };
        let mut found = keys.keys().iter().filter(meant);
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(TokenError::KeyAmbiguous),
            (None, _) => Err(TokenError::KeyUnknown),
        }
    }

    /// The claims; to be called after [`UnverifiedJwt::check_signature`].
    pub(super) fn into_claims(self) -> Result<Claims, TokenError> {
        object(&self.payload)
    }
}

/// RFC 8725 section 3.1: a key is used with the algorithm that it is for, where it says so, and never of another family.
fn suits(key: &CoreJsonWebKey, algorithm: &CoreJwsSigningAlgorithm) -> bool {
    use CoreJwsSigningAlgorithm as Alg;
    let family = match algorithm {
        Alg::EcdsaP256Sha256 | Alg::EcdsaP384Sha384 => CoreJsonWebKeyType::EllipticCurve,
        Alg::EdDsa => CoreJsonWebKeyType::OctetKeyPair,
        _ => CoreJsonWebKeyType::RSA,
    };
    let said = match key.signing_alg() {
        JsonWebKeyAlgorithm::Algorithm(said) => said == algorithm,
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    *key.key_type() == family && said
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// A JSON object, each of whose names stands once (RFC 7515 section 4, RFC 7519 section 4).
fn object(json: &[u8]) -> Result<Claims, TokenError> {
    let _: UniqueNames = serde_json::from_slice(json).map_err(|_| TokenError::Malformed)?;
    Claims::from_json(json).map_err(|_| TokenError::Malformed)
}

/// Reads an object only if none of its names stands twice.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose names are unique")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((name, _)) = members.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            if !seen.insert(name) {
                return Err(serde::de::Error::custom("a name stands twice"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn parsed(text: &str) -> Result<(), TokenError> {
        UnverifiedJwt::parse(text).and_then(UnverifiedJwt::into_claims).map(drop)
    }

    #[test]
    fn tokens_that_two_parsers_could_read_differently_are_refused() {
        assert_eq!(parsed(&token(r#"{"alg":"RS256"}"#, r#"{"sub":"a"}"#)), Ok(()));
        for (header, payload) in [
            (r#"{"alg":"none","alg":"RS256"}"#, "{}"),
            (r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#),
            (r#"{"alg":"RS256"}"#, r#"{"sub":"a","s\u0075b":"b"}"#),
            (r#"{"alg":"RS256"}"#, r#"[{"sub":"a"}]"#),
            (r#"{"alg":"RS256"}"#, r#""a""#),
            (r#"{"alg":"RS256"}"#, r#"{"sub":"a"}{}"#),
            (r#"{"alg":"RS256"}"#, ""),
            (r#"["RS256"]"#, "{}"),
            ("", "{}"),
        ] {
            assert_eq!(parsed(&token(header, payload)), Err(TokenError::Malformed), "{header} {payload}");
        }
    }

    #[test]
    fn texts_that_are_no_jwt_are_refused() {
        let sound = token("{}", "{}");
        for bad in ["", ".", "..", "a", "a.b", "a.b.c.d", &format!("{sound}="), &format!("{sound}.x"), "e30.e30.A+/A"] {
            assert_eq!(parsed(bad), Err(TokenError::Malformed), "{bad}");
        }
        // The last character has bits that no byte needs: a second spelling of the same token.
        assert_eq!(parsed("e31.e30."), Err(TokenError::Malformed));
        assert_eq!(parsed("a.b.c.d.e"), Err(TokenError::Encrypted));
        assert_eq!(parsed(&token(r#"{"alg":"dir","enc":"A256GCM"}"#, "{}")), Err(TokenError::Encrypted));
    }

    #[test]
    fn the_algorithms_of_policies_are_those_of_the_keys() {
        assert_eq!(ALGORITHMS.map(|(name, _)| name), crate::policy::TOKEN_ALGORITHMS);
    }
}
