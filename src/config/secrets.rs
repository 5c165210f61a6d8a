//! Where a secret is read from, and how one that stands in the file itself is kept out of every message.
//!
//! A secret is named by its source: `{ file = "…" }`, `{ env = "…" }`, or, with a warning, `{ value = "…" }`. Only
//! [`read_secret`] reads it, into a [`Secret`]. The text of a file that is kept for showing its lines has every string
//! that is, could be or holds a secret replaced by asterisks of the same length, so that places stay right.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroize;

use super::reader::{Findings, Section, described};
use super::source::{Node, Value};
use super::{Environment, FilesRead, Part};
use crate::crypto::Secret;
use crate::diagnostic::{Diagnostic, credentials, nearest};
use crate::reference;

/// Where a secret is to be read.
#[derive(Clone)]
pub enum SecretSource {
    /// A file; relative paths are relative to the folder of the file that names it.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The configuration itself.
    Value(Secret<String>),
}

/// Why there is no secret where one was named.
#[derive(Debug)]
pub enum NoSecret {
    /// This environment variable is not set.
    Unset(String),
    /// This environment variable is set to what is no UTF-8.
    NotText(String),
    /// This file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// Nothing stands in what is called so.
    Empty(String),
}

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(f, "the environment variable `{name}` is not set"),
            Self::NotText(name) => write!(f, "the environment variable `{name}` is set to what is no UTF-8"),
            Self::Unreadable(path, error) => write!(f, "cannot read the secret file {}: {error}", path.display()),
            Self::Empty(place) => write!(f, "{place} is empty"),
        }
    }
}

impl std::error::Error for NoSecret {}

impl NoSecret {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Unset(name) => format!("export {name}=… where the gateway is started, or name a file"),
            Self::NotText(_) => "set it to text, or name a file".to_owned(),
            Self::Unreadable(path, error) if error.kind() == io::ErrorKind::PermissionDenied => owned_by_another(path),
            Self::Unreadable(path, error) if error.kind() == io::ErrorKind::NotFound => {
                format!("write the secret to {}; a relative path is relative to the file that names it", path.display())
            }
            Self::Unreadable(..) => "name a file that holds the secret and nothing else".to_owned(),
            Self::Empty(_) => "put the secret there, in one line".to_owned(),
        }
    }

    /// Whether the file is there, and not for us.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Unreadable(_, error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What to do about a file that this process may not read.
fn owned_by_another(path: &Path) -> String {
    format!(
        "run this as the user that the gateway runs as, or make the file belong to it: chown USER {}",
        path.display()
    )
}

/// Reads a secret without its trailing line end; an empty one is an error.
///
/// `base` is the folder that a relative file is relative to; that the file was read for `part` is noted in `files`. The error never holds
/// secret text.
pub fn read_secret(
    source: &SecretSource,
    base: &Path,
    environment: &Environment,
    (files, part): (&FilesRead, &Part),
) -> Result<Secret<String>, NoSecret> {
    let (mut text, place) = match source {
        SecretSource::File(path) => {
            let path = base.join(path);
            let text = files.read_text(part, &path).map_err(|error| NoSecret::Unreadable(path.clone(), error))?;
            (text, format!("the secret file {}", path.display()))
        }
        SecretSource::Environment(name) => {
            let none = if environment.is_not_text(name) { NoSecret::NotText } else { NoSecret::Unset };
            let text = environment.value(name).ok_or_else(|| none(name.clone()))?;
            (text.to_owned(), format!("the environment variable `{name}`"))
        }
        SecretSource::Value(value) => (value.expose().clone(), "the value".to_owned()),
    };
    let length = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text)).len();
    text.truncate(length);
    if text.is_empty() {
        text.zeroize();
        return Err(NoSecret::Empty(place));
    }
    Ok(Secret::new(text))
}

const EXPECTED: &str = "expected { file = \"…\" } or { env = \"…\" }";

/// Reads the secret that `node` names; `path` is the key's, for messages.
pub(super) fn read(path: &str, node: &Node, found: &mut Findings<'_>) -> Option<Secret<String>> {
    let source = source(path, node, found)?;
    match &source {
        SecretSource::Value(_) => found.note(
            &node.origin,
            Diagnostic::warning(format!("`{path}` stands in the configuration itself"))
                .help("keep secrets in a file that only the gateway can read: { file = \"…\" }"),
        ),
        SecretSource::File(file) => warn_if_readable_by_all(node, &found.resolve(&file.to_string_lossy()), found),
        SecretSource::Environment(_) => {}
    }
    if let SecretSource::File(file) = &source
        && is_no_path(&file.to_string_lossy())
    {
        found.error(
            &node.origin,
            format!("`{path}.file` is the secret itself"),
            "expected the path of a file that holds it",
        );
        return None;
    }
    match read_secret(&source, found.folder(), found.environment(), (found.files(), &Part::key(path))) {
        Ok(secret) => Some(secret),
        Err(error) => {
            found.note(&node.origin, Diagnostic::error(error.to_string()).help(error.help()));
            None
        }
    }
}

