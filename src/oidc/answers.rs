//! How a provider's answers are read, together: for who compares these readings with others (the fuzz target `provider`).
//!
//! Nothing here is asked by the gateway, and nothing is decided: each function is the reader of one room. May touch: nothing but memory.
//! Trust boundary: each room's own.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::error::{IdTokenError, TokenEndpointError, UserInfoError};
use super::http_client::HttpResponse;
use super::id_token::{self, Expected, NonceRule};
use super::keys::KeySet;
use super::settings::ProviderSettings;
use super::token::{self, TokenAnswer};
use super::token_error::TokenError;
use super::token_terms::{self, TokenFacts, Vouched};
use super::{freshness, introspection, patience, pushed, userinfo};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::crypto::{Secret, SignatureAlgorithm};
use crate::policy::Bearer;

/// The access, ID and refresh token of a token endpoint's answer.
pub fn tokens(answer: &HttpResponse) -> Result<[Option<Secret<String>>; 3], TokenEndpointError> {
    let TokenAnswer { access_token, id_token, refresh_token, .. } = TokenAnswer::read(answer)?;
    Ok([Some(access_token), id_token, refresh_token])
}

/// What is kept of an error answer, and its word.
pub fn refusal(answer: &HttpResponse) -> (TokenEndpointError, Option<String>) {
    (token::refusal(answer), token::error_word(answer))
}

/// What is said of a token; claims where it is active.
pub fn introspection(body: &[u8]) -> Option<Option<Arc<Claims>>> {
    introspection::read(body)
}

/// What plain userinfo adds to the claims of `subject`.
pub fn userinfo(body: &[u8], subject: &str) -> Result<Claims, UserInfoError> {
    userinfo::plain(body, subject)
}

/// The reference to a pushed request.
pub fn pushed(answer: &HttpResponse) -> Result<String, TokenEndpointError> {
    pushed::reference(answer)
}

/// How long metadata and keys are good.
pub fn good_for(headers: &HeaderMap) -> Duration {
    freshness::good_for(headers)
}

/// For how long an endpoint asks to be left alone.
pub fn asked_to_wait(answer: &HttpResponse, now: Timestamp) -> Option<Duration> {
    patience::asked_to_wait(answer, now)
}

/// Claims of an ID token, whoever signed it: whom it is of, and until when.
pub fn id_token(
    claims: &Claims,
    settings: &ProviderSettings,
    nonce: &str,
    now: Timestamp,
) -> Result<(String, Timestamp), IdTokenError> {
    let algorithms = SignatureAlgorithm::ALL;
    let (nonce, keys) = (NonceRule::Sent(nonce), KeySet::default());
    let expected = Expected { settings, nonce, keys: &keys, algorithms: &algorithms, access_token: "", now };
    id_token::check_claims(claims, SignatureAlgorithm::Es256, &expected)
}

/// Claims of an access token that the provider signed, or vouches for in an answer.
pub fn access_token(
    claims: Claims,
    signed: bool,
    terms: &Bearer,
    settings: &ProviderSettings,
    now: Timestamp,
) -> Result<TokenFacts, TokenError> {
    let by = match (signed, terms.any_type) {
        (false, _) => Vouched::Introspection,
        (true, false) => Vouched::Rfc9068,
        (true, true) => Vouched::Signature,
    };
    token_terms::check(claims, by, terms, settings, now)
}
