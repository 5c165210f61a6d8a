//! A JWT access token before its signature is verified: `jws` and what access tokens need besides.
//!
//! Header and claims are JSON objects whose names are unique, so that no two parsers read different things of one token, and an
//! encrypted token is told apart also where it poses as a signed one.
//!
//! May touch: nothing but memory. Trust boundary: everything here is a stranger's. Bound: the caller's on the text, see
//! [`MAX_TOKEN`](super::MAX_TOKEN). Specifications: RFC 7515 section 4, RFC 9068 section 4, RFC 8725 sections 3.1 to 3.11.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::jws::{self, Accepted, JwsError};
use super::keys::KeySet;
use super::token_error::TokenError;
use crate::claims::Claims;
use crate::crypto::SignatureAlgorithm;

/// RFC 9068 section 4: `typ` MUST be `at+jwt`, with or without `application/` before it.
const ACCESS_TOKEN: [&str; 1] = ["at+jwt"];
/// Also what says nothing of its use.
const ANY: [&str; 3] = ["at+jwt", "jwt", ""];

/// A JWT that nobody has vouched for yet. No `Debug`.
pub struct UnverifiedJwt<'t>(jws::Unverified<'t>);

impl<'t> UnverifiedJwt<'t> {
    /// Takes a token apart; `any_type`: `typ` may be `JWT`, or missing, too.
    pub fn parse(text: &'t str, algorithms: &[SignatureAlgorithm], any_type: bool) -> Result<Self, TokenError> {
        check_form(text)?;
        let types: &[&str] = if any_type { &ANY } else { &ACCESS_TOKEN };
        Ok(Self(jws::parse(text, Accepted { algorithms, types })?))
    }

    /// The claims, if one of the provider's keys made the signature.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<Claims, TokenError> {
        Ok(self.0.verify(keys)?.claims)
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Encrypted => Self::Encrypted,
            JwsError::Algorithm => Self::Algorithm,
            JwsError::Type => Self::Type,
            JwsError::UnknownKey => Self::KeyUnknown,
            JwsError::AmbiguousKey => Self::KeyAmbiguous,
            JwsError::Signature => Self::Signature,
        }
    }
}

/// Three parts in base64url, the first two of them objects of unique names (RFC 7515 section 4, RFC 7519 section 4). Nothing in
/// them is believed.
fn check_form(text: &str) -> Result<(), TokenError> {
    let parts: Vec<&str> = text.splitn(6, '.').collect();
    let [header, payload, signature] = *parts.as_slice() else {
        // RFC 7516 section 3.1: a JWE has five parts.
        return Err(if parts.len() == 5 { TokenError::Encrypted } else { TokenError::Malformed });
    };
    let (header, payload) = (decode(header)?, decode(payload)?);
    if unique_names(&header)?.contains("enc") {
        return Err(TokenError::Encrypted);
    }
    unique_names(&payload)?;
    decode(signature).map(drop)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

fn unique_names(json: &[u8]) -> Result<BTreeSet<Cow<'_, str>>, TokenError> {
    serde_json::from_slice::<UniqueNames<'_>>(json).map(|names| names.0).map_err(|_| TokenError::Malformed)
}

/// The names of an object, none of which stands twice.
struct UniqueNames<'j>(BTreeSet<Cow<'j, str>>);

impl<'de> Deserialize<'de> for UniqueNames<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(BTreeSet::new()))
    }
}

impl<'de> Visitor<'de> for UniqueNames<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose names are unique")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        while let Some((name, _)) = members.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            if !self.0.insert(name) {
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
        UnverifiedJwt::parse(text, &SignatureAlgorithm::ALL, true).map(drop)
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
        let sound = token(r#"{"alg":"RS256"}"#, "{}");
        for bad in ["", ".", "..", "a", "a.b", "a.b.c.d", &format!("{sound}="), &format!("{sound}.x"), "e30.e30.A+/A"] {
            assert_eq!(parsed(bad), Err(TokenError::Malformed), "{bad}");
        }
        // The last character has bits that no byte needs: a second spelling of the same token.
        assert_eq!(parsed("e31.e30."), Err(TokenError::Malformed));
        assert_eq!(parsed("a.b.c.d.e"), Err(TokenError::Encrypted));
        assert_eq!(parsed(&token(r#"{"alg":"dir","enc":"A256GCM"}"#, "{}")), Err(TokenError::Encrypted));
    }
}
