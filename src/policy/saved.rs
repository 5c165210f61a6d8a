//! A person in a file: claims alone, or claims with how they signed in.
//!
//! Two forms: `{"preferred_username": "ada", …}`, and `{"claims": {…}, "session": {"kind", "provider", "acr", "amr",
//! "authenticated_at"}}`, which is what the gateway says of a sign-in: `null` for what the provider did not say. Members that are not known are
//! passed over.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's, its contents a provider's.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decision::{SessionFacts, SessionKind, Subject};
use crate::claims::{Claims, ClaimsError};
use crate::clock::Timestamp;

/// Why a file names nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavedError {
    /// The claims are none.
    Claims(ClaimsError),
    /// `session` is no description of a sign-in; the parser's words.
    Session(String),
    /// `authenticated_at` is no moment.
    Moment(String),
}

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(why) => why.fmt(f),
            Self::Session(why) => write!(f, "`session` is no sign-in: {why}"),
            Self::Moment(text) => write!(f, "`authenticated_at` is no moment: {text}"),
        }
    }
}

impl std::error::Error for SavedError {}

#[derive(Deserialize)]
struct Saved<'a> {
    #[serde(borrow)]
    claims: &'a RawValue,
    #[serde(borrow, default)]
    session: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Session<'a> {
    kind: Option<String>,
    provider: Option<String>,
    /// `null`: the provider did not say.
    #[serde(default, deserialize_with = "said")]
    acr: Option<Option<String>>,
    amr: Option<Vec<String>>,
    /// The same.
    #[serde(borrow, default, deserialize_with = "said")]
    authenticated_at: Option<Option<&'a RawValue>>,
}

/// A member that is there, `null` or not.
fn said<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(member: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(member).map(Some)
}

impl Subject {
    /// Reads a person; what the text does not say is as in `otherwise`.
    pub fn from_json(json: &[u8], otherwise: SessionFacts) -> Result<Self, SavedError> {
        let saved = serde_json::from_slice::<Saved<'_>>(json).ok();
        let Some(saved) = saved.filter(|saved| saved.claims.get().starts_with('{')) else {
            return Ok(Self { claims: Claims::from_json(json).map_err(SavedError::Claims)?, session: otherwise });
        };
        let claims = Claims::from_json(saved.claims.get().as_bytes()).map_err(SavedError::Claims)?;
        let session = saved.session.map(|session| serde_json::from_str::<Session<'_>>(session.get()));
        let session = session.transpose().map_err(|why| SavedError::Session(why.to_string()))?.unwrap_or_default();
        let authenticated_at = match session.authenticated_at {
            None => otherwise.authenticated_at,
            // As long ago as can be (decision 82).
            Some(None) => Timestamp::default(),
            Some(Some(raw)) => moment(raw.get())?,
        };
        let kind = match session.kind.as_deref() {
            Some("browser") => SessionKind::Browser,
            Some("bearer") => SessionKind::Bearer,
            _ => otherwise.kind,
        };
        let session = SessionFacts {
            kind,
            provider: session.provider.map_or(otherwise.provider, Into::into),
            acr: session.acr.map_or(otherwise.acr, |acr| acr.map(Into::into)),
            amr: session.amr.map_or(otherwise.amr, |methods| methods.into_iter().map(Into::into).collect()),
            authenticated_at,
        };
        Ok(Self { claims, session })
    }
}

/// Seconds since 1970, or a text of RFC 3339.
fn moment(json: &str) -> Result<Timestamp, SavedError> {
    let seconds = json.parse().ok().map(Timestamp::from_seconds);
    let text = || serde_json::from_str::<String>(json).ok()?.parse::<jiff::Timestamp>().ok();
    let moment = seconds.or_else(|| text().map(|moment| Timestamp::from_millis(moment.as_millisecond())));
    moment.ok_or_else(|| SavedError::Moment(json.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Subject, SavedError> {
        let nobody = SessionFacts {
            kind: SessionKind::Browser,
            provider: "okta".into(),
            acr: Some("pwd".into()),
            amr: Vec::new(),
            authenticated_at: Timestamp::from_seconds(7),
        };
        Subject::from_json(json.as_bytes(), nobody)
    }

    #[test]
    fn claims_are_read_bare_or_with_their_sign_in() {
        let bare = read(r#"{"email":"ada@gmr.example","session":"x"}"#).unwrap();
        assert_eq!((bare.claims.text("email"), &*bare.session.provider), (Some("ada@gmr.example"), "okta"));
        for (moment, seconds) in [("1767225600", 1_767_225_600), ("\"2026-01-01T00:00:00Z\"", 1_767_225_600)] {
            let json = format!(
                r#"{{"claims":{{"sub":"1","claims":"c"}},"more":1,"session":{{"kind":"bearer","provider":"entra","acr":"mfa","amr":["pwd","otp"],"authenticated_at":{moment}}}}}"#
            );
            let saved = read(&json).unwrap();
            assert_eq!((saved.claims.text("sub"), saved.claims.text("claims")), (Some("1"), Some("c")));
            let SessionFacts { kind, provider, acr, amr, authenticated_at } = saved.session;
            assert_eq!(kind, SessionKind::Bearer);
            assert_eq!((&*provider, acr.as_deref(), amr.len()), ("entra", Some("mfa"), 2));
            assert_eq!(authenticated_at.seconds(), seconds);
        }
        let unsaid = read(r#"{"claims":{},"session":{"acr":null,"authenticated_at":null}}"#).unwrap();
        assert_eq!((unsaid.session.acr, unsaid.session.authenticated_at), (None, Timestamp::default()));
        let without = read(r#"{"claims":{"sub":"1"}}"#).unwrap();
        assert_eq!((without.claims.text("sub"), without.session.acr.as_deref()), (Some("1"), Some("pwd")));
    }

    #[test]
    fn what_is_no_person_is_refused_with_its_reason() {
        for json in ["", "[]", "null", "{", r#"{"claims":{"a":1},"session":7}"#, r#"{"claims":{},"session":{"acr":1}}"#]
        {
            assert!(read(json).is_err(), "{json}");
        }
        let odd = read(r#"{"claims":{},"session":{"authenticated_at":"yesterday"}}"#);
        assert_eq!(odd.err(), Some(SavedError::Moment("\"yesterday\"".to_owned())));
    }
}
