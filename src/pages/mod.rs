//! What the gateway itself says to people and to programs: one [`Page`] for every cause, as HTML and as JSON.
//!
//! A page is a typed value, never a free template: a title, one sentence of what happened, what to do next, and the
//! request id to quote. Both forms of a page say the same words under the same status. HTML has no script and no outside
//! resource, and goes out under a Content-Security-Policy that allows only its own style, by its hash.
//!
//! Layer 2: pure; knows no request, session or policy. Trust boundary: names of people, reasons and addresses may hold
//! anything; all of it is escaped, and only http(s) and same-origin addresses become links.
//! Specifications: CSP Level 3, RFC 9110 section 15 (status codes).

mod render;
mod texts;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

pub use render::{Rendered, headers, nothing};

/// One thing that the gateway has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// The session is over.
    SignedOut {
        /// The application's name.
        app: &'a str,
        /// Where signing in starts again.
        sign_in_url: &'a str,
    },
    /// Asks whether to sign out, because a plain link must not do it (C14).
    SignOut {
        /// The application's name.
        app: &'a str,
        /// Where the form is posted.
        action: &'a str,
        /// The value that proves the form was ours.
        token: &'a str,
        /// Where to go instead.
        stay_url: &'a str,
        /// The origin of the provider's logout address: the browser is sent there after the form, and checks that
        /// against the policy of this page.
        provider: Option<&'a str>,
    },
    /// An API client's access token is not accepted, or cannot be checked just now.
    TokenRefused {
        /// Why, in lower case without a full stop.
        reason: &'a str,
        /// The error code of RFC 6750; none where nothing is known of the token.
        code: Option<&'static str>,
    },
    /// Who is signed in, and since when.
    Me(&'a Me<'a>),
    /// A rule said no.
    Forbidden {
        /// The application's name.
        app: &'a str,
        /// The person's name, when somebody is signed in.
        person: Option<&'a str>,
        /// Where to sign out, to come back as somebody else.
        sign_out_url: Option<&'a str>,
    },
    /// A rule wants a stronger or fresher sign-in than the provider gave, also after asking for it (R13).
    StepUpFailed {
        /// The application's name.
        app: &'a str,
        /// Where to try again.
        retry_url: &'a str,
    },
    /// A program, or a form, came without a session; it is not redirected (C12).
    SignInRequired {
        /// The application's name.
        app: &'a str,
        /// Where signing in starts.
        sign_in_url: &'a str,
    },
    /// The session ended while the application had not answered yet (L04).
    SessionOver {
        /// The application's name.
        app: &'a str,
        /// Where signing in starts.
        sign_in_url: &'a str,
    },
    /// A form came without a session and is kept in this very page until the person has signed in (C13).
    FormKept {
        /// The application's name.
        app: &'a str,
        /// Where the form goes once it is confirmed; the one thing of it that is told.
        path: &'a str,
        /// Where the page is posted.
        action: &'a str,
        /// The form, sealed.
        token: &'a str,
        /// Where signing in starts, in a tab of its own.
        sign_in_url: &'a str,
    },
    /// A form that is kept was to be sent, and the application could not take it just now.
    FormUnsent {
        /// The application's name.
        app: &'a str,
        /// Where the form goes.
        path: &'a str,
        /// Where the page is posted.
        action: &'a str,
        /// The form, sealed.
        token: &'a str,
    },
    /// A form that is kept is being sent already, and it is not known yet whether it gets there.
    FormUnderWay {
        /// The application's name.
        app: &'a str,
        /// Where the form goes.
        path: &'a str,
        /// Where the page is posted.
        action: &'a str,
        /// The form, sealed.
        token: &'a str,
    },
    /// A form came without a session and could not be kept.
    FormNotKept {
        /// The application's name.
        app: &'a str,
        /// Why, in lower case without a full stop.
        reason: &'a str,
        /// Where signing in starts.
        sign_in_url: &'a str,
    },
    /// Somebody signed in beside a form that waits in another tab.
    SignedIn {
        /// The application's name.
        app: &'a str,
    },
    /// A login ended without a session.
    LoginFailed {
        /// What happened, as a sentence.
        what: &'a str,
        /// What to do, as a sentence.
        advice: &'a str,
        /// Where to try again, when that can help.
        retry_url: Option<&'a str>,
    },
    /// The provider cannot be reached, so nobody can sign in just now (R16).
    ProviderUnavailable {
        /// Where to try again.
        retry_url: &'a str,
    },
    /// The application cannot be reached, or broke off.
    Unavailable {
        /// The application's name.
        app: &'a str,
        /// Where to try again (empty: the same address); nothing where repeating could do harm.
        retry_url: Option<&'a str>,
    },
    /// The application took too long.
    Timeout {
        /// The application's name.
        app: &'a str,
        /// Where to try again; nothing where repeating could do harm.
        retry_url: Option<&'a str>,
    },
    /// The request is refused because it is doubtful.
    BadRequest {
        /// Why, in lower case without a full stop.
        reason: &'a str,
    },
    /// The client is in a network from which the application cannot be reached.
    NetworkDenied,
    /// The client has asked for too much in too short a time.
    TooManyRequests {
        /// The seconds after which it may come again.
        wait: u64,
    },
    /// No application has this host or path.
    NotFound,
    /// The request's body is over its limit.
    TooLarge,
    /// The request's head is over its limit.
    HeadTooLarge,
    /// The client stopped sending.
    RequestTimeout,
    /// The gateway has no room for another request just now.
    Overloaded,
}

