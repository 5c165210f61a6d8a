//! Reads `[headers]`: names that are safe to set, and values of a known form.
//!
//! Refused are names that frame a message, that the gateway itself sets, or that say who a client is to proxies; and two
//! names that an application may not be able to tell apart, because CGI and its heirs see both as one (S01, S03).
//!
//! May touch: secrets only through the caller's closure. Trust boundary: the file is an administrator's.
//! Specification: RFC 9110 sections 5.1 and 7.6.1.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::HeaderName;

use super::compile::Environment;
use super::encode::{EncodeError, Encoding, Unencodable, encode};
use super::expression::{Kind, Mistake};
use super::header::{Header, Missing, Source};
use super::reader::{Reading, Section, Text, Value};
use super::template::Template;
use crate::crypto::Secret;
use crate::diagnostic::Diagnostic;
use crate::http::fold::fold;
use crate::reference;

/// Where a policy's secret lies; the caller of [`compile`](super::compile) reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, as written in the policy; relative to the policy file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

const ENCODINGS: [(&str, Encoding); 4] = [
    ("utf-8", Encoding::Utf8),
    ("percent", Encoding::Percent),
    ("latin1", Encoding::Latin1),
    ("base64", Encoding::Base64),
];
const UNENCODABLE: [(&str, Unencodable); 3] =
    [("deny", Unencodable::Deny), ("percent", Unencodable::Percent), ("omit", Unencodable::Omit)];
const MISSING: [(&str, MissingWord); 3] =
    [("omit", MissingWord::Omit), ("empty", MissingWord::Empty), ("deny", MissingWord::Deny)];

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
    let mut headers = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in section.in_order() {
        let name = read_name(&key, &mut seen, reading);
        let header = read_value(&key, value, environment, reading);
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
        reading.error(message, key.span.clone(), "choose another name, for example `X-Remote-User`");
        return None;
    }
    if let Some(other) = seen.insert(folded, key.text.to_owned()) {
        let message = format!("headers `{other}` and `{}` are the same to many applications", key.text);
        reading.error(message, key.span.clone(), "CGI, PHP and WSGI see letters, digits and `_` only; rename one");
        return None;
    }
    Some(name)
}

fn read_value(
    key: &Text<'_>,
    value: &Value<'_>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<Header> {
    if value.get_ref().as_str().is_some() {
        let text = reading.text(value, key.text)?;
        return Some(header(Source::Text(template(&text, reading)?)));
    }
    let Some(table) = value.get_ref().as_table() else {
        let expected = "a string, or a table with `value`, `list` or `basic`";
        return reading.wrong_kind(key.text, expected, value.get_ref(), value.span());
    };
    let mut section = reading.open(key.text, &reference::policy::HEADER, table, value.span());
    let forms = reference::policy::HEADER_FORMS;
    let given: Vec<_> = forms.iter().filter(|(form, _)| !section.lacks(form)).collect();
    let [(form, keys)] = given.as_slice() else {
        let help = "give exactly one of `value`, `list` and `basic`";
        reading.error(format!("header `{}` has no clear value", key.text), value.span(), help);
        for (form, _) in forms {
            section.value(form);
        }
        return read_rest(None, section, reading);
    };
    section.narrow(keys);
    let value = section.value(form)?;
    let source = match *form {
        "list" => read_list(value, &mut section, reading),
        "basic" => read_basic(value, environment, reading),
        _ => reading.text(value, form).and_then(|text| template(&text, reading)).map(Source::Text),
    };
    read_rest(source, section, reading)
}

/// The keys that say what happens to values that are missing or do not fit.
fn read_rest(source: Option<Source>, mut section: Section<'_>, reading: &mut Reading<'_>) -> Option<Header> {
    let missing = section.word("missing", &MISSING, reading);
    let (mut encoding, mut unencodable, mut default) = (None, None, None);
    if section.allows("encoding") {
        encoding = section.word("encoding", &ENCODINGS, reading);
        unencodable = section.word("unencodable", &UNENCODABLE, reading);
        default = section.text("default", reading);
    }
    if let (Some(_), Some(default)) = (missing, &default) {
        reading.error("`missing` and `default` contradict each other", default.span.clone(), "keep one of them");
    }
    let encoding = encoding.unwrap_or_default();
    if let Some(default) = &default {
        check_default(default, encoding, reading);
    }
    section.finish(reading);
    let missing = match (default, missing) {
        (Some(text), _) => Missing::Default(text.text.into()),
        (None, Some(MissingWord::Empty)) => Missing::Empty,
        (None, Some(MissingWord::Deny)) => Missing::Deny,
        (None, Some(MissingWord::Omit) | None) => Missing::Omit,
    };
    Some(Header { missing, encoding, unencodable: unencodable.unwrap_or_default(), ..header(source?) })
}

