//! The rescue table: every cause that ends a request early, and the answer that it becomes.
//!
//! The log gets the reason's code; the client gets a status, a sentence and the request's identifier, and no more than it needs.
//! Specification: RFC 9110 section 15.

use std::time::Duration;

use http::header::{CONNECTION, InvalidHeaderValue, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};

use super::account::Account;
use super::addresses;
use super::bearer::BearerError;
use super::caller::Caller;
use super::challenge::{challenge, set};
use super::content::Content;
use super::form_errors::KeptFormError;
use super::limits::Over;
use super::sign_in;
use crate::http::forwarded::ChainError;
use crate::http::{HeadError, PathError, ReturnTo};
use crate::oidc::{LoginError, ProviderErrorCode, TokenError};
use crate::pages::{Foot, Form, Page};
use crate::snapshot::Application;
use crate::upstream::UpstreamError;

/// Why a request gets an answer of the gateway's own.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The head is doubtful.
    Head(HeadError),
    /// The head has too many fields.
    HeadTooLarge,
    /// A trusted proxy leaves in doubt who the client is.
    Forwarded(ChainError),
    /// A field poses as one that only the gateway may send, and the application wants such requests refused.
    ForgedHeader,
    /// A body comes with a request for another protocol: what follows the head could be either's.
    UpgradeWithBody,
    /// No application has this host.
    UnknownHost,
    /// The host's applications do not have this path.
    UnknownPath,
    /// A host where people sign in was asked over plain http.
    ClearText {
        /// The same address over https.
        instead: String,
    },
    /// A listener that sends everybody to https was asked.
    ToHttps {
        /// The same address over https.
        instead: String,
        /// The status of the answer.
        status: StatusCode,
    },
    /// The request names another host than its TLS connection was made for.
    Misdirected,
    /// There is nothing at this reserved address.
    UnknownReserved,
    /// A reserved address was asked with another method than it takes.
    WrongMethod(&'static str),
    /// A rule wants a session and no provider can make one; the policy room refuses such a policy.
    NoProvider,
    /// The request brings a token that is not accepted.
    Bearer(BearerError),
    /// The application cannot be reached from the client's network.
    NetworkDenied,
    /// A limit is used up.
    Over(Over),
    /// The policy says no.
    Denied,
    /// The provider cannot be reached, so no login can begin; it may later, from there.
    ProviderUnavailable(ReturnTo),
    /// A login made no session.
    Login(Box<FailedLogin>),
    /// Sessions of this person were ended while the clock was ahead, so every new one is over until then.
    EndedAhead {
        /// For how long.
        wait: Duration,
    },
    /// The session does not fit into cookies.
    SessionTooLarge,
    /// A sign-out did not come from our own form.
    ForeignSignOut,
    /// A form that was kept cannot be sent.
    KeptForm(KeptFormError),
    /// The application gave no answer.
    Upstream(UpstreamError),
    /// The gateway could not build a request; a fault of ours.
    Internal,
}

/// A login that made no session; boxed, because every request has room for a refusal.
#[derive(Debug)]
pub(super) struct FailedLogin {
    error: LoginError,
    /// Where it may begin again.
    again: ReturnTo,
}

impl FailedLogin {
    fn page<'a>(&'a self, app: &'a str) -> Page<'a> {
        let (advice, retry_url) = (self.error.advice(), self.again.as_str());
        match self.error {
            LoginError::Unavailable(_) => Page::ProviderUnavailable { retry_url },
            LoginError::AcrNotReached
            | LoginError::AuthenticationTooOld
            | LoginError::ProviderError(ProviderErrorCode::UnmetAuthenticationRequirements) => {
                Page::StepUpFailed { app, retry_url }
            }
            _ => Page::LoginFailed { what: "You are not signed in.", advice, retry_url: Some(retry_url) },
        }
    }
}

/// An address of ours that cannot stand in a field is our fault.
impl From<InvalidHeaderValue> for Refusal {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::Internal
    }
}

/// Whoever brought too many tokens that were not good is a stranger over their limit.
impl From<BearerError> for Refusal {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Token(TokenError::TooMany(wait)) => Self::Over(Over::Rate(wait)),
            error => Self::Bearer(error),
        }
    }
}

impl Refusal {
    /// A login for `page` that cannot begin because the provider cannot be reached.
    pub(super) fn provider_unavailable(page: &ReturnTo) -> Self {
        Self::ProviderUnavailable(sign_in::anew(page))
    }

    /// A login for `page` that failed.
    pub(super) fn login(error: LoginError, page: &ReturnTo) -> Self {
        Self::Login(Box::new(FailedLogin { error, again: sign_in::anew(page) }))
    }

