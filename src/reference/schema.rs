//! JSON Schema of the two kinds of files, for editors.
//!
//! A schema says which keys there are, of which kind, with which words and defaults; what only the program can know (that
//! an expression compiles, that a file exists) is for `lychgate check`. Every table is written where it stands, because
//! editors show the description of a place better than that of a reference.
//!
//! May touch: nothing. Specification: JSON Schema draft 2020-12; `x-taplo` is read by editors that use taplo.

use serde_json::{Map, Value, json};

use super::File;
use super::key::{Key, Kind, Names, Need, Table, Word};

/// A number with a unit, once or several times; within which range is left to the program.
const DURATION: &str = r"^\s*[0-9]+\s*[A-Za-zµ]+(\s*[0-9]+\s*[A-Za-zµ]+)*\s*$";
const SIZE: &str = r"^\s*[0-9]+\s*(B|KiB|MiB|GiB|kB|MB|GB)\s*$";

/// The schema of a kind of file.
pub fn schema(file: &File) -> Value {
    let mut schema = table(file.top);
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), file.title.into());
    Value::Object(schema)
}

fn table(table: &Table) -> Map<String, Value> {
    let properties: Map<_, _> = table.keys.iter().map(|row| (row.name.to_owned(), key(row, table).into())).collect();
    let required: Vec<_> = table.keys.iter().filter(|key| key.need == Need::Required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("description".to_owned(), format!("{}\n\nSee {}", plain(table.text), table.docs).into());
    schema
        .insert("additionalProperties".to_owned(), table.names.map_or(Value::Bool(false), |rest| names(&rest).into()));
    if !properties.is_empty() {
        schema.insert("properties".to_owned(), properties.into());
    }
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    if !table.one_of.is_empty() {
        let one_of: Vec<_> = table.one_of.iter().map(|key| json!({ "required": [key] })).collect();
        schema.insert("oneOf".to_owned(), one_of.into());
    }
    schema
}

fn names(names: &Names) -> Map<String, Value> {
    let mut schema = kind(&names.kind);
    schema.insert("description".to_owned(), plain(names.text).into());
    schema
}

fn key(key: &Key, table: &Table) -> Map<String, Value> {
    let mut schema = kind(&key.kind);
    let otherwise = match key.need {
        Need::Otherwise(words) => format!("\n\nWithout it: {}.", plain(words)),
        Need::Required | Need::Optional | Need::Default(_) => String::new(),
    };
    let words = key.kind.words().unwrap_or_default();
    let words: String = words.iter().filter(|word| !word.text.is_empty()).map(meaning).collect();
    let docs = key.docs.unwrap_or(table.docs);
    schema.insert("description".to_owned(), format!("{}{words}{otherwise}\n\nSee {docs}", plain(key.text)).into());
    if let Need::Default(value) = key.need {
        schema.insert("default".to_owned(), literal(value));
    }
    if !key.examples.is_empty() {
        schema.insert("examples".to_owned(), key.examples.iter().map(|text| literal(text)).collect());
    }
    schema
}

fn meaning(word: &Word) -> String {
    format!("\n- \"{}\": {}", word.word, plain(word.text))
}

fn kind(kind: &Kind) -> Map<String, Value> {
    let schema = match kind {
        Kind::Text(_) => json!({ "type": "string" }),
        Kind::Words(words) => self::words(words),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration(..) => json!({ "type": "string", "pattern": DURATION }),
        Kind::Size(..) => json!({ "type": "string", "pattern": SIZE }),
        Kind::List(each) => json!({ "type": "array", "items": self::kind(each) }),
        Kind::OneOrMore(each) => {
            let one = self::kind(each);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
        Kind::Table(inner) => table(inner).into(),
        Kind::Tables(each) => json!({ "type": "array", "items": table(each) }),
        Kind::Claims => json!({ "type": "object" }),
    };
    match schema {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn words(words: &[Word]) -> Value {
    let mut schema = json!({ "enum": words.iter().map(|word| word.word).collect::<Vec<_>>() });
    if words.iter().any(|word| !word.text.is_empty())
        && let Some(members) = schema.as_object_mut()
    {
        let texts: Vec<_> = words.iter().map(|word| plain(word.text)).collect();
        members.insert("x-taplo".to_owned(), json!({ "docs": { "enumValues": texts } }));
    }
    schema
}

/// A value as it would be written in a file; null where it is no TOML, which a test rules out.
fn literal(text: &str) -> Value {
    let table = format!("value = {text}").parse::<toml::Table>().unwrap_or_default();
    table.get("value").and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// A text with the names of its links instead of the links, which would lead nowhere.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (name, after))) = next_link(rest) {
        plain.push_str(before);
        plain.push_str(name);
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// What stands before the first `[name](target)`, its name, and what follows.
fn next_link(text: &str) -> Option<(&str, (&str, &str))> {
    let (head, tail) = text.split_once("](")?;
    let (before, name) = head.rsplit_once('[')?;
    let (_, after) = tail.split_once(')')?;
    Some((before, (name, after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::FILES;

    #[test]
    fn every_default_and_example_is_toml() {
        for table in FILES.iter().flat_map(|file| file.top.all()) {
            for key in table.keys {
                let default = match key.need {
                    Need::Default(value) => Some(value),
                    _ => None,
                };
                for text in key.examples.iter().copied().chain(default) {
                    assert_ne!(literal(text), Value::Null, "{}: {}: {text}", table.name, key.name);
                }
            }
        }
    }

    #[test]
    fn links_lose_their_targets() {
        assert_eq!(plain("one [a](b#c) or [d](e), `f`"), "one a or d, `f`");
        assert_eq!(plain("list[0](1"), "list[0](1");
    }
}
