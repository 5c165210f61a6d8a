//! How a section of the settings is read: key by key, each into its type, every finding noted and none thrown away.
//!
//! Every section is read against its table in [`reference`](crate::reference), which says what may stand there and within
//! which range. [`Section::open`] refuses unknown keys with the nearest known one; the typed readers (`text`, `number`, `duration`,
//! `size`, `choice`, …) return nothing for a key that is absent and for one whose finding is already noted, so callers
//! fall back to the default and go on. A text from a variable or a flag is read as the key's own type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::source::{self, Entry, Node, Origin, Value};
use super::{Environment, FilesRead, environment};
use crate::diagnostic::{Diagnostic, Links, Report, Severity, SourceFile, nearest};
use crate::reference::{Kind, Table};
use crate::size::ByteSize;

/// The findings so far, and what reading needs besides the tree.
pub(super) struct Findings<'e> {
    file: Arc<SourceFile>,
    folder: PathBuf,
    environment: &'e Environment,
    files: &'e FilesRead,
    findings: Vec<Diagnostic>,
    /// Where each place of the file is documented.
    links: Links,
}

impl<'e> Findings<'e> {
    pub(super) fn new(file: Arc<SourceFile>, path: &Path, environment: &'e Environment, files: &'e FilesRead) -> Self {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self { file, folder, environment, files, findings: Vec::new(), links: Links::default() }
    }

    /// Notes a finding; one from a variable or a flag names it in the message instead of a place.
    pub(super) fn note(&mut self, origin: &Origin, finding: Diagnostic) {
        self.findings.push(match origin {
            Origin::File(span) => finding.at(&self.file, span.clone()),
            Origin::Layer(name) => {
                let expected = finding.label.as_ref().map(|label| format!(": {label}")).unwrap_or_default();
                Diagnostic { message: format!("{name}: {}{expected}", finding.message), ..finding }
            }
        });
    }

    /// Notes an error that has what was found and what is allowed.
    pub(super) fn error(&mut self, origin: &Origin, message: impl Into<String>, expected: impl Into<String>) {
        self.note(origin, Diagnostic::error(message).label(expected));
    }

    /// Notes the variables that set keys, or would, were they text.
    pub(super) fn note_broken_variables(&mut self) {
        self.findings.extend(self.environment.broken_settings().map(|name| {
            Diagnostic::error(format!("the environment variable `{name}` is set to what is no UTF-8"))
                .help("set it to text, or unset it")
        }));
    }

    /// Notes where a place of the file is documented.
    fn link(&mut self, origin: &Origin, docs: &'static str) {
        if let Origin::File(span) = origin {
            self.links.push(&self.file, span.clone(), docs);
        }
    }

    /// A path of the file, relative to the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The folder that paths are relative to.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn environment(&self) -> &'e Environment {
        self.environment
    }

    /// Through which every file is read.
    pub(super) fn files(&self) -> &'e FilesRead {
        self.files
    }

    /// How many findings forbid using the settings, so far.
    pub(super) fn count_errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// All findings: those of the file in its order, then those without a place.
    pub(super) fn into_report(mut self) -> Report {
        self.findings.sort_by_key(|finding| finding.place.as_ref().map_or(usize::MAX, |(_, span)| span.start));
        let mut report = Report::default();
        for mut finding in self.findings {
            self.links.add_to(&mut finding);
            report.push(finding);
        }
        report
    }
}

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) value: &'a str,
    pub(super) origin: &'a Origin,
}

/// A table of the settings, its unknown keys already refused.
pub(super) struct Section<'a> {
    name: String,
    keys: &'static Table,
    origin: &'a Origin,
    entries: Option<&'a BTreeMap<String, Entry>>,
    /// Something stands here that is no table; that was noted, so nothing is said to be missing in it.
    broken: bool,
}

/// Where an absent section is said to stand: at the file's first byte.
const NOWHERE: &Origin = &Origin::File(0..0);

impl<'a> Section<'a> {
    /// Reads `node` as a table with these `keys`; `name` is its path, `place` where it is pointed at.
    pub(super) fn open(
        name: &str,
        node: &'a Node,
        place: &'a Origin,
        keys: &'static Table,
        found: &mut Findings<'_>,
    ) -> Self {
        let entries = table(node);
        let section = Self { name: name.to_owned(), keys, origin: place, entries, broken: entries.is_none() };
        match section.entries {
            None => found.error(&node.origin, format!("`{name}` is {}", described(node)), "expected a table"),
            Some(entries) => {
                found.link(place, keys.docs);
                for (key, entry) in entries {
                    found.link(&entry.key, keys.docs_of(key));
                    found.link(&entry.node.origin, keys.docs_of(key));
                    if keys.kind(key).is_none() {
                        found.note(&entry.key, section.unknown_key(key, &entry.key));
                    }
                }
            }
        }
        section
    }

