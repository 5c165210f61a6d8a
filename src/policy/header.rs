//! One identity header: where its value comes from and what happens when there is none or it does not fit.
//!
//! A header is a text, a list with a separator, or HTTP Basic credentials. Evaluating gives exactly one field, none, or
//! the reason why the request must be denied (S03, S06); a value is never shortened or repaired.
//!
//! May touch: nothing; the one secret, a Basic password, is exposed here to build its field, which is marked sensitive.
//! Trust boundary: values come from claims and requests. Specification: RFC 9110 section 5.5, RFC 7617 (Basic).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use super::decision::DenialReason;
use super::encode::{EncodeError, Encoding, Unencodable, encode, has_edge_space, percent_with};
use super::expression::{Expression, Failure, View};
use super::template::Template;
use crate::crypto::Secret;

/// The longest value of an identity header, in bytes; a longer one denies the request.
pub const MAX_HEADER_VALUE: usize = 8 * 1024;

/// A compiled header.
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) source: Source,
    pub(super) missing: Missing,
    pub(super) encoding: Encoding,
    pub(super) unencodable: Unencodable,
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
        /// Whether an element that contains the separator is percent-encoded; otherwise it denies.
        percent: bool,
    },
    /// HTTP Basic credentials.
    Basic {
        /// What gives the user's name.
        user: Template,
        /// The shared password.
        password: Secret<String>,
    },
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

/// One field, none, or why to deny.
pub(super) type Outcome = Result<Option<HeaderValue>, DenialReason>;

/// Why no field value was made.
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
            Source::List { list, .. } => vec![list],
        }
    }

    /// Whether the value must be made for every request.
    pub(super) fn is_per_request(&self) -> bool {
        self.expressions().iter().any(|expression| expression.is_per_request())
    }

    /// Makes the header's field.
    pub(super) fn evaluate(&self, view: &View<'_>) -> Outcome {
        let made = match self.bytes(view) {
            Ok(bytes) => Some(bytes),
            Err(Trouble::Failure(Failure::Absent(_))) => self.substitute()?,
            Err(Trouble::Failure(Failure::Failed(why))) => {
                return Err(DenialReason::HeaderFailed(self.name.clone(), why));
            }
            Err(Trouble::Unencodable(why)) => return Err(self.refuse(why)),
            Err(Trouble::Encode(EncodeError::Control)) => return Err(self.refuse("it has a control character")),
            Err(Trouble::Encode(EncodeError::Unencodable(why))) => self.instead(view, why)?,
        };
        made.map(|bytes| self.field(bytes)).transpose()
    }

    fn bytes(&self, view: &View<'_>) -> Result<Vec<u8>, Trouble> {
        match &self.source {
            Source::Text(_) | Source::List { .. } => encode(&self.text(view)?, self.encoding).map_err(Trouble::Encode),
            Source::Basic { user, password } => basic(&user.render(view).map_err(Trouble::Failure)?, password),
        }
    }

    fn text(&self, view: &View<'_>) -> Result<String, Trouble> {
        match &self.source {
            Source::Text(template) | Source::Basic { user: template, .. } => {
                template.render(view).map_err(Trouble::Failure)
            }
            Source::List { list, separator, percent } => {
                let items = list.list(view).map_err(Trouble::Failure)?;
                join(&items, separator, *percent)
            }
        }
    }

    /// What is sent when the value cannot be encoded.
    fn instead(&self, view: &View<'_>, why: &'static str) -> Result<Option<Vec<u8>>, DenialReason> {
        match self.unencodable {
            Unencodable::Deny => Err(self.refuse(why)),
            Unencodable::Omit => Ok(None),
            Unencodable::Percent => match self.text(view).ok().map(|text| encode(&text, Encoding::Percent)) {
                Some(Ok(bytes)) => Ok(Some(bytes)),
                _ => Err(self.refuse(why)),
            },
        }
    }

    /// What is sent when there is no value.
    fn substitute(&self) -> Result<Option<Vec<u8>>, DenialReason> {
        match &self.missing {
            Missing::Omit => Ok(None),
            Missing::Empty => Ok(Some(Vec::new())),
            Missing::Deny => Err(DenialReason::HeaderMissing(self.name.clone())),
            Missing::Default(text) => match encode(text, self.encoding) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(_) => Err(self.refuse("its default cannot be encoded")),
            },
        }
    }

    fn field(&self, bytes: Vec<u8>) -> Result<HeaderValue, DenialReason> {
        if bytes.len() > MAX_HEADER_VALUE {
            return Err(DenialReason::HeaderTooLong(self.name.clone()));
        }
        let mut value = HeaderValue::try_from(bytes).map_err(|_| self.refuse("it is no field value"))?;
        value.set_sensitive(matches!(self.source, Source::Basic { .. }));
        Ok(value)
    }

    fn refuse(&self, why: &'static str) -> DenialReason {
        DenialReason::HeaderUnencodable(self.name.clone(), why)
    }
}

/// Joins a list's elements so that the application takes it apart into the same ones. An empty list is a missing value.
fn join(items: &[String], separator: &str, percent: bool) -> Result<String, Trouble> {
    if items.is_empty() {
        return Err(Trouble::Failure(Failure::Absent("an element".to_owned())));
    }
    let divides = Some(separator.trim()).filter(|trimmed| !trimmed.is_empty()).unwrap_or(separator);
    let mut joined = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        if percent {
            joined.push_str(&escape(item, separator));
            continue;
        }
        if item.is_empty() {
            return Err(Trouble::Unencodable("an element is empty"));
        }
        if item.contains(divides) {
            return Err(Trouble::Unencodable("an element contains the separator"));
        }
        if has_edge_space(item) {
            return Err(Trouble::Unencodable("an element begins or ends with a space"));
        }
        joined.push_str(item);
    }
    Ok(joined)
}

/// Percent-encodes the separator, `%` and, at the ends, spaces; other characters are the encoding's matter.
fn escape(item: &str, separator: &str) -> String {
    let mut out = String::with_capacity(item.len());
    let inner = item.trim_matches(' ');
    let mut start = item.len() - item.trim_start_matches(' ').len();
    if inner.is_empty() {
        start = 0;
    }
    for (at, character) in item.char_indices() {
        let edge = character == ' ' && (at < start || at >= start + inner.len());
        if edge || character == '%' || separator.contains(character) {
            let mut buffer = [0; 4];
            out.push_str(&percent_all(character.encode_utf8(&mut buffer)));
        } else {
            out.push(character);
        }
    }
    out
}

fn percent_all(text: &str) -> String {
    percent_with(text, text)
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
