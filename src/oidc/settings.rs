//! What an administrator says about one provider, checked once when the gateway starts.
//!
//! The composition root fills [`ProviderSettings`] from the configuration; [`check`] refuses what no login could ever work with or what
//! would be unsafe: clear-text issuers beyond this machine, an issuer with a query, a secret that is required and absent.
//!
//! May touch: nothing but memory. Trust boundary: the configuration file, which is trusted but written by hand.
//! Specification: OpenID Connect Discovery 1.0 section 3 (issuer), RFC 6749 section 2.3.1 (client authentication).

use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use url::Url;

use super::http_client::{self, Limits};
use super::signals::Signals;
pub use crate::config::{Asking, AssertionAudience, Callback, ClientAuth, ResponseMode};
use crate::crypto::{ClientKey, Secret, SignatureAlgorithm};
use crate::http::login_options;

/// One provider as it is configured.
#[derive(Clone)]
pub struct ProviderSettings {
    /// The name that policies use.
    pub name: Arc<str>,
    /// The issuer, character for character as the provider writes it in `iss`.
    pub issuer: String,
    /// The client that was registered for this gateway.
    pub client_id: String,
    /// The client's secret; none for a public client.
    pub client_secret: Option<Secret<String>>,
    /// How the gateway proves that it is the client.
    pub client_auth: ClientAuth,
    /// The private key for `private_key_jwt`.
    pub client_key: Option<ClientKey>,
    /// The `kid` of an assertion, by which the provider finds the key.
    pub client_key_id: Option<String>,
    /// Whom an assertion is for.
    pub assertion_audience: AssertionAudience,
    /// Whether authorization requests are pushed even where the provider does not ask for it.
    pub pushed_requests: bool,
    /// How the response comes back through the browser.
    pub response_mode: ResponseMode,
    /// Where on each host it comes.
    pub callback: Callback,
    /// With what tokens may be signed; empty for all that are known.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// What every login asks for.
    pub asking: Asking,
    /// The scopes to ask for; `openid` is added when it is missing.
    pub scopes: Vec<String>,
    /// Whether the userinfo endpoint is read after each login.
    pub userinfo: bool,
    /// Audiences that an ID token may name beside this client; none by default.
    pub trusted_audiences: Vec<String>,
    /// Certificates in PEM that are trusted for this provider **instead of** the system's.
    pub ca: Option<Vec<u8>>,
    /// How far the provider's clock may be off.
    pub clock_skew: Duration,
    /// What the provider may send to end sessions.
    pub signals: Signals,
    /// Limits of every single request to the provider.
    pub limits: Limits,
}

impl ProviderSettings {
    /// Settings with the documented defaults for everything that is optional.
    pub fn new(name: &str, issuer: &str, client_id: &str) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: None,
            client_auth: ClientAuth::default(),
            client_key: None,
            client_key_id: None,
            assertion_audience: AssertionAudience::default(),
            pushed_requests: false,
            response_mode: ResponseMode::default(),
            callback: Callback::default(),
            algorithms: Vec::new(),
            asking: Asking::default(),
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            userinfo: false,
            trusted_audiences: Vec::new(),
            ca: None,
            clock_skew: Duration::from_secs(60),
            signals: Signals::default(),
            limits: Limits::default(),
        }
    }
}

