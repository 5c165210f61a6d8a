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
pub use crate::config::ClientAuth;
use crate::crypto::Secret;

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
    /// How the secret is sent.
    pub client_auth: ClientAuth,
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
        let client = (name, issuer, client_id, client_auth, scopes, userinfo);
        let trust = (trusted_audiences, ca, clock_skew, limits, signals);
        secret
            && client
                == (&other.name, &other.issuer, &other.client_id, &other.client_auth, &other.scopes, &other.userinfo)
            && trust == (&other.trusted_audiences, &other.ca, &other.clock_skew, &other.limits, &other.signals)
    }
}

/// Why a provider's settings cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// The issuer is no absolute `https` URL (or `http` on a loopback name) without user, query and fragment.
    Issuer(String),
    /// The client id is empty.
    ClientId,
    /// `basic` or `post` without a secret.
    SecretMissing,
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
    if settings.client_auth != ClientAuth::None && settings.client_secret.is_none() {
        return Err(SettingsError::SecretMissing);
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
