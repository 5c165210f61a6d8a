//! What a session is, how it travels, when it ends.
//!
//! A session is one sealed value in the browser: who signed in, how, since when, and only the claims that some policy reads. Nothing is
//! kept on the server but a cache of opened ones, and a list of those that ended early (`revocation`). Limits are enforced here on every request, whatever the browser's cookie says (C09).
//!
//! Layer 1: knows sealing, cookies' text and time; no policy, no provider. Trust boundary: [`SealedSessions::open`] is
//! given what a stranger sent; whatever is wrong with it, the answer is "no session" (C03).

mod cache;
mod door;
mod opened;
mod origin;
mod registration;
mod revocation;
mod seal;
mod ticket;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::claims::{Claims, Text};
use crate::clock::Timestamp;
use crate::crypto::random;

pub use cache::{CacheKey, SessionCache};
pub use origin::Origin;
pub use registration::Registration;
pub use revocation::{
    CAUSES, Cause, Change, Done, Effect, Entry, Keeper, Keeping, Kind, Order, Patience, Revocations, Revoked, Sender,
    Standing, Tag, TokenMarks, TokenStanding, Wanted, Whom,
};
pub use seal::{CookieNames, SealError, SealedSessions};
pub use ticket::{NonceTag, RefreshTicket};

/// 128 random bits; new at every login and step-up (C07).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A fresh identifier.
    pub fn new() -> Self {
        Self(random::bytes())
    }

    /// All 128 bits in hexadecimal; never shown.
    fn text(&self) -> String {
        let mut text = String::with_capacity(2 * self.0.len());
        write_hexadecimal(&self.0, &mut text);
        text
    }

    /// How many characters [`SessionId::short`] has.
    pub const SHORT: usize = 8;

    /// The first 32 bits in hexadecimal, for logs: enough to follow a session, too little to be one.
    pub fn short(&self) -> String {
        self.short_before("")
    }

    /// The same, and a text behind it.
    pub fn short_before(&self, text: &str) -> String {
        let mut all = String::with_capacity(Self::SHORT + text.len());
        write_hexadecimal(self.0.first_chunk::<{ Self::SHORT / 2 }>().into_iter().flatten(), &mut all);
        all.push_str(text);
        all
    }
}

/// Every session that is opened is written so, which is why no formatting is asked for.
fn write_hexadecimal<'b>(bytes: impl IntoIterator<Item = &'b u8>, out: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            out.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
        }
    }
}

impl Default for SessionId {
    fn default() -> Self {
        Self::new()
    }
}

/// One person's session with one application. The order of the fields is the format; `seal` holds its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Identifies the session; not secret by itself, the sealing is what protects it.
    pub id: SessionId,
    /// The first of those that it grew out of, by step-ups and by sign-ins that took the place of one in the same browser; itself where there
    /// was none. What stands in logs, and what a sign-out and an operator end.
    pub root: SessionId,
    /// The provider's name in the configuration.
    pub provider: Text,
    /// What that name stood for.
    pub registration: Registration,
    /// The provider's `sub`.
    pub subject: Text,
    /// The provider's session identifier (`sid`), where it gave one.
    pub provider_session: Option<Text>,
    /// The authentication context class that the provider vouched for.
    pub acr: Option<Text>,
    /// The authentication methods.
    pub amr: Vec<Text>,
    /// When the person proved who they are to the provider; 1970 where it does not say, so that no `max_age` is met.
    pub authenticated_at: Timestamp,
    /// When this session began.
    pub started_at: Timestamp,
    /// When it was last seen, to the resolution of [`Limits::renewal`].
    pub seen_at: Timestamp,
    /// When the provider is to be asked for new claims; never where there is no [`RefreshTicket`].
    pub refresh_at: Option<Timestamp>,
    /// How often it was refreshed: the [`RefreshTicket`] that belongs to it was as often.
    pub generation: u32,
    /// The claims that a policy reads.
    pub claims: Claims,
    /// Claims that a policy reads and the provider did not give; asking again would not help.
    pub absent_claims: Vec<Text>,
}

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without any request.
    pub idle: Duration,
    /// In all.
    pub max: Duration,
}

