//! Which headers go with which rule: `[headers]` and `headers_from` of the policy, and over them those of a rule.
//!
//! What stands nearer wins: a rule's over the policy's, a table's own over those of the sets that it takes in. Two sets of
//! one list that both give a header are an error, unless the table beside the list says which value is meant. A header is
//! replaced only under its own name: one that many applications could not tell from it is an error (S01).
//!
//! Rules with the same headers share one [`HeaderSet`], so that a session evaluates them once.
//!
//! May touch: secrets only through the caller's closure. Trust boundary: the file is an administrator's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::compile::Environment;
use super::definitions::{Definitions, Uses};
use super::header::Header;
use super::header_set::HeaderSet;
use super::header_table;
use super::reader::{Reading, Section, Text, unknown_name};
use crate::http::fold::fold;

/// Headers of the policy, or of a rule over them.
#[derive(Default)]
pub(super) struct Layer {
    headers: Vec<Arc<Header>>,
    /// Where they stand; none when there are no keys for them.
    pub(super) span: Option<Range<usize>>,
}

/// Reads layers; equal tables give the same headers.
pub(super) struct Choices<'a> {
    environment: &'a Environment<'a>,
    definitions: &'a Definitions,
    /// The tables that were read, by their text.
    tables: BTreeMap<String, Vec<Arc<Header>>>,
    uses: Uses,
}

impl Layer {
    /// Whether there are no headers.
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }
}

impl<'a> Choices<'a> {
    /// Begins with nothing read.
    pub(super) fn new(environment: &'a Environment<'a>, definitions: &'a Definitions) -> Self {
        Self { environment, definitions, tables: BTreeMap::new(), uses: Uses::default() }
    }

    /// Which header sets were taken in.
    pub(super) fn into_uses(self) -> Uses {
        self.uses
    }

    /// Reads `headers` and `headers_from` of the policy or of a rule.
    pub(super) fn read(&mut self, section: &mut Section<'_>, reading: &mut Reading<'_>) -> Layer {
        let from = section.texts("headers_from", reading);
        let table = section.section("headers", reading);
        let span = table.as_ref().map(Section::span);
        let span = span.or_else(|| from.iter().flatten().next().map(|text| text.span.clone()));
        let own = table.map(|table| self.read_table(&table, reading)).unwrap_or_default();
        let taken = self.take_in(&from.unwrap_or_default(), &own, reading);
        Layer { headers: overlaid(&taken, &own), span }
    }

    fn read_table(&mut self, table: &Section<'_>, reading: &mut Reading<'_>) -> Vec<Arc<Header>> {
        let headers: Vec<_> = header_table::read(table, self.environment, reading).into_iter().map(Arc::new).collect();
        match text_of(table, reading) {
            Some(text) => self.tables.entry(text).or_insert(headers).clone(),
            None => headers,
        }
    }

