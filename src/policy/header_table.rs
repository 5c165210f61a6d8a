//! Reads `[headers]` and `[cookies]`: names that are safe to set, and values of a known form.
//!
//! Refused are names that frame a message, that the gateway itself sets, or that say who a client is to proxies; and two
//! names that an application may not be able to tell apart, because CGI and its heirs see both as one (S01, S03).
//!
//! May touch: secrets only through the caller's closure. Trust boundary: the file is an administrator's.
//! Specification: RFC 9110 sections 5.1 and 7.6.1, RFC 6265 section 4.1.1 (names of cookies).

mod forms;
mod secret;

use std::collections::BTreeMap;
use std::ops::Range;

use http::HeaderName;

use super::compile::Environment;
use super::encode::{Carrier, EncodeError, Encoding, Unencodable, encode_for};
use super::expression::Mistake;
use super::header::{Header, MAX_HEADER_VALUE, Missing, Source, TooLong};
use super::reader::{Reading, Section, Text, Value};
use super::template::Template;
use crate::diagnostic::Diagnostic;
use crate::http::cookie;
use crate::http::fold::fold;
use crate::reference;
pub use secret::{NoSecret, SecretSource};

const ENCODINGS: [(&str, Encoding); 6] = [
    ("utf-8", Encoding::Utf8),
    ("utf-8-percent", Encoding::Utf8Percent),
    ("percent", Encoding::Percent),
    ("latin1", Encoding::Latin1),
    ("base64", Encoding::Base64),
    ("rfc2047", Encoding::Rfc2047),
];
const UNENCODABLE: [(&str, Unencodable); 3] =
    [("deny", Unencodable::Deny), ("percent", Unencodable::Percent), ("omit", Unencodable::Omit)];
const MISSING: [(&str, MissingWord); 3] =
    [("omit", MissingWord::Omit), ("empty", MissingWord::Empty), ("deny", MissingWord::Deny)];
const TOO_LONG: [(&str, TooLong); 2] = [("deny", TooLong::Deny), ("omit", TooLong::Omit)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum MissingWord {
    Omit,
    Empty,
    Deny,
}

/// Names, folded, that frame a message, that the gateway sets, or that a client needs: an emitted name is taken away from
/// every client of every application.
const RESERVED: [&str; 27] = [
    "ACCEPT",
    "ALT_SVC",
    "CACHE_CONTROL",
    "CLIENT_IP",
    "CONNECTION",
    "COOKIE",
    "DATE",
    "EXPECT",
    "FORWARDED",
    "HOST",
    "HTTP2_SETTINGS",
    "KEEP_ALIVE",
    "ORIGIN",
    "PRAGMA",
    "PROXY",
    "RANGE",
    "REFERER",
    "SET_COOKIE",
    "TE",
    "TRAILER",
    "TRANSFER_ENCODING",
    "UPGRADE",
    "USER_AGENT",
    "VIA",
    "X_FORWARDED",
    "X_REAL_IP",
    "X_REQUEST_ID",
];
const RESERVED_PREFIXES: [&str; 8] =
    ["ACCEPT_", "ACCESS_CONTROL_", "CONTENT_", "IF_", "PROXY_", "SEC_", "X_FORWARDED_", "X_LYCHGATE_"];

/// Reads all headers of `section` in the order of the file.
pub(super) fn read(section: &Section<'_>, environment: &Environment<'_>, reading: &mut Reading<'_>) -> Vec<Header> {
    read_all(section, Carrier::Header, environment, reading)
}

/// Reads all cookies of `section` in the order of the file.
pub(super) fn read_cookies(
    section: &Section<'_>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Vec<Header> {
    read_all(section, Carrier::Cookie, environment, reading)
}

fn read_all(
    section: &Section<'_>,
    carrier: Carrier,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Vec<Header> {
    let mut headers = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in section.in_order() {
        let name = match carrier {
            Carrier::Header => read_name(&key, &mut seen, reading),
            Carrier::Cookie => read_cookie_name(&key, &mut seen, reading),
        };
        let form = Form { carrier, name: key.text };
        let header = form.read(value, environment, reading);
        if let (Some(name), Some(header)) = (name, header) {
            headers.push(Header { name, ..header });
        }
    }
    headers
}

fn read_name(key: &Text<'_>, seen: &mut BTreeMap<String, String>, reading: &mut Reading<'_>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(key.text.as_bytes()) else {
        let help = "a header name has letters, digits and `-`; quote it when it has a dot";
        reading.error(format!("`{}` is no header name", key.text), key.span.clone(), help);
        return None;
    };
    let folded = fold(key.text);
    if RESERVED.contains(&folded.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix)) {
        let message = format!("header `{}` belongs to the client, the gateway or the protocol", key.text);
        let help = match folded.as_str() {
            "COOKIE" => "what is told in cookies stands in [cookies]",
            _ => "choose another name, for example `X-Remote-User`",
        };
        reading.error(message, key.span.clone(), help);
        return None;
    }
    if let Some(other) = seen.insert(folded, key.text.to_owned()) {
        let message = format!("headers `{other}` and `{}` are the same to many applications", key.text);
        reading.error(message, key.span.clone(), "CGI, PHP and WSGI see letters, digits and `_` only; rename one");
        return None;
    }
    Some(name)
}

/// A cookie's name is a token; the header name that stands for it in reasons is the same in lower case.
fn read_cookie_name(
    key: &Text<'_>,
    seen: &mut BTreeMap<String, String>,
    reading: &mut Reading<'_>,
) -> Option<HeaderName> {
    let token = HeaderName::from_bytes(key.text.as_bytes()).ok().filter(|_| !key.text.starts_with('$'));
    let Some(name) = token.filter(|_| !key.text.contains('%')) else {
        let help = "the name of a cookie has letters, digits, `-` and `_`; quote it when it has a dot";
        reading.error(format!("`{}` is no name for a cookie", key.text), key.span.clone(), help);
        return None;
    };
    if cookie::is_ours(key.text.as_bytes()) {
        let message = format!("the cookie `{}` is the gateway's own", key.text);
        reading.error(message, key.span.clone(), "choose a name that does not begin with `lychgate`");
        return None;
    }
    if let Some(other) = seen.insert(fold(key.text), key.text.to_owned()) {
        let message = format!("cookies `{other}` and `{}` are the same to some applications", key.text);
        reading.error(message, key.span.clone(), "PHP sees `_` for other punctuation; rename one");
        return None;
    }
    Some(name)
}

/// One entry, whose value is being read.
struct Form<'n> {
    carrier: Carrier,
    name: &'n str,
}

