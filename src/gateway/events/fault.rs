//! Why a provider's message is not accepted, and what its sender and the log are told.
//!
//! May touch: memory only. Trust boundary: nothing of a message is repeated to its sender.
//! Specifications: Back-Channel Logout 1.0 section 2.8, RFC 8935 section 2.4.

use http::StatusCode;

use crate::oidc::SignalError;

/// Why a message is not accepted.
pub(in crate::gateway) enum Fault {
    /// Another content type than this address takes.
    ContentType,
    TooLarge,
    /// It did not come whole, or in time.
    Incomplete,
    /// The form has no logout token, or several.
    NoToken,
    /// The sender did not show what was agreed upon.
    Unauthorised,
    /// It is no hook.
    NoHook,
    /// The one-time question has no challenge, or one that is too long.
    NoChallenge,
    Token(SignalError),
    /// What a frame asks for names no session of a known provider.
    FrontChannel,
    /// It holds, but is not written.
    NotKept,
}

impl From<SignalError> for Fault {
    fn from(error: SignalError) -> Self {
        Self::Token(error)
    }
}

impl Fault {
    pub(in crate::gateway) const fn code(&self) -> &'static str {
        match self {
            Self::ContentType => "signal_content_type",
            Self::TooLarge => "signal_too_large",
            Self::Incomplete => "signal_incomplete",
            Self::NoToken => "signal_no_token",
            Self::Unauthorised => "signal_unauthorised",
            Self::NoHook => "signal_no_hook",
            Self::NoChallenge => "signal_no_challenge",
            Self::Token(error) => error.code(),
            Self::FrontChannel => "signal_front_channel",
            Self::NotKept => "signal_not_kept",
        }
    }

    pub(in crate::gateway) const fn text(&self) -> &'static str {
        match self {
            Self::ContentType => "the content type is another than this address takes",
            Self::TooLarge => "the message is too long",
            Self::Incomplete => "the message did not arrive whole",
            Self::NoToken => "there is not exactly one logout_token",
            Self::Unauthorised => "Authorization is missing or wrong",
            Self::NoHook => "this is no event hook",
            Self::NoChallenge => "there is no X-Okta-Verification-Challenge, or it is too long",
            Self::Token(error) => error.text(),
            Self::FrontChannel => "This is no sign-out of a provider that is known here.",
            Self::NotKept => "the message was understood and could not be written down; send it again",
        }
    }

    pub(in crate::gateway) const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Token(SignalError::Unavailable) | Self::NotKept => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// RFC 8935 section 2.4.
    pub(in crate::gateway) const fn set_error(&self) -> &'static str {
        match self {
            Self::Unauthorised => "authentication_failed",
            Self::Token(SignalError::Issuer) => "invalid_issuer",
            Self::Token(SignalError::Audience) => "invalid_audience",
            Self::Token(
                SignalError::UnknownKey | SignalError::AmbiguousKey | SignalError::Signature | SignalError::Algorithm,
            ) => "invalid_key",
            _ => "invalid_request",
        }
    }
}