    /// The reason code for the log.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Head(error) => error.code(),
            Self::HeadTooLarge => "head_too_large",
            Self::Forwarded(error) => error.code(),
            Self::ForgedHeader => "header_forged",
            Self::UpgradeWithBody => "upgrade_with_body",
            Self::UnknownHost => "host_unknown",
            Self::UnknownPath => "path_unknown",
            Self::ClearText { .. } => "clear_text",
            Self::ToHttps { .. } => "to_https",
            Self::Misdirected => "misdirected",
            Self::UnknownReserved => "reserved_unknown",
            Self::WrongMethod(_) => "method_wrong",
            Self::NoProvider => "provider_none",
            Self::Bearer(error) => error.code(),
            Self::NetworkDenied => "network_denied",
            Self::Over(over) => over.code(),
            Self::Denied => "denied",
            Self::ProviderUnavailable(_) => "provider_unavailable",
            Self::Login(failed) => failed.error.code(),
            Self::EndedAhead { .. } => "ended_ahead",
            Self::SessionTooLarge => "session_too_large",
            Self::ForeignSignOut => "sign_out_foreign",
            Self::KeptForm(error) => error.code(),
            Self::Upstream(error) => error.code(),
            Self::Internal => "internal",
        }
    }

    /// The answer in the form that the client wants.
    pub(super) fn answer(&self, form: Form, account: &mut Account) -> Response<Content> {
        if !matches!(self, Self::Denied) {
            account.failed(self.code());
        }
        if matches!(self, Self::Over(_)) {
            account.refused();
        }
        let application = account.application().cloned();
        let policy = application.as_deref().map(Application::policy);
        let (app, contact) = policy.map_or(("", None), |policy| (policy.title(), policy.contact()));
        let person = account.known().map(|known| Caller::who(known).to_owned());
        // Who brings a token reads no pages.
        let form = if account.is_by_token() { Form::Json } else { form };
        let page = self.page(app, person.as_deref(), account);
        let foot = Foot { request_id: account.request_id().as_str(), contact };
        let mut response = page.answer(form, foot).map(Content::own);
        match self {
            // What the body is was in doubt, so nothing behind it is read.
            Self::Head(HeadError::TransferCoding) => {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Login(failed) => *response.status_mut() = failed.error.status(),
            Self::Bearer(error) => {
                *response.status_mut() = error.answer().0;
                if let Some(application) = account.application() {
                    error.challenge(application, &mut response);
                }
            }
            Self::Upstream(UpstreamError::Recalled) => {
                if let Some(application) = account.application() {
                    set(&mut response, &challenge(application));
                }
            }
            Self::Internal | Self::NoProvider | Self::SessionTooLarge => {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Self::EndedAhead { wait } => {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                // One that begins at that very moment is ended too.
                response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
            }
            Self::ClearText { instead } => lead(instead, StatusCode::PERMANENT_REDIRECT, &mut response),
            Self::ToHttps { instead, status } => lead(instead, *status, &mut response),
            Self::Misdirected => *response.status_mut() = StatusCode::MISDIRECTED_REQUEST,
            Self::WrongMethod(allowed) => {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Over(over) => drop(response.headers_mut().insert(RETRY_AFTER, over.wait().into())),
            _ => {}
        }
        invite(&mut response);
        response
    }

    fn page<'a>(&'a self, app: &'a str, person: Option<&'a str>, account: &'a Account) -> Page<'a> {
        let retry_url = if matches!(account.method(), Some(&(Method::GET | Method::HEAD))) { Some("") } else { None };
        match self {
            Self::Head(HeadError::Path(error)) => Page::BadRequest { reason: path_reason(*error) },
            Self::Head(HeadError::TransferCoding) => {
                Page::BadRequest { reason: "the request's body is encoded in a way that is not accepted here" }
            }
            Self::Head(_) => Page::BadRequest { reason: "the request does not name exactly one host" },
            Self::HeadTooLarge => Page::HeadTooLarge,
            Self::Forwarded(ChainError::Unreadable) => {
                Page::BadRequest { reason: "a proxy in front sent an address that cannot be read" }
            }
            Self::Forwarded(ChainError::Disagrees) => {
                Page::BadRequest { reason: "the request names two addresses that it comes from" }
            }
            Self::ForgedHeader => {
                Page::BadRequest { reason: "the request carries a header that only the gateway may send" }
            }
            Self::UpgradeWithBody => Page::BadRequest { reason: "a request for another protocol must not have a body" },
            Self::UnknownHost | Self::UnknownPath | Self::UnknownReserved => Page::NotFound,
            Self::ClearText { .. } | Self::ToHttps { .. } => {
                Page::BadRequest { reason: "this site is reached over https" }
            }
            Self::Misdirected => Page::BadRequest { reason: "the connection was made for another host" },
            Self::WrongMethod(_) => Page::BadRequest { reason: "this address does not take the method" },
            Self::Bearer(error) => Page::TokenRefused { reason: error.advice(), code: error.answer().1 },
            Self::NetworkDenied => Page::NetworkDenied,
            Self::Over(Over::Full) => Page::Overloaded,
            Self::Over(over) => Page::TooManyRequests { wait: over.wait() },
            Self::Denied => Page::Forbidden {
                app,
                person,
                sign_out_url: person.filter(|_| !account.is_by_token()).map(|_| addresses::LOGOUT),
            },
            Self::ProviderUnavailable(page) => Page::ProviderUnavailable { retry_url: page.as_str() },
            Self::Login(failed) => failed.page(app),
            Self::EndedAhead { .. } => Page::LoginFailed {
                what: "You cannot be signed in just now.",
                advice: "Your sessions were ended while a clock was wrong, and nobody can tell new ones from those. Please try again later; if that does not help, give the request id below to the help desk.",
                retry_url: None,
            },
            Self::SessionTooLarge => Page::LoginFailed {
                what: "Your sign-in carries more information than this gateway can keep.",
                advice: "Please give the request id below to the help desk: the application's policy should read fewer or smaller claims.",
                retry_url: None,
            },
            Self::ForeignSignOut => Page::BadRequest { reason: "the sign-out did not come from this site's own form" },
            Self::KeptForm(error) => Page::BadRequest { reason: error.reason() },
            Self::NoProvider | Self::Internal => Page::Unavailable { app, retry_url: None },
            Self::Upstream(UpstreamError::Recalled) => {
                let home = account.application().map_or("/", |application| application.policy().prefix());
                Page::SessionOver { app, sign_in_url: retry_url.unwrap_or(home) }
            }
            Self::Upstream(error) => upstream_page(*error, app, retry_url),
        }
    }
}

/// Says when another try may be worth it, where nothing else did (D03).
fn invite<B>(response: &mut Response<B>) {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().entry(RETRY_AFTER).or_insert(HeaderValue::from_static("5"));
    }
}

/// Makes a redirect of an answer; an address that cannot stand in a field is our fault.
fn lead(to: &str, status: StatusCode, response: &mut Response<Content>) {
    match HeaderValue::try_from(to) {
        Ok(location) => {
            *response.status_mut() = status;
            response.headers_mut().insert(http::header::LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn upstream_page<'a>(error: UpstreamError, app: &'a str, retry_url: Option<&'a str>) -> Page<'a> {
    match error {
        UpstreamError::RequestTooLarge => Page::TooLarge,
        UpstreamError::RequestStalled => Page::RequestTimeout,
        UpstreamError::RequestBroken => Page::BadRequest { reason: "the request's body broke off" },
        UpstreamError::Busy => Page::Overloaded,
        UpstreamError::ConnectTimeout | UpstreamError::FirstByteTimeout => Page::Timeout { app, retry_url },
        UpstreamError::Connect
        | UpstreamError::Tls
        | UpstreamError::Closed
        | UpstreamError::Invalid
        | UpstreamError::Recalled => Page::Unavailable { app, retry_url },
    }
}

/// What a client is told of a refused path.
fn path_reason(error: PathError) -> &'static str {
    match error {
        PathError::NotAbsolute => "the path does not start with a slash",
        PathError::BadEscape => "a percent sign in the path is not followed by two hexadecimal digits",
        PathError::Control => "the path contains a control character",
        PathError::EncodedSlash => "the path contains an encoded slash",
        PathError::Backslash => "the path contains a backslash",
        PathError::PathParameter => "the path contains a semicolon",
        PathError::RawByte(_) => "the path contains a character that must be percent-encoded",
        PathError::NotUtf8 => "the path is not UTF-8",
        PathError::AboveRoot => "the path climbs above the root",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d03_an_application_whose_connections_are_all_in_use_is_a_503_with_retry_after() {
        let page = upstream_page(UpstreamError::Busy, "royalty", None);
        for form in [Form::Html, Form::Json] {
            let mut answer = page.answer(form, "01JD3V7C6S");
            invite(&mut answer);
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[RETRY_AFTER], "5");
        }
        assert_eq!(Refusal::Upstream(UpstreamError::Busy).code(), "upstream_busy");
        let mut other = Response::new(());
        invite(&mut other);
        assert!(other.headers().is_empty());
    }
}
