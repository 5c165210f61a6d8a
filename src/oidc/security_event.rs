//! Which security event tokens are believed, and what they mean: RFC 8417 as SSF, CAEP and RISC use it.
//!
//! | events | what becomes of the sessions |
//! | --- | --- |
//! | CAEP `session-revoked`; RISC `account-disabled`, `account-purged`, `sessions-revoked`, `account-credential-change-required`, `credential-compromise` | ended |
//! | CAEP `token-claims-change`; `credential-change` unless something was added; `assurance-level-change` when it fell; `device-compliance-change` to not compliant; `risk-level-change` to high; RISC `identifier-changed`, `identifier-recycled` | must pass the provider once more |
//! | everything else, among it the stream's own `verification` and `stream-updated` | nothing; the token is accepted |
//!
//! The rules, by paragraph: 1. `typ` is `secevent+jwt` (RFC 8417 section 2.3, SSF 1.0 section 11.1.1). 2. signature (RFC 8935 section 2).
//! 3. `iss` and `aud` (RFC 8417 section 2.2; SSF 11.1.4). 4. `iat` and `jti` are there (RFC 8417 section 2.2). 5. no `exp` (SSF 11.1.3).
//! 6. `events` is an object with members that are objects (RFC 8417 section 2.2). 7. the subject is `sub_id`, or `subject` inside the event.
//!
//! May touch: the network through `signed_token`. Trust boundary: the token, until it returns.

use std::collections::BTreeMap;
use std::time::Duration;

use super::id_token::seconds;
use super::provider::Provider;
use super::signals::Transmitter;
use super::signed_token::{SignalError, UnverifiedToken, id, issued_at};
use super::subject::Meant;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::session::Effect;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
/// Events that one token may carry: they describe one thing in several vocabularies.
const MAX_EVENTS: usize = 16;

/// What a believed token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// Identifies the token.
    pub jti: String,
    /// What is to be done, one for each event that asks for something.
    pub asked: Vec<Asked>,
}

/// What one event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whom it means.
    pub meant: Meant,
    /// What becomes of their sessions.
    pub effect: Effect,
    /// Of those that began at this moment or before: the event's own time, with leeway, and not later than now.
    pub before: Timestamp,
}

impl SecurityEvent {
    /// Whether it asks for something, and means nobody whom this gateway could know.
    pub fn is_of_nobody(&self) -> bool {
        !self.asked.is_empty() && self.asked.iter().all(|asked| asked.meant.is_nobody())
    }
}

impl Provider {
    /// Whether a token says that it is of this provider's transmitter and for this gateway.
    pub fn is_event_addressed(&self, token: &UnverifiedToken) -> Result<(), SignalError> {
        let Some(transmitter) = self.transmitter() else { return Err(SignalError::Issuer) };
        // 3. iss, as text, and aud.
        if token.issuer() != Some(&transmitter.issuer) {
            Err(SignalError::Issuer)
        } else if !token.is_for(&transmitter.audience) {
            Err(SignalError::Audience)
        } else {
            Ok(())
        }
    }

    /// Who sends security events of this provider.
    pub fn transmitter(&self) -> Option<&Transmitter> {
        self.settings().signals.events.as_ref()
    }

    /// Whether the value of an `Authorization` field is what Okta's event hooks of this provider carry.
    pub fn is_okta_hook(&self, authorization: &[u8]) -> bool {
        self.settings().signals.okta_hooks.as_ref().is_some_and(|shared| shared.is(authorization))
    }

    /// Whether Okta's event hooks are expected at all.
    pub fn expects_okta_hooks(&self) -> bool {
        self.settings().signals.okta_hooks.is_some()
    }

    /// Checks a security event token.
    pub async fn verify_security_event(&self, token: &UnverifiedToken) -> Result<SecurityEvent, SignalError> {
        self.is_event_addressed(token)?;
        let (now, settings) = (self.now(), self.settings());
        let transmitter = self.transmitter().ok_or(SignalError::Issuer)?;
        // People are the provider's. A transmitter may name it as it names itself: Google's events have a slash that its ID tokens have not.
        let issuers = [&*settings.issuer, &*transmitter.issuer];
        let read = read(token, &issuers, now, settings.clock_skew)?;
        // 2. The signature, by the transmitter's keys.
        token.verify(self, transmitter.jwks_uri.as_ref()).await?;
        Ok(read)
    }
}

