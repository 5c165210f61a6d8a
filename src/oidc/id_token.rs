//! Which ID tokens are believed: OpenID Connect Core 3.1.3.7, rule by rule.
//!
//! Each check carries the number of its rule. The signature is verified first (`jws`), and claims are read from the very bytes that
//! were signed, so that no difference between two readers of a token can matter. Rule 1 (encryption) does not apply: an
//! encrypted token is refused, none was asked for.
//!
//! May touch: nothing but memory. Trust boundary: the token, until [`verify`] returns. Specifications: OIDC Core 2,
//! 3.1.3.7, 3.1.3.8 and 10.1, RFC 7515 section 5.2, RFC 7519 section 4.1, RFC 8725 (JWT best practice).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::error::{IdTokenError, LoginError};
use super::jws::{self, Accepted, JwsError, VerifiedJws};
use super::keys::KeySet;
use super::pending::{self, PendingLogin};
use super::settings::ProviderSettings;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::crypto::SignatureAlgorithm;
use crate::session::{NonceTag, RefreshTicket};

/// The longest `sub`: Core section 2 says 255 ASCII characters.
const MAX_SUBJECT: usize = 255;
/// What `typ` an ID token may have; OIDC Core says nothing of it.
const TYPES: [&str; 2] = ["", "jwt"];

/// What a token must fit.
pub(super) struct Expected<'a> {
    pub(super) settings: &'a ProviderSettings,
    pub(super) nonce: NonceRule<'a>,
    pub(super) keys: &'a KeySet,
    pub(super) algorithms: &'a [SignatureAlgorithm],
    pub(super) access_token: &'a str,
    pub(super) now: Timestamp,
}

/// Which nonce a token must have.
#[derive(Clone, Copy)]
pub(super) enum NonceRule<'a> {
    /// A first token: exactly the one that was sent.
    Sent(&'a str),
    /// A refreshed token: none, or the one of the first (Core 12.2).
    Repeated(&'a NonceTag),
}

impl NonceRule<'_> {
    fn is_met_by(self, found: Option<&str>) -> bool {
        match (self, found) {
            (Self::Sent(sent), found) => found.unwrap_or_default().as_bytes().ct_eq(sent.as_bytes()).into(),
            (Self::Repeated(_), None) => true,
            (Self::Repeated(tag), Some(found)) => RefreshTicket::tag(found).ct_eq(tag).into(),
        }
    }
}

/// An ID token that passed every check; [`verify`] is the only maker.
pub(super) struct VerifiedIdToken {
    pub(super) claims: Claims,
    pub(super) subject: String,
    pub(super) expires: Timestamp,
    /// The token's own text, for `id_token_hint`.
    pub(super) text: String,
}

/// Checks a token.
pub(super) fn verify(text: &str, expected: &Expected<'_>) -> Result<VerifiedIdToken, IdTokenError> {
    let VerifiedJws { claims, algorithm } = check_signature(text, expected)?;
    let (subject, expires) = check_claims(&claims, algorithm, expected)?;
    Ok(VerifiedIdToken { claims, subject, expires, text: text.to_owned() })
}

/// What is signed with this algorithm: whom it is of, and until when.
pub(super) fn check_claims(
    claims: &Claims,
    algorithm: SignatureAlgorithm,
    expected: &Expected<'_>,
) -> Result<(String, Timestamp), IdTokenError> {
    check_issuer(claims, expected.settings)?;
    check_audience(claims, expected.settings)?;
    check_authorized_party(claims, expected)?;
    let expires = check_expiry(claims, expected)?;
    check_issue_time(claims, expected)?;
    check_nonce(claims, expected)?;
    let subject = check_subject(claims)?;
    check_access_token_hash(claims, algorithm, expected.access_token)?;
    Ok((subject, expires))
}

/// 6. The signature MUST be the issuer's. 7. `alg` SHOULD be the one that was registered; what is configured stands for it, and
///    what the provider publishes. 8. A MAC with the client's secret is never accepted.
fn check_signature(text: &str, expected: &Expected<'_>) -> Result<VerifiedJws, IdTokenError> {
    let accepted = Accepted { algorithms: expected.algorithms, types: &TYPES };
    Ok(jws::parse(text, accepted)?.verify(expected.keys)?)
}

impl From<JwsError> for IdTokenError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed | JwsError::Type => Self::Malformed,
            JwsError::Encrypted => Self::Encrypted,
            JwsError::Algorithm => Self::Algorithm,
            JwsError::UnknownKey => Self::UnknownKey,
            JwsError::AmbiguousKey => Self::AmbiguousKey,
            JwsError::Signature => Self::Signature,
        }
    }
}

/// Rules 12 and 13: what the policy asked of this login was reached.
pub(super) fn check_requirements(
    token: &VerifiedIdToken,
    pending: &PendingLogin,
    now: Timestamp,
    settings: &ProviderSettings,
) -> Result<(), LoginError> {
    // 12. If the acr Claim was requested, the Client SHOULD check that the asserted Claim Value is appropriate.
    if !pending.acr.is_empty() {
        let good_enough = || pending.acr.iter().chain(&pending.also_good);
        let reached = token.claims.text("acr").is_some_and(|acr| good_enough().any(|wanted| wanted == acr));
        if !reached {
            return Err(LoginError::AcrNotReached);
        }
    }
    // 13. If max_age was sent, auth_time MUST be there (Core 2), and too much time must not have passed. Counted from the
    //     request, not from now: the person may read a consent page after the authentication.
    if let Some(max_age) = pending.max_age {
        let authenticated_at = seconds(&token.claims, "auth_time").ok_or(LoginError::AuthTimeMissing)?;
        let oldest = pending.started_at.before(max_age).before(settings.clock_skew);
        let newest = now.after(settings.clock_skew);
        if authenticated_at < oldest || authenticated_at > newest {
            return Err(LoginError::AuthenticationTooOld);
        }
    }
    Ok(())
}