/// What a person is shown of their own session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me<'a> {
    /// The application's name.
    pub app: &'a str,
    /// The name in logs and pages.
    pub who: &'a str,
    /// What is known, by its name, in the order in which it is shown.
    pub facts: Vec<(&'static str, String)>,
    /// The claims that are kept, each as JSON.
    pub claims: Vec<(&'a str, String)>,
    /// Where the form is posted.
    pub action: &'a str,
    /// The value that proves the form was ours.
    pub token: &'a str,
    /// Where the application is.
    pub back_url: &'a str,
    /// The origin of the provider's logout address.
    pub provider: Option<&'a str>,
}

/// What stands at the foot of a page.
#[derive(Clone, Copy, Debug)]
pub struct Foot<'a> {
    /// The number of the request, to be quoted.
    pub request_id: &'a str,
    /// Whom people ask, in the administrator's words.
    pub contact: Option<&'a str>,
}

/// Only the number of the request.
impl<'a> From<&'a str> for Foot<'a> {
    fn from(request_id: &'a str) -> Self {
        Self { request_id, contact: None }
    }
}

/// In which form a client wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page for a person.
    Html,
    /// An object for a program.
    Json,
}

impl Form {
    /// Reads the form from the first `Accept` field: JSON for those that ask for JSON and not for HTML.
    pub fn wanted(accept: Option<&HeaderValue>) -> Self {
        let mut json = false;
        for range in accept.and_then(|value| value.to_str().ok()).unwrap_or_default().split(',') {
            let media = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match media.as_str() {
                "text/html" | "application/xhtml+xml" => return Self::Html,
                other => json |= other == "application/json" || other.ends_with("+json"),
            }
        }
        if json { Self::Json } else { Self::Html }
    }
}

/// The JSON twin of a page.
#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a str>,
}

impl Page<'_> {
    /// The status under which it is sent.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut { .. } | Self::SignOut { .. } | Self::SignedIn { .. } | Self::Me(_) => StatusCode::OK,
            Self::Forbidden { .. } | Self::StepUpFailed { .. } | Self::NetworkDenied => StatusCode::FORBIDDEN,
            Self::SignInRequired { .. }
            | Self::SessionOver { .. }
            | Self::FormKept { .. }
            | Self::FormNotKept { .. }
            | Self::TokenRefused { code: Some(_), .. } => StatusCode::UNAUTHORIZED,
            Self::LoginFailed { .. } | Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::ProviderUnavailable { .. }
            | Self::FormUnsent { .. }
            | Self::TokenRefused { code: None, .. }
            | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::FormUnderWay { .. } => StatusCode::CONFLICT,
            Self::Unavailable { .. } => StatusCode::BAD_GATEWAY,
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The word for programs; it does not change between versions.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SignedOut { .. } => "signed_out",
            Self::SignOut { .. } => "sign_out",
            Self::TokenRefused { code: Some(code), .. } => code,
            Self::TokenRefused { code: None, .. } => "provider_unavailable",
            Self::Me(_) => "me",
            Self::Forbidden { .. } => "forbidden",
            Self::StepUpFailed { .. } => "step_up_failed",
            Self::SignInRequired { .. } => "sign_in_required",
            Self::SessionOver { .. } => "session_over",
            Self::FormKept { .. } => "form_kept",
            Self::FormUnsent { .. } => "form_unsent",
            Self::FormUnderWay { .. } => "form_under_way",
            Self::FormNotKept { .. } => "form_not_kept",
            Self::SignedIn { .. } => "signed_in",
            Self::LoginFailed { .. } => "login_failed",
            Self::ProviderUnavailable { .. } => "provider_unavailable",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::BadRequest { .. } => "bad_request",
            Self::NetworkDenied => "network_denied",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::HeadTooLarge => "head_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::Overloaded => "overloaded",
        }
    }

    /// The page for people, and the Content-Security-Policy that it needs.
    pub fn html<'f>(&self, foot: impl Into<Foot<'f>>) -> Rendered {
        render::page(&texts::content(self), foot.into())
    }

    /// The object for programs: `error` (the code), `message`, `request_id`, and `contact` where there is one.
    pub fn json<'f>(&self, foot: impl Into<Foot<'f>>) -> Bytes {
        let Foot { request_id, contact } = foot.into();
        let content = texts::content(self);
        let sign_in_url = match self {
            Self::SignInRequired { sign_in_url, .. }
            | Self::SessionOver { sign_in_url, .. }
            | Self::FormNotKept { sign_in_url, .. } => Some(*sign_in_url),
            _ => None,
        };
        let problem = Problem { error: self.code(), message: &content.said, request_id, sign_in_url, contact };
        serde_json::to_vec(&problem).unwrap_or_default().into()
    }

    /// The whole answer in the wanted form, with its security headers.
    pub fn answer<'f>(&self, form: Form, foot: impl Into<Foot<'f>>) -> Response<Bytes> {
        let (body, csp, kind) = match form {
            Form::Html => {
                let Rendered { body, csp } = self.html(foot);
                (body, csp, "text/html; charset=utf-8")
            }
            Form::Json => (self.json(foot), nothing(), "application/json"),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = self.status();
        headers(answer.headers_mut(), csp);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer
    }
}

#[cfg(test)]
mod tests;
