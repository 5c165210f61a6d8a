//! A code becomes tokens: the one request that carries the client's secret and the PKCE verifier.
//!
//! The library encodes and sends it (client id and secret are form-encoded before Basic, RFC 6749 section 2.3.1); what it
//! reports is reduced to [`LoginError`]s, because its own errors hold the answer's text and so the tokens (R17).
//!
//! May touch: the network through `http_client`. Trust boundary: the token endpoint's answer is believed only as far as
//! TLS goes; the ID token in it is verified in `id_token`. Specifications: RFC 6749 section 4.1.3, RFC 7636 section 4.5.

use openidconnect::core::{CoreErrorResponseType, CoreIdToken, CoreTokenType};
use openidconnect::{
    AccessToken, AuthorizationCode, OAuth2TokenResponse as _, PkceCodeVerifier, RequestTokenError,
    StandardErrorResponse, TokenResponse as _,
};

use super::availability::FetchError;
use super::error::{IdTokenError, LoginError, TokenEndpointError};
use super::id_token;
use super::pending::PendingLogin;
use super::provider::{Client, Provider};
use crate::claims::Claims;
use crate::crypto::Secret;

/// What the token endpoint answered, nothing of it verified yet. No `Debug`: these are tokens.
pub(super) struct Tokens {
    pub(super) id_token: CoreIdToken,
    pub(super) access_token: AccessToken,
    pub(super) refresh_token: Option<Secret<String>>,
}

pub(super) type TokenError = RequestTokenError<FetchError, StandardErrorResponse<CoreErrorResponseType>>;

impl Provider {
    /// Redeems a code.
    pub(super) async fn redeem(
        &self,
        client: &Client,
        code: &str,
        pending: &PendingLogin,
    ) -> Result<Tokens, LoginError> {
        let response = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.expose().clone()))
            .request_async(self.http())
            .await
            .map_err(|error| reduce(&error))?;
        if *response.token_type() != CoreTokenType::Bearer {
            return Err(TokenEndpointError::TokenType.into());
        }
        let id_token = response.id_token().ok_or(IdTokenError::Missing)?.clone();
        let refresh_token = response.refresh_token().map(|token| Secret::new(token.secret().clone()));
        Ok(Tokens { id_token, access_token: response.access_token().clone(), refresh_token })
    }
}

/// Keeps of an error what may be known.
pub(super) fn reduce(error: &TokenError) -> LoginError {
    let found = match error {
        RequestTokenError::Request(error) => TokenEndpointError::Fetch(*error),
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidGrant => TokenEndpointError::InvalidGrant,
            CoreErrorResponseType::InvalidClient => TokenEndpointError::InvalidClient,
            _ => TokenEndpointError::Refused,
        },
        RequestTokenError::Parse(_, body) => return unreadable(body),
        RequestTokenError::Other(_) => TokenEndpointError::Malformed,
    };
    found.into()
}

/// The library parses the ID token together with the answer around it: says which of the two was wrong.
fn unreadable(body: &[u8]) -> LoginError {
    match Claims::from_json(body).ok().as_ref().and_then(|answer| answer.text("id_token")) {
        Some(token) => id_token::why_unreadable(token).into(),
        None => TokenEndpointError::Malformed.into(),
    }
}