    /// The table under `key`; an empty one when it is absent.
    pub(super) fn section(&self, key: &str, found: &mut Findings<'_>) -> Section<'a> {
        let keys = self.keys.ask_table(key);
        match self.entry(key) {
            Some(entry) => Section::open(&self.path(key), &entry.node, &entry.key, keys, found),
            None => Section { name: self.path(key), keys, origin: NOWHERE, entries: None, broken: false },
        }
    }

    /// The path of one of its keys: `limits.body`.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Where the section itself is pointed at.
    pub(super) fn origin(&self) -> &'a Origin {
        self.origin
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.keys.ask(key)?;
        self.entries.and_then(|entries| entries.get(key))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a> {
        self.entries.into_iter().flatten().map(|(key, entry)| (key.as_str(), entry))
    }

    fn unknown_key(&self, key: &str, origin: &Origin) -> Diagnostic {
        let (path, allowed) = (self.path(key), self.keys.key_names());
        let finding =
            Diagnostic::error(format!("unknown key `{path}`")).label(format!("allowed here: {}", allowed.join(", ")));
        // A variable whose sections were parted by one underscore.
        let parted = self.keys.parted(key).filter(|_| matches!(origin, Origin::Layer(_)));
        match parted {
            Some(keys) => finding.help(format!("did you mean `{}`?", environment::variable_of(&self.path(&keys)))),
            None => suggest(finding, key, allowed.iter().copied()),
        }
    }

    /// Notes that a key which must stand here is missing.
    pub(super) fn missing(&self, key: &str, expected: &str, found: &mut Findings<'_>) {
        if !self.broken {
            found.note(self.origin, Diagnostic::error(format!("`{}` is missing", self.path(key))).help(expected));
        }
    }

    /// A non-empty text.
    pub(super) fn text(&self, key: &str, expected: &str, found: &mut Findings<'_>) -> Option<Text<'a>> {
        let node = &self.entry(key)?.node;
        match &node.value {
            Value::Text(value) if !value.is_empty() => Some(Text { value, origin: &node.origin }),
            Value::Text(_) => self.wrong(key, node, "an empty string", expected, found),
            other => self.wrong(key, node, describe(other), expected, found),
        }
    }

    /// A text that must be there.
    pub(super) fn required_text(&self, key: &str, expected: &str, found: &mut Findings<'_>) -> Option<Text<'a>> {
        if self.entry(key).is_none() {
            self.missing(key, &format!("write {expected}"), found);
        }
        self.text(key, expected, found)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str, found: &mut Findings<'_>) -> Option<bool> {
        let node = &self.entry(key)?.node;
        match (&node.value, &node.origin) {
            (Value::Boolean(value), _) => Some(*value),
            (Value::Text(text), Origin::Layer(_)) if text == "true" || text == "false" => Some(text == "true"),
            (other, _) => self.wrong(key, node, describe(other), "true or false, without quotes", found),
        }
    }

    /// A whole number within the range of its row.
    pub(super) fn number(&self, key: &str, found: &mut Findings<'_>) -> Option<usize> {
        let Some(Kind::Integer(least, most)) = self.keys.ask(key) else { return self.no_row(key) };
        let node = &self.entry(key)?.node;
        let expected = format!("expected a whole number from {least} to {most}");
        let number = match (&node.value, &node.origin) {
            (Value::Integer(number), _) => *number,
            (Value::Text(text), Origin::Layer(_)) if text.parse::<i128>().is_ok() => text.parse().unwrap_or_default(),
            (other, _) => {
                return self.wrong(key, node, describe(other), expected.trim_start_matches("expected "), found);
            }
        };
        let fits = u64::try_from(number).ok().filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            found.error(&node.origin, format!("`{}` is {number}", self.path(key)), expected);
        }
        fits.and_then(|number| usize::try_from(number).ok())
    }

    /// A span of time with its unit, within the range of its row.
    pub(super) fn duration(&self, key: &str, found: &mut Findings<'_>) -> Option<Duration> {
        let Some(Kind::Duration(least, most)) = self.keys.ask(key) else { return self.no_row(key) };
        let text = self.text(key, "a number with a unit, such as \"30s\", \"5m\" or \"1h 30m\"", found)?;
        match humantime::parse_duration(text.value) {
            Ok(value) if (least..=most).contains(&value) => return Some(value),
            Ok(_) => found.error(
                text.origin,
                format!("`{}` is \"{}\"", self.path(key), text.value),
                format!("expected {} to {}", humantime::format_duration(least), humantime::format_duration(most)),
            ),
            Err(_) => found.error(
                text.origin,
                format!("`{}` is no span of time: \"{}\"", self.path(key), text.value),
                "expected a number with a unit, such as \"30s\", \"5m\" or \"1h 30m\"",
            ),
        }
        None
    }

    /// A number of bytes with its unit, within the range of its row.
    pub(super) fn size(&self, key: &str, found: &mut Findings<'_>) -> Option<ByteSize> {
        let Some(Kind::Size(least, most)) = self.keys.ask(key) else { return self.no_row(key) };
        let text = self.text(key, "a number of bytes with a unit, such as \"32KiB\"", found)?;
        let (least, most) = (ByteSize::bytes(least), ByteSize::bytes(most));
        let message = match text.value.parse::<ByteSize>() {
            Ok(value) if (least..=most).contains(&value) => return Some(value),
            Ok(value) => format!("`{}` is {value}", self.path(key)),
            Err(error) => format!("`{}` is no size: {error}", self.path(key)),
        };
        found.error(text.origin, message, format!("expected {least} to {most}"));
        None
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], found: &mut Findings<'_>) -> Option<T> {
        debug_assert!(
            self.keys.kind(key).is_some_and(|kind| kind.has_words(words.iter().map(|(word, _)| *word))),
            "the words of `{key}` are not those of its row in the table `{}`",
            self.keys.name
        );
        let listed = list_words(words.iter().map(|(word, _)| *word));
        let text = self.text(key, &listed, found)?;
        let chosen = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if chosen.is_none() {
            let finding = Diagnostic::error(format!("`{}` is \"{}\"", self.path(key), text.value))
                .label(format!("expected {listed}"));
            found.note(text.origin, suggest(finding, text.value, words.iter().map(|(word, _)| *word)));
        }
        chosen
    }

    /// The elements of a list; none when it is absent.
    pub(super) fn list(&self, key: &str, expected: &str, found: &mut Findings<'_>) -> &'a [Node] {
        match self.entry(key).map(|entry| &entry.node) {
            None => &[],
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                self.wrong::<()>(key, node, &described(node), expected, found);
                &[]
            }
        }
    }

    /// The elements of a list, all of them non-empty texts.
    pub(super) fn texts(&self, key: &str, expected: &str, found: &mut Findings<'_>) -> Vec<Text<'a>> {
        let mut texts = Vec::new();
        for node in self.list(key, expected, found) {
            match &node.value {
                Value::Text(value) if !value.is_empty() => texts.push(Text { value, origin: &node.origin }),
                other => {
                    let message = format!("`{}` holds {}", self.path(key), describe(other));
                    found.error(&node.origin, message, format!("expected {expected}"));
                }
            }
        }
        texts
    }

    /// Nothing, for a key whose row in the reference is of another kind; in debug builds a panic.
    fn no_row<T>(&self, key: &str) -> Option<T> {
        debug_assert!(false, "`{key}` has a row of another kind in the table `{}`", self.keys.name);
        None
    }

    fn wrong<T>(&self, key: &str, node: &Node, what: &str, expected: &str, found: &mut Findings<'_>) -> Option<T> {
        found.error(&node.origin, format!("`{}` is {what}", self.path(key)), format!("expected {expected}"));
        None
    }
}

fn table(node: &Node) -> Option<&BTreeMap<String, Entry>> {
    match &node.value {
        Value::Table(entries) => Some(entries),
        _ => None,
    }
}

/// Adds the nearest of the allowed words, where one is near.
fn suggest<'w>(finding: Diagnostic, found: &str, words: impl IntoIterator<Item = &'w str>) -> Diagnostic {
    match nearest(found, words) {
        Some(word) => finding.help(format!("did you mean `{word}`?")),
        None => finding,
    }
}

fn list_words<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// What stands in place of a table or a list; a variable that was to hold one says why it does not.
pub(super) fn described(node: &Node) -> String {
    let broken = match (&node.value, &node.origin) {
        (Value::Text(text), Origin::Layer(_)) => source::broken_toml(text),
        _ => None,
    };
    broken.map_or_else(|| describe(&node.value).to_owned(), |why| format!("no TOML: {why}"))
}

/// What a value is, for messages; never its text.
pub(super) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "a string",
        Value::Integer(_) => "a number",
        Value::Boolean(_) => "a truth value",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
        Value::Other(kind) => kind,
    }
}
