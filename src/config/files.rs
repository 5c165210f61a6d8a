//! Which files one reading of the configuration and the policies has read, and what stood in them.
//!
//! Everything that a reading takes from the disk goes through a [`FilesRead`], also what is missing, so that afterwards it is known what
//! to watch, whether another reading found the same, and for which application or key something is different.
//!
//! May touch: the files that it is told to read. Contents are kept as SHA-256 digests only: no secret stays here.
//! Bound: one digest for each file that a configuration names. Trust boundary: the administrator's files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

/// What a file is read for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `lychgate.toml` itself.
    Settings,
    /// A file that this key of the settings names, with dots: `providers.okta.client_secret`.
    Key(Box<str>),
    /// The policy of this application, or a file that it names.
    Policy(Box<str>),
}

impl Part {
    /// What the key `path` of the settings names.
    pub fn key(path: &str) -> Self {
        Self::Key(path.into())
    }

    /// What the policy `name` reads.
    pub fn policy(name: &str) -> Self {
        Self::Policy(name.into())
    }
}

/// What stood in a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    Bytes([u8; 32]),
    Unreadable,
    /// It was read twice and had changed in between: equal to nothing.
    Torn,
}

#[derive(Clone, Default)]
struct Records {
    files: BTreeMap<(Part, PathBuf), Contents>,
    folders: BTreeMap<PathBuf, Option<BTreeSet<PathBuf>>>,
}

/// The files of one reading.
#[derive(Default)]
pub struct FilesRead(Mutex<Records>);

impl FilesRead {
    /// Reads a file for a part of the configuration.
    pub fn read(&self, part: &Part, path: &Path) -> io::Result<Vec<u8>> {
        let read = std::fs::read(path);
        let found = contents(&read);
        let mut records = self.records();
        let record = records.files.entry((part.clone(), path.to_owned())).or_insert(found);
        if *record != found {
            *record = Contents::Torn;
        }
        read
    }

    /// Reads a file that must be UTF-8.
    pub fn read_text(&self, part: &Part, path: &Path) -> io::Result<String> {
        let bytes = self.read(part, path)?;
        String::from_utf8(bytes).map_err(|error| {
            // What could not be read as text may still be a secret.
            zeroize::Zeroize::zeroize(&mut error.into_bytes());
            io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")
        })
    }

    /// Lists a folder: a file that comes or goes there is a change.
    pub fn list(&self, folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let listed = list(folder);
        let found = listed.as_ref().ok().cloned();
        self.records().folders.insert(folder.to_owned(), found);
        listed
    }

    /// The files that were read or looked for, each once.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        self.records().files.keys().map(|(_, path)| path.clone()).collect()
    }

    /// The files that were read or looked for on behalf of `part`.
    pub fn paths_for(&self, part: &Part) -> BTreeSet<PathBuf> {
        self.records().files.keys().filter(|(of, _)| of == part).map(|(_, path)| path.clone()).collect()
    }

    /// The folders in which every file counts.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        self.records().folders.keys().cloned().collect()
    }

    /// The applications whose policies were read.
    pub fn policies(&self) -> BTreeSet<Box<str>> {
        let records = self.records();
        let name = |part: &Part| match part {
            Part::Policy(name) => Some(name.clone()),
            _ => None,
        };
        records.files.keys().filter_map(|(part, _)| name(part)).collect()
    }

    /// Whether both readings found the same files with the same contents.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.changed_since(other).is_empty()
    }

    /// The parts that this reading found different from an `earlier` one, new and vanished ones among them.
    pub fn changed_since(&self, earlier: &Self) -> BTreeSet<Part> {
        // One after the other: both may be the same reading.
        let now = self.records().clone();
        let before = earlier.records().clone();
        let differs = |key: &(Part, PathBuf)| match (now.files.get(key), before.files.get(key)) {
            (Some(Contents::Torn), _) | (_, Some(Contents::Torn)) => true,
            (now, before) => now != before,
        };
        let keys = now.files.keys().chain(before.files.keys());
        keys.filter(|key| differs(key)).map(|(part, _)| part.clone()).collect()
    }

    /// Whether the disk still holds what this reading found.
    pub fn are_current(&self) -> bool {
        let records = self.records().clone();
        let same_file = |((_, path), found): (&(Part, PathBuf), &Contents)| contents(&std::fs::read(path)) == *found;
        let same_folder = |(path, found): (&PathBuf, &Option<BTreeSet<PathBuf>>)| list(path).ok() == *found;
        records.files.iter().all(same_file) && records.folders.iter().all(same_folder)
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contents(read: &io::Result<Vec<u8>>) -> Contents {
    read.as_ref().map_or(Contents::Unreadable, |bytes| Contents::Bytes(Sha256::digest(bytes).into()))
}

fn list(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    Ok(std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random;

    #[test]
    fn a_reading_knows_what_another_one_found_different_and_what_the_disk_holds_now() {
        let folder = std::env::temp_dir().join(format!("lychgate-files-{}", random::token()));
        std::fs::create_dir_all(&folder).unwrap();
        let (a, b) = (folder.join("a"), folder.join("b"));
        std::fs::write(&a, "1").unwrap();
        let read = || {
            let files = FilesRead::default();
            files.list(&folder).unwrap();
            let _ = files.read(&Part::policy("a"), &a);
            let _ = files.read(&Part::key("b"), &b);
            files
        };
        let first = read();
        assert!(first.are_current() && read().is_same_as(&first));
        assert_eq!((first.paths(), first.folders()), ([a.clone(), b.clone()].into(), [folder.clone()].into()));

        std::fs::write(&a, "2").unwrap();
        assert!(!first.are_current());
        assert_eq!(read().changed_since(&first), [Part::policy("a")].into());

        // Something else in the folder is a reason to look again, and no difference.
        let second = read();
        std::fs::write(folder.join("c"), "").unwrap();
        assert!(!second.are_current() && read().is_same_as(&second));

        // What was missing has come.
        std::fs::write(&b, "").unwrap();
        assert_eq!(read().changed_since(&second), [Part::key("b")].into());

        // A file that changed while it was read twice is different from everything.
        let torn = read();
        std::fs::write(&a, "3").unwrap();
        let _ = torn.read(&Part::policy("a"), &a);
        assert_eq!(torn.changed_since(&read()), [Part::policy("a")].into());
        assert!(!torn.is_same_as(&torn));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
