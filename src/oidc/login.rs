//! The way out: an authorization request and the pending login that belongs to it.
//!
//! Every request carries a fresh `state`, `nonce` and PKCE challenge with S256; there is no switch for any of them (R11).
//! The verifier never stands in a URL: only its hash does.
//!
//! May touch: randomness and the clock, no I/O. Trust boundary: the return address was checked before (`ReturnTo`); `acr`
//! and `max_age` come from a policy. Specifications: OIDC Core 3.1.2.1, RFC 7636 section 4, RFC 9470 section 4.

use std::time::Duration;

use openidconnect::core::{CoreAuthPrompt, CoreResponseType};
use openidconnect::{
    AuthenticationContextClass, AuthenticationFlow, CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope,
};

use super::availability::ProviderUnavailable;
use super::pending::PendingLogin;
use super::provider::Provider;
use crate::crypto::{Secret, random};
use crate::http::ReturnTo;

/// What a login is begun for.
#[derive(Clone, Debug)]
pub struct LoginRequest<'a> {
    /// The application's own callback address, as it is registered at the provider.
    pub redirect_uri: &'a str,
    /// Where the person goes afterwards.
    pub return_to: ReturnTo,
    /// The authentication contexts of which one must be reached; empty for any.
    pub acr: &'a [String],
    /// The contexts that are good enough beside those asked for: a provider may reach more than it was asked for.
    pub also_good: &'a [String],
    /// How old the authentication may be.
    pub max_age: Option<Duration>,
    /// Whether the provider must ask for credentials again (`prompt=login`).
    pub force: bool,
    /// Whether the provider must show nothing (`prompt=none`): whoever is signed in there is signed in, or nobody.
    pub silent: bool,
}

impl<'a> LoginRequest<'a> {
    /// An ordinary login.
    pub fn new(redirect_uri: &'a str, return_to: ReturnTo) -> Self {
        Self { redirect_uri, return_to, acr: &[], also_good: &[], max_age: None, force: false, silent: false }
    }
}

impl LoginRequest<'_> {
    /// The contexts of which one must be reached; none when none was asked for.
    fn good_enough(&self) -> Vec<String> {
        let also_good = if self.acr.is_empty() { &[] } else { self.also_good };
        self.acr.iter().chain(also_good).cloned().collect()
    }
}

/// A login that has begun: where the browser goes, and what the gateway must remember in a sealed cookie.
pub struct Begun {
    /// The address at the provider; it carries no secret.
    pub authorize_url: String,
    /// To be sealed with [`super::pending::seal`].
    pub pending: PendingLogin,
}

impl Provider {
    /// Begins a login. Fails when the provider was never reached, or when `redirect_uri` is no URL.
    pub fn begin(&self, request: LoginRequest<'_>) -> Result<Begun, ProviderUnavailable> {
        let discovered = self.discovered()?;
        let pending = PendingLogin {
            provider: self.name().to_owned(),
            state: random::token(),
            nonce: random::token(),
            verifier: Secret::new(random::token()),
            acr: request.good_enough(),
            return_to: request.return_to,
            max_age: request.max_age,
            started_at: self.now(),
            silent: request.silent,
        };
        let client = discovered.client(self.settings(), request.redirect_uri)?;
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(pending.verifier.expose().clone()));
        let (state, nonce) = (CsrfToken::new(pending.state.clone()), Nonce::new(pending.nonce.clone()));
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut outward = client
            .authorize_url(flow, move || state, move || nonce)
            .set_pkce_challenge(challenge)
            .add_scopes(self.extra_scopes().map(|scope| Scope::new(scope.to_owned())));
        for acr in request.acr {
            outward = outward.add_auth_context_value(AuthenticationContextClass::new(acr.clone()));
        }
        if let Some(max_age) = request.max_age {
            outward = outward.set_max_age(max_age);
        }
        if request.force {
            outward = outward.add_prompt(CoreAuthPrompt::Login);
        }
        if request.silent {
            outward = outward.add_prompt(CoreAuthPrompt::None);
        }
        let (url, _, _) = outward.url();
        Ok(Begun { authorize_url: url.into(), pending })
    }

    /// The configured scopes but `openid`, which the request always has.
    fn extra_scopes(&self) -> impl Iterator<Item = &str> {
        self.settings().scopes.iter().map(String::as_str).filter(|scope| *scope != "openid")
    }
}
