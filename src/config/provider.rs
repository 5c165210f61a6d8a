//! `[providers.NAME]`: the OpenID providers that people sign in at.
//!
//! The issuer is kept twice: parsed, for connecting, and as its exact text, because OpenID Connect compares issuers as
//! strings (Discovery 1.0 section 4.3, RFC 9207). Clear-text issuers are for loopback only.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use super::asking::Asking;
use super::reader::{Findings, Section, Text};
use super::source::{Origin, Value};
use super::{Signals, asking, client, signals, tls};
use crate::crypto::{ClientKey, Secret, SignatureAlgorithm};
use crate::diagnostic::{Diagnostic, credentials};
use crate::http::HostName;
use crate::reference;

const CALLBACKS: [(&str, Callback); 2] = [("shared", Callback::Shared), ("own", Callback::Own)];

const RESPONSE_MODES: [(&str, ResponseMode); 2] =
    [("query", ResponseMode::Query), ("form_post", ResponseMode::FormPost)];

/// How the gateway proves to the provider that it is the client (OpenID Connect Core 1.0 section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`: id and secret, form-encoded, in the Authorization field.
    #[default]
    Basic,
    /// `client_secret_post`: id and secret in the request's body.
    Post,
    /// `client_secret_jwt`: an assertion, signed with the secret.
    SecretJwt,
    /// `private_key_jwt`: an assertion, signed with a private key.
    PrivateKeyJwt,
    /// `none`: a public client; only PKCE protects the code.
    None,
}

/// Whom an assertion of `client_secret_jwt` or `private_key_jwt` is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The address of the token endpoint, as OpenID Connect Core section 9 has it.
    #[default]
    TokenEndpoint,
    /// The issuer, as newer profiles have it.
    Issuer,
}

/// How a response comes back through the browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of a redirect.
    #[default]
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// Where on each host the responses of those providers come that have no address of their own.
pub const CALLBACK: &str = "/.lychgate/callback";

/// Where on each host a provider's responses come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callback {
    /// [`CALLBACK`], where others' may come too.
    #[default]
    Shared,
    /// Its own address below that, with its name.
    Own,
}

impl Callback {
    /// The path for the provider `name`, whose letters, digits, `-` and `_` need no escape there.
    pub fn path(self, name: &str) -> String {
        match self {
            Self::Shared => CALLBACK.to_owned(),
            Self::Own => format!("{CALLBACK}/{name}"),
        }
    }
}

/// One provider.
#[derive(Clone)]
pub struct ProviderConfig {
    /// The name that policies use.
    pub name: Arc<str>,
    /// The issuer, parsed.
    pub issuer: Url,
    /// The issuer as it was written; what `iss` must equal.
    pub issuer_text: String,
    /// The client id that the provider gave the gateway.
    pub client_id: String,
    /// The client secret; there unless `client_auth` is `none`.
    pub client_secret: Option<Secret<String>>,
    /// How the gateway proves that it is the client.
    pub client_auth: ClientAuth,
    /// The key for `private_key_jwt`.
    pub client_key: Option<ClientKey>,
    /// What the provider knows the key by.
    pub client_key_id: Option<String>,
    /// Whom assertions are for.
    pub assertion_audience: AssertionAudience,
    /// Whether authorization requests are pushed in any case.
    pub pushed_requests: bool,
    /// How responses come back.
    pub response_mode: ResponseMode,
    /// Where they come back.
    pub callback: Callback,
    /// What every login asks for.
    pub asking: Asking,
    /// With what tokens may be signed; empty for all.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// What is asked for; `openid` is always among it.
    pub scopes: Vec<String>,
    /// Whether userinfo is read after a login.
    pub userinfo: bool,
    /// Authorities to trust instead of the system's, as PEM.
    pub ca: Option<Vec<u8>>,
    /// How far the provider's clock may be off.
    pub clock_skew: Duration,
    /// What it may send to end sessions.
    pub signals: Signals,
}

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Vec<ProviderConfig> {
    let Some(entry) = top.entry("providers") else { return Vec::new() };
    let providers = Section::open("providers", &entry.node, &entry.key, &reference::gateway::PROVIDERS, found);
    providers.entries().filter_map(|(name, _)| read_one(&providers, name, found)).collect()
}

/// The names of all providers, sound or not.
pub(super) fn names(top: &Section<'_>) -> Vec<Arc<str>> {
    match top.entry("providers").map(|entry| &entry.node.value) {
        Some(Value::Table(entries)) => entries.keys().map(|name| name.as_str().into()).collect(),
        _ => Vec::new(),
    }
}

fn read_one(providers: &Section<'_>, name: &str, found: &mut Findings<'_>) -> Option<ProviderConfig> {
    let section = providers.section(name, found);
    check_name(name, section.origin(), found);
    let issuer_text = section.required_text("issuer", "the provider's issuer URL", found);
    let issuer = issuer_text.and_then(|text| issuer(&section, text, found));
    let client_id = section.required_text("client_id", "the client id that the provider gave you", found);
    let client_auth = section.choice("client_auth", &client::METHODS, found).unwrap_or(ClientAuth::Basic);
    let client_secret = client::secret(&section, client_auth, found);
    let client_key = client::key(&section, client_auth, found);
    let ca = section
        .text("ca", "the path of a PEM file", found)
        .and_then(|text| tls::read_authorities(&section.path("ca"), text, found));
    Some(ProviderConfig {
        signals: signals::read(&section, found),
        scopes: scopes(&section, found),
        userinfo: section.boolean("userinfo", found).unwrap_or(false),
        clock_skew: section.duration("clock_skew", found).unwrap_or(Duration::from_mins(1)),
        name: name.into(),
        issuer: issuer?,
        issuer_text: issuer_text?.value.to_owned(),
        client_id: client_id?.value.to_owned(),
        client_secret,
        client_auth,
        client_key,
        client_key_id: section.text("client_key_id", "the key's name at the provider", found).map(|id| id.value.into()),
        assertion_audience: section.choice("client_assertion_audience", &client::AUDIENCES, found).unwrap_or_default(),
        pushed_requests: section.boolean("pushed_requests", found).unwrap_or(false),
        response_mode: section.choice("response_mode", &RESPONSE_MODES, found).unwrap_or_default(),
        callback: section.choice("callback", &CALLBACKS, found).unwrap_or_default(),
        asking: asking::read(&section, found),
        algorithms: client::algorithms(&section, found),
        ca,
    })
}

