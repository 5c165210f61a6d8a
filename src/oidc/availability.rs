//! Why a provider cannot be used: it does not answer, or what it publishes is not believed.
//!
//! These words go to operators, in the log and in `/readyz`. They quote a provider only where its issuer is not the
//! configured one, cut and without control characters; addresses, bodies and secrets are never part of them (R17).
//!
//! May touch: nothing. Trust boundary: none. Specifications: OpenID Connect Discovery 1.0 section 4, RFC 7517 section 5.

use std::fmt;
use std::io;

/// Why a request to a provider brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The host's name has no address.
    NameUnknown,
    /// No connection was made.
    Connect(io::ErrorKind),
    /// TLS failed: not trusted, wrong name, expired, or no TLS at all.
    Tls(&'static str),
    /// The answer was no HTTP, or broke off.
    Protocol,
    /// The answer is longer than the limit.
    TooLarge,
    /// The time limit passed.
    TimedOut,
    /// The address cannot be asked: no host, or clear text beyond this machine.
    BadUrl,
    /// A part of the request cannot stand in a header field.
    BadRequest,
    /// The provider has no such endpoint.
    NoEndpoint,
    /// The provider is busy or limits its clients, also after asking again.
    TurnedAway,
    /// The provider asked to be left alone for some time, which is not over.
    Resting,
}

impl FetchError {
    /// Names a TLS failure without quoting the peer.
    pub(super) fn tls(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        Self::Tls(match inner {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                "its certificate is from an issuer that is not trusted; set `ca`"
            }
            Some(rustls::Error::InvalidCertificate(_)) => "its certificate is not valid for this name and time",
            Some(_) => "the TLS handshake failed",
            None => "the connection broke off during the TLS handshake",
        })
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameUnknown => write!(f, "the host's name cannot be resolved"),
            Self::Connect(kind) => write!(f, "no connection: {kind}"),
            Self::Tls(why) => write!(f, "no trusted connection: {why}"),
            Self::Protocol => write!(f, "the answer is no complete HTTP answer"),
            Self::TooLarge => write!(f, "the answer is longer than the limit"),
            Self::TimedOut => write!(f, "no complete answer within the time limit"),
            Self::BadUrl => write!(f, "the address cannot be asked; it must be https, or http on a loopback name"),
            Self::BadRequest => write!(f, "the request holds bytes that HTTP does not allow"),
            Self::NoEndpoint => write!(f, "the provider has no such endpoint"),
            Self::TurnedAway => write!(f, "the provider is busy or limits its clients (429 or 503)"),
            Self::Resting => write!(f, "the provider asked to be left alone for a while (Retry-After)"),
        }
    }
}

impl std::error::Error for FetchError {}

/// Why a provider's metadata or key set is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// The document could not be fetched.
    Fetch(FetchError),
    /// The answer's status is not 200.
    Status(u16),
    /// The document is not JSON, or lacks a required member.
    NotMetadata(String),
    /// The document is of another issuer.
    IssuerMismatch {
        /// What is configured.
        expected: String,
        /// What the document says.
        found: String,
    },
    /// This endpoint is not https.
    InsecureEndpoint(&'static str),
    /// The provider says that it does not know `response_type=code`.
    NoCodeFlow,
    /// The provider says that it does not know PKCE with S256.
    NoPkce,
    /// `userinfo = true`, and the provider has no userinfo endpoint.
    NoUserInfo,
    /// `pushed_requests = true`, and the provider has no endpoint for them, or it wants them and has none.
    NoPushedRequests,
    /// The provider says that it does not know `response_mode=form_post`.
    NoFormPost,
    /// The key set is not one.
    NotKeySet,
    /// The key set has no key that may verify an ID token.
    NoUsableKey,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the answer has status {status} instead of 200"),
            Self::NotMetadata(why) => write!(f, "the metadata document cannot be used: {why}"),
            Self::IssuerMismatch { expected, found } => {
                let found: String = found.chars().filter(|c| !c.is_control()).take(200).collect();
                write!(f, "the metadata is of issuer `{found}`, and `{expected}` is configured")
            }
            Self::InsecureEndpoint(name) => write!(f, "`{name}` is no https address"),
            Self::NoCodeFlow => write!(f, "the provider does not offer response type `code`"),
            Self::NoPkce => write!(f, "the provider does not offer PKCE with S256"),
            Self::NoUserInfo => write!(f, "the provider has no userinfo endpoint; set userinfo = false"),
            Self::NoPushedRequests => {
                write!(f, "the provider has no pushed_authorization_request_endpoint, and pushed requests are wanted")
            }
            Self::NoFormPost => write!(f, "the provider does not offer response_mode form_post"),
            Self::NotKeySet => write!(f, "the key set is not a JSON object with a list `keys`"),
            Self::NoUsableKey => write!(f, "the key set has no key that an ID token may be verified with"),
        }
    }
}

impl std::error::Error for MetadataError {}

impl From<FetchError> for MetadataError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

/// No login can begin: the provider was never reached, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderUnavailable {
    /// What the last attempt met; for logs and `/readyz`.
    pub reason: String,
}

impl fmt::Display for ProviderUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the provider is not available: {}", self.reason)
    }
}

impl std::error::Error for ProviderUnavailable {}