/// How far clocks may be apart: that of the node which made a session, and that of the one which it is brought to.
const APART: Duration = Duration::from_secs(600);

/// Why a request has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// The browser sent no session cookie.
    Absent,
    /// What it sent does not open: damaged, moved, forged, or sealed with a key that is gone.
    Unreadable,
    /// The session's whole time is over.
    Expired,
    /// Nobody used it for too long.
    Idle,
    /// It began, or was last used, later than now: a clock is wrong, or was.
    FromFuture,
    /// It was made with another provider than the application now uses, or the provider's issuer or client has changed.
    OtherProvider,
    /// The policy reads a claim that this session was never asked for.
    ClaimMissing,
    /// It is time to refresh it, and the browser lacks what that takes.
    RefreshLost,
    /// The provider no longer stands by it.
    RefreshRefused,
    /// It was refreshed, and the time in which the old cookie is good has passed.
    Superseded,
    /// It was ended: by the person, the provider or an operator.
    Revoked,
    /// What the provider says of the person has changed since.
    Outdated,
}

impl From<Effect> for NoSession {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Ended => Self::Revoked,
            Effect::AskAgain => Self::Outdated,
        }
    }
}

impl NoSession {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Absent => "session_absent",
            Self::Unreadable => "session_unreadable",
            Self::Expired => "session_expired",
            Self::Idle => "session_idle",
            Self::FromFuture => "session_from_future",
            Self::OtherProvider => "session_other_provider",
            Self::ClaimMissing => "session_claim_missing",
            Self::RefreshLost => "session_refresh_lost",
            Self::RefreshRefused => "session_refresh_refused",
            Self::Superseded => "session_superseded",
            Self::Revoked => "session_revoked",
            Self::Outdated => "session_outdated",
        }
    }
}

impl Limits {
    /// How old `seen_at` may become before the cookie is renewed: a tenth of the idle time, between 10 s and 5 min.
    pub fn renewal(&self) -> Duration {
        (self.idle / 10).clamp(Duration::from_secs(10), Duration::from_secs(300))
    }
}

impl Session {
    /// Checks the session against the limits.
    pub fn check(&self, limits: &Limits, now: Timestamp) -> Result<(), NoSession> {
        if self.is_from_future(now) {
            Err(NoSession::FromFuture)
        } else if now.since(self.started_at) >= limits.max {
            Err(NoSession::Expired)
        } else if now.since(self.seen_at) >= limits.idle {
            Err(NoSession::Idle)
        } else {
            Ok(())
        }
    }

    /// Whether a clock that was wrong made it: neither limits nor the list of ended sessions would hold for one that seems newer than it is.
    pub fn is_from_future(&self, now: Timestamp) -> bool {
        self.started_at.max(self.seen_at) > now.after(APART)
    }

    /// Whether the browser should get a new cookie that says when the session was last seen.
    pub fn wants_renewal(&self, limits: &Limits, now: Timestamp) -> bool {
        now.since(self.seen_at) >= limits.renewal()
    }

    /// Takes over what the provider says of the person: what `wanted` names, and the name for logs. What is no longer said is gone.
    pub fn take_claims(&mut self, mut claims: Claims, wanted: &BTreeSet<Box<str>>) {
        claims.retain(|name| name == "preferred_username" || wanted.contains(name));
        self.absent_claims = wanted.iter().filter(|name| claims.value(name).is_none()).map(Text::new).collect();
        self.claims = claims;
    }