fn check_name(name: &str, origin: &Origin, found: &mut Findings<'_>) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
        let message = format!("\"{}\" is no name for a provider", name.escape_debug());
        found.error(origin, message, "expected 1 to 64 letters, digits, `-` and `_`");
    }
}

fn issuer(section: &Section<'_>, text: Text<'_>, found: &mut Findings<'_>) -> Option<Url> {
    // What stands before an `@` may be a password, unless that is in the path.
    if credentials::stand_in("issuer", text.value) {
        let message = format!("`{}` holds a user name or a password", section.path("issuer"));
        let error = Diagnostic::error(message).help("expected scheme, host, port and path alone");
        found.note(text.origin, Diagnostic { secret: true, ..error });
        return None;
    }
    let url = match Url::parse(text.value) {
        Ok(url) => url,
        Err(error) => {
            let message = format!("`{}` is no URL: {error}", section.path("issuer"));
            found.error(text.origin, message, "expected an address such as \"https://login.example\"");
            return None;
        }
    };
    let wrong = issuer_wrong(&url, text.value);
    if let Some((message, expected)) = wrong {
        found.error(text.origin, format!("`{}` {message}", section.path("issuer")), expected);
        return None;
    }
    if url.scheme() == "http" {
        let warning = Diagnostic::warning(format!("`{}` is not encrypted", section.path("issuer")));
        found.note(text.origin, warning.help("this is accepted for a provider on this machine only"));
    }
    Some(url)
}

/// What is wrong with an issuer that is a URL (OpenID Connect Discovery 1.0 section 2).
fn issuer_wrong(url: &Url, text: &str) -> Option<(&'static str, &'static str)> {
    let host = url.host_str().and_then(|host| HostName::parse(host).ok());
    let loopback = host.as_ref().is_some_and(HostName::is_loopback);
    if !matches!(url.scheme(), "https" | "http") {
        Some(("has an unknown scheme", "expected https://"))
    } else if host.is_none() {
        Some(("has no host name that can be used", "expected an address such as \"https://login.example\""))
    } else if url.scheme() == "http" && !loopback {
        Some(("is not encrypted", "expected https:// (http:// is for loopback addresses only)"))
    } else if url.query().is_some() || url.fragment().is_some() {
        Some(("has a query or a fragment", "expected scheme, host, port and path alone"))
    } else if is_many_tenants(url) {
        Some((
            "is Entra's address for the accounts of all tenants, whose tokens name each its own issuer",
            "expected the address of your tenant: \"https://login.microsoftonline.com/TENANT-ID/v2.0\" (its id stands in the Entra admin centre, under Overview)",
        ))
    } else if text.contains("/.well-known/") {
        Some(("is the address of the metadata", "expected the issuer, which is what stands before /.well-known/"))
    } else {
        None
    }
}

fn scopes(section: &Section<'_>, found: &mut Findings<'_>) -> Vec<String> {
    if section.entry("scopes").is_none() {
        return ["openid", "profile", "email"].map(str::to_owned).to_vec();
    }
    let mut scopes = vec!["openid".to_owned()];
    for text in section.texts("scopes", "a list of scopes such as [\"openid\", \"email\"]", found) {
        if !text.value.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            let message = format!("`{}` holds \"{}\"", section.path("scopes"), text.value.escape_debug());
            found.error(text.origin, message, "expected one scope in each string, without spaces or quotes");
        } else if !scopes.iter().any(|scope| scope == text.value) {
            scopes.push(text.value.to_owned());
        }
    }
    scopes
}

/// Whether it is Entra ID's `common`, `organizations` or `consumers`. Whoever accepts those accepts every tenant of the world.
fn is_many_tenants(url: &Url) -> bool {
    const HOSTS: [&str; 4] = [
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.windows.net",
    ];
    let shared = |part: &str| ["common", "organizations", "consumers"].iter().any(|one| part.eq_ignore_ascii_case(one));
    url.host_str().is_some_and(|host| HOSTS.contains(&host))
        && url.path_segments().and_then(|mut parts| parts.next()).is_some_and(shared)
}

/// Responses that a browser posts from the provider's page come with cookies only where those may be sent across sites, which browsers
/// allow over https alone.
pub(super) fn check_response_modes(top: &Section<'_>, has_https: bool, found: &mut Findings<'_>) {
    let Some(entry) = top.entry("providers").filter(|_| !has_https) else { return };
    let Value::Table(providers) = &entry.node.value else { return };
    for (name, provider) in providers {
        let Value::Table(keys) = &provider.node.value else { continue };
        let Some(mode) = keys.get("response_mode") else { continue };
        if matches!(&mode.node.value, Value::Text(text) if text == "form_post") {
            let message = format!("`providers.{name}.response_mode` is \"form_post\", and no listener is https");
            let help = "give a listener `tls`, or `scheme = \"https\"` when a load balancer in front ends TLS; or use \"query\"";
            found.error(&mode.node.origin, message, help);
        }
    }
}
