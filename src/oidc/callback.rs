//! The way back: a response from the browser becomes a person who is signed in, or an error that names the broken rule.
//!
//! The order of the checks is the point of this file: nothing is asked of the token endpoint before `state`, provider, age
//! and `iss` of the response fit the pending login (R08, R09, R10), and nothing of the ID token is used before all of it
//! was verified; userinfo is read only after that (R01).
//!
//! May touch: the network through `token`, `provider` and `userinfo`. Trust boundary: every parameter is written by whoever
//! holds the browser. Specifications: RFC 6749 sections 3.1 and 4.1.2, RFC 9207 section 2.4, OIDC Core 3.1.2.5 to 3.1.3.7.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;

use super::error::{IdTokenError, LoginError};
use super::id_token::{self, Expected, NonceRule, VerifiedIdToken};
use super::pending::PendingLogin;
use super::provider::{Discovered, Provider};
use super::provider_error::ProviderErrorCode;
use super::settings::ResponseMode;
use super::token::Tokens;
use super::two_sources::joined;
use crate::claims::{ClaimValue, Claims, Text};
use crate::clock::Timestamp;
use crate::crypto::Secret;

/// The longest response in bytes, as a query or as a form.
pub const MAX_RESPONSE: usize = 8 * 1024;
/// Parameters that may stand in a response only once, whether they are used here or not.
const ONCE: [&str; 7] = ["state", "code", "iss", "error", "error_description", "error_uri", "session_state"];

/// The parameters of a callback. No `Debug`: it holds the code.
#[derive(Clone, Default)]
pub struct CallbackParams {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<ProviderErrorCode>,
    /// What the provider says of it, if the provider is who wrote it.
    error_description: Option<String>,
    /// How the response came.
    mode: ResponseMode,
}

/// What a response says besides its `state`. No `Debug`: it holds the code.
#[derive(Clone, Copy)]
pub struct Said<'p> {
    /// The code.
    pub code: Option<&'p str>,
    /// Who says that it answers.
    pub iss: Option<&'p str>,
    /// What it answers instead of a code.
    pub error: Option<ProviderErrorCode>,
}

/// A person who has signed in. No `Debug`: it holds the ID token.
#[derive(Clone)]
pub struct SignedIn {
    /// Who it is, at this provider.
    pub subject: String,
    /// What the ID token, and userinfo where it is configured, say; the ID token wins.
    pub claims: Claims,
    /// Names of what userinfo sent.
    pub userinfo: Vec<Text>,
    /// The ID token as it was received, for `id_token_hint`.
    pub id_token: Secret<String>,
    /// What refreshes the session, where the provider gave one.
    pub refresh_token: Option<Secret<String>>,
    /// The provider's session.
    pub sid: Option<String>,
    /// The authentication context that was reached.
    pub acr: Option<String>,
    /// The authentication methods that were used.
    pub amr: Vec<String>,
    /// When the person authenticated: `auth_time`, never in the future; as long ago as can be where the provider does not say.
    pub authenticated_at: Timestamp,
    /// Until when the ID token is good.
    pub expires: Timestamp,
}

impl CallbackParams {
    /// Reads a callback's query. Unknown parameters are ignored (RFC 6749 section 4.1.2).
    pub fn parse(query: &str) -> Result<Self, LoginError> {
        if query.len() > MAX_RESPONSE {
            return Err(LoginError::MalformedResponse);
        }
        let mut seen = [false; ONCE.len()];
        let mut params = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let known = ONCE.iter().zip(&mut seen).find(|(once, _)| **once == name);
            let Some((once, seen)) = known else { continue };
            // RFC 6749 section 3.1: parameters MUST NOT be included more than once (R07).
            if std::mem::replace(seen, true) {
                return Err(LoginError::DuplicateParameter(once));
            }
            params.set(once, decode(value)?);
        }
        Ok(params)
    }

    /// Reads the body of a callback that the browser posted; a query beside it is a doubt (OAuth 2.0 Form Post Response Mode, section 2).
    pub fn parse_form(body: &[u8], query: Option<&str>) -> Result<Self, LoginError> {
        if query.is_some_and(|query| !query.is_empty()) {
            return Err(LoginError::MalformedResponse);
        }
        let body = std::str::from_utf8(body).map_err(|_| LoginError::MalformedResponse)?;
        Ok(Self { mode: ResponseMode::FormPost, ..Self::parse(body)? })
    }

    /// The response's `state`, by which its pending login is found.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// What the provider says of its error; for the log of a login that this browser began, and never for people (R06).
    pub fn error_description(&self) -> Option<&str> {
        self.error_description.as_deref()
    }

    /// Everything else that counts, to be compared with what was sent.
    pub fn said(&self) -> Said<'_> {
        Said { code: self.code.as_deref(), iss: self.iss.as_deref(), error: self.error }
    }

    /// RFC 6749 section 3.1: a parameter without a value is as good as none.
    fn set(&mut self, name: &str, value: String) {
        if value.is_empty() {
            return;
        }
        match name {
            "state" => self.state = Some(value),
            "code" => self.code = Some(value),
            "iss" => self.iss = Some(value),
            "error" => self.error = Some(ProviderErrorCode::parse(&value)),
            "error_description" => self.error_description = Some(value),
            _ => {}
        }
    }
}