impl Form<'_> {
    fn read(&self, value: &Value<'_>, environment: &Environment<'_>, reading: &mut Reading<'_>) -> Option<Header> {
        if value.get_ref().as_str().is_some() {
            let text = reading.text(value, self.name)?;
            return Some(self.header(Source::Text(template(&text, reading)?)));
        }
        let forms = match self.carrier {
            Carrier::Header => reference::policy::HEADER_FORMS,
            Carrier::Cookie => reference::policy::COOKIE_FORMS,
        };
        let Some(table) = value.get_ref().as_table() else {
            let expected = format!("a string, or a table with {}", names(forms, "or"));
            return reading.wrong_kind(self.name, &expected, value.get_ref(), value.span());
        };
        let keys = match self.carrier {
            Carrier::Header => &reference::policy::HEADER,
            Carrier::Cookie => &reference::policy::COOKIE,
        };
        let mut section = reading.open(self.name, keys, table, value.span());
        let given: Vec<_> = forms.iter().filter(|(form, _)| !section.lacks(form)).collect();
        let [(form, keys)] = given.as_slice() else {
            let what = if self.carrier == Carrier::Cookie { "cookie" } else { "header" };
            let help = format!("give exactly one of {}", names(forms, "and"));
            reading.error(format!("{what} `{}` has no clear value", self.name), value.span(), help);
            for (form, _) in forms {
                section.value(form);
            }
            return self.rest(None, section, reading);
        };
        section.narrow(keys);
        let value = section.value(form)?;
        let source = match *form {
            "list" => forms::read_list(value, &mut section, reading),
            "json" => forms::read_json(value, reading),
            "basic" => forms::read_basic(value, environment, reading),
            "bearer" => secret::read_bearer(value, environment, reading),
            "secret" => secret::read_shared(value, self.carrier, environment, reading),
            "jwt" => forms::read_jwt(value, environment, reading),
            _ => reading.text(value, form).and_then(|text| template(&text, reading)).map(Source::Text),
        };
        self.rest(source, section, reading)
    }

    /// The keys that say what happens to values that are missing or do not fit.
    fn rest(&self, source: Option<Source>, mut section: Section<'_>, reading: &mut Reading<'_>) -> Option<Header> {
        let missing = if section.allows("missing") { section.word("missing", &MISSING, reading) } else { None };
        let (mut encoding, mut unencodable, mut default, mut max, mut too_long) = (None, None, None, None, None);
        if section.allows("encoding") {
            encoding = section.word("encoding", &ENCODINGS, reading);
            unencodable = section.word("unencodable", &UNENCODABLE, reading);
            default = section.text("default", reading);
        }
        if section.allows("max") {
            max = section.size("max", reading);
            too_long = section.word("too_long", &TOO_LONG, reading);
        }
        if let (Some(_), Some(default)) = (missing, &default) {
            reading.error("`missing` and `default` contradict each other", default.span.clone(), "keep one of them");
        }
        let encoding = encoding.unwrap_or(self.carrier.encoding());
        let max = max.map_or(MAX_HEADER_VALUE, |max| max.as_usize());
        if let Some(default) = &default {
            self.check_default(default, encoding, max, reading);
        }
        section.finish(reading);
        let missing = match (default, missing) {
            (Some(text), _) => Missing::Default(text.text.into()),
            (None, Some(MissingWord::Empty)) => Missing::Empty,
            (None, Some(MissingWord::Deny)) => Missing::Deny,
            (None, Some(MissingWord::Omit) | None) => Missing::Omit,
        };
        let (unencodable, too_long) = (unencodable.unwrap_or_default(), too_long.unwrap_or_default());
        Some(Header { missing, encoding, unencodable, max, too_long, ..self.header(source?) })
    }

    fn check_default(&self, default: &Text<'_>, encoding: Encoding, max: usize, reading: &mut Reading<'_>) {
        let why = match encode_for(default.text, encoding, self.carrier) {
            Ok(bytes) if bytes.len() <= max => return,
            Ok(_) => "it is longer than `max`",
            Err(EncodeError::Control) => "it has a control character",
            Err(EncodeError::Unencodable(why)) => why,
        };
        reading.error(
            format!("`default` cannot be sent: {why}"),
            default.span.clone(),
            "change the text or `encoding`",
        );
    }

    fn header(&self, source: Source) -> Header {
        Header {
            name: HeaderName::from_static("x-unnamed"),
            spelled: self.name.into(),
            carrier: self.carrier,
            source,
            missing: Missing::default(),
            encoding: self.carrier.encoding(),
            unencodable: Unencodable::default(),
            max: MAX_HEADER_VALUE,
            too_long: TooLong::default(),
        }
    }
}

