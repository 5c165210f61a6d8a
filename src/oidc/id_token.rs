//! Which ID tokens are believed: OpenID Connect Core 3.1.3.7, rule by rule.
//!
//! Each check carries the number of its rule. Rules 2, 3, 6 to 9 and 11 are checked by the `openidconnect` library. Here
//! they are checked again on the exact text that was signed, so that no difference between two parsers of the payload can
//! matter, and what the library lacks is added: rules 4, 5, 10, 12 and 13, leeway, `nbf`, the shape of `sub`. Both must
//! agree. Rule 1 (encryption) does not apply: an encrypted token is refused, none was asked for. Claims for the session are
//! read from the signed bytes, and only after the library has verified the signature.
//!
//! May touch: nothing but memory. Trust boundary: the token, until [`verify`] returns. Specifications: OIDC Core 2,
//! 3.1.3.7, 3.1.3.8 and 10.1, RFC 7515 section 5.2, RFC 7519 section 4.1, RFC 8725 (JWT best practice).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError,
};
use subtle::ConstantTimeEq as _;

use super::error::{IdTokenError, LoginError};
use super::keys::ALGORITHMS;
use super::pending::{self, PendingLogin};
use super::settings::ProviderSettings;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::session::{NonceTag, RefreshTicket};

/// The longest `sub`: Core section 2 says 255 ASCII characters.
const MAX_SUBJECT: usize = 255;

/// What a token must fit.
pub(super) struct Expected<'a> {
    pub(super) settings: &'a ProviderSettings,
    pub(super) nonce: NonceRule<'a>,
    pub(super) keys: &'a CoreJsonWebKeySet,
    /// What the provider says it signs with; empty when it says nothing.
    pub(super) published_algorithms: &'a [String],
    pub(super) access_token: &'a AccessToken,
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
    pub(super) issued_at: Timestamp,
    pub(super) expires: Timestamp,
    /// The token's own text, for `id_token_hint`.
    pub(super) text: String,
}

/// Checks a token.
pub(super) fn verify(token: &CoreIdToken, expected: &Expected<'_>) -> Result<VerifiedIdToken, IdTokenError> {
    let verifier = verifier(expected)?;
    let nonce = |found: Option<&Nonce>| match expected.nonce.is_met_by(found.map(|nonce| nonce.secret().as_str())) {
        true => Ok(()),
        false => Err(String::new()),
    };
    token.claims(&verifier, nonce).map_err(|error| reduce(&error))?;

    let text = token.to_string();
    let claims = payload(&text).ok_or(IdTokenError::Malformed)?;
    check_issuer(&claims, expected)?;
    check_audience(&claims, expected)?;
    check_authorized_party(&claims, expected)?;
    let expires = check_expiry(&claims, expected)?;
    let issued_at = check_issue_time(&claims, expected)?;
    check_nonce(&claims, expected)?;
    let subject = check_subject(&claims)?;
    check_access_token_hash(&claims, token, &verifier, expected.access_token)?;
    Ok(VerifiedIdToken { claims, subject, issued_at, expires, text })
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
        let reached = token.claims.text("acr").is_some_and(|acr| pending.acr.iter().any(|wanted| wanted == acr));
        if !reached {
            return Err(LoginError::AcrNotReached);
        }
    }
    // 13. If max_age was sent, auth_time MUST be there (Core 2), and too much time must not have passed. Counted from the
    //     request, not from now: the person may read a consent page after the authentication.
    if let Some(max_age) = pending.max_age {
        let oldest = pending.started_at.before(max_age).before(settings.clock_skew);
        let newest = now.after(settings.clock_skew);
        let fresh = seconds(&token.claims, "auth_time").is_some_and(|at| at >= oldest && at <= newest);
        if !fresh {
            return Err(LoginError::AuthenticationTooOld);
        }
    }
    Ok(())
}

/// A claim that is a NumericDate (RFC 7519 section 2), fractions cut off.
pub(super) fn seconds(claims: &Claims, name: &str) -> Option<Timestamp> {
    let Some(ClaimValue::Number(text)) = claims.value(name) else { return None };
    if let Ok(whole) = text.parse() {
        return Some(Timestamp::from_seconds(whole));
    }
    // A float beyond i64 saturates, which is far in time too.
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .map(|value| Timestamp::from_seconds(value.floor() as i64))
}

/// Names what makes a token unreadable to the library. Nothing here is believed: every answer is a refusal.
pub(super) fn why_unreadable(text: &str) -> IdTokenError {
    let Some(header) = segment(text, 0) else { return IdTokenError::Malformed };
    if !header.text("alg").is_some_and(|alg| ALGORITHMS.iter().any(|(name, _)| *name == alg)) {
        return IdTokenError::Algorithm;
    }
    let Some(claims) = payload(text) else { return IdTokenError::Malformed };
    let checks = [
        (claims.text("iss").is_some(), IdTokenError::Issuer),
        (audiences(&claims).is_some(), IdTokenError::Audience),
        (claims.text("sub").is_some(), IdTokenError::Subject),
        (seconds(&claims, "exp").is_some(), IdTokenError::Expired),
        (seconds(&claims, "iat").is_some(), IdTokenError::IssuedAt),
        (claims.text("nonce").is_some(), IdTokenError::Nonce),
    ];
    checks.into_iter().find(|(sound, _)| !sound).map_or(IdTokenError::Malformed, |(_, error)| error)
}

