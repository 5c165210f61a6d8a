//! Signed tokens of a provider: what was signed is shown only after the signature was verified.
//!
//! One place for ID tokens, signed userinfo, logout tokens, event tokens and access tokens. Who calls says which algorithms and which
//! `typ` it accepts, and checks the claims afterwards. The keys are the provider's published ones alone: `jwk`, `jku`, `x5c` and `x5u` in a
//! token's own header are not looked at. Claims come from the very bytes that were signed.
//!
//! May touch: [`parse`] and [`Unverified::verify`] nothing but memory, [`Provider::verify_signed`] the network for newer keys.
//! Trust boundary: the text is a stranger's until [`Unverified::verify`] returns. Bounds: [`MAX_LENGTH`].
//! Specifications: RFC 7515 sections 4 and 5.2, RFC 7519 section 7.2, RFC 8725 (JWT best practice).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::{KeySet, NoKey};
use super::provider::{Discovered, Provider, Refused};
use crate::claims::{ClaimValue, Claims};
use crate::crypto::SignatureAlgorithm;

/// The longest token in bytes.
const MAX_LENGTH: usize = 256 * 1024;

/// Why a text is no token that the provider signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsError {
    /// It is not three parts of base64url with JSON objects in them, or its header asks for what is not understood.
    Malformed,
    /// It has the five parts of an encrypted token (RFC 7516), which is not supported.
    Encrypted,
    /// `alg` is missing, `none`, a shared secret, or not among those that are accepted.
    Algorithm,
    /// `typ` says that it is a token for something else (RFC 8725 section 3.11).
    Type,
    /// No key has the token's `kid`.
    UnknownKey,
    /// More than one key could have signed it.
    AmbiguousKey,
    /// The signature does not fit the key.
    Signature,
}

/// What a token must be like for its use, besides its claims.
#[derive(Clone, Copy)]
pub(crate) struct Accepted<'a> {
    /// The algorithms.
    pub(crate) algorithms: &'a [SignatureAlgorithm],
    /// The values of `typ`, without `application/`, in any letters; the empty text stands for none at all.
    pub(crate) types: &'a [&'a str],
}

/// A token that was taken apart, of which nothing is believed yet.
pub(super) struct Unverified<'a> {
    algorithm: SignatureAlgorithm,
    key_id: Option<Box<str>>,
    signed: &'a str,
    signature: Vec<u8>,
    payload: Vec<u8>,
}

/// A token whose signature is the provider's; [`Unverified::verify`] is the only maker.
pub(crate) struct VerifiedJws {
    /// What was signed.
    pub(crate) claims: Claims,
    /// How.
    pub(crate) algorithm: SignatureAlgorithm,
}

impl JwsError {
    /// Whether newer keys might have verified the token.
    pub(super) fn is_of_old_keys(&self) -> bool {
        matches!(self, Self::UnknownKey | Self::AmbiguousKey | Self::Signature)
    }
}

impl Provider {
    /// Verifies a token with the provider's keys; fetches them anew, at most once a minute, when none that is known signed it (R14).
    /// The algorithms are those that are configured, or all that are known: what is published for ID tokens does not bind other tokens.
    pub(super) async fn verify_signed(&self, text: &str, types: &[&str]) -> Result<VerifiedJws, Refused<JwsError>> {
        let decided = |error| Refused { error, undecided: false };
        let algorithms = self.configured_algorithms();
        let token = parse(text, Accepted { algorithms: &algorithms, types });
        let token = token.map_err(decided)?;
        // A provider that was never reached has no keys.
        let known = self.discovered().map_err(|_| decided(JwsError::UnknownKey))?;
        let verify = |discovered: &Discovered| token.verify(&discovered.keys);
        let (verified, _) = self.with_keys(known, verify, JwsError::is_of_old_keys).await?;
        Ok(verified)
    }
}

/// Takes a token apart and checks its header.
pub(super) fn parse<'a>(text: &'a str, accepted: Accepted<'_>) -> Result<Unverified<'a>, JwsError> {
    if text.len() > MAX_LENGTH {
        return Err(JwsError::Malformed);
    }
    let parts: Vec<&str> = text.splitn(6, '.').collect();
    let [header, payload, signature] = *parts.as_slice() else {
        return Err(if parts.len() == 5 { JwsError::Encrypted } else { JwsError::Malformed });
    };
    let (signed, _) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed);
    let header = Claims::from_json(&decode(header)?).map_err(|_| JwsError::Malformed)?;
    let algorithm = header.text("alg").and_then(SignatureAlgorithm::parse).ok_or(JwsError::Algorithm)?;
    if !accepted.algorithms.contains(&algorithm) {
        return Err(JwsError::Algorithm);
    }
    check_header(&header, accepted.types)?;
    let key_id = match header.value("kid") {
        None => None,
        Some(id) => Some(id.as_text().ok_or(JwsError::Malformed)?.into()),
    };
    Ok(Unverified { algorithm, key_id, signed, signature: decode(signature)?, payload: decode(payload)? })
}

