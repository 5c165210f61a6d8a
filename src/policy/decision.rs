//! What is asked of a policy and what it answers.
//!
//! [`Permit`] is a proof: only [`Policy::decide`](super::Policy::decide) makes one, and nothing reaches an application
//! without it. A [`Denial`] keeps its reason for the log; a client is shown none of it but that it was denied.
//!
//! May touch: nothing. Trust boundary: a request's facts are a stranger's, already canonical; a subject's claims are a
//! provider's.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::answer::Answer;
use crate::certificate::Certificate;
use crate::claims::{Claims, Text};
use crate::clock::Timestamp;
use crate::http::{CanonicalPath, HostName, Scheme};

/// A person who is signed in.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What the provider says about the person; the one view for rules and headers.
    pub claims: Claims,
    /// How and when the person signed in.
    pub session: SessionFacts,
}

/// What vouches for a person in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    /// A browser's session.
    #[default]
    Browser,
    /// An API client's access token.
    Bearer,
}

impl SessionKind {
    /// The word in expressions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Bearer => "bearer",
        }
    }
}

/// How and when a person signed in.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// What vouches for the person.
    pub kind: SessionKind,
    /// The provider's name in the configuration.
    pub provider: Text,
    /// The authentication context class that the provider vouched for.
    pub acr: Option<Text>,
    /// The authentication methods that the provider named.
    pub amr: Vec<Text>,
    /// When the person last proved who they are; the beginning of time where a token does not say.
    pub authenticated_at: Timestamp,
}

/// What a rule may know of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host that the request is for.
    pub host: &'a HostName,
    /// The canonical path, the same that is forwarded.
    pub path: &'a CanonicalPath,
    /// The query as it was sent, without `?`; never part of a path match (P04).
    pub query: Option<&'a str>,
    /// The client's address, after trusted proxies were taken into account.
    pub client: IpAddr,
    /// How browsers reach the gateway.
    pub scheme: Scheme,
    /// The client's TLS connection, where it ends at the gateway.
    pub tls: Option<&'a TlsFacts>,
    /// The fields of its head, scrubbed of what a client must not say; what is left is the client's word for itself (S08).
    pub headers: &'a HeaderMap,
    /// Whether content comes behind the head (RFC 9110 section 6.4).
    pub has_content: bool,
}

impl RequestFacts<'_> {
    /// Whether a head announces content (RFC 9112 section 6.3), for those who see no more of a request.
    pub fn announces_content(headers: &HeaderMap) -> bool {
        let is_nothing = |length: &HeaderValue| length.as_bytes().iter().all(|digit| *digit == b'0');
        headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| !is_nothing(length))
    }
}

/// What is known of a client's TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The protocol version.
    pub version: TlsVersion,
    /// The certificate that the client has shown and that was verified.
    pub client: Option<Arc<Certificate>>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

impl TlsVersion {
    /// The version as it is written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// A policy's answer.
#[derive(Debug)]
pub enum Decision<'p> {
    /// The request may go to the application.
    Allow(Permit<'p>),
    /// It may not.
    Deny(Denial<'p>),
    /// Nobody is signed in and the rule asks for somebody.
    SignIn {
        /// The rule's label.
        rule: &'p str,
    },
    /// The person may, once they have proved more or again who they are.
    StepUp(Requirement<'p>),
    /// The gateway answers itself; the request does not reach the application.
    Answer(Reply<'p>),
}

impl<'p> Decision<'p> {
    /// The label of the rule that decided; none when no rule matched.
    pub fn rule(&self) -> Option<&'p str> {
        match self {
            Self::Allow(permit) => Some(permit.rule()),
            Self::Deny(denial) => denial.rule(),
            Self::SignIn { rule } => Some(rule),
            Self::StepUp(requirement) => Some(requirement.rule),
            Self::Answer(reply) => Some(reply.rule),
        }
    }

    /// The reason code of a denial.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Deny(denial) => Some(denial.code()),
            _ => None,
        }
    }
}

/// What the gateway answers in place of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'p> {
    /// The rule's label.
    pub rule: &'p str,
    /// The answer.
    pub answer: &'p Answer,
}

/// Proof that a policy allows a request, with the identity headers to set.
#[derive(Debug)]
pub struct Permit<'p> {
    rule: &'p str,
    headers: Headers<'p>,
    public: bool,
}

#[derive(Debug)]
pub(super) enum Headers<'p> {
    /// Made once for the session.
    Ready(&'p [(HeaderName, HeaderValue)]),
    /// Made once in a while for the session.
    Shared(Arc<[(HeaderName, HeaderValue)]>),
    /// Made for this request.
    Made(Vec<(HeaderName, HeaderValue)>),
}

impl<'p> Permit<'p> {
    pub(super) fn new(rule: &'p str, headers: Headers<'p>) -> Self {
        Self { rule, headers, public: false }
    }

    /// For everybody; `fields` tell nothing of a person.
    pub(super) fn public(rule: &'p str, fields: &'p [(HeaderName, HeaderValue)]) -> Self {
        Self { rule, headers: Headers::Ready(fields), public: true }
    }

    /// The label of the rule that decided: its name, or `#3` for the third rule.
    pub fn rule(&self) -> &'p str {
        self.rule
    }

    /// Whether the rule is for everybody; then no header tells of a person, whoever asks.
    pub fn is_public(&self) -> bool {
        self.public
    }

    /// The identity headers, each name once, in the order of the policy file; all cookies are one `Cookie` field at the end.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        match &self.headers {
            Headers::Ready(ready) => ready,
            Headers::Shared(shared) => shared,
            Headers::Made(made) => made,
        }
    }
}

