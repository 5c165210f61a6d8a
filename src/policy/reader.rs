//! Reads a policy file's tables by hand, so that every mistake in it is reported and none hides another.
//!
//! serde stops at the first error; here each value is asked for by name and kind, a wrong one is reported where it
//! stands and reading goes on. [`Section::finish`] reports the keys that nobody asked for, with the nearest known name.
//! Every section is read against its table in [`reference`](crate::reference): a key that has no row there cannot be
//! read, and each finding gets the link into the docs that stands there for the place where it was made.
//!
//! May touch: the text that it is given. Trust boundary: the text is an administrator's, with all mistakes that a person
//! can make in it. Specification: TOML 1.1.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expression::Named;
use crate::diagnostic::{Diagnostic, Links, Report, Severity, SourceFile, nearest};
use crate::reference::{Kind, Table};
use crate::size::ByteSize;

/// One value of the file and where it stands.
pub(super) type Value<'d> = Spanned<DeValue<'d>>;

/// The file being read and what was found wrong with it so far.
pub(super) struct Reading<'r> {
    file: &'r Arc<SourceFile>,
    findings: Vec<Diagnostic>,
    /// Where each place of the file is documented.
    links: Links,
    /// Lines that hold a secret in plain text, which no finding may show.
    secret: Vec<Range<usize>>,
    /// What expressions can use by name.
    named: Arc<Named>,
    /// What is being read, where that is a definition.
    owner: Option<Owner>,
    /// Which claims are named where.
    claims: Vec<ClaimNote>,
}

/// A definition that counts only when something uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The condition with this name.
    Condition(Box<str>),
    /// The header set with this name.
    HeaderSet(Box<str>),
}

/// A claim that is named in an expression.
pub(super) struct ClaimNote {
    /// The claim.
    pub(super) claim: Box<str>,
    /// The bytes of the file.
    pub(super) span: Range<usize>,
    /// The definition in which it stands.
    pub(super) owner: Option<Owner>,
}

/// A string of the file and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Text<'d> {
    /// The string, unescaped.
    pub(super) text: &'d str,
    /// The bytes of the file that hold it, quotes included.
    pub(super) span: Range<usize>,
}

/// One table of the file.
pub(super) struct Section<'d> {
    name: String,
    span: Range<usize>,
    keys: &'static Table,
    table: &'d DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'r> Reading<'r> {
    /// Begins with nothing found.
    pub(super) fn new(file: &'r Arc<SourceFile>) -> Self {
        Self {
            file,
            findings: Vec::new(),
            links: Links::default(),
            secret: Vec::new(),
            named: Arc::default(),
            owner: None,
            claims: Vec::new(),
        }
    }

    /// What expressions can use by name.
    pub(super) fn named(&self) -> Arc<Named> {
        Arc::clone(&self.named)
    }

    /// Lets expressions use what is `named` from now on.
    pub(super) fn know(&mut self, named: &Arc<Named>) {
        self.named = Arc::clone(named);
    }

    /// Says what is being read from now on.
    pub(super) fn own(&mut self, owner: Option<Owner>) {
        self.owner = owner;
    }

    /// Notes the claims that are named in the string `text`.
    pub(super) fn note_claims<'c>(&mut self, text: &Text<'_>, places: impl Iterator<Item = (&'c str, Range<usize>)>) {
        for (claim, place) in places {
            let span = self.inside(text, place);
            self.claims.push(ClaimNote { claim: claim.into(), span, owner: self.owner.clone() });
        }
    }

    /// The claims that were noted.
    pub(super) fn claims(&self) -> &[ClaimNote] {
        &self.claims
    }

    /// The file that is being read.
    pub(super) fn file(&self) -> &'r Arc<SourceFile> {
        self.file
    }

    /// Everything that was found, in the order of the file.
    pub(super) fn into_report(mut self) -> Report {
        let start = |finding: &Diagnostic| finding.place.as_ref().map_or(0, |(_, span)| span.start);
        self.findings.sort_by_key(start);
        let mut report = Report::default();
        for mut finding in std::mem::take(&mut self.findings) {
            self.links.add_to(&mut finding);
            self.redact(&mut finding);
            report.push(finding);
        }
        report
    }

    /// Keeps the line of a finding hidden when there is a secret on it.
    fn redact(&self, finding: &mut Diagnostic) {
        let Some((_, span)) = &finding.place else { return };
        finding.secret = self.secret.iter().any(|line| line.start <= span.end && span.start <= line.end);
    }

    /// Keeps the lines that `span` touches out of everything that is shown.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        let text = self.file.text();
        let before = text.get(..span.start).unwrap_or_default();
        let after = text.get(span.end..).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(text.len(), |at| span.end + at);
        self.secret.push(start..end);
    }

    /// Adds a finding about the bytes `span`.
    pub(super) fn push(&mut self, finding: Diagnostic, span: Range<usize>) {
        self.findings.push(finding.at(self.file, span));
    }

    /// Adds an error about the bytes `span`.
    pub(super) fn error(&mut self, message: impl Into<String>, span: Range<usize>, help: impl Into<String>) {
        self.push(Diagnostic::error(message).help(help), span);
    }

    /// Whether anything forbids using the file.
    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The line, from 1, on which `offset` stands.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.file.line_column(offset).0
    }

    /// The bytes of the file that hold `part` of a string; the whole string where escapes make that unclear.
    pub(super) fn inside(&self, text: &Text<'_>, part: Range<usize>) -> Range<usize> {
        let raw = self.file.text().get(text.span.clone()).unwrap_or_default();
        match raw.find(text.text) {
            Some(quote) if !text.text.is_empty() => {
                let start = text.span.start + quote;
                start + part.start.min(text.text.len())..start + part.end.min(text.text.len())
            }
            _ => text.span.clone(),
        }
    }

    /// The string in `value`, or an error that says what `of` must be.
    pub(super) fn text<'d>(&mut self, value: &'d Value<'d>, of: &str) -> Option<Text<'d>> {
        match value.get_ref() {
            DeValue::String(text) => Some(Text { text, span: value.span() }),
            other => self.wrong_kind(of, "a string", other, value.span()),
        }
    }

    /// The strings in `value`, which is one string or a list of them.
    pub(super) fn texts<'d>(&mut self, value: &'d Value<'d>, of: &str) -> Option<Vec<Text<'d>>> {
        match value.get_ref() {
            DeValue::String(text) => Some(vec![Text { text, span: value.span() }]),
            DeValue::Array(items) => {
                let texts: Vec<_> = items.iter().filter_map(|item| self.text(item, of)).collect();
                Some(texts)
            }
            other => self.wrong_kind(of, "a string or a list of strings", other, value.span()),
        }
    }

    /// A section over `table` with these `keys`, called `name` in messages.
    pub(super) fn open<'d>(
        &mut self,
        name: &str,
        keys: &'static Table,
        table: &'d DeTable<'d>,
        span: Range<usize>,
    ) -> Section<'d> {
        self.links.push(self.file, span.clone(), keys.docs);
        for (key, value) in table {
            let docs = keys.docs_of(key.get_ref());
            self.links.push(self.file, key.span().start..value.span().end.max(key.span().end), docs);
        }
        Section { name: name.to_owned(), span, keys, table, known: Vec::new() }
    }

    /// The table in `value` as a section with these `keys`, called `name` in messages.
    pub(super) fn section<'d>(
        &mut self,
        value: &'d Value<'d>,
        name: &str,
        keys: &'static Table,
    ) -> Option<Section<'d>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(self.open(name, keys, table, value.span())),
            other => self.wrong_kind(name, "a table", other, value.span()),
        }
    }

    /// The tables of a `[[name]]`.
    fn sections<'d>(&mut self, value: &'d Value<'d>, name: &str, keys: &'static Table) -> Vec<Section<'d>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.section(item, name, keys)).collect(),
            other => {
                let expected = format!("a list of tables, each headed `[[{name}]]`");
                self.wrong_kind::<()>(name, &expected, other, value.span());
                Vec::new()
            }
        }
    }

    /// Reports a value of the wrong kind; always `None`.
    pub(super) fn wrong_kind<T>(
        &mut self,
        of: &str,
        expected: &str,
        found: &DeValue<'_>,
        span: Range<usize>,
    ) -> Option<T> {
        let message = format!("`{of}` is {}", kind_of(found));
        self.push(Diagnostic::error(message).label(format!("expected {expected}")), span);
        None
    }
}

