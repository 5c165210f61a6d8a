//! Every way in which a login can fail, named for the rule that was broken.
//!
//! Two audiences: [`LoginError::code`] is for logs and metrics, [`LoginError::advice`] for the person at the browser. Both
//! are fixed texts: nothing that a provider or a browser wrote is ever part of them (R06), and no variant carries a token,
//! a code or a secret (R17).
//!
//! May touch: nothing. Trust boundary: none; this is where the boundary's findings are spelled out.
//! Specifications: RFC 6749 sections 4.1.2.1 and 5.2, OIDC Core 3.1.2.6, the OpenID unmet-authentication-requirements error.

use std::fmt;

use http::StatusCode;

use super::availability::{FetchError, ProviderUnavailable};
use super::jws::JwsError;
use super::provider_error::ProviderErrorCode;

/// Why a code brought no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEndpointError {
    /// The endpoint could not be asked.
    Fetch(FetchError),
    /// `invalid_grant`: the code is used, expired or not for us.
    InvalidGrant,
    /// `invalid_client`: id, secret or `client_auth` is not what the provider expects.
    InvalidClient,
    /// Another error answer.
    Refused,
    /// The answer is no token response.
    Malformed,
    /// The token type is not `Bearer`.
    TokenType,
}

impl TokenEndpointError {
    const fn pushed_code(self) -> &'static str {
        match self {
            Self::Fetch(_) => "pushed_request_unreachable",
            Self::InvalidClient => "pushed_request_invalid_client",
            Self::Malformed => "pushed_request_malformed",
            Self::InvalidGrant | Self::Refused | Self::TokenType => "pushed_request_refused",
        }
    }
}

/// Which rule an ID token broke. Numbers are those of OIDC Core 3.1.3.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTokenError {
    /// The token response has no ID token.
    Missing,
    /// The text is no signed JWT with the required claims, or its header is not one of an ID token.
    Malformed,
    /// Rule 1: the token is encrypted (five parts), which is not supported.
    Encrypted,
    /// Rule 2: `iss` is not exactly the configured issuer.
    Issuer,
    /// Rule 3: `aud` lacks our client id, or names someone whom we do not trust.
    Audience,
    /// Rules 4 and 5: `azp` is another client.
    AuthorizedParty,
    /// Rule 6: the signature does not fit the key.
    Signature,
    /// Rule 6, section 10.1: no key has the token's `kid`.
    UnknownKey,
    /// Rule 6, section 10.1: more than one key could have signed it.
    AmbiguousKey,
    /// Rules 7 and 8: `alg` is not on the list of allowed ones.
    Algorithm,
    /// Rule 9: `exp` is past.
    Expired,
    /// Rule 10: `iat` (or `nbf`) is in the future, or `iat` is older than any pending login.
    IssuedAt,
    /// Rule 11: `nonce` is missing or not the one that was sent.
    Nonce,
    /// Section 2: `sub` is missing, empty or longer than 255 bytes.
    Subject,
    /// Section 3.1.3.8: `at_hash` does not fit the access token.
    AccessTokenHash,
}

impl IdTokenError {
    /// Whether newer keys might have verified the token.
    pub(super) fn is_of_old_keys(&self) -> bool {
        matches!(self, Self::UnknownKey | Self::AmbiguousKey | Self::Signature)
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Missing => "id_token_missing",
            Self::Malformed => "id_token_malformed",
            Self::Encrypted => "id_token_encrypted",
            Self::Issuer => "id_token_issuer",
            Self::Audience => "id_token_audience",
            Self::AuthorizedParty => "id_token_authorized_party",
            Self::Signature => "id_token_signature",
            Self::UnknownKey => "id_token_unknown_key",
            Self::AmbiguousKey => "id_token_ambiguous_key",
            Self::Algorithm => "id_token_algorithm",
            Self::Expired => "id_token_expired",
            Self::IssuedAt => "id_token_issued_at",
            Self::Nonce => "id_token_nonce",
            Self::Subject => "id_token_subject",
            Self::AccessTokenHash => "id_token_access_token_hash",
        }
    }
}

