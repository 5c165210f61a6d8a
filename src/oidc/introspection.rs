//! Asking the provider about a token, once for everybody who wants to know.
//!
//! The request is authenticated as the gateway's client. An answer is kept for the policy's `cache` at most, and `exp` is checked
//! against the clock on each use, so neither outlives the other. Requests with one token wait for one question; the outcome of a
//! failed question is shared by those who waited and then forgotten.
//!
//! A question about a token that was not good before is counted by whoever brings it ([`Questioner`]), and given back when the token is good:
//! made-up tokens make the provider work for a stranger, and a provider that has enough of that leaves everybody waiting (decision 96).
//!
//! May touch: the network through `endpoint`. Trust boundary: the token is a stranger's, the answer comes over TLS and is believed
//! when it is a sound one. A provider that does not answer makes tokens unknown, never bad (503, not 401). Bounds: see
//! `introspection_cache`. Specification: RFC 7662.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::availability::FetchError;
use super::endpoint::Endpoint;
use super::introspection_cache::{Answer, Found};
use super::provider::{Discovered, Provider};
use super::token_error::TokenError;
use crate::claims::{ClaimValue, Claims};

/// The longest answer that is kept, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Who brings a token, as somebody whose questions are counted.
pub trait Questioner {
    /// Counts a question about a token that may be made up; how long its bringer must wait where that would be one too many.
    fn asks(&self) -> Result<(), Duration>;
    /// The token was good, or the provider never heard of it: it does not count.
    fn asked_for_nothing(&self);
}

impl Provider {
    /// What the provider says of a token, in an answer not older than `max_age`.
    pub(super) async fn introspect(
        &self,
        token: &str,
        max_age: Duration,
        by: &impl Questioner,
    ) -> Result<Answer, TokenError> {
        let mut counted = false;
        let stranger = || {
            if self.can_be_asked() {
                by.asks().map_err(TokenError::TooMany)?;
                counted = true;
            }
            Ok(())
        };
        let flight = match self.introspections().look_up(token, max_age, self.now(), stranger)? {
            Found::Answer(answer) => return Ok(answer),
            Found::Flight(flight) => flight,
        };
        // What is not answered counts too, and so does what nobody waits for any more: the provider was asked, unless no connection was made.
        let unheard = AtomicBool::new(false);
        let outcome = flight.land(self.ask_about(token, &unheard)).await;
        let is_good = outcome.as_ref().is_ok_and(|answer| answer.claims.is_some());
        if counted && (is_good || unheard.into_inner()) {
            by.asked_for_nothing();
        }
        outcome
    }

    /// Whether a question goes out at all; where none does, nobody makes the provider work.
    fn can_be_asked(&self) -> bool {
        let has_address = |known: Arc<Discovered>| Endpoint::Introspection.address(&known.metadata).is_some();
        self.discovered().is_ok_and(has_address) && self.rests().left(Endpoint::Introspection, self.now()).is_none()
    }

    /// Asks; `unheard` becomes true where the provider cannot have heard the question.
    async fn ask_about(&self, token: &str, unheard: &AtomicBool) -> Result<Answer, TokenError> {
        self.discovered_now().await.map_err(|_| TokenError::Unavailable)?;
        let discovered = self.discovered().map_err(|_| TokenError::Unavailable)?;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = self.ask_as_client(&discovered, Endpoint::Introspection, &form).await;
        let response = answer.map_err(|error| {
            tracing::warn!(provider = self.name(), %error, "the provider was not reached about a token");
            unheard.store(matches!(error, FetchError::NameUnknown | FetchError::Connect(_)), Ordering::Relaxed);
            TokenError::Unavailable
        })?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            tracing::warn!(provider = self.name(), status, "the provider refuses to be asked about tokens");
            return Err(TokenError::Unavailable);
        }
        match read(response.body()) {
            Some(claims) => Ok(Answer { claims, at: self.now() }),
            None => {
                tracing::warn!(provider = self.name(), "the provider's answer about a token cannot be read");
                Err(TokenError::Unavailable)
            }
        }
    }
}

/// RFC 7662 section 2.2: a JSON object whose `active` is a boolean. Claims when it is true.
pub(super) fn read(body: &[u8]) -> Option<Option<Arc<Claims>>> {
    if body.len() > MAX_ANSWER {
        return None;
    }
    let mut claims = Claims::from_json(body).ok()?;
    let Some(ClaimValue::Bool(active)) = claims.value("active") else { return None };
    if !active {
        return Some(None);
    }
    claims.retain(|name| name != "active");
    Some(Some(Arc::new(claims)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_do_not_say_whether_the_token_is_active_are_none() {
        for bad in [
            "",
            "[]",
            "{}",
            "true",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"Active":true}"#,
            r#"{"active":true"#,
        ] {
            assert!(read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(read(format!("{{\"active\":true,\"x\":\"{}\"}}", "a".repeat(MAX_ANSWER)).as_bytes()).is_none());
        assert_eq!(read(br#"{"active":false,"sub":"ada"}"#), Some(None));
        let claims = read(br#"{"active":true,"sub":"ada"}"#).unwrap().unwrap();
        assert_eq!(claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["sub"]);
    }
}
