//! The raw settings: one tree out of the file and the layers above it, each value with the place it came from.
//!
//! `toml` parses the file with the span of every key and value; figment lays the environment and the flags over it and
//! remembers which layer each value came from; here both are joined into [`Node`]s, which `reader` turns into types.
//!
//! May touch: memory only. Secrets that stand in the file are masked in the text that is kept for showing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use figment::value::{Dict, Empty, Map, Num, Tag, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{Environment, Override};
use super::secrets;
use crate::diagnostic::{Report, SourceFile, unparsed};
use crate::reference;

/// Where a value came from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// These bytes of the file.
    File(Range<usize>),
    /// A variable or a flag, by its name for people.
    Layer(Arc<str>),
}

/// One value of the merged settings.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// What a value is; what no setting uses is only named.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Entry>),
    Other(&'static str),
}

/// A key of a table and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Origin,
    pub(super) node: Node,
}

/// Parses the file and lays the environment and the flags over it.
pub(super) fn read(
    path: &Path,
    text: &str,
    environment: &Environment,
    overrides: &[Override],
) -> Result<(Arc<SourceFile>, Node), Report> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut report = Report::default();
        let known = reference::gateway::FILE.all_names();
        unparsed::findings(path, text, &errors, &known).into_iter().for_each(|finding| report.push(finding));
        return Err(report);
    }
    let file = SourceFile::new(path, secrets::mask(text, table.get_ref()));
    let merged = merge(table.get_ref(), environment, overrides);
    let root = DeValue::Table(table.get_ref().clone());
    let settings = merged.find_value("").unwrap_or_else(|_| Merged::Dict(Tag::Default, Dict::new()));
    Ok((file, join(&settings, Some(&Spanned::new(0..0, root)), &merged)))
}

/// A layer for figment: its name for people, and what it sets.
struct Layer {
    name: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn merge(table: &DeTable<'_>, environment: &Environment, overrides: &[Override]) -> Figment {
    let mut figment = Figment::new().merge(Layer { name: String::new(), values: dictionary(table) });
    for variable in environment.settings(&secret_variables(table, environment)) {
        let name = format!("environment variable `{}`", variable.name);
        figment = figment.merge(Layer { name, values: nest(&variable.path, layer_value(variable.value)) });
    }
    for flag in overrides {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        let name = format!("option `{}`", flag.flag);
        figment = figment.merge(Layer { name, values: nest(&path, layer_value(&flag.value)) });
    }
    figment
}

/// The variables that hold secrets, not settings: those that the file or another variable names as a source.
fn secret_variables(table: &DeTable<'_>, environment: &Environment) -> Vec<String> {
    let mut names = secrets::variables_named(table);
    for variable in environment.settings(&[]) {
        let document = format!("value = {}", variable.value);
        match DeTable::parse(&document) {
            _ if variable.path.last().is_some_and(|key| key == "env") => names.push(variable.value.to_owned()),
            Ok(value) if is_toml(variable.value) => names.extend(secrets::variables_named(value.get_ref())),
            _ => {}
        }
    }
    names
}

/// A variable's value: TOML when it opens like a list or a table, text otherwise.
fn layer_value(text: &str) -> Merged {
    let document = format!("value = {text}");
    match DeTable::parse(&document) {
        Ok(table) if is_toml(text) => dictionary(table.get_ref()).remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

/// Why a text that opens like a list or a table is none; nothing for every other text. It may be meant as a text, such as `[::1]:9180`.
pub(super) fn broken_toml(text: &str) -> Option<String> {
    let document = format!("value = {text}");
    let error = DeTable::parse(&document).err().filter(|_| is_toml(text))?;
    Some(error.message().replace('\n', ", "))
}

fn is_toml(text: &str) -> bool {
    text.starts_with(['[', '{'])
}

fn nest(path: &[String], value: Merged) -> Dict {
    match path {
        [] => Dict::new(),
        [key] => Dict::from([(key.clone(), value)]),
        [key, rest @ ..] => Dict::from([(key.clone(), nest(rest, value).into())]),
    }
}

fn dictionary(table: &DeTable<'_>) -> Dict {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), unspanned(value.get_ref()))).collect()
}

fn unspanned(value: &DeValue<'_>) -> Merged {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Integer(value) => {
            let number = i128::from_str_radix(value.as_str(), value.radix()).unwrap_or(i128::MAX);
            Merged::Num(Tag::Default, Num::I128(number))
        }
        DeValue::Float(value) => Merged::Num(Tag::Default, Num::F64(value.as_str().parse().unwrap_or(f64::NAN))),
        DeValue::Datetime(_) => Merged::Empty(Tag::Default, Empty::Unit),
        DeValue::Array(items) => {
            Merged::Array(Tag::Default, items.iter().map(|item| unspanned(item.get_ref())).collect())
        }
        DeValue::Table(table) => Merged::Dict(Tag::Default, dictionary(table)),
    }
}

/// Gives each merged value the place it came from: the file's span, or the name of its layer.
fn join(merged: &Merged, spanned: Option<&Spanned<DeValue<'_>>>, figment: &Figment) -> Node {
    let mut origin = origin(merged.tag(), spanned.map(Spanned::span), figment);
    let value = match merged {
        Merged::String(_, text) => Value::Text(text.clone()),
        Merged::Char(_, character) => Value::Text(character.to_string()),
        Merged::Bool(_, value) => Value::Boolean(*value),
        Merged::Num(_, Num::I128(value)) => Value::Integer(*value),
        Merged::Num(..) => Value::Other("a fraction"),
        Merged::Empty(..) => Value::Other("a date"),
        Merged::Array(_, items) => {
            let places = spanned.and_then(|value| value.get_ref().as_array());
            let place = |index: usize| places.and_then(|places| places.get(index));
            Value::List(items.iter().enumerate().map(|(index, item)| join(item, place(index), figment)).collect())
        }
        Merged::Dict(_, entries) => {
            let places = spanned.and_then(|value| value.get_ref().as_table());
            if let (Some(_), Some(spanned)) = (places, spanned) {
                origin = Origin::File(spanned.span());
            }
            let entry = |(key, value): (&String, &Merged)| (key.clone(), join_entry(key, value, places, figment));
            Value::Table(entries.iter().map(entry).collect())
        }
    };
    Node { origin, value }
}

fn join_entry(key: &str, value: &Merged, places: Option<&DeTable<'_>>, figment: &Figment) -> Entry {
    let place = places.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == key));
    let node = join(value, place.map(|(_, value)| value), figment);
    let key = match (place, &node.origin) {
        (Some((name, _)), Origin::File(_)) => Origin::File(name.span()),
        (_, origin) => origin.clone(),
    };
    Entry { key, node }
}

/// A value's layer by figment's tag; the file's own layer has no name.
fn origin(tag: Tag, span: Option<Range<usize>>, figment: &Figment) -> Origin {
    let layer = figment.get_metadata(tag).map(|metadata| metadata.name.as_ref()).filter(|name| !name.is_empty());
    match (layer, span) {
        (Some(name), _) => Origin::Layer(name.into()),
        (None, span) => Origin::File(span.unwrap_or_default()),
    }
}