/// A claim that is a NumericDate (RFC 7519 section 2), fractions cut off.
pub(super) fn seconds(claims: &Claims, name: &str) -> Option<Timestamp> {
    numeric_date(claims.value(name)?)
}

/// The same of a value that stands elsewhere.
pub(super) fn numeric_date(value: &ClaimValue) -> Option<Timestamp> {
    let ClaimValue::Number(text) = value else { return None };
    if let Ok(whole) = text.parse() {
        return Some(Timestamp::from_seconds(whole));
    }
    // A float beyond i64 saturates, which is far in time too.
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .map(|value| Timestamp::from_seconds(value.floor() as i64))
}

/// 2. The Issuer Identifier MUST exactly match: compared as text.
pub(super) fn check_issuer(claims: &Claims, settings: &ProviderSettings) -> Result<(), IdTokenError> {
    if claims.text("iss") == Some(&settings.issuer) { Ok(()) } else { Err(IdTokenError::Issuer) }
}

/// 3. `aud` MUST contain our client id, and nobody whom we do not trust.
pub(super) fn check_audience(claims: &Claims, settings: &ProviderSettings) -> Result<(), IdTokenError> {
    let audiences = audiences(claims).ok_or(IdTokenError::Audience)?;
    let trusted = |one: &&str| **one == settings.client_id || settings.trusted_audiences.iter().any(|own| own == one);
    if audiences.contains(&settings.client_id.as_str()) && audiences.iter().all(trusted) {
        Ok(())
    } else {
        Err(IdTokenError::Audience)
    }
}

/// 4. With several audiences, `azp` must be there. 5. Where it is there, it must be our client id.
fn check_authorized_party(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let several = audiences(claims).is_some_and(|audiences| audiences.len() > 1);
    let sound = match claims.value("azp") {
        None => !several,
        Some(party) => party.as_text() == Some(&expected.settings.client_id),
    };
    if sound { Ok(()) } else { Err(IdTokenError::AuthorizedParty) }
}

/// 9. The current time MUST be before `exp`, with leeway.
fn check_expiry(claims: &Claims, expected: &Expected<'_>) -> Result<Timestamp, IdTokenError> {
    let expires = seconds(claims, "exp").ok_or(IdTokenError::Expired)?;
    if expected.now < expires.after(expected.settings.clock_skew) { Ok(expires) } else { Err(IdTokenError::Expired) }
}

/// 10. `iat` not in the future, and not older than any login that may still be pending; RFC 7519 section 4.1.5: `nbf`,
///     where it is there, not in the future.
fn check_issue_time(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let issued_at = seconds(claims, "iat").ok_or(IdTokenError::IssuedAt)?;
    let newest = expected.now.after(expected.settings.clock_skew);
    let oldest = expected.now.before(pending::LIFETIME).before(expected.settings.clock_skew);
    let begun = claims.value("nbf").is_none() || seconds(claims, "nbf").is_some_and(|at| at <= newest);
    if begun && issued_at >= oldest && issued_at <= newest { Ok(()) } else { Err(IdTokenError::IssuedAt) }
}

/// 11. `nonce` MUST be there and be the one that was sent; for a refreshed token, see [`NonceRule`].
fn check_nonce(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let sound = match claims.value("nonce") {
        None => expected.nonce.is_met_by(None),
        Some(found) => found.as_text().is_some_and(|found| expected.nonce.is_met_by(Some(found))),
    };
    if sound { Ok(()) } else { Err(IdTokenError::Nonce) }
}

/// Core 2: `sub` is required, and at most 255 characters long.
fn check_subject(claims: &Claims) -> Result<String, IdTokenError> {
    let subject = claims.text("sub").filter(|subject| !subject.is_empty() && subject.len() <= MAX_SUBJECT);
    subject.map(str::to_owned).ok_or(IdTokenError::Subject)
}

/// Core 3.1.3.8: where `at_hash` is there, the access token must fit it.
fn check_access_token_hash(
    claims: &Claims,
    algorithm: SignatureAlgorithm,
    access_token: &str,
) -> Result<(), IdTokenError> {
    let Some(found) = claims.value("at_hash") else { return Ok(()) };
    let computed = URL_SAFE_NO_PAD.encode(algorithm.half_hash(access_token.as_bytes()));
    if found.as_text() == Some(&computed) { Ok(()) } else { Err(IdTokenError::AccessTokenHash) }
}

/// `aud` as a list of texts.
pub(super) fn audiences(claims: &Claims) -> Option<Vec<&str>> {
    match claims.value("aud")? {
        ClaimValue::Text(one) => Some(vec![&**one]),
        ClaimValue::List(several) => several.iter().map(ClaimValue::as_text).collect(),
        _ => None,
    }
}
