//! One thing that an application is told, in a header or a cookie: where its value comes from and what happens when there is none or it
//! does not fit.
//!
//! A value is a text, a list with a separator, JSON, HTTP Basic credentials, a shared secret or a signed assertion. Evaluating gives
//! exactly one value, none, or the reason why the request must be denied (S03, S06); a value is never shortened or repaired.
//!
//! May touch: nothing; the one secret, a Basic password, is exposed here to build its field, which is marked sensitive.
//! Trust boundary: values come from claims and requests. Specification: RFC 9110 section 5.5, RFC 7617 (Basic).

mod assertion;
mod list;

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

pub(super) use assertion::{Assertion, OWN_CLAIMS};
pub(super) use list::Contains;
use list::join;

use super::decision::DenialReason;
use super::encode::{Carrier, EncodeError, Encoding, Unencodable, encode_for};
use super::expression::{Expression, Failure, View};
use super::template::Template;
use crate::crypto::Secret;

/// The longest value of an identity header, in bytes, where the policy sets no `max`.
pub const MAX_HEADER_VALUE: usize = 8 * 1024;

/// A compiled header or cookie.
pub(super) struct Header {
    /// The field's name; for a cookie, its own in lower case, which stands in reasons only.
    pub(super) name: HeaderName,
    /// The name as the policy spells it.
    pub(super) spelled: Box<str>,
    pub(super) carrier: Carrier,
    pub(super) source: Source,
    pub(super) missing: Missing,
    pub(super) encoding: Encoding,
    pub(super) unencodable: Unencodable,
    /// The most bytes that the value may have.
    pub(super) max: usize,
    pub(super) too_long: TooLong,
}

/// Where a value comes from.
pub(super) enum Source {
    /// One text.
    Text(Template),
    /// The elements of a list, joined.
    List {
        /// What gives the list.
        list: Expression,
        /// What stands between elements.
        separator: Box<str>,
        /// What happens to an element that could be taken for something else.
        contains: Contains,
    },
    /// A value of any sort as JSON.
    Json(Expression),
    /// HTTP Basic credentials.
    Basic {
        /// What gives the user's name.
        user: Template,
        /// The shared password.
        password: Secret<String>,
    },
    /// A shared secret, marked sensitive.
    Shared {
        /// The field's value.
        value: HeaderValue,
        /// Whether it goes with every request, whoever sends it.
        everybody: bool,
    },
    /// A signed assertion.
    Assertion(Assertion),
}

/// What happens when there is no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Missing {
    /// The header is not sent.
    #[default]
    Omit,
    /// The header is sent empty.
    Empty,
    /// The request is denied.
    Deny,
    /// This text is sent.
    Default(Box<str>),
}

/// What happens to a value that is longer than the header's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TooLong {
    /// The request is denied.
    #[default]
    Deny,
    /// The header is not sent.
    Omit,
}

/// One value, none, or why to deny.
pub(super) type Outcome = Result<Option<HeaderValue>, DenialReason>;

/// Why no value was made.
enum Trouble {
    Failure(Failure),
    Encode(EncodeError),
    Unencodable(&'static str),
}

impl Header {
    /// All expressions of the header.
    pub(super) fn expressions(&self) -> Vec<&Expression> {
        match &self.source {
            Source::Text(template) | Source::Basic { user: template, .. } => template.expressions().collect(),
            Source::List { list: expression, .. } | Source::Json(expression) => vec![expression],
            Source::Shared { .. } => Vec::new(),
            Source::Assertion(assertion) => assertion.subject.iter().flat_map(Template::expressions).collect(),
        }
    }

