//! The form of a reference table: keys, their kinds, and what a table allows.
//!
//! Everything is built in constants, so a table costs nothing until somebody reads it. [`Table::ask`] is what the readers
//! call; it makes sure that no key is read which no table describes.
//!
//! May touch: nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// A table of a file: `[app]`, each of `[[rules]]`, `{ file = … }`.
#[derive(Debug)]
pub struct Table {
    /// What it is called: `app.timeouts`; empty for what stands at the top.
    pub name: &'static str,
    /// Where it is documented: a page and an anchor.
    pub docs: &'static str,
    /// One sentence on what it is for.
    pub text: &'static str,
    /// Its keys, in the order in which they are shown.
    pub keys: &'static [Key],
    /// Keys whose names the administrator chooses.
    pub names: Option<Names>,
    /// Keys of which exactly one must be there; any when empty.
    pub one_of: &'static [&'static str],
}

/// Keys whose names the administrator chooses, as in `[providers.NAME]`.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// What stands for the name in the docs: `NAME`.
    pub called: &'static str,
    /// What stands under each name.
    pub kind: Kind,
    /// One sentence on it.
    pub text: &'static str,
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What stands under it.
    pub kind: Kind,
    /// Whether it must be there, and what holds without it.
    pub need: Need,
    /// One or two sentences in Markdown.
    pub text: &'static str,
    /// Values as they could be written.
    pub examples: &'static [&'static str],
    /// Where it is documented, when that is not where its table is.
    pub docs: Option<&'static str>,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The file cannot be used without it.
    Required,
    /// Without it nothing happens.
    Optional,
    /// This holds without it, as it would be written.
    Default(&'static str),
    /// What holds without it, in words.
    Otherwise(&'static str),
}

/// What stands under a key.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string; the words say what of: `a path pattern`.
    Text(&'static str),
    /// One of a few strings.
    Words(&'static [Word]),
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range, both ends included.
    Integer(u64, u64),
    /// A span of time in a range, both ends included: `"30s"`.
    Duration(Duration, Duration),
    /// A number of bytes in a range, both ends included: `"32KiB"`.
    Size(u64, u64),
    /// A list of these.
    List(&'static Kind),
    /// One of these, or a list of them.
    OneOrMore(&'static Kind),
    /// Any of these kinds.
    Either(&'static [Kind]),
    /// A table.
    Table(&'static Table),
    /// A list of tables, each headed `[[name]]`.
    Tables(&'static Table),
    /// A table of anything: the claims of a person.
    Claims,
    /// A date or a moment, as TOML writes it or as a string.
    Moment,
}

/// A word that a key takes.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// As it is written.
    pub word: &'static str,
    /// What it means; may be empty where the key's own text says it.
    pub text: &'static str,
}

impl Word {
    /// A word and its meaning.
    pub const fn new(word: &'static str, text: &'static str) -> Self {
        Self { word, text }
    }
}

impl Kind {
    /// Any string.
    pub const TEXT: Self = Self::Text("text");
    /// Any span of time but none.
    pub const TIME: Self = Self::Duration(Duration::from_nanos(1), Duration::MAX);
    /// An expression of a policy, by itself.
    pub const EXPRESSION: Self = Self::Text("expression");
    /// A text of a policy with expressions in it.
    pub const TEMPLATE: Self = Self::Text("text with `${expression}`");
    /// The name of a file.
    pub const FILE: Self = Self::Text("file");

    /// The table behind this kind, where there is one.
    pub fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Table(table) | Self::Tables(table) => Some(table),
            Self::List(kind) | Self::OneOrMore(kind) => kind.table(),
            Self::Either(kinds) => kinds.iter().find_map(Self::table),
            _ => None,
        }
    }

    /// The words behind this kind, where there are some.
    pub fn words(&self) -> Option<&'static [Word]> {
        match self {
            Self::Words(words) => Some(words),
            Self::Either(kinds) => kinds.iter().find_map(Self::words),
            _ => None,
        }
    }

    /// Whether the reader's words are those of the table, in any order.
    pub(crate) fn has_words<'w>(&self, words: impl ExactSizeIterator<Item = &'w str>) -> bool {
        let known = self.words().unwrap_or_default();
        known.len() == words.len() && words.into_iter().all(|word| known.iter().any(|known| known.word == word))
    }
}

/// What a person would call it: `path pattern, or a list of them`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(what) => f.write_str(what),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("`\"{}\"`", word.word)).collect();
                f.write_str(&quoted.join(", "))
            }
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::Integer(least, most) => write!(f, "whole number, {least} to {most}"),
            Self::Duration(_, Duration::MAX) => f.write_str("duration"),
            Self::Duration(least, most) => {
                let (least, most) = (humantime::format_duration(*least), humantime::format_duration(*most));
                write!(f, "duration, {least} to {most}")
            }
            Self::Size(least, most) => write!(f, "size, {} to {}", bytes(*least), bytes(*most)),
            Self::List(kind) => write!(f, "list; each: {kind}"),
            Self::OneOrMore(kind) => write!(f, "{kind}, or a list of them"),
            Self::Either(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(Self::to_string).collect();
                f.write_str(&kinds.join(", or "))
            }
            Self::Table(_) | Self::Claims => f.write_str("table"),
            Self::Tables(_) => f.write_str("list of tables"),
            Self::Moment => f.write_str("date or moment"),
        }
    }
}

/// A number of bytes in the largest unit that it fills exactly.
fn bytes(number: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = units.iter().find(|(shift, _)| number >= 1 << shift && number.is_multiple_of(1 << shift));
    fits.map_or(format!("{number} B"), |(shift, unit)| format!("{} {unit}", number >> shift))
}