    /// The headers of the sets in a list; `own` stands beside it.
    fn take_in(&mut self, from: &[Text<'_>], own: &[Arc<Header>], reading: &mut Reading<'_>) -> Vec<Arc<Header>> {
        let mut taken: Vec<(Arc<Header>, &str)> = Vec::new();
        for (index, text) in from.iter().enumerate() {
            if from.iter().take(index).any(|other| other.text == text.text) {
                reading.error(format!("`{}` is named twice", text.text), text.span.clone(), "remove one");
                continue;
            }
            let Some(set) = self.definitions.header_sets.get(text.text) else {
                self.report_unknown(text, reading);
                continue;
            };
            self.uses.header_sets.insert(text.text.into());
            for header in set {
                if let Some(message) = collision(header, text.text, &taken, own) {
                    let help = "give the value that is meant in `headers` beside the list, or remove one of the sets";
                    reading.error(message, text.span.clone(), help);
                }
                taken.push((Arc::clone(header), text.text));
            }
        }
        taken.into_iter().map(|(header, _)| header).collect()
    }

    fn report_unknown(&self, text: &Text<'_>, reading: &mut Reading<'_>) {
        if self.definitions.unsound_sets.contains(text.text) {
            return;
        }
        let known: Vec<&str> = self.definitions.header_sets.keys().map(|name| &**name).collect();
        let message = format!("unknown header set `{}`", text.text);
        if known.is_empty() {
            let help = format!("define it: [header_sets.{}]", text.text);
            return reading.error(message, text.span.clone(), help);
        }
        unknown_name(reading, &message, text.text, text.span.clone(), &known);
    }
}

/// What is wrong with a header of the set `name` beside those that were taken in before and those that stand beside the list.
fn collision(header: &Header, name: &str, taken: &[(Arc<Header>, &str)], own: &[Arc<Header>]) -> Option<String> {
    if let Some(over) = own.iter().find(|over| is_same(over, header)) {
        return (over.name != header.name).then(|| unlike(over, header));
    }
    let (other, set) = taken.iter().find(|(other, _)| is_same(other, header))?;
    Some(format!("header sets `{set}` and `{name}` both give `{}`", other.name))
}

/// Whether applications may take one header for the other.
fn is_same(one: &Header, other: &Header) -> bool {
    fold(one.name.as_str()) == fold(other.name.as_str())
}

fn unlike(over: &Header, under: &Header) -> String {
    format!("headers `{}` and `{}` are the same to many applications", over.name, under.name)
}

/// `under` with what `over` replaces in its place, and the rest of `over` behind.
fn overlaid(under: &[Arc<Header>], over: &[Arc<Header>]) -> Vec<Arc<Header>> {
    let mut all: Vec<Arc<Header>> = Vec::with_capacity(under.len() + over.len());
    let replaced = under.iter().map(|header| over.iter().find(|over| over.name == header.name).unwrap_or(header));
    for header in replaced.chain(over) {
        if !all.iter().any(|other| other.name == header.name) {
            all.push(Arc::clone(header));
        }
    }
    all
}

/// The text of a table in which every value stands on its own: equal texts mean equal headers.
fn text_of(table: &Section<'_>, reading: &Reading<'_>) -> Option<String> {
    let mut text = String::new();
    for (key, value) in table.in_order() {
        let written = reading.file().text().get(value.span())?;
        // A table with a head of its own lies elsewhere in the file.
        let is_text = written.starts_with(['"', '\'']);
        let is_inline_table = written.starts_with('{') && written.ends_with('}');
        if !is_text && !is_inline_table {
            return None;
        }
        text.push_str(&format!("{:?} = {written}\n", key.text));
    }
    Some(text)
}

/// The header sets of a policy; the first is the policy's own.
#[derive(Default)]
pub(super) struct SetTable {
    sets: Vec<Vec<Arc<Header>>>,
}

impl SetTable {
    /// Begins with the policy's own headers.
    pub(super) fn new(policy: &Layer) -> Self {
        Self { sets: vec![policy.headers.clone()] }
    }

    /// The place of the set for a rule with the headers `rule`.
    pub(super) fn place(&mut self, rule: &Layer, reading: &mut Reading<'_>) -> usize {
        let base = self.sets.first().cloned().unwrap_or_default();
        for over in &rule.headers {
            let under = base.iter().find(|under| is_same(under, over) && under.name != over.name);
            if let (Some(under), Some(span)) = (under, &rule.span) {
                let help = format!("replace it under its own name: {}", under.name);
                reading.error(unlike(over, under), span.clone(), help);
            }
        }
        let set = overlaid(&base, &rule.headers);
        let same = |other: &Vec<Arc<Header>>| {
            other.len() == set.len() && other.iter().zip(&set).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        self.sets.iter().position(same).unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        })
    }

    /// The compiled sets.
    pub(super) fn compile(self) -> Vec<HeaderSet> {
        self.sets.into_iter().map(HeaderSet::new).collect()
    }
}