    /// Whether the provider was asked for the claim `name`.
    pub fn knows_claim(&self, name: &str) -> bool {
        self.claims.value(name).is_some() || self.absent_claims.iter().any(|absent| absent == name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn session(now: Timestamp) -> Session {
        let claims = Claims::from_json(br#"{"preferred_username":"ada","groups":["a","b"]}"#).unwrap();
        let id = SessionId::new();
        Session {
            id,
            root: id,
            provider: "okta".into(),
            registration: Registration::new("https://gmr.okta.example", "lychgate"),
            subject: "00u1".into(),
            provider_session: Some("sid-1".into()),
            acr: None,
            amr: vec!["pwd".into()],
            authenticated_at: now,
            started_at: now,
            seen_at: now,
            refresh_at: None,
            generation: 0,
            claims,
            absent_claims: vec!["email".into()],
        }
    }

    #[test]
    fn an_identifier_is_written_in_hexadecimal() {
        let id = SessionId([0, 1, 0xab, 0xff, 0x10, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc]);
        assert_eq!((id.short().as_str(), id.text().as_str()), ("0001abff", "0001abff1002030405060708090a0b0c"));
    }

    #[test]
    fn c09_idle_and_absolute_limits_are_enforced() {
        let start = Timestamp::from_seconds(1_000_000);
        let limits = Limits { idle: Duration::from_secs(1800), max: Duration::from_secs(28800) };
        let mut session = session(start);
        let at = |seconds| start.after(Duration::from_secs(seconds));
        assert_eq!(session.check(&limits, at(1799)), Ok(()));
        assert_eq!(session.check(&limits, at(1800)), Err(NoSession::Idle));
        session.seen_at = at(28000);
        assert_eq!(session.check(&limits, at(28799)), Ok(()));
        assert_eq!(session.check(&limits, at(28800)), Err(NoSession::Expired));
        assert!(!session.wants_renewal(&limits, at(28100)) && session.wants_renewal(&limits, at(28180)));
    }

    #[test]
    fn c11_a_session_of_a_clock_that_is_ahead_is_still_one() {
        let start = Timestamp::from_seconds(1_000_000);
        let limits = Limits { idle: Duration::from_secs(60), max: Duration::from_secs(600) };
        assert_eq!(session(start).check(&limits, start.before(Duration::from_secs(120))), Ok(()));
    }

    #[test]
    fn c11_a_session_from_further_in_the_future_than_clocks_are_apart_is_none() {
        let now = Timestamp::from_seconds(1_000_000);
        let limits = Limits { idle: Duration::from_secs(60), max: Duration::from_secs(600) };
        let ahead = |seconds| now.after(Duration::from_secs(seconds));
        assert_eq!(session(ahead(600)).check(&limits, now), Ok(()));
        assert_eq!(session(ahead(601)).check(&limits, now), Err(NoSession::FromFuture));
        let used = Session { seen_at: ahead(601), ..session(now) };
        assert_eq!(used.check(&limits, now), Err(NoSession::FromFuture));
        assert_eq!(used.check(&limits, ahead(1)), Ok(()));
    }

    #[test]
    fn claims_that_are_no_longer_said_are_gone() {
        let mut session = session(Timestamp::from_seconds(1));
        let wanted = ["groups", "email"].map(Into::into).into();
        let newer = Claims::from_json(br#"{"preferred_username":"ada","email":"a@b","secret":"x"}"#).unwrap();
        session.take_claims(newer, &wanted);
        assert_eq!(session.claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["email", "preferred_username"]);
        assert_eq!(session.absent_claims, ["groups"]);
    }

    #[test]
    fn a_claim_that_was_asked_for_and_not_given_is_not_asked_for_again() {
        let session = session(Timestamp::from_seconds(1));
        assert!(session.knows_claim("groups") && session.knows_claim("email") && !session.knows_claim("name"));
    }
    #[test]
    fn every_reason_has_its_own_code() {
        use NoSession::*;
        let all = [
            (Absent, "absent"),
            (Unreadable, "unreadable"),
            (Expired, "expired"),
            (Idle, "idle"),
            (FromFuture, "from_future"),
            (OtherProvider, "other_provider"),
            (ClaimMissing, "claim_missing"),
            (RefreshLost, "refresh_lost"),
            (RefreshRefused, "refresh_refused"),
            (Superseded, "superseded"),
            (Revoked, "revoked"),
            (Outdated, "outdated"),
        ];
        for (reason, word) in all {
            assert_eq!(reason.code(), format!("session_{word}"));
        }
    }
}
