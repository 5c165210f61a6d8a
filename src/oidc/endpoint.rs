//! Requests to a provider's endpoints, made in one place: by name, within their limits, and as the registered client where that is asked.
//!
//! The token, pushed authorization, introspection and revocation endpoints get the same client authentication from here. How often a
//! request is made again and when a provider is left alone stands in `patience`.
//!
//! May touch: the network through `http_client`. Trust boundary: the answer, of which nothing is believed here; the form may hold codes
//! and tokens and is never logged (R17). Specifications: RFC 6749 section 2.3, RFC 7009, RFC 7662, RFC 9126 section 2.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::availability::FetchError;
use super::client_auth;
use super::http_client::{HttpRequest, HttpResponse};
use super::metadata::Metadata;
use super::provider::{Discovered, Provider};

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The metadata document.
    Metadata,
    /// The key set.
    Keys,
    /// Codes and refresh tokens become tokens.
    Token,
    /// Authorization requests are pushed (RFC 9126).
    PushedRequests,
    /// Claims about the person.
    UserInfo,
    /// What a token is (RFC 7662).
    Introspection,
    /// A token ends (RFC 7009).
    Revocation,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Metadata,
        Self::Keys,
        Self::Token,
        Self::PushedRequests,
        Self::UserInfo,
        Self::Introspection,
        Self::Revocation,
    ];

    /// A fixed word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Keys => "keys",
            Self::Token => "token",
            Self::PushedRequests => "pushed_requests",
            Self::UserInfo => "userinfo",
            Self::Introspection => "introspection",
            Self::Revocation => "revocation",
        }
    }

    /// Whether asking twice does no harm, whatever came of the first time.
    pub(super) const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Token | Self::PushedRequests)
    }

    /// The endpoint's address in the metadata; none when the provider has it not.
    pub(super) fn address(self, metadata: &Metadata) -> Option<&Url> {
        match self {
            Self::Metadata => None,
            Self::Keys => Some(&metadata.jwks_uri),
            Self::Token => Some(&metadata.token_endpoint),
            Self::PushedRequests => metadata.pushed_authorization_request_endpoint.as_ref(),
            Self::UserInfo => metadata.userinfo_endpoint.as_ref(),
            Self::Introspection => metadata.introspection_endpoint.as_ref(),
            Self::Revocation => metadata.revocation_endpoint.as_ref(),
        }
    }
}

impl Provider {
    /// Posts a form to an endpoint as the registered client, and reads the whole answer, whatever its status.
    pub(super) async fn ask_as_client(
        &self,
        discovered: &Discovered,
        endpoint: Endpoint,
        form: &[(&str, &str)],
    ) -> Result<HttpResponse, FetchError> {
        let address = endpoint.address(&discovered.metadata).ok_or(FetchError::NoEndpoint)?;
        // Made for each try anew: an assertion is good for one request.
        let make = || self.client_request(discovered, address, form);
        self.fetch_patiently(endpoint, make).await
    }

    fn client_request(
        &self,
        discovered: &Discovered,
        address: &Url,
        form: &[(&str, &str)],
    ) -> Result<HttpRequest, FetchError> {
        let token_endpoint = &discovered.metadata.token_endpoint;
        let credentials =
            client_auth::credentials(self.settings(), token_endpoint, self.now()).ok_or(FetchError::BadRequest)?;
        let mut body = Serializer::new(String::new());
        let own = |name: &str| credentials.form.iter().any(|(key, _)| *key == name);
        body.extend_pairs(form.iter().filter(|(name, _)| !own(name)));
        body.extend_pairs(credentials.form.iter().map(|(name, value)| (*name, value.as_str())));
        let body = Zeroizing::new(body.finish());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(address.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(authorization) = credentials.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(body.as_bytes().to_vec()).map_err(|_| FetchError::BadUrl)
    }
}