/// The keys of all forms: `value`, `list` and `basic`.
fn names(forms: &[(&str, &reference::Table)], last: &str) -> String {
    let mut names: Vec<_> = forms.iter().map(|(form, _)| format!("`{form}`")).collect();
    let end = names.pop().unwrap_or_default();
    format!("{} {last} {end}", names.join(", "))
}

/// A template that gives a text.
fn template(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Template> {
    let template = any_template(text, reading)?;
    if let Some(kind) = template.has_no_text() {
        let message = format!("the value is {kind}, and a header needs a text");
        let help = "use `{ list = \"${…}\", separator = \",\" }`, `{ json = \"${…}\" }`, or .join(',')";
        reading.error(message, text.span.clone(), help);
        return None;
    }
    Some(template)
}

fn any_template(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Template> {
    if text.text.chars().any(char::is_control) {
        let help = "write the value in one line";
        reading.error("a header cannot carry control characters", text.span.clone(), help);
        return None;
    }
    let compiled = Template::compile(text.text, &reading.named());
    let template = compiled.map_err(|mistakes| report(mistakes, text, reading)).ok()?;
    if let Some(written) = template.forgotten() {
        let message = format!("`{written}` is no expression: it is sent as it stands");
        let help = "an expression is written ${…}, as in ${user.email}";
        let finding = Diagnostic::warning(message).help(help).docs(reference::policy::EXPRESSIONS_AT);
        reading.push(finding, text.span.clone());
    }
    for (warning, place) in template.warnings() {
        warn(warning, reading.inside(text, place), reading);
    }
    reading.note_claims(text, template.places());
    Some(template)
}

/// Reports what is unwise at this place of the file.
pub(super) fn warn(warning: &Mistake, place: Range<usize>, reading: &mut Reading<'_>) {
    let finding = Diagnostic::warning(warning.message.clone()).docs(reference::policy::EXPRESSIONS_AT);
    reading.push(finding.help(warning.help.clone().unwrap_or_default()), place);
}

/// Reports what is wrong inside the string `text`.
pub(super) fn report(mistakes: Vec<Mistake>, text: &Text<'_>, reading: &mut Reading<'_>) {
    for mistake in mistakes {
        let place = reading.inside(text, mistake.range);
        let finding = Diagnostic::error(mistake.message).docs(reference::policy::EXPRESSIONS_AT);
        let finding = match mistake.help {
            Some(help) => finding.help(help),
            None => finding,
        };
        reading.push(finding, place);
    }
}
