//! A refresh token becomes new tokens: what they say of the person, or that the provider no longer stands by the session.
//!
//! A refreshed ID token passes every check of a first one but those of the nonce and of what a login was asked for; it must be of the same
//! issuer, audience and subject, and where it repeats a nonce, of the same one. Whatever is wrong with it ends the session: the provider
//! was reached and said something that cannot be believed. A provider that cannot be reached, or refuses the client, ends nothing (R03).
//!
//! The caller makes sure that a token is used once; what is answered here must not get lost, because providers rotate the token.
//!
//! May touch: the network through `token`, `provider` and `userinfo`. Trust boundary: the token endpoint's answer, until it is verified.
//! Specification: RFC 6749 sections 5.2 and 6, OpenID Connect Core 12.2, RFC 9700 section 4.14.

use std::sync::Arc;

use openidconnect::core::{CoreErrorResponseType, CoreIdToken, CoreTokenType};
use openidconnect::{AccessToken, OAuth2TokenResponse as _, RequestTokenError, TokenResponse as _};
use subtle::ConstantTimeEq as _;

use super::error::{IdTokenError, LoginError, TokenEndpointError, UserInfoError};
use super::id_token::{self, Expected, NonceRule, VerifiedIdToken};
use super::provider::{Discovered, Provider};
use super::token::{self, TokenError};
use crate::claims::Claims;
use crate::crypto::Secret;
use crate::session::RefreshTicket;

/// What a refresh brought. No `Debug`: it holds the token.
pub struct Refreshed {
    /// What the provider says of the person now; none when it said nothing new.
    pub claims: Option<Claims>,
    /// The token for the next time; none when the same stays good.
    pub token: Option<Secret<String>>,
    /// Whether a part of what was to be asked could not be: the claims are to be asked for again soon.
    pub incomplete: bool,
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

/// The new tokens, nothing of them verified yet. No `Debug`.
struct Tokens {
    id_token: Option<CoreIdToken>,
    access_token: AccessToken,
    refresh_token: Option<Secret<String>>,
}

impl Provider {
    /// Exchanges the token of `ticket`, which belongs to a session of `subject`. Waits for all of the provider's answers
    /// together at most twice the limit of one.
    pub async fn refresh(
        &self,
        ticket: &RefreshTicket,
        subject: &str,
        redirect_uri: &str,
    ) -> Result<Refreshed, RefreshError> {
        let limit = self.settings().limits.total * 2;
        let outcome = tokio::time::timeout(limit, self.refresh_in_time(ticket, subject, redirect_uri)).await;
        outcome.map_err(|_| RefreshError::Unavailable(LoginError::TimedOut.code()))?
    }

    async fn refresh_in_time(
        &self,
        ticket: &RefreshTicket,
        subject: &str,
        redirect_uri: &str,
    ) -> Result<Refreshed, RefreshError> {
        let unavailable = |error: LoginError| RefreshError::Unavailable(error.code());
        let discovered = self.discovered().map_err(|error| unavailable(error.into()))?;
        let tokens = self.exchange(&discovered, ticket, redirect_uri).await?;
        let verified = match &tokens.id_token {
            Some(id_token) => Some(self.verify_refreshed(id_token, &tokens, ticket, &discovered).await?),
            None => None,
        };
        // Core 12.2: its sub Claim Value MUST be the same as in the ID Token issued when the original authentication occurred.
        if verified.as_ref().is_some_and(|token| !bool::from(token.subject.as_bytes().ct_eq(subject.as_bytes()))) {
            return Err(ended(IdTokenError::Subject.into()));
        }
        let (userinfo, incomplete) = match self.settings().userinfo {
            true => self.userinfo_again(&discovered, &tokens.access_token, subject).await?,
            false => (None, false),
        };
        Ok(Refreshed { claims: joined(verified, userinfo, incomplete), token: tokens.refresh_token, incomplete })
    }

