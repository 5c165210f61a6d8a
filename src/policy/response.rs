//! `[response]`: what is taken from the application's answers, and what is put on them.
//!
//! Texts only: an answer may be kept by caches, so nothing of a person goes there. Refused are names that frame a message or belong to one
//! connection, cookies, and what the gateway itself writes; and a name that is to be removed and set at once.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's. Specification: RFC 9110 sections 5.5 and 7.6.1.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::reader::{Reading, Section, Text, Value};
use crate::http::fold::fold;

/// Names, folded, that an answer's framing, the connection or the gateway needs.
const RESERVED: [&str; 14] = [
    "CONNECTION",
    "CONTENT_ENCODING",
    "CONTENT_LENGTH",
    "CONTENT_RANGE",
    "DATE",
    "HTTP2_SETTINGS",
    "KEEP_ALIVE",
    "LOCATION",
    "PROXY_CONNECTION",
    "SET_COOKIE",
    "TE",
    "TRAILER",
    "TRANSFER_ENCODING",
    "UPGRADE",
];

/// Fields to remove, set and add; compiled. Most policies have none.
#[derive(Debug, Default)]
pub struct ResponseFields(Option<Box<Changes>>);

#[derive(Debug, Default)]
struct Changes {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    spelled: Vec<Box<str>>,
}

impl ResponseFields {
    /// Brings them to the head of an answer: what is to be removed goes, what is set stands there once, what is added stands beside.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let Some(changes) = &self.0 else { return };
        for name in &changes.remove {
            headers.remove(name);
        }
        for (name, value) in &changes.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &changes.add {
            headers.append(name, value.clone());
        }
    }

    /// The names that it sets or adds, as the policy spells them.
    pub fn spelled(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|changes| &changes.spelled).map(|name| &**name)
    }
}

/// Reads `[response]`.
pub(super) fn read(mut section: Section<'_>, reading: &mut Reading<'_>) -> ResponseFields {
    let mut fields = Changes::default();
    let mut seen: BTreeMap<String, &'static str> = BTreeMap::new();
    for name in section.texts("remove", reading).unwrap_or_default() {
        fields.remove.extend(read_name(&name, "remove", &mut seen, reading));
    }
    if let Some(set) = section.section("set", reading) {
        for (key, value) in set.in_order() {
            let name = read_name(&key, "set", &mut seen, reading);
            let text = reading.text(value, key.text).and_then(|text| read_text(&text, reading));
            fields.set.extend(name.zip(text));
            fields.spelled.push(key.text.into());
        }
    }
    if let Some(add) = section.section("add", reading) {
        for (key, value) in add.in_order() {
            let Some(name) = read_name(&key, "add", &mut seen, reading) else { continue };
            let texts = read_texts(&key, value, reading);
            fields.spelled.extend(texts.iter().map(|_| Box::from(key.text)));
            fields.add.extend(texts.into_iter().map(|text| (name.clone(), text)));
        }
    }
    section.finish(reading);
    let any = !(fields.remove.is_empty() && fields.set.is_empty() && fields.add.is_empty());
    ResponseFields(any.then(|| Box::new(fields)))
}

fn read_name(
    key: &Text<'_>,
    place: &'static str,
    seen: &mut BTreeMap<String, &'static str>,
    reading: &mut Reading<'_>,
) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(key.text.as_bytes()) else {
        let help = "a header name has letters, digits and `-`; quote it when it has a dot";
        reading.error(format!("`{}` is no header name", key.text), key.span.clone(), help);
        return None;
    };
    let folded = fold(key.text);
    if RESERVED.contains(&folded.as_str()) || folded.starts_with("X_LYCHGATE_") {
        let message = format!("`{}` in an answer belongs to the protocol or to the gateway", key.text);
        reading.error(message, key.span.clone(), "it cannot be changed here");
        return None;
    }
    if let Some(other) = seen.insert(name.to_string(), place) {
        let message = if other == place {
            format!("`{}` stands twice in `{place}`", key.text)
        } else {
            format!("`{}` stands in `{other}` and in `{place}`", key.text)
        };
        reading.error(message, key.span.clone(), "`set` replaces what the application sends; keep one of them");
        return None;
    }
    Some(name)
}

fn read_texts(key: &Text<'_>, value: &Value<'_>, reading: &mut Reading<'_>) -> Vec<HeaderValue> {
    let texts = reading.texts(value, key.text).unwrap_or_default();
    texts.iter().filter_map(|text| read_text(text, reading)).collect()
}

fn read_text(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<HeaderValue> {
    let whole = text.text.trim() == text.text && !text.text.chars().any(char::is_control);
    match HeaderValue::try_from(text.text).ok().filter(|_| whole && text.text.is_ascii()) {
        Some(value) => Some(value),
        None => {
            let help = "write printable ASCII in one line, without spaces at the ends";
            reading.error("this cannot be sent in a header", text.span.clone(), help);
            None
        }
    }
}
