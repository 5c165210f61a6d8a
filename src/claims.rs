//! What a provider says about a person: a JSON object whose numbers keep their exact text.
//!
//! One view of the claims serves rules and headers alike. `serde_json` would turn a 20-digit staff number into a
//! float; here a number is the text that the provider wrote (S06), read through `RawValue`. The compact form inside a
//! session cookie is this same type through `postcard` (`wire`).
//!
//! May touch: nothing but memory. Trust boundary: the text comes from a verified token or answer, so its origin is
//! trusted, but sizes and contents are not; depth is bounded by [`MAX_DEPTH`].

mod json;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use json::AsJson;
pub(crate) use wire::WireReader;

/// A text of a person's claims or session, which is mostly short: up to 23 bytes need no memory of their own.
pub type Text = smol_str::SmolStr;

/// How deep a claim may nest; deeper objects are refused.
pub const MAX_DEPTH: usize = 16;

/// One claim's value. The order of the kinds and what they hold are the compact form (`wire`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
pub enum ClaimValue {
    /// JSON `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as the provider wrote it, for example `10000000000000000001` or `1.50`.
    Number(Text),
    /// A string, unescaped.
    Text(Text),
    /// An array, in order.
    List(Vec<ClaimValue>),
    /// An object, by key.
    Object(BTreeMap<Box<str>, ClaimValue>),
}

/// The claims about one person, each name once, in the order of names. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Arc<Vec<(Text, ClaimValue)>>);

/// So few claims are looked through faster than halved.
const FEW: usize = 16;

/// Why a text is no set of claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimsError {
    /// The text is not JSON; the parser's words.
    NotJson(String),
    /// The text is JSON but no object.
    NotAnObject,
    /// Objects or arrays nest deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl std::fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "claims are not JSON: {why}"),
            Self::NotAnObject => write!(f, "claims are not a JSON object"),
            Self::TooDeep => write!(f, "claims nest deeper than {MAX_DEPTH} levels"),
        }
    }
}

impl std::error::Error for ClaimsError {}

impl Claims {
    /// Reads claims from a JSON object. Of a name that stands twice the last value counts, as in RFC 7519 section 4.
    pub fn from_json(json: &[u8]) -> Result<Self, ClaimsError> {
        let raw: &RawValue = serde_json::from_slice(json).map_err(|error| ClaimsError::NotJson(error.to_string()))?;
        match ClaimValue::from_raw(raw, 0)? {
            ClaimValue::Object(members) => {
                Ok(Self(Arc::new(members.into_iter().map(|(name, value)| (name.into(), value)).collect())))
            }
            _ => Err(ClaimsError::NotAnObject),
        }
    }

    /// The value of the claim `name`.
    pub fn value(&self, name: &str) -> Option<&ClaimValue> {
        let found = match self.0.len() {
            ..=FEW => self.0.iter().find(|(known, _)| known == name),
            _ => self.0.get(self.place(name).ok()?),
        };
        found.map(|(_, value)| value)
    }

    /// Where `name` is, or where it would have to be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    /// The claim `name` where it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(ClaimValue::as_text)
    }

    /// Sets one claim.
    pub fn insert(&mut self, name: &str, value: ClaimValue) {
        let place = self.place(name);
        let all = Arc::make_mut(&mut self.0);
        match place {
            Ok(at) => all.splice(at..=at, [(name.into(), value)]).for_each(drop),
            Err(at) => all.insert(at, (name.into(), value)),
        }
    }

    /// Adds the claims of `other`; where both have a name, `other` wins.
    pub fn merge(&mut self, other: Claims) {
        let mut all: BTreeMap<_, _> = self.0.iter().cloned().collect();
        all.extend(Arc::unwrap_or_clone(other.0));
        self.0 = Arc::new(all.into_iter().collect());
    }

    /// Keeps only the claims that `wanted` says yes to.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        Arc::make_mut(&mut self.0).retain(|(name, _)| wanted(name));
    }

    /// The claims as a JSON object; numbers stand there as the provider wrote them.
    pub fn json(&self) -> String {
        serde_json::to_string(&AsJson(self)).unwrap_or_default()
    }

    /// All claims in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ClaimValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl ClaimValue {
    /// The string, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON text; numbers stand there as the provider wrote them.
    pub fn json(&self) -> String {
        serde_json::to_string(&AsJson(self)).unwrap_or_default()
    }

    /// Writes the value as JSON in printable ASCII: other characters as `\u` escapes, numbers as they came, members in the
    /// order of their names.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_json_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_json_text(name, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    fn from_raw(raw: &RawValue, depth: usize) -> Result<Self, ClaimsError> {
        if depth > MAX_DEPTH {
            return Err(ClaimsError::TooDeep);
        }
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => parse::<BTreeMap<Box<str>, &RawValue>>(text)?
                .into_iter()
                .map(|(name, value)| Ok((name, Self::from_raw(value, depth + 1)?)))
                .collect::<Result<_, _>>()
                .map(Self::Object),
            Some(b'[') => parse::<Vec<&RawValue>>(text)?
                .into_iter()
                .map(|value| Self::from_raw(value, depth + 1))
                .collect::<Result<_, _>>()
                .map(Self::List),
            Some(b'"') => parse(text).map(Self::Text),
            Some(b't' | b'f') => parse(text).map(Self::Bool),
            Some(b'n') => Ok(Self::Null),
            _ => Ok(Self::Number(text.into())),
        }
    }
}

