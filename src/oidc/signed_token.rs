//! A signed token that a provider sends by itself (a logout token, a security event token), from its text to verified claims.
//!
//! Everything cheap comes first: shape, size, `iss` and `aud` of somebody known, algorithm, times. Then the signature. A token that the known
//! keys do not verify may cause one fetch of the key set a minute, and only [`WAITING`] tokens wait for one at a time (L06). What only newer keys
//! could verify is undecided while they cannot be had, and the sender is told to send it again: it may never do so after a refusal.
//!
//! May touch: the network through `provider`. Trust boundary: the token is a stranger's until [`UnverifiedToken::verify`] returns.
//! Specifications: RFC 7515 section 5.2, RFC 7519 sections 4.1 and 7.2, RFC 8725.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::id_token::seconds;
use super::jws::{self, Accepted, JwsError};
use super::keys::KeySet;
use super::provider::Provider;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::crypto::SignatureAlgorithm;

/// The longest token that is looked at; real ones have one or two thousand bytes.
pub const MAX_SIGNAL: usize = 16 * 1024;
/// The longest `sub`, `sid` and `jti`.
const MAX_ID: usize = 512;
/// Tokens that may wait for a key at a time, in the whole process.
const WAITING: usize = 32;
static WAITERS: Semaphore = Semaphore::const_new(WAITING);

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalError {
    /// It is no signed JWT whose header and claims can be read, or too long.
    Malformed,
    /// It is encrypted; none was asked for.
    Encrypted,
    /// `typ` is that of another kind of token.
    Type,
    /// `alg` is not on the list: never `none`, never a shared secret.
    Algorithm,
    /// `iss` is nobody whom this gateway listens to.
    Issuer,
    /// `aud` is not this gateway.
    Audience,
    /// `iat` is missing, in the future, or too old.
    IssuedAt,
    /// `exp` is missing or past; for an event, it is there at all.
    Expiry,
    /// `jti` is missing or unreadable.
    Id,
    /// `events` is missing or holds not what it must.
    Events,
    /// Nobody is named whom it could mean.
    Subject,
    /// There is a `nonce`: this is an ID token, or was made to pass for one.
    Nonce,
    /// No key has the token's `kid`.
    UnknownKey,
    /// More than one key could have signed it.
    AmbiguousKey,
    /// The signature does not fit.
    Signature,
    /// The provider's keys are not known yet, those that might fit cannot be fetched now, or too many tokens wait for them.
    Unavailable,
}

impl SignalError {
    /// Whether newer keys could have another answer. A key may be changed under its old `kid`.
    const fn is_of_old_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::AmbiguousKey | Self::Signature)
    }

    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "signal_malformed",
            Self::Encrypted => "signal_encrypted",
            Self::Type => "signal_type",
            Self::Algorithm => "signal_algorithm",
            Self::Issuer => "signal_issuer",
            Self::Audience => "signal_audience",
            Self::IssuedAt => "signal_issued_at",
            Self::Expiry => "signal_expiry",
            Self::Id => "signal_id",
            Self::Events => "signal_events",
            Self::Subject => "signal_subject",
            Self::Nonce => "signal_nonce",
            Self::UnknownKey => "signal_unknown_key",
            Self::AmbiguousKey => "signal_ambiguous_key",
            Self::Signature => "signal_signature",
            Self::Unavailable => "signal_unavailable",
        }
    }

    /// What the sender is told; nothing of what it sent.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "this is no signed JWT that can be read",
            Self::Encrypted => "encrypted tokens are not accepted",
            Self::Type => "typ is that of another kind of token",
            Self::Algorithm => "alg is not accepted",
            Self::Issuer => "iss is nobody whom this receiver listens to",
            Self::Audience => "aud is not this receiver",
            Self::IssuedAt => "iat is missing, too old or in the future",
            Self::Expiry => "exp is missing, past, or must not be there",
            Self::Id => "jti is missing",
            Self::Events => "events does not hold what it must",
            Self::Subject => "nobody is named",
            Self::Nonce => "nonce must not be there",
            Self::UnknownKey => "no key has this kid",
            Self::AmbiguousKey => "more than one key could have signed this",
            Self::Signature => "the signature does not fit",
            Self::Unavailable => "the keys are not known now; send it again",
        }
    }
}