/// What a person must prove before a rule lets them pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement<'p> {
    /// The rule's label.
    pub rule: &'p str,
    /// Any one of these is enough; empty when only the age of the sign-in is wrong and nothing else was ever asked for.
    pub acr: &'p [String],
    /// These are good enough, too: a provider may reach more than it is asked for.
    pub also_good: &'p [String],
    /// The sign-in must not be older than this.
    pub max_age: Option<Duration>,
}

/// Why a request is denied. For logs; not for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// The application cannot be reached from the client's network.
    NetworkDenied,
    /// No rule matches.
    NoRule,
    /// Applications may read this query parameter, by which the policy decides, in different ways.
    QueryAmbiguous(String),
    /// The policy decides by query parameters, and applications may find others in the content of this GET or HEAD.
    ContentAmbiguous,
    /// Applications may read the path in two ways, and the policy decides differently or by an expression of the path.
    PathAmbiguous,
    /// Applications may read this field of the request, by which the policy decides, in different ways.
    RequestHeaderAmbiguous(String),
    /// The rule's `deny` is true.
    Denied,
    /// The rule's `allow` is false.
    NotAllowed,
    /// The rule's `deny` or `allow` could not be evaluated; why.
    ExpressionFailed(String),
    /// A header that must not be missing has no value.
    HeaderMissing(HeaderName),
    /// A header's expression could not be evaluated; why.
    HeaderFailed(HeaderName, String),
    /// A header's value cannot be sent as the policy says; why.
    HeaderUnencodable(HeaderName, &'static str),
    /// A header's value is longer than its `max`, or than [`MAX_HEADER_VALUE`](super::MAX_HEADER_VALUE) without one.
    HeaderTooLong(HeaderName),
    /// The same of a cookie of this name.
    Cookie(Box<str>, Box<DenialReason>),
    /// The person was prepared for another policy: a fault of the gateway.
    OtherPolicy,
}

impl DenialReason {
    /// The reason code for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cookie(_, reason) => reason.code(),
            Self::NetworkDenied => "network_denied",
            Self::NoRule => "no_rule",
            Self::QueryAmbiguous(_) => "query_ambiguous",
            Self::ContentAmbiguous => "content_ambiguous",
            Self::PathAmbiguous => "path_ambiguous",
            Self::RequestHeaderAmbiguous(_) => "request_header_ambiguous",
            Self::Denied => "denied",
            Self::NotAllowed => "not_allowed",
            Self::ExpressionFailed(_) => "expression_failed",
            Self::HeaderMissing(_) => "header_missing",
            Self::HeaderFailed(..) => "header_failed",
            Self::HeaderUnencodable(..) => "header_unencodable",
            Self::HeaderTooLong(_) => "header_too_long",
            Self::OtherPolicy => "other_policy",
        }
    }
}

impl DenialReason {
    /// What is said of the header or cookie.
    fn of_a_value(&self) -> String {
        match self {
            Self::HeaderMissing(_) => "has no value and must have one".to_owned(),
            Self::HeaderFailed(_, why) => format!("could not be evaluated: {why}"),
            Self::HeaderUnencodable(_, why) => format!("cannot carry its value: {why}"),
            Self::HeaderTooLong(_) => "is longer than it may be".to_owned(),
            other => other.code().to_owned(),
        }
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkDenied => write!(f, "the application cannot be reached from the client's network"),
            Self::NoRule => write!(f, "no rule matches the request"),
            Self::QueryAmbiguous(name) => write!(f, "the query parameter `{name}` can be read in different ways"),
            Self::ContentAmbiguous => {
                write!(
                    f,
                    "a GET brings content, in which the application may find parameters that the policy does not see"
                )
            }
            Self::PathAmbiguous => {
                write!(f, "the path is decided on differently when its encoded slash is read as a slash")
            }
            Self::RequestHeaderAmbiguous(name) => {
                write!(f, "the request's header `{name}` can be read in different ways")
            }
            Self::Denied => write!(f, "the rule denies this person"),
            Self::NotAllowed => write!(f, "the rule does not allow this person"),
            Self::ExpressionFailed(why) => write!(f, "the rule's condition could not be evaluated: {why}"),
            Self::HeaderMissing(name)
            | Self::HeaderFailed(name, _)
            | Self::HeaderUnencodable(name, _)
            | Self::HeaderTooLong(name) => write!(f, "header `{name}` {}", self.of_a_value()),
            Self::Cookie(name, reason) => write!(f, "cookie `{name}` {}", reason.of_a_value()),
            Self::OtherPolicy => write!(f, "the session was prepared for another policy"),
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<'p> {
    rule: Option<&'p str>,
    reason: DenialReason,
}

impl<'p> Denial<'p> {
    pub(super) fn new(rule: Option<&'p str>, reason: DenialReason) -> Self {
        Self { rule, reason }
    }

    /// The label of the rule that decided; none when no rule matched.
    pub fn rule(&self) -> Option<&'p str> {
        self.rule
    }

    /// Why, for the log. It names claims and headers, never their values.
    pub fn reason(&self) -> &DenialReason {
        &self.reason
    }

    /// The reason code for logs and metrics.
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }
}