fn source(path: &str, node: &Node, found: &mut Findings<'_>) -> Option<SecretSource> {
    if !matches!(node.value, Value::Table(_)) {
        found.error(&node.origin, format!("`{path}` is {}", described(node)), EXPECTED);
        return None;
    }
    let before = found.count_errors();
    let section = Section::open(path, node, &node.origin, &reference::gateway::SECRET, found);
    let file = section.text("file", "the path of a file", found).map(|text| SecretSource::File(text.value.into()));
    let variable = section
        .text("env", "the name of an environment variable", found)
        .map(|text| SecretSource::Environment(text.value.to_owned()));
    let value = section
        .text("value", "the secret as a string", found)
        .map(|text| SecretSource::Value(Secret::new(text.value.to_owned())));
    let mut sources = [file, variable, value].into_iter().flatten();
    match (sources.next(), sources.next()) {
        (Some(source), None) => Some(source),
        _ if found.count_errors() > before => None,
        _ => {
            found.error(&node.origin, format!("`{path}` must name exactly one source"), EXPECTED);
            None
        }
    }
}

/// Warns when everybody on the machine can read a file that holds a secret.
pub(super) fn warn_if_readable_by_all(node: &Node, path: &Path, found: &mut Findings<'_>) {
    open_to_all(path).into_iter().for_each(|finding| found.note(&node.origin, finding));
}

/// A warning when the source is a file, relative to `base`, that everybody on the machine can read.
pub fn readable_by_all(source: &SecretSource, base: &Path) -> Option<Diagnostic> {
    match source {
        SecretSource::File(path) => open_to_all(&base.join(path)),
        SecretSource::Environment(_) | SecretSource::Value(_) => None,
    }
}

fn open_to_all(path: &Path) -> Option<Diagnostic> {
    let warning = || {
        Diagnostic::warning(format!("everybody on this machine can read {}", path.display()))
            .help(format!("chmod 600 {}", path.display()))
    };
    everybody_reads(path).then(warning)
}

#[cfg(unix)]
fn everybody_reads(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn everybody_reads(_: &Path) -> bool {
    false
}

/// The environment variables that a table names as the source of a secret.
pub(super) fn variables_named(table: &DeTable<'_>) -> Vec<String> {
    let mut names = Vec::new();
    visit(table, false, &mut |key, value, _| {
        if let ("env", Some(name)) = (key, value.get_ref().as_str()) {
            names.push(name.to_owned());
        }
    });
    names
}

/// The keys under which secrets stand or could have been meant to.
const SECRET_KEYS: &[&str] = &["value", "client_secret", "session", "password", "secret", "authorization"];

/// What a key in PEM begins with, wherever somebody put one.
const PEM: &str = "-----BEGIN";

/// Whether what should be a path is the thing itself, which no message may show.
pub(super) fn is_no_path(text: &str) -> bool {
    text.contains(PEM) || text.contains('\n')
}

/// Whether a key is one under which secrets stand, or a slip of the finger away from one.
fn is_secret_key(key: &str) -> bool {
    nearest(key, SECRET_KEYS.iter().copied()).is_some()
}

/// The text with every string that could be a secret, or an address with one in it, turned into asterisks of the same length.
pub(super) fn mask(text: &str, table: &DeTable<'_>) -> String {
    let mut spans: Vec<Range<usize>> = credentials::spans(table);
    visit(table, false, &mut |key, value, secret| {
        let source = key == "file" || key == "env";
        match value.get_ref().as_str() {
            Some(text) if (secret && !source) || text.contains(PEM) => spans.push(value.span()),
            _ => {}
        }
    });
    let hidden = |at: usize| spans.iter().any(|span| span.contains(&at));
    let keep = |byte: u8| matches!(byte, b'\n' | b'\r' | b'"' | b'\'');
    let masked = text.bytes().enumerate().map(|(at, byte)| if hidden(at) && !keep(byte) { b'*' } else { byte });
    String::from_utf8(masked.collect()).unwrap_or_default()
}

/// What is called for an entry: its key, its value, and whether it stands under a key of secrets.
type See<'s, 't, 'i> = &'s mut dyn FnMut(&str, &'t Spanned<DeValue<'i>>, bool);

/// Calls `see` for every entry at any depth; an element of a list has its list's key.
fn visit<'t, 'i>(table: &'t DeTable<'i>, secret: bool, see: See<'_, 't, 'i>) {
    for (key, value) in table.iter() {
        visit_value(key.get_ref(), value, secret || is_secret_key(key.get_ref()), see);
    }
}

fn visit_value<'t, 'i>(key: &str, value: &'t Spanned<DeValue<'i>>, secret: bool, see: See<'_, 't, 'i>) {
    see(key, value, secret);
    match value.get_ref() {
        DeValue::Table(table) => visit(table, secret, see),
        DeValue::Array(items) => items.iter().for_each(|item| visit_value(key, item, secret, see)),
        _ => {}
    }
}