    async fn exchange(
        &self,
        discovered: &Discovered,
        ticket: &RefreshTicket,
        redirect_uri: &str,
    ) -> Result<Tokens, RefreshError> {
        let client = discovered.client(self.settings(), redirect_uri);
        let client = client.map_err(|error| RefreshError::Unavailable(LoginError::from(error).code()))?;
        let token = openidconnect::RefreshToken::new(ticket.token.expose().clone());
        let asked = client.exchange_refresh_token(&token).request_async(self.http()).await;
        let answer = asked.map_err(|error| judge(&error))?;
        if *answer.token_type() != CoreTokenType::Bearer {
            return Err(ended(TokenEndpointError::TokenType.into()));
        }
        Ok(Tokens {
            id_token: answer.id_token().cloned(),
            access_token: answer.access_token().clone(),
            refresh_token: answer.refresh_token().map(|token| Secret::new(token.secret().clone())),
        })
    }

    /// Verifies the ID token, once more with fresh keys where it names a key that is not known (R14).
    async fn verify_refreshed(
        &self,
        id_token: &CoreIdToken,
        tokens: &Tokens,
        ticket: &RefreshTicket,
        discovered: &Arc<Discovered>,
    ) -> Result<VerifiedIdToken, RefreshError> {
        let verify = |discovered: &Discovered| {
            let expected = Expected {
                settings: self.settings(),
                nonce: NonceRule::Repeated(&ticket.nonce),
                keys: &discovered.keys,
                published_algorithms: &discovered.metadata.id_token_signing_alg_values_supported,
                access_token: &tokens.access_token,
                now: self.now(),
            };
            id_token::verify(id_token, &expected)
        };
        let outcome = match verify(discovered) {
            Err(IdTokenError::UnknownKey) => match self.newer_keys(discovered).await {
                Some(newer) => verify(&newer),
                None => Err(IdTokenError::UnknownKey),
            },
            other => other,
        };
        outcome.map_err(|error| ended(error.into()))
    }

    /// What userinfo says now, and whether it could not be asked.
    async fn userinfo_again(
        &self,
        discovered: &Discovered,
        access_token: &AccessToken,
        subject: &str,
    ) -> Result<(Option<Claims>, bool), RefreshError> {
        match self.userinfo(discovered, access_token, subject).await {
            Ok(claims) => Ok((Some(claims), false)),
            Err(error @ (UserInfoError::Subject | UserInfoError::NotAnObject)) => Err(ended(error.into())),
            Err(error) => {
                tracing::warn!(
                    provider = self.name(),
                    reason = LoginError::from(error).code(),
                    "userinfo not refreshed"
                );
                Ok((None, true))
            }
        }
    }
}

/// The ID token wins over userinfo, as at the login. Without all that was configured, nothing is taken over: half of the claims would be as if
/// the other half were gone.
fn joined(token: Option<VerifiedIdToken>, userinfo: Option<Claims>, incomplete: bool) -> Option<Claims> {
    match (token.map(|token| token.claims), userinfo) {
        _ if incomplete => None,
        (None, userinfo) => userinfo,
        (token, None) => token,
        (Some(token), Some(mut claims)) => {
            claims.merge(token);
            Some(claims)
        }
    }
}

fn ended(error: LoginError) -> RefreshError {
    RefreshError::Ended(error.code())
}

/// Which errors of the token endpoint are about the session, and which about the provider or the client.
fn judge(error: &TokenError) -> RefreshError {
    let found = token::reduce(error);
    let about_the_session = match error {
        // 5.2, and what providers answer when the person must be asked again (OIDC Core 3.1.2.6).
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidGrant => true,
            CoreErrorResponseType::Extension(word) => {
                matches!(word.as_str(), "interaction_required" | "login_required" | "consent_required")
            }
            _ => false,
        },
        // The answer was a token response, and the ID token in it none.
        RequestTokenError::Parse(..) => matches!(found, LoginError::IdToken(_)),
        _ => false,
    };
    if about_the_session { RefreshError::Ended(found.code()) } else { RefreshError::Unavailable(found.code()) }
}