impl Key {
    /// A key that may be left away.
    pub const fn optional(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, kind, need: Need::Optional, text, examples: &[], docs: None }
    }

    /// A key that must be there.
    pub const fn required(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { need: Need::Required, ..Self::optional(name, kind, text) }
    }

    /// Gives what holds without it, as it would be written: `"\"5s\""`.
    #[must_use]
    pub const fn by_default(self, value: &'static str) -> Self {
        Self { need: Need::Default(value), ..self }
    }

    /// Gives what holds without it in words.
    #[must_use]
    pub const fn otherwise(self, words: &'static str) -> Self {
        Self { need: Need::Otherwise(words), ..self }
    }

    /// Gives values as they could be written.
    #[must_use]
    pub const fn examples(self, examples: &'static [&'static str]) -> Self {
        Self { examples, ..self }
    }

    /// Gives the place that documents it.
    #[must_use]
    pub const fn see(self, docs: &'static str) -> Self {
        Self { docs: Some(docs), ..self }
    }
}

/// A table that allows nothing: what a reader gets that asks for a section without a row.
static NOTHING: Table = Table::new("", "", "", &[]);

impl Table {
    /// A table of these keys and no others.
    pub const fn new(name: &'static str, docs: &'static str, text: &'static str, keys: &'static [Key]) -> Self {
        Self { name, docs, text, keys, names: None, one_of: &[] }
    }

    /// Allows any other key too, of this kind.
    #[must_use]
    pub const fn names(self, called: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { names: Some(Names { called, kind, text }), ..self }
    }

    /// Asks for exactly one of these keys.
    #[must_use]
    pub const fn one_of(self, keys: &'static [&'static str]) -> Self {
        Self { one_of: keys, ..self }
    }

    /// The row of a key.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The kind of what stands under `name`, where it may stand at all.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.key(name).map(|key| key.kind).or(self.names.map(|names| names.kind))
    }

    /// The path, with dots, of the key that a name means in which its parts stand joined by `_`: `admin_address` is `admin.address`.
    pub fn parted(&self, joined: &str) -> Option<String> {
        joined.match_indices('_').find_map(|(at, _)| {
            let (head, rest) = (joined.get(..at)?, joined.get(at + 1..)?);
            let below = match self.kind(head)? {
                // What is below a list has no name of its own.
                Kind::Tables(_) | Kind::List(_) | Kind::OneOrMore(_) => return None,
                kind => kind.table()?,
            };
            let known = below.key(rest).map(|_| rest.to_owned());
            Some(format!("{head}.{}", known.or_else(|| below.parted(rest))?))
        })
    }

    /// Where the key `name` is documented.
    pub fn docs_of(&self, name: &str) -> &'static str {
        self.key(name).and_then(|key| key.docs).unwrap_or(self.docs)
    }

    /// The names of all keys that have a row.
    pub fn key_names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }

    /// The kind of a key that a reader is about to read; none, in debug builds a panic, when it has no row.
    pub(crate) fn ask(&'static self, name: &str) -> Option<Kind> {
        let kind = self.kind(name);
        debug_assert!(kind.is_some(), "`{name}` has no row in the table `{}`: add one in src/reference", self.name);
        #[cfg(test)]
        asked::note(self, name);
        kind
    }

    /// The table of a section that a reader is about to read.
    pub(crate) fn ask_table(&'static self, name: &str) -> &'static Self {
        let table = self.ask(name).and_then(|kind| kind.table());
        debug_assert!(table.is_some(), "`{name}` is no table in `{}`", self.name);
        table.unwrap_or(&NOTHING)
    }

    /// This table and all that can stand in it, each once.
    pub fn all(&'static self) -> Vec<&'static Self> {
        let mut all: Vec<&'static Self> = vec![self];
        let mut next = 0;
        while let Some(table) = all.get(next).copied() {
            next += 1;
            let kinds = table.keys.iter().map(|key| key.kind).chain(table.names.map(|names| names.kind));
            for inner in kinds.flat_map(tables) {
                if !all.iter().any(|known| std::ptr::eq(*known, inner)) {
                    all.push(inner);
                }
            }
        }
        all
    }

    /// The names of the keys of this table and of all that can stand in it.
    pub fn all_names(&'static self) -> BTreeSet<&'static str> {
        self.all().into_iter().flat_map(Self::key_names).collect()
    }
}

/// Every table that a kind can be.
fn tables(kind: Kind) -> Vec<&'static Table> {
    match kind {
        Kind::Table(table) | Kind::Tables(table) => vec![table],
        Kind::List(kind) | Kind::OneOrMore(kind) => tables(*kind),
        Kind::Either(kinds) => kinds.iter().copied().flat_map(tables).collect(),
        _ => Vec::new(),
    }
}

/// Which keys the readers asked for in this thread, for the tests that find rows which nobody reads.
#[cfg(test)]
pub(crate) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::Table;

    thread_local! {
        static ASKED: RefCell<BTreeSet<(usize, String)>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(table: &'static Table, name: &str) {
        ASKED.with_borrow_mut(|asked| asked.insert((std::ptr::from_ref(table).addr(), name.to_owned())));
    }

    /// The rows of `top` and all that stands in it that were not asked for so far, as `table: key`.
    pub(crate) fn never(top: &'static Table) -> Vec<String> {
        let mut never = Vec::new();
        for table in top.all() {
            let id = std::ptr::from_ref(table).addr();
            let unread = |name: &str| ASKED.with_borrow(|asked| !asked.contains(&(id, name.to_owned())));
            never.extend(
                table.keys.iter().filter(|key| unread(key.name)).map(|key| format!("{}: {}", table.name, key.name)),
            );
        }
        never
    }
}