/// Why the userinfo answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserInfoError {
    /// The endpoint could not be asked.
    Fetch(FetchError),
    /// The provider has no userinfo endpoint.
    NoEndpoint,
    /// The answer's status is not 200.
    Status,
    /// The answer is no JSON object, and no signed token either.
    NotAnObject,
    /// The answer is a token that the provider did not sign.
    Signed(JwsError),
    /// The answer is a token that no known key signed, and newer keys could not be fetched.
    KeysUnavailable,
    /// The answer is a token of another issuer, for another client, or of the past.
    NotForUs,
    /// `sub` is missing or is another person's.
    Subject,
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// The provider is not available; nothing was asked.
    Unavailable(ProviderUnavailable),
    /// The response is too long or not decodable.
    MalformedResponse,
    /// This parameter stands in the response twice (R07).
    DuplicateParameter(&'static str),
    /// The response has no `state`.
    StateMissing,
    /// No pending login of this browser has this `state`: it is old, done, or began elsewhere.
    StateUnknown,
    /// The pending login has another `state`.
    StateMismatch,
    /// This response was used before.
    StateReplayed,
    /// The login began longer ago than [`super::pending::LIFETIME`].
    Expired,
    /// The provider's answers together took longer than [`super::Provider::finish`] waits.
    TimedOut,
    /// The login began at another provider, or what its name stands for has changed (R10).
    OtherProvider,
    /// The response came to an address that is not that of the provider where the login began (R10).
    CallbackMismatch,
    /// The provider promises `iss` in its responses, and this one has none (R09).
    IssuerMissing,
    /// `iss` in the response is another issuer (R09).
    IssuerMismatch,
    /// The provider answered with an error.
    ProviderError(ProviderErrorCode),
    /// The response has neither code nor error.
    CodeMissing,
    /// The response came back in another way than the one that was asked for.
    ResponseMode,
    /// The provider did not take the pushed authorization request.
    PushedRequest(TokenEndpointError),
    /// The token endpoint gave no tokens.
    TokenEndpoint(TokenEndpointError),
    /// The ID token is refused.
    IdToken(IdTokenError),
    /// Rule 12: the ID token's `acr` is none of those that were asked for (R13).
    AcrNotReached,
    /// Rule 13: `auth_time` is older than the `max_age` that was asked for (R13).
    AuthenticationTooOld,
    /// Section 2: `max_age` was asked for, and there is no `auth_time`.
    AuthTimeMissing,
    /// The userinfo answer is refused.
    UserInfo(UserInfoError),
    /// The provider left this claim out, for it has more values than it puts into a token, and the policy reads it.
    ClaimLeftOut(Box<str>),
}