impl Unverified<'_> {
    /// Verifies the signature and shows the claims.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<VerifiedJws, JwsError> {
        let key = keys.find(self.algorithm, self.key_id.as_deref()).map_err(|why| match why {
            NoKey::Unknown => JwsError::UnknownKey,
            NoKey::Ambiguous => JwsError::AmbiguousKey,
        })?;
        if !key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(JwsError::Signature);
        }
        let claims = Claims::from_json(&self.payload).map_err(|_| JwsError::Malformed)?;
        Ok(VerifiedJws { claims, algorithm: self.algorithm })
    }
}

/// RFC 7515 section 4.1.11: an extension that is critical and not understood is a refusal, and none is understood here. A nested
/// token (`cty`, RFC 7519 section 5.2) is none of ours either.
fn check_header(header: &Claims, types: &[&str]) -> Result<(), JwsError> {
    let asks_for_more = ["crit", "b64", "zip"].iter().any(|name| header.value(name).is_some());
    let nested = header.value("cty").is_some_and(|kind| kind.as_text().is_none_or(|kind| essence(kind) != "json"));
    if asks_for_more || nested {
        return Err(JwsError::Malformed);
    }
    let found = match header.value("typ") {
        None => String::new(),
        Some(ClaimValue::Text(found)) => essence(found),
        Some(_) => return Err(JwsError::Type),
    };
    if types.contains(&found.as_str()) { Ok(()) } else { Err(JwsError::Type) }
}

/// RFC 7515 section 4.1.9: compared without `application/` and without regard to letters.
fn essence(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Accepted<'static> = Accepted { algorithms: &SignatureAlgorithm::ALL, types: &["", "jwt"] };

    fn token(header: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part("{}"), part("signature"))
    }

    fn refusal(text: &str) -> Option<JwsError> {
        parse(text, ANY).err()
    }

    #[test]
    fn r01_headers_that_ask_for_something_else_are_refused() {
        for (header, error) in [
            (r#"{}"#, JwsError::Algorithm),
            (r#"{"alg":"none"}"#, JwsError::Algorithm),
            (r#"{"alg":"HS256"}"#, JwsError::Algorithm),
            (r#"{"alg":["RS256"]}"#, JwsError::Algorithm),
            (r#"{"alg":"RS256","typ":"at+jwt"}"#, JwsError::Type),
            (r#"{"alg":"RS256","typ":"application/logout+jwt"}"#, JwsError::Type),
            (r#"{"alg":"RS256","typ":7}"#, JwsError::Type),
            (r#"{"alg":"RS256","crit":["b64"],"b64":false}"#, JwsError::Malformed),
            (r#"{"alg":"RS256","b64":false}"#, JwsError::Malformed),
            (r#"{"alg":"RS256","cty":"JWT"}"#, JwsError::Malformed),
            (r#"{"alg":"RS256","kid":7}"#, JwsError::Malformed),
            ("[]", JwsError::Malformed),
            ("", JwsError::Malformed),
        ] {
            assert_eq!(refusal(&token(header)), Some(error), "{header}");
        }
        for good in [r#"{"alg":"RS256","typ":"Application/JWT"}"#, r#"{"alg":"EdDSA","kid":"k"}"#] {
            assert_eq!(refusal(&token(good)), None, "{good}");
        }
    }

    #[test]
    fn r01_texts_of_other_than_three_parts_are_refused() {
        let good = token(r#"{"alg":"RS256"}"#);
        for bad in
            ["", ".", "..", "a", "a.b", &good[1..], &format!("{good}.x"), &format!("{good}="), &format!(" {good}")]
        {
            assert_eq!(refusal(bad), Some(JwsError::Malformed), "{bad}");
        }
        assert_eq!(refusal("eyJ.a.b.c.d"), Some(JwsError::Encrypted));
        assert_eq!(refusal("a.b.c.d.e.f"), Some(JwsError::Malformed));
        assert_eq!(refusal(&"a".repeat(MAX_LENGTH + 1)), Some(JwsError::Malformed));
    }
    #[test]
    fn r01_a_token_has_a_longest_length() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let long = |length: usize| {
            let rest = length - header.len() - 2;
            // No text in base64 has one letter more than a multiple of four.
            let signature = if (rest - 4) % 4 == 1 { 6 } else { 4 };
            format!("{header}.{}.{}", "A".repeat(rest - signature), "A".repeat(signature))
        };
        for length in [100, MAX_LENGTH - 1, MAX_LENGTH] {
            assert_eq!((long(length).len(), refusal(&long(length))), (length, None));
        }
        for length in [MAX_LENGTH + 1, MAX_LENGTH + 2, 2 * MAX_LENGTH] {
            assert_eq!(refusal(&long(length)), Some(JwsError::Malformed), "{length}");
        }
    }
}
