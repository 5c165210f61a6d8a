//! A refresh token becomes new tokens: what they say of the person, or that the provider no longer stands by the session.
//!
//! A refreshed ID token passes every check of a first one but those of the nonce and of what a login was asked for; it must be of the same
//! issuer, audience and subject, and where it repeats a nonce, of the same one. Whatever is wrong with it ends the session: the provider
//! was reached and said something that cannot be believed. A provider that cannot be reached, or refuses the client, ends nothing (R03);
//! neither does a token by a key that is not known while newer keys cannot be fetched.
//!
//! An answer without an ID token (which Core 12.2 allows) takes nothing back of what the first one alone said.
//!
//! The caller makes sure that a token is used once; what is answered here must not get lost, because providers rotate the token.
//!
//! May touch: the network through `endpoint`, `provider` and `userinfo`. Trust boundary: the token endpoint's answer, until it is verified.
//! Specification: RFC 6749 sections 5.2 and 6, OpenID Connect Core 12.2, RFC 9700 section 4.14.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, timeout_at};

use super::callback::left_out;
use super::endpoint::Endpoint;
use super::error::{IdTokenError, LoginError, TokenEndpointError, UserInfoError};
use super::id_token::{self, Expected, NonceRule, VerifiedIdToken};
use super::provider::{Discovered, Provider, Refused};
use super::token::{self, TokenAnswer};
use super::two_sources::joined;
use crate::claims::{Claims, Text};
use crate::crypto::Secret;
use crate::session::RefreshTicket;

/// What a refresh brought. No `Debug`: it holds the token.
pub struct Refreshed {
    /// What the provider says of the person now; none when it said nothing new.
    pub claims: Option<Claims>,
    /// Names of what userinfo sent; none when it was not asked.
    pub userinfo: Option<Vec<Text>>,
    /// The token for the next time; none when the same stays good.
    pub token: Option<Secret<String>>,
    /// Whether a part of what was to be asked could not be: the claims are to be asked for again soon.
    pub incomplete: bool,
    /// Whether there was an ID token, so that none of the claims are those from before.
    pub anew: bool,
}

/// Why a refresh brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshError {
    /// The provider does not, or not credibly, stand by the session: it is over.
    Ended(&'static str),
    /// The provider could not be asked: the session stays as it is.
    Unavailable(&'static str),
}

impl RefreshError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ended(code) | Self::Unavailable(code) => code,
        }
    }
}

impl Provider {
    /// Exchanges the token of `ticket`, which belongs to a session of `subject` with the claims from `before`. Waits for all of the provider's
    /// answers together at most twice the limit of one.
    pub async fn refresh(
        &self,
        ticket: &RefreshTicket,
        subject: &str,
        before: &Claims,
    ) -> Result<Refreshed, RefreshError> {
        let deadline = Instant::now() + self.settings().limits.total * 2;
        let discovered = self.discovered().map_err(|error| unavailable(error.into()))?;
        let exchanged = timeout_at(deadline, self.exchange(&discovered, ticket)).await;
        let tokens = exchanged.map_err(|_| unavailable(LoginError::TimedOut))??;
        // From here on the old token is spent: whatever cannot be asked in time, the new one must not get lost.
        let said = timeout_at(deadline, self.said_again(&tokens, ticket, &discovered, subject)).await;
        let said = said.unwrap_or(Err(Unsaid::Unavailable(LoginError::TimedOut)));
        let anew = said.as_ref().is_ok_and(|(verified, _)| verified.is_some());
        let mut sent = None;
        let (claims, incomplete) = match said {
            Ok((verified, userinfo)) => {
                sent = userinfo.as_ref().map(|claims| claims.iter().map(|(name, _)| name.into()).collect());
                (said_now(verified, userinfo, (before, &ticket.userinfo)), false)
            }
            Err(Unsaid::Ended(error)) => return Err(ended(error)),
            Err(Unsaid::Unavailable(error)) => {
                tracing::warn!(provider = self.name(), reason = error.code(), "claims not refreshed");
                (None, true)
            }
        };
        Ok(Refreshed { claims, userinfo: sent, token: tokens.refresh_token, incomplete, anew })
    }