impl From<JwsError> for SignalError {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Encrypted => Self::Encrypted,
            JwsError::Algorithm => Self::Algorithm,
            JwsError::Type => Self::Type,
            JwsError::UnknownKey => Self::UnknownKey,
            JwsError::AmbiguousKey => Self::AmbiguousKey,
            JwsError::Signature => Self::Signature,
        }
    }
}

/// A token as it came.
pub struct UnverifiedToken {
    text: String,
    header: Claims,
    claims: Claims,
}

impl UnverifiedToken {
    /// Takes a token apart; believes nothing of it.
    pub fn parse(text: &str) -> Result<Self, SignalError> {
        if text.len() > MAX_SIGNAL {
            return Err(SignalError::Malformed);
        }
        match text.split('.').count() {
            3 => {}
            5 => return Err(SignalError::Encrypted),
            _ => return Err(SignalError::Malformed),
        }
        let object = |index| {
            let bytes = text.split('.').nth(index).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
            bytes.and_then(|bytes| Claims::from_json(&bytes).ok()).ok_or(SignalError::Malformed)
        };
        let token = Self { header: object(0)?, claims: object(1)?, text: text.to_owned() };
        // RFC 7515 section 4.1.11: what we do not understand and must, we do not understand.
        if token.header.value("crit").is_some() { Err(SignalError::Malformed) } else { Ok(token) }
    }

    /// What it says of its issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.text("iss")
    }

    /// Whether it says that it is for `audience`.
    pub fn is_for(&self, audience: &str) -> bool {
        match self.claims.value("aud") {
            Some(ClaimValue::Text(one)) => **one == *audience,
            Some(ClaimValue::List(several)) => several.iter().any(|one| one.as_text() == Some(audience)),
            _ => false,
        }
    }

    /// The media type in `typ`, without `application/`, in lower case.
    pub(super) fn kind(&self) -> Option<String> {
        let kind = self.header.value("typ")?.as_text().unwrap_or("?").to_ascii_lowercase();
        Some(kind.strip_prefix("application/").map_or(kind.clone(), str::to_owned))
    }

    /// The claims, which nobody vouches for.
    pub(super) const fn unverified_claims(&self) -> &Claims {
        &self.claims
    }

    /// Checks header and algorithm, and with keys the signature too.
    fn check(&self, keys: Option<&KeySet>, algorithms: &[SignatureAlgorithm]) -> Result<(), SignalError> {
        // Who reads the claims has looked at the type.
        let kind = self.kind().unwrap_or_default();
        let token = jws::parse(&self.text, Accepted { algorithms, types: &[&kind] })?;
        match keys {
            Some(keys) => Ok(token.verify(keys).map(drop)?),
            None => Ok(()),
        }
    }

    /// The claims, once the signature was checked with the provider's keys, or with those at `keys_at`.
    pub(super) async fn verify(&self, provider: &Provider, keys_at: Option<&url::Url>) -> Result<&Claims, SignalError> {
        match keys_at {
            None => self.verify_as_provider(provider).await?,
            Some(address) => self.verify_as_transmitter(provider, address.as_str()).await?,
        }
        Ok(&self.claims)
    }

    async fn verify_as_provider(&self, provider: &Provider) -> Result<(), SignalError> {
        // What can never be signed in an accepted way costs nothing more.
        self.check(None, &provider.configured_algorithms())?;
        let discovered = match provider.discovered() {
            Ok(discovered) => discovered,
            Err(_) => {
                let _place = place()?;
                provider.discovered_now().await.map_err(|_| SignalError::Unavailable)?;
                provider.discovered().map_err(|_| SignalError::Unavailable)?
            }
        };
        // Back-Channel Logout 2.4: signed as ID tokens are.
        let algorithms = provider.algorithms_of(&discovered);
        match self.check(Some(&discovered.keys), &algorithms) {
            Err(error) if error.is_of_old_keys() => {
                let _place = place()?;
                let newer = provider.newer_keys(&discovered).await.ok_or(SignalError::Unavailable)?;
                self.check(Some(&newer.keys), &algorithms)
            }
            other => other,
        }
    }

    async fn verify_as_transmitter(&self, provider: &Provider, address: &str) -> Result<(), SignalError> {
        let algorithms = SignatureAlgorithm::ALL;
        self.check(None, &algorithms)?;
        let known = provider.transmitter_keys().known();
        if let Some(old) = known.as_ref().filter(|known| !known.is_fresh(provider.now())) {
            // A key that was withdrawn is believed no longer. While the transmitter is away, the last good ones are.
            let _place = place()?;
            if let Some(newer) = provider.newer_transmitter_keys(address, Some(old)).await {
                return self.check(Some(&newer.keys), &algorithms);
            }
        }
        match known.as_deref().map(|known| self.check(Some(&known.keys), &algorithms)) {
            Some(Err(error)) if !error.is_of_old_keys() => Err(error),
            Some(Ok(())) => Ok(()),
            None | Some(Err(_)) => {
                let _place = place()?;
                let newer = provider.newer_transmitter_keys(address, known.as_ref()).await;
                self.check(Some(&newer.ok_or(SignalError::Unavailable)?.keys), &algorithms)
            }
        }
    }
}