/// Writes a string as JSON in printable ASCII (RFC 8259 section 7).
pub fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ClaimsError> {
    serde_json::from_str(text).map_err(|error| ClaimsError::NotJson(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s06_numbers_keep_their_exact_text() {
        let claims = Claims::from_json(br#"{"id": 10000000000000000001, "rate": 1.50, "e": 1E400}"#).unwrap();
        for (name, text) in [("id", "10000000000000000001"), ("rate", "1.50"), ("e", "1E400")] {
            assert_eq!(claims.value(name), Some(&ClaimValue::Number(text.into())));
        }
    }

    #[test]
    fn s06_claims_as_json_are_what_the_provider_wrote() {
        let text = r#"{"a":[1.50,true,null,"x\n\"é"],"id":10000000000000000001,"o":{"\"k":{}}}"#;
        assert_eq!(Claims::from_json(text.as_bytes()).unwrap().json(), text);
    }

    #[test]
    fn nested_values_and_escapes_are_read() {
        let claims = Claims::from_json(r#"{"a":{"b":["x","\u540d\n",true,null]},"a2":"z"}"#.as_bytes()).unwrap();
        let Some(ClaimValue::Object(a)) = claims.value("a") else { panic!("no object") };
        let list = a.get("b").unwrap();
        let expected = vec![
            ClaimValue::Text("x".into()),
            ClaimValue::Text("名\n".into()),
            ClaimValue::Bool(true),
            ClaimValue::Null,
        ];
        assert_eq!(*list, ClaimValue::List(expected));
        assert_eq!(claims.text("a2"), Some("z"));
    }

    fn rewritten(json: &str) -> String {
        let claims = Claims::from_json(json.as_bytes()).unwrap();
        let mut out = String::new();
        claims.value("c").unwrap().write_json(&mut out);
        out
    }

    #[test]
    fn s06_json_is_written_in_ascii_and_numbers_as_they_came() {
        let json = r#"{"c": {"z": [10000000000000000001, 1.50, -0, 1E400, null, true], "a": "名\n\"😀\u0080\\"}}"#;
        let written =
            r#"{"a":"\u540d\u000a\"\ud83d\ude00\u0080\\","z":[10000000000000000001,1.50,-0,1E400,null,true]}"#;
        assert_eq!(rewritten(json), written);
        assert_eq!((rewritten(r#"{"c":[]}"#), rewritten(r#"{"c":{}}"#)), ("[]".to_owned(), "{}".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn t02_a_text_written_as_json_is_printable_and_reads_as_the_same(text in "\\PC{0,20}|.{0,20}|[\\x00-\\x7f]{0,20}") {
            let mut out = String::new();
            write_json_text(&text, &mut out);
            proptest::prop_assert!(out.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(Claims::from_json(b"[]"), Err(ClaimsError::NotAnObject));
        assert!(matches!(Claims::from_json(b"{"), Err(ClaimsError::NotJson(_))));
        assert!(matches!(Claims::from_json(b"{\"a\":\"\xff\"}"), Err(ClaimsError::NotJson(_))));
        let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
        assert_eq!(Claims::from_json(deep.as_bytes()), Err(ClaimsError::TooDeep));
    }
}