fn check_default(default: &Text<'_>, encoding: Encoding, reading: &mut Reading<'_>) {
    let why = match encode(default.text, encoding) {
        Ok(_) => return,
        Err(EncodeError::Control) => "it has a control character",
        Err(EncodeError::Unencodable(why)) => why,
    };
    reading.error(format!("`default` cannot be sent: {why}"), default.span.clone(), "change the text or `encoding`");
}

fn header(source: Source) -> Header {
    Header {
        name: HeaderName::from_static("x-unnamed"),
        source,
        missing: Missing::default(),
        encoding: Encoding::default(),
        unencodable: Unencodable::default(),
    }
}

/// A template that gives a text.
fn template(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Template> {
    let template = any_template(text, reading)?;
    if let Some(kind) = template.has_no_text() {
        let message = format!("the value is {kind}, and a header needs a text");
        reading.error(message, text.span.clone(), "use `{ list = \"${…}\", separator = \",\" }`, or .join(',')");
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
    reading.note_claims(text, template.places());
    Some(template)
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

fn read_list(value: &Value<'_>, section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    let separator = section.text("separator", reading);
    if let Some(separator) = &separator
        && (separator.text.is_empty() || separator.text.len() > 8 || separator.text.chars().any(char::is_control))
    {
        let help = "for example \",\" or \";\"";
        reading.error("`separator` is 1 to 8 bytes without control characters", separator.span.clone(), help);
    }
    let contains = section.word("contains", &[("deny", false), ("percent", true)], reading);
    let text = reading.text(value, "list")?;
    let Some(list) = any_template(&text, reading)?.into_single() else {
        let help = "write one expression: list = \"${user.groups}\"";
        reading.error("`list` is more than one expression", text.span, help);
        return None;
    };
    if let Some(kind) = list.kind().filter(|kind| *kind != Kind::List) {
        let help = "use `value` for a text";
        reading.error(format!("`list` needs a list, this is {kind}"), text.span, help);
        return None;
    }
    let separator = separator.map_or(",", |separator| separator.text).into();
    Some(Source::List { list, separator, percent: contains.unwrap_or(false) })
}

fn read_basic(value: &Value<'_>, environment: &Environment<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    let mut section = reading.section(value, "basic", &reference::policy::BASIC)?;
    let user = section.text("user", reading);
    let password = section.value("password");
    let span = section.span();
    section.finish(reading);
    if user.is_none() || password.is_none() {
        let help = "basic = { user = \"${user.preferred_username}\", password = { file = \"app.password\" } }";
        reading.error("`basic` needs `user` and `password`", span, help);
    }
    let user = user.and_then(|user| template(&user, reading));
    let password = password.and_then(|password| read_secret(password, environment, reading));
    Some(Source::Basic { user: user?, password: password? })
}

fn read_secret(value: &Value<'_>, environment: &Environment<'_>, reading: &mut Reading<'_>) -> Option<Secret<String>> {
    let help = "keep it in a file: password = { file = \"app.password\" }, or { env = \"NAME\" }";
    if value.get_ref().as_str().is_some() {
        reading.hide(value.span());
        reading.error("a password cannot stand in a policy", value.span(), help);
        return None;
    }
    let mut section = reading.section(value, "password", &reference::policy::SECRET)?;
    if !section.lacks("value") {
        reading.hide(section.span());
        reading.error("a password cannot stand in a policy", value.span(), help);
        return None;
    }
    let (file, variable) = (section.text("file", reading), section.text("env", reading));
    section.finish(reading);
    let (source, span) = match (file, variable) {
        (Some(file), None) => (SecretSource::File(file.text.into()), file.span),
        (None, Some(variable)) => (SecretSource::Environment(variable.text.to_owned()), variable.span),
        _ => {
            reading.error("a password comes from one of `file` and `env`", value.span(), help);
            return None;
        }
    };
    match (environment.secrets)(&source) {
        Ok(secret) if secret.expose().chars().any(char::is_control) => {
            reading.error("the password has a control character", span, "a file may end in one newline, no more");
            None
        }
        Ok(secret) => Some(secret),
        Err(why) => {
            reading.error(format!("the password cannot be read: {why}"), span, "check the name and who may read it");
            None
        }
    }
}