impl Provider {
    /// Finishes the login that `pending` began. `redirect_uri` must be the one it began with. Waits for all of the
    /// provider's answers together at most twice the limit of one (R16).
    pub async fn finish(
        &self,
        pending: &PendingLogin,
        params: &CallbackParams,
        redirect_uri: &str,
    ) -> Result<SignedIn, LoginError> {
        let limit = self.settings().limits.total * 2;
        let outcome = tokio::time::timeout(limit, self.finish_in_time(pending, params, redirect_uri)).await;
        outcome.map_err(|_| LoginError::TimedOut)?
    }

    async fn finish_in_time(
        &self,
        pending: &PendingLogin,
        params: &CallbackParams,
        redirect_uri: &str,
    ) -> Result<SignedIn, LoginError> {
        self.check_response(pending, params)?;
        let discovered = self.discovered()?;
        check_issuer(params, &self.settings().issuer, &discovered)?;
        if let Some(error) = params.error {
            return Err(LoginError::ProviderError(error));
        }
        let code = params.code.as_deref().ok_or(LoginError::CodeMissing)?;
        // A code that came another way than it was asked for was led here by somebody else.
        if params.mode != self.settings().response_mode {
            return Err(LoginError::ResponseMode);
        }
        if !self.first_use_of(&pending.state) {
            return Err(LoginError::StateReplayed);
        }
        let tokens = self.redeem(&discovered, code, pending, redirect_uri).await?;
        let (token, discovered) = self.verify(&tokens, pending, discovered).await?;
        id_token::check_requirements(&token, pending, self.now(), self.settings())?;
        let userinfo = match self.settings().userinfo {
            true => self.userinfo(&discovered, tokens.access_token.expose(), &token.subject).await?,
            false => Claims::default(),
        };
        Ok(SignedIn { refresh_token: tokens.refresh_token, ..signed_in(token, userinfo, self.now()) })
    }

    /// The response belongs to this pending login (R08), and both to this provider (R10).
    fn check_response(&self, pending: &PendingLogin, params: &CallbackParams) -> Result<(), LoginError> {
        if pending.provider != self.name() || pending.registration != self.registration() {
            return Err(LoginError::OtherProvider);
        }
        let state = params.state.as_deref().ok_or(LoginError::StateMissing)?;
        if !bool::from(state.as_bytes().ct_eq(pending.state.as_bytes())) {
            return Err(LoginError::StateMismatch);
        }
        if pending.is_expired(self.now()) { Err(LoginError::Expired) } else { Ok(()) }
    }

    /// Verifies the ID token, once more with fresh keys where those that are known may be old (R14).
    async fn verify(
        &self,
        tokens: &Tokens,
        pending: &PendingLogin,
        discovered: Arc<Discovered>,
    ) -> Result<(VerifiedIdToken, Arc<Discovered>), IdTokenError> {
        let verify = |discovered: &Discovered| self.verify_with(tokens, pending, discovered);
        let verified = self.with_keys(discovered, verify, IdTokenError::is_of_old_keys).await;
        verified.map_err(|refused| refused.error)
    }

    fn verify_with(
        &self,
        tokens: &Tokens,
        pending: &PendingLogin,
        discovered: &Discovered,
    ) -> Result<VerifiedIdToken, IdTokenError> {
        let expected = Expected {
            settings: self.settings(),
            nonce: NonceRule::Sent(&pending.nonce),
            keys: &discovered.keys,
            algorithms: &self.algorithms_of(discovered),
            access_token: tokens.access_token.expose(),
            now: self.now(),
        };
        id_token::verify(tokens.id_token.expose(), &expected)
    }
}