impl ProviderSettings {
    /// Whether both say the same, so that what was discovered with the one is good for the other.
    pub fn is_same_as(&self, other: &Self) -> bool {
        // Taken apart, so that a new setting cannot be forgotten here.
        let Self {
            name,
            issuer,
            client_id,
            client_secret,
            client_auth,
            client_key,
            client_key_id,
            assertion_audience,
            pushed_requests,
            response_mode,
            callback,
            algorithms,
            asking,
            scopes,
            userinfo,
            trusted_audiences,
            ca,
            clock_skew,
            signals,
            limits,
        } = self;
        let secret = match (client_secret, &other.client_secret) {
            (Some(ours), Some(theirs)) => ours.expose().as_bytes().ct_eq(theirs.expose().as_bytes()).into(),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        let key = match (client_key, &other.client_key) {
            (Some(ours), Some(theirs)) => ours.is_same_as(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        let client = (name, issuer, client_id, client_auth, client_key_id, assertion_audience);
        let login = (pushed_requests, response_mode, callback, asking, scopes, userinfo);
        let trust = (algorithms, trusted_audiences, ca, clock_skew, limits, signals);
        let o = other;
        secret
            && key
            && client == (&o.name, &o.issuer, &o.client_id, &o.client_auth, &o.client_key_id, &o.assertion_audience)
            && login == (&o.pushed_requests, &o.response_mode, &o.callback, &o.asking, &o.scopes, &o.userinfo)
            && trust == (&o.algorithms, &o.trusted_audiences, &o.ca, &o.clock_skew, &o.limits, &o.signals)
    }
}

/// Why a provider's settings cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// The issuer is no absolute `https` URL (or `http` on a loopback name) without user, query and fragment.
    Issuer(String),
    /// The client id is empty.
    ClientId,
    /// `basic`, `post` or `client_secret_jwt` without a secret.
    SecretMissing,
    /// `private_key_jwt` without a key.
    KeyMissing,
    /// A parameter that the gateway sets itself, or that must not be sent.
    Parameter(String),
    /// A scope with a space, a quote, a backslash or a control byte.
    Scope(String),
    /// The CA file holds no readable certificate.
    Ca(String),
    /// The TLS library refused its own defaults.
    Tls(String),
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issuer(found) => write!(
                f,
                "issuer `{found}` is not an https URL without user, query and fragment (http is accepted on loopback names only)"
            ),
            Self::ClientId => write!(f, "client_id is empty"),
            Self::SecretMissing => {
                write!(f, "client_secret is missing; set it, or set client_auth = \"none\" for a public client")
            }
            Self::KeyMissing => write!(f, "client_key is missing, which client_auth = \"private_key_jwt\" signs with"),
            Self::Parameter(found) => write!(f, "the parameter `{found}` cannot be set: {}", login_options::OWN),
            Self::Scope(found) => write!(f, "`{found}` is no scope: a scope is one word of visible ASCII"),
            Self::Ca(why) => write!(f, "the CA file holds no usable certificate: {why}"),
            Self::Tls(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// Refuses settings with which no login could work.
pub(super) fn check(settings: &ProviderSettings) -> Result<(), SettingsError> {
    if !is_issuer(&settings.issuer) {
        return Err(SettingsError::Issuer(settings.issuer.clone()));
    }
    if settings.client_id.is_empty() {
        return Err(SettingsError::ClientId);
    }
    match settings.client_auth {
        ClientAuth::Basic | ClientAuth::Post | ClientAuth::SecretJwt if settings.client_secret.is_none() => {
            return Err(SettingsError::SecretMissing);
        }
        ClientAuth::PrivateKeyJwt if settings.client_key.is_none() => return Err(SettingsError::KeyMissing),
        _ => {}
    }
    if let Some((name, _)) = settings.asking.parameters.iter().find(|(name, _)| login_options::is_own(name)) {
        return Err(SettingsError::Parameter(name.clone()));
    }
    match settings.scopes.iter().find(|scope| !is_scope(scope)) {
        Some(scope) => Err(SettingsError::Scope(scope.clone())),
        None => Ok(()),
    }
}

/// Discovery 1.0 section 3: https, no query, no fragment.
fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    http_client::may_be_fetched(&url) && url.query().is_none() && url.fragment().is_none()
}

/// RFC 6749 section 3.3: `%x21 / %x23-5B / %x5D-7E`.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(issuer: &str) -> ProviderSettings {
        let mut settings = ProviderSettings::new("idp", issuer, "client");
        settings.client_secret = Some(Secret::new("secret".to_owned()));
        settings
    }

    #[test]
    fn r02_issuers_that_are_none_are_refused() {
        for good in ["https://idp.example", "https://idp.example/a/b/", "http://localhost:1", "http://[::1]:80/x"] {
            assert_eq!(check(&settings(good)), Ok(()), "{good}");
        }
        for bad in [
            "",
            "idp.example",
            "http://idp.example",
            "http://127.0.0.1.evil.example",
            "https://idp.example?x",
            "https://idp.example#x",
            "https://user@idp.example",
            "https://:pw@idp.example",
            "ftp://idp.example",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            assert_eq!(check(&settings(bad)), Err(SettingsError::Issuer(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn settings_without_client_secret_or_sound_scopes_are_refused() {
        let mut no_secret = settings("https://idp.example");
        no_secret.client_secret = None;
        assert_eq!(check(&no_secret), Err(SettingsError::SecretMissing));
        no_secret.client_auth = ClientAuth::None;
        assert_eq!(check(&no_secret), Ok(()));
        let mut no_client = settings("https://idp.example");
        no_client.client_id.clear();
        assert_eq!(check(&no_client), Err(SettingsError::ClientId));
        for bad in ["", "a b", "a\"", "a\\", "é", "a\n"] {
            let mut bad_scope = settings("https://idp.example");
            bad_scope.scopes = vec![bad.to_owned()];
            assert_eq!(check(&bad_scope), Err(SettingsError::Scope(bad.to_owned())), "{bad:?}");
        }
    }
}