    /// What the ID token, where there is one, and userinfo, where it is configured, say now.
    async fn said_again(
        &self,
        tokens: &TokenAnswer,
        ticket: &RefreshTicket,
        discovered: &Arc<Discovered>,
        subject: &str,
    ) -> Result<(Option<VerifiedIdToken>, Option<Claims>), Unsaid> {
        let verified = match &tokens.id_token {
            Some(id_token) => Some(self.verify_refreshed(id_token.expose(), tokens, ticket, discovered).await?),
            None => None,
        };
        // Core 12.2: its sub Claim Value MUST be the same as in the ID Token issued when the original authentication occurred.
        if verified.as_ref().is_some_and(|token| !bool::from(token.subject.as_bytes().ct_eq(subject.as_bytes()))) {
            return Err(Unsaid::Ended(IdTokenError::Subject.into()));
        }
        let userinfo = match self.settings().userinfo {
            true => Some(self.userinfo(discovered, tokens.access_token.expose(), subject).await?),
            false => None,
        };
        Ok((verified, userinfo))
    }

    async fn exchange(&self, discovered: &Discovered, ticket: &RefreshTicket) -> Result<TokenAnswer, RefreshError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", ticket.token.expose().as_str())];
        let asked = self.ask_as_client(discovered, Endpoint::Token, &form).await;
        let response = asked.map_err(|error| unavailable(TokenEndpointError::Fetch(error).into()))?;
        TokenAnswer::read(&response).map_err(|error| judge(error, token::error_word(&response).as_deref()))
    }

    /// Verifies the ID token, once more with fresh keys where those that are known may be old (R14).
    async fn verify_refreshed(
        &self,
        id_token: &str,
        tokens: &TokenAnswer,
        ticket: &RefreshTicket,
        discovered: &Arc<Discovered>,
    ) -> Result<VerifiedIdToken, Refused<IdTokenError>> {
        let verify = |discovered: &Discovered| {
            let expected = Expected {
                settings: self.settings(),
                nonce: NonceRule::Repeated(&ticket.nonce),
                keys: &discovered.keys,
                algorithms: &self.algorithms_of(discovered),
                access_token: tokens.access_token.expose(),
                now: self.now(),
            };
            id_token::verify(id_token, &expected)
        };
        let verified = self.with_keys(Arc::clone(discovered), verify, IdTokenError::is_of_old_keys).await;
        verified.map(|(token, _)| token)
    }
}

/// Why a part of what was to be asked was not said.
enum Unsaid {
    /// What was said cannot be believed.
    Ended(LoginError),
    /// It could not be asked, or not be decided on.
    Unavailable(LoginError),
}

impl From<Refused<IdTokenError>> for Unsaid {
    fn from(refused: Refused<IdTokenError>) -> Self {
        if refused.undecided { Self::Unavailable(refused.error.into()) } else { Self::Ended(refused.error.into()) }
    }
}

impl From<UserInfoError> for Unsaid {
    fn from(error: UserInfoError) -> Self {
        match error {
            UserInfoError::Subject
            | UserInfoError::NotAnObject
            | UserInfoError::Signed(_)
            | UserInfoError::NotForUs => Self::Ended(error.into()),
            UserInfoError::Fetch(_)
            | UserInfoError::NoEndpoint
            | UserInfoError::Status
            | UserInfoError::KeysUnavailable => Self::Unavailable(error.into()),
        }
    }
}

/// The ID token wins over userinfo, as at the login. Where there is no new one, those claims from `before` stay that userinfo did not send
/// either time: the ID token alone made them, and half of the claims would be as if the other half were gone.
fn said_now(
    token: Option<VerifiedIdToken>,
    userinfo: Option<Claims>,
    (before, of_userinfo): (&Claims, &[Text]),
) -> Option<Claims> {
    match (token.map(|token| token.claims), userinfo) {
        (None, Some(userinfo)) => {
            let mut before = before.clone();
            let is_taken_back =
                |name: &str| userinfo.value(name).is_none() && of_userinfo.iter().any(|sent| sent == name);
            // What has become too much to be sent is not what it was.
            before.retain(|name| !left_out(&userinfo, name) && !is_taken_back(name));
            Some(joined(before, userinfo))
        }
        (token, None) => token,
        (Some(token), Some(userinfo)) => Some(joined(userinfo, token)),
    }
}

fn ended(error: LoginError) -> RefreshError {
    RefreshError::Ended(error.code())
}

fn unavailable(error: LoginError) -> RefreshError {
    RefreshError::Unavailable(error.code())
}

/// Which errors of the token endpoint are about the session, and which about the provider or the client; `word` is what an error answer says.
fn judge(error: TokenEndpointError, word: Option<&str>) -> RefreshError {
    // RFC 6749 5.2, and what providers answer when the person must be asked again (OIDC Core 3.1.2.6).
    const ABOUT_THE_SESSION: [&str; 4] =
        ["invalid_grant", "interaction_required", "login_required", "consent_required"];
    let about_the_session =
        error == TokenEndpointError::TokenType || word.is_some_and(|word| ABOUT_THE_SESSION.contains(&word));
    if about_the_session { ended(error.into()) } else { unavailable(error.into()) }
}
