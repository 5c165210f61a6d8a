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

use super::id_token::{numeric_date, seconds};
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
    event.get("event_timestamp").and_then(numeric_date).or_else(|| seconds(claims, "toe"))
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://idp.example";
    const NOW: i64 = 1_795_000_000;

    /// What a token with these claims says at `NOW`, beside those that every token has; `null` takes one of them away.
    fn read_with(more: &Value, skew: u64) -> Result<SecurityEvent, SignalError> {
        let mut claims =
            json!({"jti": "1", "iat": NOW - 10, "sub_id": {"format": "email", "email": "ada@gmr.example"}});
        let members = claims.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.", part(&json!({"alg": "RS256", "typ": "secevent+jwt"})), part(&claims));
        let token = UnverifiedToken::parse(&text).ok().unwrap();
        read(&token, &[ISSUER], Timestamp::from_seconds(NOW), Duration::from_secs(skew))
    }

    #[test]
    fn l02_a_token_has_one_to_sixteen_events() {
        let events = |count: usize| {
            let kinds = (0..count).map(|number| (format!("{RISC}account-purged#{number}"), json!({})));
            read_with(&json!({"events": kinds.collect::<serde_json::Map<_, _>>()}), 0).map(|event| event.asked.len())
        };
        for sound in [1, 2, MAX_EVENTS - 1, MAX_EVENTS] {
            assert_eq!(events(sound), Ok(0), "{sound}");
        }
        for wrong in [0, MAX_EVENTS + 1, 2 * MAX_EVENTS] {
            assert_eq!(events(wrong), Err(SignalError::Events), "{wrong}");
        }
    }

    #[test]
    fn l05_an_event_means_what_began_before_it_happened_and_nothing_of_the_future() {
        let before = |event: Value, toe: Value, skew| {
            let claims = json!({"toe": toe, "events": {(format!("{CAEP}session-revoked")): event}});
            let read = read_with(&claims, skew).unwrap();
            assert_eq!((read.jti.as_str(), read.asked.len()), ("1", 1));
            read.asked[0].before.millis() / 1000 - NOW
        };
        for (event, toe, expected) in [
            (json!({}), json!(null), -10),
            (json!({}), json!(NOW - 500), -500),
            (json!({"event_timestamp": NOW - 700}), json!(null), -700),
            (json!({"event_timestamp": NOW - 700}), json!(NOW - 500), -700),
            (json!({"event_timestamp": (NOW - 700) as f64 + 0.75}), json!(null), -700),
            (json!({"event_timestamp": (NOW - 700).to_string()}), json!(NOW - 500), -500),
            (json!({"event_timestamp": "yesterday"}), json!(null), -10),
            (json!({"event_timestamp": NOW + 700}), json!(null), 0),
            (json!({"event_timestamp": i64::MAX}), json!(null), 0),
            (json!({}), json!(1e300), 0),
        ] {
            assert_eq!(before(event.clone(), toe.clone(), 0), expected, "{event} {toe}");
        }
        assert_eq!(before(json!({"event_timestamp": NOW - 700}), json!(null), 60), -640);
        assert_eq!(before(json!({"event_timestamp": NOW - 30}), json!(null), 60), 0);
    }

    #[test]
    fn l02_each_kind_asks_for_what_the_table_says() {
        let (ended, again) = (Some(Effect::Ended), Some(Effect::AskAgain));
        for (kind, event, expected) in [
            (format!("{CAEP}session-revoked"), json!({}), ended),
            (format!("{CAEP}token-claims-change"), json!({}), again),
            (format!("{CAEP}credential-change"), json!({}), again),
            (format!("{CAEP}credential-change"), json!({"change_type": "update"}), again),
            (format!("{CAEP}credential-change"), json!({"change_type": "create"}), None),
            (format!("{CAEP}assurance-level-change"), json!({}), again),
            (format!("{CAEP}assurance-level-change"), json!({"change_direction": "increase"}), None),
            (format!("{CAEP}device-compliance-change"), json!({}), again),
            (format!("{CAEP}device-compliance-change"), json!({"current_status": "compliant"}), None),
            (format!("{CAEP}risk-level-change"), json!({}), again),
            (format!("{CAEP}risk-level-change"), json!({"current_level": "High"}), again),
            (format!("{CAEP}risk-level-change"), json!({"current_level": "MEDIUM"}), None),
            (format!("{CAEP}account-purged"), json!({}), None),
            (format!("{RISC}account-disabled"), json!({}), ended),
            (format!("{RISC}account-purged"), json!({}), ended),
            (format!("{RISC}sessions-revoked"), json!({}), ended),
            (format!("{RISC}account-credential-change-required"), json!({}), ended),
            (format!("{RISC}credential-compromise"), json!({}), ended),
            (format!("{RISC}identifier-changed"), json!({}), again),
            (format!("{RISC}identifier-recycled"), json!({}), again),
            (format!("{RISC}account-enabled"), json!({}), None),
            (format!("{RISC}session-revoked"), json!({}), None),
            ("session-revoked".to_owned(), json!({}), None),
            (format!("x{CAEP}session-revoked"), json!({}), None),
        ] {
            let read = read_with(&json!({"events": {(kind.clone()): event}}), 0).unwrap();
            assert_eq!(read.asked.first().map(|asked| asked.effect), expected, "{kind} {event}");
            assert!(!read.is_of_nobody(), "{kind}");
        }
    }

    #[test]
    fn l02_a_token_is_of_nobody_where_all_that_it_asks_for_is() {
        let kinds = ["session-revoked", "token-claims-change"].map(|kind| format!("{CAEP}{kind}"));
        let (ada, nobody) =
            (json!({"format": "opaque", "id": "1"}), json!({"format": "phone_number", "phone_number": "+1"}));
        for (first, second, expected) in [(&nobody, &nobody, true), (&ada, &nobody, false), (&ada, &ada, false)] {
            let events = json!({(kinds[0].clone()): {"subject": first}, (kinds[1].clone()): {"subject": second}});
            let read = read_with(&json!({"sub_id": null, "events": events}), 0).unwrap();
            assert_eq!((read.asked.len(), read.is_of_nobody()), (2, expected), "{first} {second}");
        }
    }
}