    /// All top-level claims that the value depends on.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        let named = match &self.source {
            Source::Assertion(assertion) => Some(assertion.claims()),
            _ => None,
        };
        let read = self.expressions().into_iter().flat_map(Expression::claims).map(|name| &**name);
        read.chain(named.into_iter().flatten())
    }

    /// Whether the value must be made for every request.
    pub(super) fn is_per_request(&self) -> bool {
        self.expressions().iter().any(|expression| expression.is_per_request())
    }

    /// How long a value may be used for the same person; for ever where there is none.
    pub(super) fn fresh_for(&self) -> Option<Duration> {
        match &self.source {
            Source::Assertion(assertion) => Some(assertion.fresh_for()),
            _ => None,
        }
    }

    /// The value that goes with every request, whoever sends it.
    pub(super) fn for_everybody(&self) -> Option<&HeaderValue> {
        match &self.source {
            Source::Shared { value, everybody: true } => Some(value),
            _ => None,
        }
    }

    /// Whether making it needs the gateway's signing key.
    pub(super) fn is_signed(&self) -> bool {
        matches!(self.source, Source::Assertion(_))
    }

    /// Makes the header's value.
    pub(super) fn evaluate<'v>(&'v self, view: &View<'v>) -> Outcome {
        if let Source::Shared { value, .. } = &self.source {
            return Ok(Some(value.clone()));
        }
        let made = match self.bytes(view) {
            Ok(bytes) => Some(bytes),
            Err(Trouble::Failure(Failure::Absent(_))) => self.substitute()?,
            Err(Trouble::Failure(Failure::Failed(why))) => {
                return Err(self.reason(DenialReason::HeaderFailed(self.name.clone(), why)));
            }
            Err(Trouble::Unencodable(why)) => return Err(self.refuse(why)),
            Err(Trouble::Encode(EncodeError::Control)) => return Err(self.refuse("it has a control character")),
            Err(Trouble::Encode(EncodeError::Unencodable(why))) => self.instead(view, why)?,
        };
        match made {
            Some(bytes) => self.value(bytes),
            None => Ok(None),
        }
    }

    /// Why it is not sent, where it is not; for those who ask.
    pub(super) fn why_omitted(&self, view: &View<'_>) -> String {
        if let Source::List { list, .. } = &self.source
            && list.list(view).is_ok_and(|items| items.is_empty())
        {
            return "the list is empty".to_owned();
        }
        match self.bytes(view) {
            Err(Trouble::Failure(Failure::Absent(name))) => format!("`{name}` is absent"),
            Ok(bytes) if bytes.len() > self.max => {
                "it is longer than its `max`, and the policy then omits it".to_owned()
            }
            _ => "its value does not fit, and the policy then omits it".to_owned(),
        }
    }

    fn bytes<'v>(&'v self, view: &View<'v>) -> Result<Cow<'v, [u8]>, Trouble> {
        match &self.source {
            Source::Basic { user, password } => {
                basic(&user.render(view).map_err(Trouble::Failure)?, password).map(Cow::Owned)
            }
            Source::Assertion(assertion) => {
                assertion.sign(view).map(|token| Cow::Owned(token.into_bytes())).map_err(Trouble::Failure)
            }
            _ => {
                let text = self.text(view)?;
                if text.contains('%') && !self.tells_escapes_apart() {
                    let why = "a `%` in it could be taken for the escape of another value";
                    return Err(Trouble::Encode(EncodeError::Unencodable(why)));
                }
                encode_for(text, self.encoding, self.carrier).map_err(Trouble::Encode)
            }
        }
    }

    fn text<'v>(&'v self, view: &View<'v>) -> Result<Cow<'v, str>, Trouble> {
        match &self.source {
            Source::Text(template) | Source::Basic { user: template, .. } => {
                template.render(view).map_err(Trouble::Failure)
            }
            Source::List { list, separator, contains } => {
                let items = list.list(view).map_err(Trouble::Failure)?;
                join(&items, separator, *contains).map(Cow::Owned)
            }
            Source::Json(expression) => expression.json(view).map(Cow::Owned).map_err(Trouble::Failure),
            Source::Shared { .. } | Source::Assertion(_) => Err(Trouble::Unencodable("it is no text")),
        }
    }

    /// Whether a `%` of a value that is sent as `encoding` has it can be told from one of a value that is percent-encoded instead (S06).
    fn tells_escapes_apart(&self) -> bool {
        let never_instead = match &self.source {
            // JSON fits into every header, and with a text in it into no cookie.
            Source::Json(_) | Source::List { contains: Contains::Percent, .. } => true,
            _ => self.encoding == Encoding::Rfc2047 && self.carrier == Carrier::Header,
        };
        let escapes = matches!(self.encoding, Encoding::Percent | Encoding::Utf8Percent | Encoding::Base64);
        self.unencodable != Unencodable::Percent || never_instead || escapes
    }

    /// What is sent when the value cannot be encoded.
    fn instead<'v>(&'v self, view: &View<'v>, why: &'static str) -> Result<Option<Cow<'v, [u8]>>, DenialReason> {
        let percent = |text| encode_for::<'v>(text, Encoding::Percent, self.carrier);
        match self.unencodable {
            Unencodable::Deny => Err(self.refuse(why)),
            Unencodable::Omit => Ok(None),
            Unencodable::Percent => match self.text(view).ok().map(percent) {
                Some(Ok(bytes)) => Ok(Some(bytes)),
                _ => Err(self.refuse(why)),
            },
        }
    }

    /// What is sent when there is no value.
    fn substitute(&self) -> Result<Option<Cow<'_, [u8]>>, DenialReason> {
        match &self.missing {
            Missing::Omit => Ok(None),
            Missing::Empty => Ok(Some(Cow::Borrowed(b""))),
            Missing::Deny => Err(self.reason(DenialReason::HeaderMissing(self.name.clone()))),
            Missing::Default(text) => match encode_for(&**text, self.encoding, self.carrier) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(_) => Err(self.refuse("its default cannot be encoded")),
            },
        }
    }

    fn value(&self, bytes: Cow<'_, [u8]>) -> Outcome {
        if bytes.len() > self.max {
            return match self.too_long {
                TooLong::Deny => Err(self.reason(DenialReason::HeaderTooLong(self.name.clone()))),
                TooLong::Omit => Ok(None),
            };
        }
        let value = match bytes {
            Cow::Borrowed(bytes) => HeaderValue::from_bytes(bytes),
            Cow::Owned(bytes) => HeaderValue::from_maybe_shared(Bytes::from(bytes)),
        };
        let mut value = value.map_err(|_| self.refuse("it is no field value"))?;
        value.set_sensitive(matches!(self.source, Source::Basic { .. } | Source::Assertion(_)));
        Ok(Some(value))
    }

    fn refuse(&self, why: &'static str) -> DenialReason {
        self.reason(DenialReason::HeaderUnencodable(self.name.clone(), why))
    }

    /// The reason, said of a cookie where this is one.
    fn reason(&self, reason: DenialReason) -> DenialReason {
        match self.carrier {
            Carrier::Header => reason,
            Carrier::Cookie => DenialReason::Cookie(self.spelled.clone(), Box::new(reason)),
        }
    }
}

fn basic(user: &str, password: &Secret<String>) -> Result<Vec<u8>, Trouble> {
    if user.chars().any(char::is_control) {
        return Err(Trouble::Encode(EncodeError::Control));
    }
    if user.contains(':') {
        return Err(Trouble::Unencodable("a user name in Basic credentials cannot contain a colon"));
    }
    let pair = zeroize::Zeroizing::new(format!("{user}:{}", password.expose()));
    Ok(format!("Basic {}", STANDARD.encode(pair.as_bytes())).into_bytes())
}
