//! `/revocations`: operators end sessions, and see which were ended.
//!
//! `POST` takes one JSON object that names one thing: `{"session": "9f1c22ab"}` (the identifier in the access log: the first 32 bits are enough
//! to mean a session, and of a million sessions one in four thousand such identifiers means another one too, whose person signs in once
//! more), `{"provider": "okta", "subject": "00u1"}`, `{"provider": "okta", "provider_session": "…"}`, `{"who": "ada"}` (the name in the access
//! log), `{"email": "ada@gmr.example"}` with or without `provider`. `GET` lists the newest entries.
//!
//! Trust boundary: whoever reaches the operators' listener. What a page in an operator's browser can send is refused: it carries `Origin`, is
//! not JSON, or has a `Host` that no operator uses (`host`).
//! Bounds: [`MAX_BODY`] bytes, [`SHOWN`] entries.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, Limited};
use serde::{Deserialize, Serialize};

use super::{Admin, JSON, PATIENCE, answer, json, text};
use crate::session::{Cause, Effect, Entry, Wanted, Whom};

const MAX_BODY: usize = 8 * 1024;
/// Entries that a list shows.
const SHOWN: usize = 500;

/// What is to be ended, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    session: Option<String>,
    provider: Option<String>,
    subject: Option<String>,
    provider_session: Option<String>,
    who: Option<String>,
    email: Option<String>,
}

const FORMS: &str = "expected one of {\"session\": \"…\"}, {\"provider\": \"…\", \"subject\": \"…\"}, {\"provider\": \"…\", \"provider_session\": \"…\"}, {\"who\": \"…\"}, {\"email\": \"…\"}\n";

impl Asked {
    /// Whom it means; none unless it is exactly one thing.
    fn whom(&self) -> Option<Whom<'_>> {
        let given = |text: &'_ Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        let names = [&self.session, &self.subject, &self.provider_session, &self.who, &self.email];
        if names.iter().filter(|name| name.is_some()).count() != 1 || !names.iter().any(|name| given(name)) {
            return None;
        }
        let provider = self.provider.as_deref();
        match self {
            Self { session: Some(id), provider: None, .. } => is_short_id(id).then_some(Whom::ShortId(id)),
            Self { who: Some(name), provider: None, .. } => Some(Whom::Name(name)),
            Self { email: Some(email), .. } => Some(Whom::Email { provider, email }),
            Self { subject: Some(subject), .. } => Some(Whom::Person { provider: provider?, subject }),
            Self { provider_session: Some(sid), .. } => Some(Whom::ProviderSession { provider: provider?, sid }),
            _ => None,
        }
    }
}

/// Eight hexadecimal digits.
fn is_short_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[derive(Serialize)]
struct Listed {
    count: usize,
    shown: usize,
    dropped: u64,
    entries: Vec<ListedEntry>,
}

#[derive(Serialize)]
struct ListedEntry {
    kind: &'static str,
    provider: Box<str>,
    what: Box<str>,
    started_before: String,
    until: String,
    cause: &'static str,
    effect: &'static str,
}

impl From<Entry> for ListedEntry {
    fn from(entry: Entry) -> Self {
        Self {
            kind: entry.kind.as_str(),
            provider: entry.provider,
            what: entry.word,
            started_before: entry.before.to_string(),
            until: entry.until.to_string(),
            cause: entry.cause.as_str(),
            effect: entry.effect.as_str(),
        }
    }
}

#[derive(Serialize)]
struct Ended {
    kind: &'static str,
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

/// Why what a gateway without a state directory ends is not kept.
const NOWHERE: &str = "it holds until the gateway stops: there is no `state` to keep it in";

impl Admin {
    /// The newest entries.
    pub(super) fn list_revocations(&self) -> Response<Full<Bytes>> {
        let entries: Vec<ListedEntry> = self.revocations.newest(SHOWN).into_iter().map(ListedEntry::from).collect();
        let (count, dropped) = (self.revocations.count(), self.revocations.dropped());
        answer(StatusCode::OK, JSON, json(&Listed { count, shown: entries.len(), dropped, entries }))
    }

    /// Ends what the body names.
    pub(super) async fn revoke<B>(&self, headers: &HeaderMap, body: B) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !kind
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(JSON.as_bytes())
        {
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only application/json\n".to_owned());
        }
        let Ok(Ok(body)) = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await else {
            return text(StatusCode::BAD_REQUEST, "the body is too long, or did not come\n".to_owned());
        };
        let asked: Asked = match serde_json::from_slice(&body.to_bytes()) {
            Ok(asked) => asked,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n{FORMS}")),
        };
        let Some(whom) = asked.whom() else { return text(StatusCode::BAD_REQUEST, FORMS.to_owned()) };
        if let Some(unknown) = asked.provider.as_deref().and_then(|name| self.no_provider(name)) {
            return text(StatusCode::BAD_REQUEST, unknown);
        }
        let now = self.clock.now();
        let wanted = Wanted::new(&whom, now, Cause::Admin, Effect::Ended);
        let kind = wanted.kind().as_str();
        self.metrics.revoked(Cause::Admin);
        tracing::info!(kind, "an operator ended sessions");
        let written = self.revocations.revoke(vec![wanted], now).is_kept().await;
        let status = if written { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        // Trying again changes nothing where nothing is ever written, so that is no 503.
        let why = (!self.keeps).then_some(NOWHERE);
        answer(status, JSON, json(&Ended { kind, kept: written && self.keeps, why }))
    }

    /// What to say when no provider has this name: an entry under a name that is misspelt would end nobody's session.
    fn no_provider(&self, name: &str) -> Option<String> {
        let configured = self.providers.load();
        let names: Vec<&str> = configured.iter().map(|one| one.provider.name()).collect();
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        (!names.contains(&name)).then(|| match known.is_empty() {
            true => format!("there is no provider `{name}`: none is configured\n"),
            false => format!("there is no provider `{name}`; there are {known}\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_exactly_one_thing() {
        let whom = |text: &str| serde_json::from_str::<Asked>(text).ok().is_some_and(|asked| asked.whom().is_some());
        for good in [
            r#"{"session":"9f1C22ab"}"#,
            r#"{"provider":"okta","subject":"00u1"}"#,
            r#"{"provider":"okta","provider_session":"s"}"#,
            r#"{"who":"ada"}"#,
            r#"{"email":"ada@gmr.example"}"#,
            r#"{"email":"ada@gmr.example","provider":"okta"}"#,
        ] {
            assert!(whom(good), "{good}");
        }
        for bad in [
            "{}",
            "[]",
            r#"{"session":"9f1c22"}"#,
            r#"{"session":"9f1c22zz"}"#,
            r#"{"session":"9f1c22ab","who":"ada"}"#,
            r#"{"session":"9f1c22ab","provider":"okta"}"#,
            r#"{"subject":"00u1"}"#,
            r#"{"provider":"okta"}"#,
            r#"{"who":""}"#,
            r#"{"who":"ada","everybody":true}"#,
            r#"{"who":7}"#,
        ] {
            assert!(!whom(bad), "{bad}");
        }
    }
}
