//! `policies`: which policy files there are, and their text.
//!
//! Each element names a file, a folder (its `*.toml`), or a folder with a pattern for its files (`policies/*.toml`). The
//! files are read here, so that all unreadable ones are found at once; they are compiled by `policy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{Findings, Section, Text};
use super::source::Value;
use super::{FilesRead, Part};
use crate::diagnostic::{Diagnostic, SourceFile};

const EXPECTED: &str = "a list of files or folders such as [\"policies/*.toml\"]";

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Vec<Arc<SourceFile>> {
    match top.entry("policies") {
        None => top.missing("policies", "write policies = [\"policies/*.toml\"]", found),
        Some(entry) if matches!(&entry.node.value, Value::List(items) if items.is_empty()) => {
            found.error(&entry.node.origin, "`policies` is empty", format!("expected {EXPECTED}"));
        }
        Some(_) => {}
    }
    let mut paths = BTreeSet::new();
    for text in top.texts("policies", EXPECTED, found) {
        match files(&found.resolve(text.value), found.files()) {
            Ok(files) => files.into_iter().for_each(|path| add(path, text, &mut paths, found)),
            Err(message) => {
                let finding = Diagnostic::error(format!("`policies`: {message}"));
                found.note(text.origin, finding.help("paths are relative to the folder of the configuration file"));
            }
        }
    }
    paths.into_iter().filter_map(|path| source(&path, found)).collect()
}

/// Adds a file, unless its application's name is taken by another file.
fn add(path: PathBuf, text: Text<'_>, paths: &mut BTreeSet<PathBuf>, found: &mut Findings<'_>) {
    let twin = paths.iter().find(|other| other.file_stem() == path.file_stem() && **other != path);
    if let Some(twin) = twin {
        let message = format!("{} and {} name the same application", twin.display(), path.display());
        found.error(text.origin, message, "expected file names that differ before `.toml`");
    }
    paths.insert(path);
}

/// The files that one element names; at least one.
fn files(path: &Path, read: &FilesRead) -> Result<Vec<PathBuf>, String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (folder, pattern) = match name.split_once('*') {
        Some(pattern) => (path.parent().unwrap_or(Path::new("")), pattern),
        None if path.is_dir() => (path, ("", ".toml")),
        None => {
            let there = path.exists() || read.read(&Part::key("policies"), path).is_ok();
            return if there { Ok(vec![path.to_owned()]) } else { Err(format!("there is no file {}", path.display())) };
        }
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let listed = read.list(folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let files: Vec<PathBuf> = listed.into_iter().filter(|path| matches(path, pattern)).collect();
    if files.is_empty() { Err(format!("no file matches {}", path.display())) } else { Ok(files) }
}

fn matches(path: &Path, (before, after): (&str, &str)) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let long_enough = name.len() >= before.len() + after.len();
    path.is_file() && !name.starts_with('.') && long_enough && name.starts_with(before) && name.ends_with(after)
}

fn source(path: &Path, found: &mut Findings<'_>) -> Option<Arc<SourceFile>> {
    let name = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    match found.files().read_text(&Part::policy(&name), path) {
        Ok(text) => Some(SourceFile::new(path, text)),
        Err(error) => {
            let finding = Diagnostic::error(format!("cannot read the policy file {}: {error}", path.display()));
            found.note(&super::source::Origin::Layer("policies".into()), finding);
            None
        }
    }
}
