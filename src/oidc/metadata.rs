//! A provider's metadata: the few members that the gateway acts on, checked.
//!
//! Unknown members are ignored and never parsed, so that an odd URL in some unused member cannot stop all logins.
//! Refused: an `issuer` that is not the configured one character for character (R02, the mix-up attack of RFC 9700
//! section 4.4), endpoints that are not https (in clear text on this very machine they are taken from an issuer that is there too, for
//! development), a provider that says it does not know the code flow or PKCE with S256.
//!
//! May touch: nothing but memory. Trust boundary: the document comes over TLS from the configured issuer's host.
//! Specifications: OpenID Connect Discovery 1.0 sections 3 and 4, RFC 8414, RFC 9126 section 5, RFC 9207 section 3.

use serde::{Deserialize, Deserializer};
use url::Url;

use super::availability::MetadataError;
use super::http_client::may_be_fetched;
use super::object;
use super::settings::{ProviderSettings, ResponseMode};

/// The members that matter here, as the provider published them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    #[serde(default)]
    pub(super) userinfo_endpoint: Option<Url>,
    #[serde(default)]
    pub(super) end_session_endpoint: Option<Url>,
    #[serde(default)]
    pub(super) pushed_authorization_request_endpoint: Option<Url>,
    #[serde(default)]
    pub(super) introspection_endpoint: Option<Url>,
    #[serde(default)]
    pub(super) revocation_endpoint: Option<Url>,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) require_pushed_authorization_requests: bool,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default, deserialize_with = "unless_null")]
    response_types_supported: Vec<String>,
    #[serde(default)]
    pub(super) code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) response_modes_supported: Vec<String>,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) backchannel_logout_supported: bool,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) frontchannel_logout_supported: bool,
    #[serde(default, deserialize_with = "unless_null")]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// Whether a document can be used as the metadata of `issuer`; with it, the addresses that would be asked.
pub fn usable_metadata(json: &[u8], issuer: &str) -> Result<Vec<Url>, MetadataError> {
    let metadata = Metadata::parse(json, issuer)?;
    let optional = [metadata.userinfo_endpoint, metadata.end_session_endpoint, metadata.introspection_endpoint];
    let always = [metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri];
    Ok(always.into_iter().chain(optional.into_iter().flatten()).collect())
}