impl<'d> Section<'d> {
    /// Reads on with these `keys`, once what was read so far says which form the section has.
    pub(super) fn narrow(&mut self, keys: &'static Table) {
        self.keys = keys;
    }

    /// The bytes of the whole section.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// All keys and values, in the order in which they stand in the file.
    pub(super) fn in_order(&self) -> Vec<(Text<'d>, &'d Value<'d>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, value)| (Text { text: key.get_ref(), span: key.span() }, value)).collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    /// The value of `key`, which is known from now on.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'d Value<'d>> {
        self.keys.ask(key)?;
        self.known.push(key);
        self.table.get(key)
    }

    /// Whether `key` may stand here.
    pub(super) fn allows(&self, key: &str) -> bool {
        self.keys.kind(key).is_some()
    }

    /// Whether `key` is not there at all.
    pub(super) fn lacks(&self, key: &str) -> bool {
        !self.table.contains_key(key)
    }

    /// The string at `key`.
    pub(super) fn text(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Text<'d>> {
        self.value(key).and_then(|value| reading.text(value, key))
    }

    /// The string or strings at `key`.
    pub(super) fn texts(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Vec<Text<'d>>> {
        self.value(key).and_then(|value| reading.texts(value, key))
    }

    /// The section at `key`.
    pub(super) fn section(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Section<'d>> {
        let keys = self.keys.ask_table(key);
        self.value(key).and_then(|value| reading.section(value, key, keys))
    }

    /// The sections at `key`, each headed `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Vec<Section<'d>> {
        let keys = self.keys.ask_table(key);
        self.value(key).map(|value| reading.sections(value, key, keys)).unwrap_or_default()
    }

    /// The duration at `key`, which must be longer than zero.
    pub(super) fn duration(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Duration> {
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
    pub(super) fn size(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<ByteSize> {
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
    pub(super) fn number(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<u32> {
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
    pub(super) fn flag(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => reading.wrong_kind(key, "true or false", other, value.span()),
        }
    }

    /// One of a few words at `key`.
    pub(super) fn word<T: Copy>(
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
    pub(super) fn finish(self, reading: &mut Reading<'_>) {
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

/// Reports a name that is none of `allowed`, with the nearest of them.
pub(super) fn unknown_name(
    reading: &mut Reading<'_>,
    message: &str,
    found: &str,
    span: Range<usize>,
    allowed: &[&str],
) {
    let mut finding = Diagnostic::error(message).label(format!("allowed: {}", allowed.join(", ")));
    if let Some(near) = nearest(found, allowed.iter().copied()) {
        finding = finding.help(format!("did you mean `{near}`?"));
    }
    reading.push(finding, span);
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