/// Everything but the signature; `issuers` are the names of the one whose people sign in here.
fn read(
    token: &UnverifiedToken,
    issuers: &[&str],
    now: Timestamp,
    skew: Duration,
) -> Result<SecurityEvent, SignalError> {
    // 1. The type keeps ID tokens and logout tokens from being taken for events.
    if token.kind().as_deref() != Some("secevent+jwt") {
        return Err(SignalError::Type);
    }
    let claims = token.unverified_claims();
    // 4. iat and jti.
    let issued = issued_at(claims, now, skew)?;
    let jti = id(claims, "jti", SignalError::Id)?.ok_or(SignalError::Id)?;
    // 5. exp is for tokens that grant something.
    if claims.value("exp").is_some() {
        return Err(SignalError::Expiry);
    }
    let mut asked = Vec::new();
    for (kind, event) in events(claims)? {
        let Some(effect) = effect(kind, event) else { continue };
        // 7. Whom it is about.
        let subject = claims.value("sub_id").or_else(|| event.get("subject")).ok_or(SignalError::Subject)?;
        let meant = Meant::read(subject, issuers).ok_or(SignalError::Subject)?;
        let happened = happened(claims, event).unwrap_or(issued);
        asked.push(Asked { meant, effect, before: happened.after(skew).min(now) });
    }
    Ok(SecurityEvent { jti: jti.to_owned(), asked })
}

type Event = BTreeMap<Box<str>, ClaimValue>;

/// 6. What happened, by the name of its kind.
fn events(claims: &Claims) -> Result<Vec<(&str, &Event)>, SignalError> {
    let Some(ClaimValue::Object(events)) = claims.value("events") else { return Err(SignalError::Events) };
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(SignalError::Events);
    }
    let mut read = Vec::with_capacity(events.len());
    for (kind, event) in events {
        let ClaimValue::Object(event) = event else { return Err(SignalError::Events) };
        read.push((&**kind, event));
    }
    Ok(read)
}

/// When it happened, where the token says so (CAEP `event_timestamp`, RFC 8417 `toe`).
fn happened(claims: &Claims, event: &Event) -> Option<Timestamp> {
    let in_event = match event.get("event_timestamp") {
        Some(ClaimValue::Number(text)) => text.parse().ok().map(Timestamp::from_seconds),
        _ => None,
    };
    in_event.or_else(|| seconds(claims, "toe"))
}

/// What an event asks for; nothing where it is only told.
fn effect(kind: &str, event: &Event) -> Option<Effect> {
    let says = |name: &str| event.get(name).and_then(ClaimValue::as_text);
    if let Some(caep) = kind.strip_prefix(CAEP) {
        return match caep {
            "session-revoked" => Some(Effect::Ended),
            "token-claims-change" => Some(Effect::AskAgain),
            "credential-change" if says("change_type") != Some("create") => Some(Effect::AskAgain),
            "assurance-level-change" if says("change_direction") != Some("increase") => Some(Effect::AskAgain),
            "device-compliance-change" if says("current_status") != Some("compliant") => Some(Effect::AskAgain),
            "risk-level-change" if says("current_level").is_none_or(|level| level.eq_ignore_ascii_case("high")) => {
                Some(Effect::AskAgain)
            }
            _ => None,
        };
    }
    match kind.strip_prefix(RISC)? {
        "account-disabled"
        | "account-purged"
        | "sessions-revoked"
        | "account-credential-change-required"
        | "credential-compromise" => Some(Effect::Ended),
        "identifier-changed" | "identifier-recycled" => Some(Effect::AskAgain),
        _ => None,
    }
}

/// For the fuzz target: reads a token without its signature.
pub fn read_unsigned(text: &str, issuer: &str, now: Timestamp) -> Result<SecurityEvent, SignalError> {
    read(&UnverifiedToken::parse(text)?, &[issuer], now, Duration::ZERO)
}