/// Whether the provider left `claim` out of `claims` because it has more values than it puts into a token: what Entra ID does with the groups
/// of a person who is in many (`hasgroups`, or `_claim_names` that lead elsewhere, OpenID Connect Core 5.6.2). A policy that reads
/// such a claim would decide as if the person were in no group.
pub fn left_out(claims: &Claims, claim: &str) -> bool {
    if claims.value(claim).is_some() {
        return false;
    }
    let elsewhere = match claims.value("_claim_names") {
        Some(ClaimValue::Object(names)) => names.contains_key(claim),
        _ => false,
    };
    let has_groups = match claims.value("hasgroups") {
        Some(ClaimValue::Bool(has)) => *has,
        Some(ClaimValue::Text(text)) => &**text == "true",
        _ => false,
    };
    elsewhere || (claim == "groups" && has_groups)
}

/// RFC 9207 section 2.4: compared as strings; where the metadata promises it, its absence is a refusal (R09).
fn check_issuer(params: &CallbackParams, issuer: &str, discovered: &Discovered) -> Result<(), LoginError> {
    match &params.iss {
        Some(found) if found == issuer => Ok(()),
        Some(_) => Err(LoginError::IssuerMismatch),
        None if discovered.metadata.authorization_response_iss_parameter_supported => Err(LoginError::IssuerMissing),
        None => Ok(()),
    }
}

fn signed_in(token: VerifiedIdToken, userinfo: Claims, now: Timestamp) -> SignedIn {
    // `iat` is no sign-in: whoever sits at an unlocked browser gets a new token without credentials.
    let authenticated_at = id_token::seconds(&token.claims, "auth_time").unwrap_or_default().min(now);
    let amr = match token.claims.value("amr") {
        Some(ClaimValue::List(methods)) => methods.iter().filter_map(ClaimValue::as_text).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let text = |name: &str| token.claims.text(name).map(str::to_owned);
    let (sid, acr) = (text("sid"), text("acr"));
    SignedIn {
        subject: token.subject,
        userinfo: userinfo.iter().map(|(name, _)| name.into()).collect(),
        claims: joined(userinfo, token.claims),
        id_token: Secret::new(token.text),
        refresh_token: None,
        sid,
        acr,
        amr,
        authenticated_at,
        expires: token.expires,
    }
}

/// `application/x-www-form-urlencoded`, where bytes that are no UTF-8 are refused and not replaced.
fn decode(text: &str) -> Result<String, LoginError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| LoginError::MalformedResponse)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(query: &str) -> Option<LoginError> {
        CallbackParams::parse(query).err()
    }

    #[test]
    fn r07_parameters_that_stand_twice_are_refused() {
        for name in ONCE {
            assert_eq!(error(&format!("{name}=a&{name}=a")), Some(LoginError::DuplicateParameter(name)));
            assert_eq!(error(&format!("{name}=&x=1&{name}")), Some(LoginError::DuplicateParameter(name)));
        }
        assert_eq!(error("st%61te=a&state=b"), Some(LoginError::DuplicateParameter("state")));
        assert_eq!(error("x=1&x=2&code=a&State=b&State=c"), None);
    }

    #[test]
    fn responses_that_cannot_be_decoded_are_refused() {
        for bad in ["code=%ff", "%c3%28=x", &"a".repeat(MAX_RESPONSE + 1)] {
            assert_eq!(error(bad), Some(LoginError::MalformedResponse), "{bad:.20}");
        }
    }

    #[test]
    fn r07_a_posted_response_with_a_query_beside_it_or_a_name_twice_is_refused() {
        let form = |body: &[u8], query| CallbackParams::parse_form(body, query).err();
        assert_eq!(form(b"state=a&code=b", None), None);
        assert_eq!(form(b"state=a&code=b", Some("")), None);
        assert_eq!(form(b"state=a&code=b", Some("iss=x")), Some(LoginError::MalformedResponse));
        assert_eq!(form(b"state=a&code=b&code=b", None), Some(LoginError::DuplicateParameter("code")));
        assert_eq!(form(b"state=\xff", None), Some(LoginError::MalformedResponse));
    }

    #[test]
    fn a_response_is_decoded_once() {
        let params = CallbackParams::parse("state=a%2Bb+c&code=%2525&iss=https%3A%2F%2Fidp&error=").ok().unwrap();
        assert_eq!(params.state(), Some("a+b c"));
        assert_eq!(params.code.as_deref(), Some("%25"));
        assert_eq!(params.iss.as_deref(), Some("https://idp"));
        assert_eq!(params.error, None);
        assert_eq!(CallbackParams::parse("").ok().unwrap().state(), None);
    }
}
