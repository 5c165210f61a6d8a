//! Which logout tokens are believed: OpenID Connect Back-Channel Logout 1.0, rule by rule.
//!
//! Section 2.6 numbers the steps, and each check below carries its number:
//!
//! 1. An encrypted token is decrypted: none was asked for, so it is refused.
//! 2. The signature is validated as an ID token's, and `alg` is not `none`.
//! 3. `iss`, `aud`, `iat` and `exp` are validated as an ID token's.
//! 4. There is `sub`, `sid` or both.
//! 5. `events` is an object with the member `http://schemas.openid.net/event/backchannel-logout`, itself an object.
//! 6. There is no `nonce`.
//! 7. `jti` was not received lately: the list of ended sessions remembers it.
//! 8. to 10. `iss`, `sub` and `sid` match a session's: only sessions of which they do are ended.
//!
//! `typ` (section 2.4) is `logout+jwt` where it follows the specification's advice, `JWT`, or absent. Parameters and claims that are not
//! understood are ignored (2.4, 2.5).
//!
//! May touch: the network through `signed_token`. Trust boundary: the token, until it returns.

use std::time::Duration;

use super::id_token::seconds;
use super::provider::Provider;
use super::signed_token::{SignalError, UnverifiedToken, id, issued_at};
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a token may be, whatever its `exp` says.
const OLDEST: Duration = Duration::from_secs(600);

/// What a believed token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// Identifies the token.
    pub jti: String,
    /// The provider's session that is over.
    pub sid: Option<String>,
    /// The person.
    pub subject: Option<String>,
}

impl Provider {
    /// Whether a token says that it is of this provider and for this client.
    pub fn is_addressed(&self, token: &UnverifiedToken) -> Result<(), SignalError> {
        let settings = self.settings();
        // 3. iss, as text, and aud.
        if token.issuer() != Some(&settings.issuer) {
            Err(SignalError::Issuer)
        } else if !token.is_for(&settings.client_id) {
            Err(SignalError::Audience)
        } else {
            Ok(())
        }
    }

    /// Checks a logout token.
    pub async fn verify_logout_token(&self, token: &UnverifiedToken) -> Result<LogoutToken, SignalError> {
        self.is_addressed(token)?;
        let (now, skew) = (self.now(), self.settings().clock_skew);
        let read = read(token, now, skew)?;
        // 2. The signature, by the provider's keys.
        token.verify(self, None).await?;
        Ok(read)
    }
}

/// Everything but the signature; what comes back is believed only when that fits too.
fn read(token: &UnverifiedToken, now: Timestamp, skew: Duration) -> Result<LogoutToken, SignalError> {
    check_type(token)?;
    let claims = token.unverified_claims();
    // 3. iat and exp.
    let issued = issued_at(claims, now, skew)?;
    if issued < now.before(OLDEST).before(skew) {
        return Err(SignalError::IssuedAt);
    }
    if seconds(claims, "exp").is_none_or(|at| now >= at.after(skew)) {
        return Err(SignalError::Expiry);
    }
    check_events(claims)?;
    // 6. An ID token must never pass for a logout token.
    if claims.value("nonce").is_some() {
        return Err(SignalError::Nonce);
    }
    // 7. jti is REQUIRED (2.4).
    let jti = id(claims, "jti", SignalError::Id)?.ok_or(SignalError::Id)?;
    // 4. sub, sid, or both.
    let (sid, subject) = (id(claims, "sid", SignalError::Subject)?, id(claims, "sub", SignalError::Subject)?);
    if sid.is_none() && subject.is_none() {
        return Err(SignalError::Subject);
    }
    Ok(LogoutToken { jti: jti.to_owned(), sid: sid.map(str::to_owned), subject: subject.map(str::to_owned) })
}

/// 2.4: the type keeps tokens of other kinds away where it is there and says so.
fn check_type(token: &UnverifiedToken) -> Result<(), SignalError> {
    match token.kind().as_deref() {
        None | Some("logout+jwt" | "jwt") => Ok(()),
        Some(_) => Err(SignalError::Type),
    }
}

/// 5. The member that makes it a logout token; its value SHOULD be empty, and what stands in it is ignored.
fn check_events(claims: &Claims) -> Result<(), SignalError> {
    match claims.value("events") {
        Some(ClaimValue::Object(events)) if matches!(events.get(EVENT), Some(ClaimValue::Object(_))) => Ok(()),
        _ => Err(SignalError::Events),
    }
}

/// For the fuzz target: reads a token without its signature; what comes back names somebody.
pub fn read_unsigned(text: &str, now: Timestamp) -> Result<LogoutToken, SignalError> {
    read(&UnverifiedToken::parse(text)?, now, Duration::ZERO)
}