impl Metadata {
    /// Where the issuer publishes its metadata: Discovery 4.1, a terminating slash is removed before appending.
    pub(super) fn address(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// Reads and checks a metadata document for the configured `issuer`.
    pub(super) fn parse(json: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        let metadata: Self = object::read(json).map_err(|error| MetadataError::NotMetadata(describe(&error)))?;
        // Discovery 4.3: the issuer returned MUST be identical to the one that the document was asked of.
        if metadata.issuer != issuer {
            return Err(MetadataError::IssuerMismatch { expected: issuer.to_owned(), found: metadata.issuer });
        }
        metadata.check_endpoints(issuer)?;
        metadata.check_capabilities()?;
        Ok(metadata)
    }

    /// An issuer that is asked over https never leads to clear text, or its document could name any port of this machine.
    fn check_endpoints(&self, issuer: &str) -> Result<(), MetadataError> {
        let clear_text = Url::parse(issuer).is_ok_and(|issuer| issuer.scheme() == "http");
        let is_sound = |url: &Url| may_be_fetched(url) && (clear_text || url.scheme() == "https");
        let endpoints = [
            ("authorization_endpoint", Some(&self.authorization_endpoint)),
            ("token_endpoint", Some(&self.token_endpoint)),
            ("jwks_uri", Some(&self.jwks_uri)),
            ("userinfo_endpoint", self.userinfo_endpoint.as_ref()),
            ("end_session_endpoint", self.end_session_endpoint.as_ref()),
            ("pushed_authorization_request_endpoint", self.pushed_authorization_request_endpoint.as_ref()),
            ("introspection_endpoint", self.introspection_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
        ];
        let doubtful = |(name, url): (&'static str, Option<&Url>)| {
            url.filter(|url| !is_sound(url) || url.fragment().is_some()).map(|_| name)
        };
        match endpoints.into_iter().find_map(doubtful) {
            Some(name) => Err(MetadataError::InsecureEndpoint(name)),
            None => Ok(()),
        }
    }

    /// Whether what the settings need is there; what is not said is not held against the provider.
    pub(super) fn check_for(&self, settings: &ProviderSettings) -> Result<(), MetadataError> {
        if settings.userinfo && self.userinfo_endpoint.is_none() {
            return Err(MetadataError::NoUserInfo);
        }
        if self.pushes(settings) && self.pushed_authorization_request_endpoint.is_none() {
            return Err(MetadataError::NoPushedRequests);
        }
        let modes = &self.response_modes_supported;
        if settings.response_mode == ResponseMode::FormPost
            && !modes.is_empty()
            && !modes.iter().any(|mode| mode == "form_post")
        {
            return Err(MetadataError::NoFormPost);
        }
        Ok(())
    }

    /// Whether authorization requests are pushed: required here or there (RFC 9126 section 5).
    pub(super) fn pushes(&self, settings: &ProviderSettings) -> bool {
        settings.pushed_requests || self.require_pushed_authorization_requests
    }

    /// What is not said is not held against the provider; what is said counts.
    fn check_capabilities(&self) -> Result<(), MetadataError> {
        let types = &self.response_types_supported;
        if !types.is_empty() && !types.iter().any(|kind| kind == "code") {
            return Err(MetadataError::NoCodeFlow);
        }
        match &self.code_challenge_methods_supported {
            Some(methods) if !methods.iter().any(|method| method == "S256") => Err(MetadataError::NoPkce),
            _ => Ok(()),
        }
    }
}

/// What is `null` is left out: RFC 8414 section 3.2 wants members without a value left out, and there are providers that write `null` for them.
fn unless_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Where the parser stopped, without the document's own text.
fn describe(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a required member is missing or has another type",
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Eof => "JSON that breaks off",
    };
    if error.line() == 0 {
        return "no UTF-8".to_owned();
    }
    format!("{kind}, line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each member that is no address may be, or `null`, which is as if it were not there.
    #[test]
    fn what_is_null_is_left_out() {
        let least = serde_json::json!({
            "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/authorize",
            "token_endpoint": "https://idp.example/token", "jwks_uri": "https://idp.example/jwks",
        });
        let parse =
            |metadata: &serde_json::Value| Metadata::parse(metadata.to_string().as_bytes(), "https://idp.example");
        let without = format!("{:?}", parse(&least).unwrap());
        for member in [
            "userinfo_endpoint",
            "end_session_endpoint",
            "pushed_authorization_request_endpoint",
            "introspection_endpoint",
            "revocation_endpoint",
            "require_pushed_authorization_requests",
            "id_token_signing_alg_values_supported",
            "response_types_supported",
            "code_challenge_methods_supported",
            "response_modes_supported",
            "token_endpoint_auth_methods_supported",
            "backchannel_logout_supported",
            "frontchannel_logout_supported",
            "authorization_response_iss_parameter_supported",
        ] {
            let mut metadata = least.clone();
            metadata[member] = serde_json::Value::Null;
            assert_eq!(format!("{:?}", parse(&metadata).unwrap()), without, "{member}");
            metadata[member] = 7.into();
            assert!(matches!(parse(&metadata), Err(MetadataError::NotMetadata(_))), "{member}");
        }
        for member in ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"] {
            let mut metadata = least.clone();
            metadata[member] = serde_json::Value::Null;
            assert!(matches!(parse(&metadata), Err(MetadataError::NotMetadata(_))), "{member}");
        }
    }

    #[test]
    fn r02_clear_text_on_this_machine_is_for_issuers_that_are_there_too() {
        const ENDPOINTS: [&str; 8] = [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
            "pushed_authorization_request_endpoint",
            "introspection_endpoint",
            "revocation_endpoint",
        ];
        let with = |issuer: &str, odd: &str, address: &str| {
            let mut metadata = serde_json::json!({ "issuer": issuer });
            for endpoint in ENDPOINTS {
                let usual = format!("{issuer}/{endpoint}");
                metadata[endpoint] = if endpoint == odd { address } else { &usual }.into();
            }
            usable_metadata(metadata.to_string().as_bytes(), issuer).map(drop)
        };
        for endpoint in ENDPOINTS {
            for address in ["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]/x", "http://idp.example/x"] {
                let found = with("https://idp.example", endpoint, address);
                assert_eq!(found, Err(MetadataError::InsecureEndpoint(endpoint)), "{address}");
            }
            assert_eq!(with("https://idp.example", endpoint, "https://keys.example/x"), Ok(()));
            assert_eq!(with("http://localhost:9000", endpoint, "http://127.0.0.1:9000/x"), Ok(()));
            let away = with("http://localhost:9000", endpoint, "http://idp.example/x");
            assert_eq!(away, Err(MetadataError::InsecureEndpoint(endpoint)));
        }
    }
}