impl LoginError {
    /// A fixed word for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "provider_unavailable",
            Self::MalformedResponse => "malformed_response",
            Self::DuplicateParameter(_) => "duplicate_parameter",
            Self::StateMissing => "state_missing",
            Self::StateUnknown => "state_unknown",
            Self::StateMismatch => "state_mismatch",
            Self::StateReplayed => "state_replayed",
            Self::Expired => "login_expired",
            Self::TimedOut => "login_timed_out",
            Self::OtherProvider => "other_provider",
            Self::CallbackMismatch => "callback_mismatch",
            Self::IssuerMissing => "issuer_missing",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::ProviderError(code) => code.as_str(),
            Self::CodeMissing => "code_missing",
            Self::ResponseMode => "response_mode",
            Self::PushedRequest(error) => error.pushed_code(),
            Self::TokenEndpoint(TokenEndpointError::Fetch(_)) => "token_endpoint_unreachable",
            Self::TokenEndpoint(TokenEndpointError::InvalidGrant) => "token_endpoint_invalid_grant",
            Self::TokenEndpoint(TokenEndpointError::InvalidClient) => "token_endpoint_invalid_client",
            Self::TokenEndpoint(TokenEndpointError::Refused) => "token_endpoint_refused",
            Self::TokenEndpoint(TokenEndpointError::Malformed) => "token_endpoint_malformed",
            Self::TokenEndpoint(TokenEndpointError::TokenType) => "token_endpoint_token_type",
            Self::IdToken(error) => error.code(),
            Self::AcrNotReached => "acr_not_reached",
            Self::AuthenticationTooOld => "authentication_too_old",
            Self::AuthTimeMissing => "auth_time_missing",
            Self::ClaimLeftOut(_) => "claim_left_out",
            Self::UserInfo(UserInfoError::Fetch(_)) => "userinfo_unreachable",
            Self::UserInfo(UserInfoError::NoEndpoint) => "userinfo_no_endpoint",
            Self::UserInfo(UserInfoError::Status) => "userinfo_status",
            Self::UserInfo(UserInfoError::NotAnObject) => "userinfo_not_an_object",
            Self::UserInfo(UserInfoError::Signed(_) | UserInfoError::KeysUnavailable) => "userinfo_signature",
            Self::UserInfo(UserInfoError::NotForUs) => "userinfo_not_for_us",
            Self::UserInfo(UserInfoError::Subject) => "userinfo_subject",
        }
    }

    /// What the person at the browser can do, in one or two sentences.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Unavailable(_)
            | Self::TimedOut
            | Self::TokenEndpoint(TokenEndpointError::Fetch(_))
            | Self::PushedRequest(TokenEndpointError::Fetch(_))
            | Self::UserInfo(UserInfoError::Fetch(_))
            | Self::ProviderError(ProviderErrorCode::ServerError | ProviderErrorCode::TemporarilyUnavailable) => {
                "The sign-in service cannot be reached at the moment. Please try again in a minute."
            }
            Self::StateMissing
            | Self::StateUnknown
            | Self::StateMismatch
            | Self::StateReplayed
            | Self::Expired
            | Self::TokenEndpoint(TokenEndpointError::InvalidGrant) => {
                "This sign-in took too long, was finished before, or was begun in another browser. Please sign in again."
            }
            Self::AcrNotReached | Self::ProviderError(ProviderErrorCode::UnmetAuthenticationRequirements) => {
                "This application needs a stronger sign-in than the one that was made. Please ask the help desk to set up a second factor for your account."
            }
            Self::AuthenticationTooOld => {
                "This application asks you to sign in afresh. Please sign out at the sign-in service and try again."
            }
            Self::ProviderError(ProviderErrorCode::AccessDenied) => {
                "The sign-in was cancelled or your account may not use this application. If you should have access, please ask the help desk."
            }
            Self::ClaimLeftOut(_) => {
                "Your account is in so many groups that the sign-in service does not list them, so this application cannot tell what you may do. Please give the request id below to the help desk."
            }
            _ => {
                "The sign-in could not be completed because of a technical problem. Please try again; if it happens again, give the request id below to the help desk."
            }
        }
    }

    /// Whether a provider that was asked to show nothing (`prompt=none`) would have had to show something (OIDC Core 3.1.2.6).
    pub const fn is_unseen(&self) -> bool {
        matches!(
            self,
            Self::ProviderError(
                ProviderErrorCode::LoginRequired
                    | ProviderErrorCode::InteractionRequired
                    | ProviderErrorCode::ConsentRequired
                    | ProviderErrorCode::AccountSelectionRequired
                    | ProviderErrorCode::UnmetAuthenticationRequirements
                    | ProviderErrorCode::AccessDenied
                    | ProviderErrorCode::Other
            ) | Self::AcrNotReached
        )
    }

    /// Whether nothing but age went wrong, so that the login may begin again by itself, once (R08).
    pub const fn is_stale(&self) -> bool {
        matches!(self, Self::StateUnknown | Self::StateReplayed | Self::Expired)
    }

    /// What an operator can do about it, where more is known than the code says; for the log.
    pub const fn operator_help(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClaimLeftOut(_) => {
                "the provider left the claim out because it has too many values (group overage at Entra ID): let it send only the groups that are assigned to the application, or use app roles; see docs/providers.md"
            }
            Self::IdToken(IdTokenError::Encrypted) => {
                "the ID token is encrypted, which is not supported: switch ID token encryption off for this client at the provider"
            }
            Self::IdToken(IdTokenError::Algorithm) => {
                "the ID token is not signed with an algorithm that is accepted: register an asymmetric one (RS256, PS256, ES256, EdDSA) for this client, and see `algorithms`"
            }
            Self::TokenEndpoint(TokenEndpointError::InvalidClient)
            | Self::PushedRequest(TokenEndpointError::InvalidClient) => {
                "the provider refuses the client: compare client_id, client_secret or client_key, and client_auth with what is registered; `lychgate doctor` tries them"
            }
            Self::ProviderError(ProviderErrorCode::UnmetAuthenticationRequirements) | Self::AcrNotReached => {
                "the provider could not reach the `acr` that was asked for: see what it calls its levels, and whether the person has enrolled what they need"
            }
            Self::CallbackMismatch => {
                "the response came to the redirect address of another provider: either `callback` was changed while this person signed in, or somebody led them from one provider to another; see docs/providers.md"
            }
            Self::AuthTimeMissing => {
                "the ID token has no `auth_time`, which OpenID Connect requires where `max_age` is asked for: let the provider send it (at Entra ID an optional claim); see docs/providers.md"
            }
            Self::ProviderError(
                ProviderErrorCode::UnauthorizedClient
                | ProviderErrorCode::UnsupportedResponseType
                | ProviderErrorCode::InvalidScope
                | ProviderErrorCode::InvalidRequest,
            ) => {
                "the provider refuses the request: see that the client may use the code flow, and the `scopes` that are configured; `lychgate doctor` tries them"
            }
            Self::TokenEndpoint(TokenEndpointError::InvalidGrant) => {
                "the provider refuses the code: it was redeemed before, took too long, or was given for another client or redirect address"
            }
            Self::IdToken(IdTokenError::Expired | IdTokenError::IssuedAt) => {
                "the ID token is of another time: compare this machine's clock with the provider's (`lychgate doctor` does), and see `clock_skew`"
            }
            Self::IdToken(IdTokenError::Issuer) => {
                "the ID token's `iss` is not the configured `issuer`, character for character: see what the provider calls itself"
            }
            Self::IdToken(IdTokenError::Audience | IdTokenError::AuthorizedParty) => {
                "the ID token is for another client: compare `client_id` with what is registered"
            }
            Self::ResponseMode => {
                "the response came by another way than `response_mode` says: see what is registered for this client at the provider"
            }
            _ => return None,
        })
    }

    /// The status of the page that tells of it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unavailable(_) | Self::PushedRequest(TokenEndpointError::Fetch(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::AcrNotReached
            | Self::AuthenticationTooOld
            | Self::ClaimLeftOut(_)
            | Self::ProviderError(
                ProviderErrorCode::AccessDenied | ProviderErrorCode::UnmetAuthenticationRequirements,
            ) => StatusCode::FORBIDDEN,
            Self::ProviderError(_)
            | Self::PushedRequest(_)
            | Self::TokenEndpoint(_)
            | Self::IdToken(_)
            | Self::AuthTimeMissing
            | Self::UserInfo(_) => StatusCode::BAD_GATEWAY,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for LoginError {}

impl From<ProviderUnavailable> for LoginError {
    fn from(error: ProviderUnavailable) -> Self {
        Self::Unavailable(error)
    }
}

impl From<IdTokenError> for LoginError {
    fn from(error: IdTokenError) -> Self {
        Self::IdToken(error)
    }
}

impl From<TokenEndpointError> for LoginError {
    fn from(error: TokenEndpointError) -> Self {
        Self::TokenEndpoint(error)
    }
}

impl From<UserInfoError> for LoginError {
    fn from(error: UserInfoError) -> Self {
        Self::UserInfo(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r06_an_error_code_that_is_not_on_the_list_keeps_none_of_its_text() {
        assert_eq!(ProviderErrorCode::parse("access_denied"), ProviderErrorCode::AccessDenied);
        for odd in ["<script>", "ACCESS_DENIED", "", "other", "access_denied\n"] {
            let error = LoginError::ProviderError(ProviderErrorCode::parse(odd));
            assert_eq!(error.code(), "other", "{odd:?}");
        }
    }
}