/// The library's verifier with our clock, our list of algorithms and no shared secret.
fn verifier<'a>(expected: &Expected<'a>) -> Result<CoreIdTokenVerifier<'a>, IdTokenError> {
    let issuer = IssuerUrl::new(expected.settings.issuer.clone()).map_err(|_| IdTokenError::Issuer)?;
    let client = ClientId::new(expected.settings.client_id.clone());
    // 7. alg SHOULD be the one that was registered; what the provider publishes stands for it where it publishes any.
    // 8. A MAC with the client's secret is never accepted: the verifier has no secret and the list no HS algorithm.
    let published = expected.published_algorithms;
    let allowed = ALGORITHMS
        .into_iter()
        .filter(|(name, _)| published.is_empty() || published.iter().any(|listed| listed == name))
        .map(|(_, algorithm)| algorithm);
    let settings = expected.settings;
    // 9. With leeway: the library's clock runs `clock_skew` behind.
    let library_now = expected.now.before(settings.clock_skew).system_time();
    Ok(CoreIdTokenVerifier::new_public_client(client, issuer, expected.keys.clone())
        .set_allowed_algs(allowed)
        .set_other_audience_verifier_fn(|audience| settings.trusted_audiences.iter().any(|one| *one == **audience))
        .set_time_fn(move || library_now.into()))
}

/// 2. The Issuer Identifier MUST exactly match: compared as text.
fn check_issuer(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    if claims.text("iss") == Some(&expected.settings.issuer) { Ok(()) } else { Err(IdTokenError::Issuer) }
}

/// 3. `aud` MUST contain our client id, and nobody whom we do not trust.
fn check_audience(claims: &Claims, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let settings = expected.settings;
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
fn check_issue_time(claims: &Claims, expected: &Expected<'_>) -> Result<Timestamp, IdTokenError> {
    let issued_at = seconds(claims, "iat").ok_or(IdTokenError::IssuedAt)?;
    let newest = expected.now.after(expected.settings.clock_skew);
    let oldest = expected.now.before(pending::LIFETIME).before(expected.settings.clock_skew);
    let begun = claims.value("nbf").is_none() || seconds(claims, "nbf").is_some_and(|at| at <= newest);
    if begun && issued_at >= oldest && issued_at <= newest { Ok(issued_at) } else { Err(IdTokenError::IssuedAt) }
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
    token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
    access_token: &AccessToken,
) -> Result<(), IdTokenError> {
    let Some(found) = claims.value("at_hash") else { return Ok(()) };
    let found = found.as_text().ok_or(IdTokenError::AccessTokenHash)?;
    let algorithm = token.signing_alg().map_err(|_| IdTokenError::Algorithm)?;
    let key = token.signing_key(verifier).map_err(|error| reduce_signature(&error))?;
    let computed = AccessTokenHash::from_token(access_token, algorithm, key);
    match computed {
        Ok(computed) if computed.as_str() == found => Ok(()),
        _ => Err(IdTokenError::AccessTokenHash),
    }
}

fn audiences(claims: &Claims) -> Option<Vec<&str>> {
    match claims.value("aud")? {
        ClaimValue::Text(one) => Some(vec![&**one]),
        ClaimValue::List(several) => several.iter().map(ClaimValue::as_text).collect(),
        _ => None,
    }
}

fn payload(text: &str) -> Option<Claims> {
    segment(text, 1)
}

fn segment(text: &str, index: usize) -> Option<Claims> {
    let bytes = URL_SAFE_NO_PAD.decode(text.split('.').nth(index)?).ok()?;
    Claims::from_json(&bytes).ok()
}

/// The library's words hold parts of the token: only the rule is kept.
fn reduce(error: &ClaimsVerificationError) -> IdTokenError {
    match error {
        ClaimsVerificationError::Expired(_) => IdTokenError::Expired,
        ClaimsVerificationError::InvalidAudience(_) => IdTokenError::Audience,
        ClaimsVerificationError::InvalidIssuer(_) => IdTokenError::Issuer,
        ClaimsVerificationError::InvalidNonce(_) => IdTokenError::Nonce,
        ClaimsVerificationError::InvalidSubject(_) => IdTokenError::Subject,
        ClaimsVerificationError::SignatureVerification(error) => reduce_signature(error),
        _ => IdTokenError::Malformed,
    }
}

const fn reduce_signature(error: &SignatureVerificationError) -> IdTokenError {
    match error {
        SignatureVerificationError::AmbiguousKeyId(_) => IdTokenError::AmbiguousKey,
        SignatureVerificationError::NoMatchingKey => IdTokenError::UnknownKey,
        SignatureVerificationError::DisallowedAlg(_)
        | SignatureVerificationError::NoSignature
        | SignatureVerificationError::UnsupportedAlg(_) => IdTokenError::Algorithm,
        _ => IdTokenError::Signature,
    }
}
