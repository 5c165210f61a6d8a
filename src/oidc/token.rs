//! A code becomes tokens: the one request that carries the client's secret and the PKCE verifier.
//!
//! May touch: the network through `endpoint`. Trust boundary: the token endpoint's answer is believed only as far as
//! TLS goes; the ID token in it is verified in `id_token`. Errors keep nothing of the answer's text, for tokens may be in it (R17).
//! Specifications: RFC 6749 sections 4.1.3 and 5, RFC 7636 section 4.5, OIDC Core 3.1.3.3.

use http::StatusCode;
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::error::{IdTokenError, LoginError, TokenEndpointError};
use super::http_client::HttpResponse;
use super::object;
use super::pending::PendingLogin;
use super::provider::{Discovered, Provider};
use crate::crypto::Secret;

/// What the token endpoint answered, nothing of it verified yet. No `Debug`: these are tokens.
pub(super) struct Tokens {
    pub(super) id_token: Secret<String>,
    pub(super) access_token: Secret<String>,
    pub(super) refresh_token: Option<Secret<String>>,
}

/// A token endpoint's answer (RFC 6749 section 5.1). No `Debug`.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: Secret<String>,
    token_type: String,
    #[serde(default)]
    pub(super) id_token: Option<Secret<String>>,
    #[serde(default)]
    pub(super) refresh_token: Option<Secret<String>>,
}

/// An error answer (RFC 6749 section 5.2); its description is not read.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

impl Provider {
    /// Redeems a code.
    pub(super) async fn redeem(
        &self,
        discovered: &Discovered,
        code: &str,
        pending: &PendingLogin,
        redirect_uri: &str,
    ) -> Result<Tokens, LoginError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", pending.verifier.expose()),
        ];
        let response = self.ask_as_client(discovered, Endpoint::Token, &form).await;
        let answer = TokenAnswer::read(&response.map_err(TokenEndpointError::Fetch)?)?;
        let id_token = answer.id_token.ok_or(IdTokenError::Missing)?;
        Ok(Tokens { id_token, access_token: answer.access_token, refresh_token: answer.refresh_token })
    }
}

impl TokenAnswer {
    /// Reads an answer, or says why there is none.
    pub(super) fn read(response: &HttpResponse) -> Result<Self, TokenEndpointError> {
        if response.status() != StatusCode::OK {
            return Err(refusal(response));
        }
        let answer: Self = object::read_answer(response.body()).map_err(|_| TokenEndpointError::Malformed)?;
        if answer.token_type.eq_ignore_ascii_case("Bearer") { Ok(answer) } else { Err(TokenEndpointError::TokenType) }
    }
}

/// Keeps of an error answer what may be known.
pub(super) fn refusal(response: &HttpResponse) -> TokenEndpointError {
    match error_word(response).as_deref() {
        None => TokenEndpointError::Malformed,
        Some("invalid_grant") => TokenEndpointError::InvalidGrant,
        Some("invalid_client") => TokenEndpointError::InvalidClient,
        Some(_) => TokenEndpointError::Refused,
    }
}

/// The word of an error answer; to be compared, never to be shown.
pub(super) fn error_word(response: &HttpResponse) -> Option<String> {
    if response.status() == StatusCode::OK {
        return None;
    }
    object::read_answer(response.body()).ok().map(|answer: ErrorAnswer| answer.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_a_description_in_another_encoding_does_not_hide_the_word_of_an_error() {
        let answer = |body: &[u8]| http::Response::builder().status(400).body(body.to_vec()).unwrap();
        let says = answer(b"{\"error\":\"invalid_grant\",\"error_description\":\"Ung\xfcltig\"}");
        assert_eq!(error_word(&says).as_deref(), Some("invalid_grant"));
        for none in [&b"[\"invalid_grant\"]"[..], b"{\"error\":\"invalid\xfcgrant\"}", b"invalid_grant"] {
            assert_eq!(error_word(&answer(none)), None);
        }
    }
}
