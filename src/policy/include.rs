//! `include`: the files of definitions that a policy shares with others.
//!
//! Each is read and checked as a file of its own, so a mistake in it is shown at its own place, and once however many
//! policies include it. A file of definitions includes nothing itself: what a policy knows stands in the files that it names.
//!
//! May touch: files only through the caller's closure. Trust boundary: the files are an administrator's. Bound: 20 files of
//! 1 MiB for each policy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::compile::{Environment, MAX_FILE};
use super::header_table::{NoSecret, SecretSource};
use super::reader::{Reading, Section};
use crate::crypto::Secret;
use crate::diagnostic::{SourceFile, credentials};

/// The most files that one policy includes.
const MAX_INCLUDES: usize = 20;

/// A file of definitions.
pub(super) struct Included {
    /// The folder in which it lies, relative to the policy's.
    pub(super) folder: PathBuf,
    /// What stands in it.
    pub(super) source: Arc<SourceFile>,
}

/// Reads `include` of a policy, and the files that it names.
pub(super) fn read(whole: &mut Section<'_>, environment: &Environment<'_>, reading: &mut Reading<'_>) -> Vec<Included> {
    let texts = whole.texts("include", reading).unwrap_or_default();
    let mut included: Vec<Included> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        if index >= MAX_INCLUDES {
            let message = format!("a policy includes at most {MAX_INCLUDES} files");
            reading.error(message, text.span.clone(), "put the definitions of several files into one");
            break;
        }
        if texts.iter().take(index).any(|other| other.text == text.text) {
            reading.error(format!("`{}` is included twice", text.text), text.span.clone(), "remove one");
            continue;
        }
        let path = Path::new(text.text);
        match (environment.files)(path) {
            Ok(source) if Arc::ptr_eq(&source, reading.file()) || source.path() == reading.file().path() => {
                reading.error("a policy cannot include itself", text.span.clone(), "remove it");
            }
            Ok(source) => {
                let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
                included.push(Included { folder, source });
            }
            Err(why) => {
                let help = "paths are relative to the folder of the policy";
                reading.error(format!("`include`: {why}"), text.span.clone(), help);
            }
        }
    }
    included
}

/// Parses a file that is being read; what is no TOML is reported, and nothing comes of it.
pub(super) fn parse<'s>(text: &'s str, reading: &mut Reading<'_>) -> Option<Spanned<DeTable<'s>>> {
    if text.len() > MAX_FILE {
        reading.error(format!("the file is larger than {MAX_FILE} bytes"), 0..0, "split it");
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        reading.no_toml(&errors);
        return None;
    }
    credentials::spans(table.get_ref()).into_iter().for_each(|span| reading.hide(span));
    Some(table)
}

impl Included {
    /// Reads a secret that the file names, relative to the file itself.
    pub(super) fn secret(
        &self,
        source: &SecretSource,
        environment: &Environment<'_>,
    ) -> Result<Secret<String>, NoSecret> {
        match source {
            SecretSource::File(path) => (environment.secrets)(&SecretSource::File(self.folder.join(path))),
            SecretSource::Environment(_) => (environment.secrets)(source),
        }
    }
}
