//! One table of a policy file, whose values are asked for by name and kind.
//!
//! Each `None` has been reported to the [`Reading`] where a value of another kind stands; an absent key is no mistake here. A key is known
//! once it was asked for, and [`Section::finish`] reports all others.
//!
//! May touch: the text that it is given. Trust boundary: that of the whole file.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::{Reading, Text, Value, unknown_name};
use crate::reference::{Kind, Table};
use crate::size::ByteSize;

/// One table of the file.
pub(in crate::policy) struct Section<'d> {
    name: String,
    span: Range<usize>,
    keys: &'static Table,
    table: &'d DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// Begins with no key asked for.
    pub(in crate::policy) fn new(name: &str, span: Range<usize>, keys: &'static Table, table: &'d DeTable<'d>) -> Self {
        Self { name: name.to_owned(), span, keys, table, known: Vec::new() }
    }

    /// Reads on with these `keys`, once what was read so far says which form the section has.
    pub(in crate::policy) fn narrow(&mut self, keys: &'static Table) {
        self.keys = keys;
    }

    /// The bytes of the whole section.
    pub(in crate::policy) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// All keys and values, in the order in which they stand in the file.
    pub(in crate::policy) fn in_order(&self) -> Vec<(Text<'d>, &'d Value<'d>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, value)| (Text { text: key.get_ref(), span: key.span() }, value)).collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    /// The value of `key`, which is known from now on.
    pub(in crate::policy) fn value(&mut self, key: &'static str) -> Option<&'d Value<'d>> {
        self.keys.ask(key)?;
        self.known.push(key);
        self.table.get(key)
    }

    /// Whether `key` may stand here.
    pub(in crate::policy) fn allows(&self, key: &str) -> bool {
        self.keys.kind(key).is_some()
    }

    /// Whether `key` is not there at all.
    pub(in crate::policy) fn lacks(&self, key: &str) -> bool {
        !self.table.contains_key(key)
    }

    /// The string at `key`.
    pub(in crate::policy) fn text(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Text<'d>> {
        self.value(key).and_then(|value| reading.text(value, key))
    }

    /// The string or strings at `key`.
    pub(in crate::policy) fn texts(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Vec<Text<'d>>> {
        self.value(key).and_then(|value| reading.texts(value, key))
    }

    /// The section at `key`.
    pub(in crate::policy) fn section(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Section<'d>> {
        let keys = self.keys.ask_table(key);
        self.value(key).and_then(|value| reading.section(value, key, keys))
    }

    /// The sections at `key`, each headed `[[key]]`.
    pub(in crate::policy) fn sections(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Vec<Section<'d>> {
        let keys = self.keys.ask_table(key);
        self.value(key).map(|value| reading.sections(value, key, keys)).unwrap_or_default()
    }

    /// The duration at `key`, which must be longer than zero.
    pub(in crate::policy) fn duration(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Duration> {
        let text = self.text(key, reading)?;
        match humantime::parse_duration(text.text) {
            Ok(duration) if !duration.is_zero() => Some(duration),
            Ok(_) => {
                reading.error(format!("`{key}` is zero"), text.span, "give a time such as \"30s\", \"15m\" or \"8h\"");
                None
            }
            Err(why) => {
                let message = format!("`{key}` is no duration: {why}");
                reading.error(message, text.span, "give a time such as \"30s\", \"15m\" or \"8h\"");
                None
            }
        }
    }

    /// The number of bytes at `key`, within the range of its row.
    pub(in crate::policy) fn size(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<ByteSize> {
        let Some(Kind::Size(least, most)) = self.keys.ask(key) else { return None };
        let text = self.text(key, reading)?;
        let (least, most) = (ByteSize::bytes(least), ByteSize::bytes(most));
        let message = match text.text.parse::<ByteSize>() {
            Ok(size) if (least..=most).contains(&size) => return Some(size),
            Ok(size) => format!("`{key}` is {size}"),
            Err(why) => format!("`{key}` is no size: {why}"),
        };
        reading.error(message, text.span, format!("expected {least} to {most}"));
        None
    }

    /// The whole number at `key`, within the range of its row.
    pub(in crate::policy) fn number(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<u32> {
        let Some(Kind::Integer(least, most)) = self.keys.ask(key) else { return None };
        let value = self.value(key)?;
        let Some(number) = value.get_ref().as_integer() else {
            return reading.wrong_kind(key, "a whole number", value.get_ref(), value.span());
        };
        let fits = number.to_string().parse::<u64>().ok().filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            reading.error(format!("`{key}` is {number}"), value.span(), format!("expected {least} to {most}"));
        }
        fits.and_then(|number| u32::try_from(number).ok())
    }

    /// `true` or `false` at `key`.
    pub(in crate::policy) fn flag(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => reading.wrong_kind(key, "true or false", other, value.span()),
        }
    }

    /// One of a few words at `key`.
    pub(in crate::policy) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        reading: &mut Reading<'_>,
    ) -> Option<T> {
        debug_assert!(
            self.keys.kind(key).is_some_and(|kind| kind.has_words(words.iter().map(|(word, _)| *word))),
            "the words of `{key}` are not those of its row in the table `{}`",
            self.keys.name
        );
        let text = self.text(key, reading)?;
        let found = words.iter().find(|(word, _)| *word == text.text);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            unknown_name(reading, &format!("`{key}` is \"{}\"", text.text), text.text, text.span, &allowed);
        }
        found.map(|(_, value)| *value)
    }

    /// Reports every key that was never asked for.
    pub(in crate::policy) fn finish(self, reading: &mut Reading<'_>) {
        let known: Vec<_> = self.keys.key_names().into_iter().filter(|name| self.known.contains(name)).collect();
        for key in self.table.keys() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
                let message = format!("unknown key `{}`{place}", key.get_ref());
                unknown_name(reading, &message, key.get_ref(), key.span(), &known);
            }
        }
    }
}
