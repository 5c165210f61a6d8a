//! The way out: an authorization request and the pending login that belongs to it.
//!
//! Every request carries a fresh `state`, `nonce` and PKCE challenge with S256; there is no switch for any of them (R11).
//! The verifier never stands in a URL: only its hash does. Where requests are pushed (`pushed`), the browser carries the client's id
//! and a reference alone (R12).
//!
//! May touch: randomness and the clock; the network where requests are pushed. Trust boundary: the return address was checked before
//! (`ReturnTo`); `acr`, `max_age` and the like come from the configuration and from policies.
//! Specifications: OIDC Core 3.1.2.1, RFC 7636 section 4, RFC 9470 section 4.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::error::LoginError;
use super::pending::PendingLogin;
use super::provider::Provider;
use super::settings::ResponseMode;
use crate::crypto::{Secret, random};
use crate::http::{ReturnTo, login_options};
use crate::session::Origin;

/// What a login is begun for.
#[derive(Clone, Debug)]
pub struct LoginRequest<'a> {
    /// The application's own callback address, as it is registered at the provider.
    pub redirect_uri: &'a str,
    /// The application that it is for; nothing where there is only one.
    pub application: &'a str,
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
    /// What the provider shows; where nothing is said, what is configured for it. Says nothing for a silent login, unless it is `login`.
    pub prompt: Option<&'a str>,
    /// Further parameters; they go before those that are configured for the provider.
    pub parameters: &'a [(String, String)],
    /// Whether the provider must show nothing (`prompt=none`): whoever is signed in there is signed in, or nobody.
    pub silent: bool,
    /// The session that the browser holds.
    pub origin: Option<Origin>,
}

impl<'a> LoginRequest<'a> {
    /// An ordinary login.
    pub fn new(redirect_uri: &'a str, return_to: ReturnTo) -> Self {
        Self {
            redirect_uri,
            application: "",
            return_to,
            acr: &[],
            also_good: &[],
            max_age: None,
            force: false,
            prompt: None,
            parameters: &[],
            silent: false,
            origin: None,
        }
    }
}

/// A login that has begun: where the browser goes, and what the gateway must remember in a sealed cookie.
pub struct Begun {
    /// The address at the provider; it carries no secret.
    pub authorize_url: String,
    /// To be sealed with [`super::pending::seal`].
    pub pending: PendingLogin,
}

/// Whether a `prompt` makes the provider ask for credentials.
fn asks_for_credentials(prompt: &str) -> bool {
    prompt.split(' ').any(|word| word == "login")
}

impl Provider {
    /// Begins a login. Fails when the provider was never reached, or refuses a pushed request.
    pub async fn begin(&self, request: LoginRequest<'_>) -> Result<Begun, LoginError> {
        let discovered = self.discovered()?;
        let pending = PendingLogin {
            provider: self.name().to_owned(),
            registration: self.registration(),
            application: request.application.to_owned(),
            state: random::token(),
            nonce: random::token(),
            verifier: Secret::new(random::token()),
            acr: request.acr.to_vec(),
            also_good: if request.acr.is_empty() { Vec::new() } else { request.also_good.to_vec() },
            return_to: request.return_to.clone(),
            max_age: request.max_age.or(self.settings().asking.max_age),
            started_at: self.now(),
            // Where credentials are to be asked for every time, a sign-in without them would be none of what was configured.
            silent: request.silent && !self.prompt_of(&request).is_some_and(asks_for_credentials),
            origin: request.origin,
        };
        let parameters = self.parameters(&request, &pending);
        let parameters = match discovered.metadata.pushes(self.settings()) {
            true => self.push(&discovered, &parameters).await?,
            false => parameters,
        };
        let mut url: Url = discovered.metadata.authorization_endpoint.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        Ok(Begun { authorize_url: url.into(), pending })
    }

    /// What is asked for: first the gateway's own, then what the policy and the configuration add, which never has the same name.
    fn parameters(&self, request: &LoginRequest<'_>, pending: &PendingLogin) -> Vec<(String, String)> {
        let (settings, asking) = (self.settings(), &self.settings().asking);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(pending.verifier.expose()));
        let acr = if request.acr.is_empty() { &asking.acr_values } else { request.acr };
        let prompt = match (request.force, pending.silent) {
            (true, _) => Some("login"),
            (false, true) => Some("none"),
            (false, false) => self.prompt_of(request),
        };
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("client_id", settings.client_id.clone()),
            ("redirect_uri", request.redirect_uri.to_owned()),
            ("scope", self.scopes()),
            ("state", pending.state.clone()),
            ("nonce", pending.nonce.clone()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256".to_owned()),
        ];
        let optional = [
            ("response_mode", (settings.response_mode == ResponseMode::FormPost).then(|| "form_post".to_owned())),
            ("acr_values", (!acr.is_empty()).then(|| acr.join(" "))),
            ("max_age", pending.max_age.map(|age| age.as_secs().to_string())),
            ("prompt", prompt.map(str::to_owned)),
            ("ui_locales", (!asking.ui_locales.is_empty()).then(|| asking.ui_locales.join(" "))),
        ];
        parameters.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let mut all: Vec<(String, String)> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in request.parameters.iter().chain(&asking.parameters) {
            if !login_options::is_own(name) && !all.iter().any(|(known, _)| known == name) {
                all.push((name.clone(), value.clone()));
            }
        }
        all
    }

    fn prompt_of<'a>(&'a self, request: &LoginRequest<'a>) -> Option<&'a str> {
        request.prompt.or(self.settings().asking.prompt.as_deref())
    }

    /// The configured scopes, `openid` first.
    fn scopes(&self) -> String {
        let others = self.settings().scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
        std::iter::once("openid").chain(others).collect::<Vec<_>>().join(" ")
    }
}