/// A place among those who wait for keys.
fn place() -> Result<SemaphorePermit<'static>, SignalError> {
    WAITERS.try_acquire().map_err(|_| SignalError::Unavailable)
}

/// RFC 7519 section 4.1.6: not in the future, with leeway.
pub(super) fn issued_at(claims: &Claims, now: Timestamp, skew: Duration) -> Result<Timestamp, SignalError> {
    seconds(claims, "iat").filter(|at| *at <= now.after(skew)).ok_or(SignalError::IssuedAt)
}

/// A text of reasonable length; none when it is absent.
pub(super) fn id<'a>(claims: &'a Claims, name: &str, wrong: SignalError) -> Result<Option<&'a str>, SignalError> {
    match claims.value(name) {
        None => Ok(None),
        Some(ClaimValue::Text(text)) if !text.is_empty() && text.len() <= MAX_ID => Ok(Some(text)),
        Some(_) => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token without a signature that fits; as many bytes as asked for, where that is.
    fn token(header: &str, claims: &str, length: usize) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let text = format!("{}.{}.", part(header), part(claims));
        format!("{text}{}", "A".repeat(length.saturating_sub(text.len())))
    }

    fn parsed(claims: &str) -> UnverifiedToken {
        UnverifiedToken::parse(&token(r#"{"alg":"RS256"}"#, claims, 0)).ok().unwrap()
    }

    #[test]
    fn l01_a_token_has_a_longest_length() {
        for (length, sound) in
            [(100, true), (MAX_SIGNAL - 1, true), (MAX_SIGNAL, true), (MAX_SIGNAL + 1, false), (2 * MAX_SIGNAL, false)]
        {
            let text = token(r#"{"alg":"RS256"}"#, "{}", length);
            assert_eq!((text.len(), UnverifiedToken::parse(&text).is_ok()), (length, sound));
        }
    }

    #[test]
    fn l01_a_token_has_three_parts_and_two_objects_and_asks_for_nothing_more() {
        let header = r#"{"alg":"RS256"}"#;
        for (text, error) in [
            (token(header, "[]", 0), SignalError::Malformed),
            (token("7", "{}", 0), SignalError::Malformed),
            (token(r#"{"alg":"RS256","crit":[]}"#, "{}", 0), SignalError::Malformed),
            (token(header, "{}", 0) + ".", SignalError::Malformed),
            (token(header, "{}", 0) + "..", SignalError::Encrypted),
            ("e30.e30".to_owned(), SignalError::Malformed),
        ] {
            assert_eq!(UnverifiedToken::parse(&text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn l01_names_have_a_longest_length_and_are_not_empty() {
        let id = |value: &str| {
            id(parsed(&format!(r#"{{"sid":{value}}}"#)).unverified_claims(), "sid", SignalError::Id)
                .map(|found| found.map(str::len))
        };
        let text = |length| format!("\"{}\"", "a".repeat(length));
        assert_eq!(id(&text(1)), Ok(Some(1)));
        assert_eq!(id(&text(MAX_ID)), Ok(Some(MAX_ID)));
        for wrong in
            [text(0), text(MAX_ID + 1), text(2 * MAX_ID), "7".to_owned(), "null".to_owned(), "[\"a\"]".to_owned()]
        {
            assert_eq!(id(&wrong), Err(SignalError::Id), "{wrong}");
        }
        let none = parsed("{}");
        assert_eq!(super::id(none.unverified_claims(), "sid", SignalError::Id), Ok(None));
    }

    #[test]
    fn l01_a_token_is_for_whom_it_names_and_of_the_kind_it_says() {
        for (audience, ours) in [
            (r#""us""#, true),
            (r#"["them","us"]"#, true),
            (r#""them""#, false),
            ("[]", false),
            ("7", false),
            ("[7]", false),
        ] {
            assert_eq!(parsed(&format!(r#"{{"aud":{audience}}}"#)).is_for("us"), ours, "{audience}");
        }
        assert!(!parsed("{}").is_for("us"));
        for (kind, read) in
            [(r#""Application/LOGOUT+jwt""#, "logout+jwt"), (r#""jwt""#, "jwt"), ("7", "?"), (r#""""#, "")]
        {
            let text = token(&format!(r#"{{"alg":"RS256","typ":{kind}}}"#), r#"{"iss":"x"}"#, 0);
            let token = UnverifiedToken::parse(&text).ok().unwrap();
            assert_eq!((token.kind().as_deref(), token.issuer()), (Some(read), Some("x")), "{kind}");
        }
        assert_eq!(parsed("{}").kind(), None);
    }

    #[test]
    fn l01_a_token_is_not_of_the_future() {
        let (now, skew) = (Timestamp::from_seconds(1000), Duration::from_secs(60));
        let at = |iat: &str| issued_at(parsed(&format!(r#"{{"iat":{iat}}}"#)).unverified_claims(), now, skew);
        for (iat, time) in [("0", 0), ("1000", 1000), ("1060", 1060)] {
            assert_eq!(at(iat), Ok(Timestamp::from_seconds(time)));
        }
        for iat in ["1061", "\"1000\"", "null", "99999999999999999999"] {
            assert_eq!(at(iat), Err(SignalError::IssuedAt), "{iat}");
        }
    }

    #[test]
    fn l01_every_refusal_has_a_code_and_words_of_its_own() {
        use SignalError::*;
        let all = [
            Malformed,
            Encrypted,
            Type,
            Algorithm,
            Issuer,
            Audience,
            IssuedAt,
            Expiry,
            Id,
            Events,
            Subject,
            Nonce,
            UnknownKey,
            AmbiguousKey,
            Signature,
            Unavailable,
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(|error| error.code()).collect();
        let texts: std::collections::BTreeSet<_> = all.iter().map(|error| error.text()).collect();
        assert_eq!((codes.len(), texts.len()), (all.len(), all.len()));
        assert!(codes.iter().all(|code| code.starts_with("signal_")));
    }
}
