//! Which watched files somebody is writing to and has not closed yet.
//!
//! A beginning of a policy can be a policy, and a more open one. So what was written to is not read before it was closed, renamed or
//! removed. Who writes says so by writing: a file that was only opened, or lies there empty, is not waited for.
//!
//! May touch: nothing. Only Linux tells when a file that was written to is closed; elsewhere nothing is waited for. Bound: [`MOST`] files.
//! Trust boundary: who may write in those folders can put a reading off, for as long as the waiting is patient and once for each file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};

/// How many files are remembered; what is more is read when it is quiet.
const MOST: usize = 1024;

/// The files, and whether each is still waited for.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<HashMap<PathBuf, bool>>);

impl OpenFiles {
    /// Takes note of what an event tells; `ours` are the paths that count.
    pub(super) fn hear(&self, event: &Event, ours: impl Fn(&Path) -> bool) {
        let mut files = self.files();
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => {
                for path in event.paths.iter().filter(|path| ours(path)) {
                    if files.len() < MOST && !files.contains_key(path) {
                        files.insert(path.clone(), true);
                    }
                }
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => {
                // With a folder goes all that is in it.
                files.retain(|file, _| !event.paths.iter().any(|path| file.starts_with(path)));
            }
            _ => {}
        }
    }

    /// Whether there is a file to wait for.
    pub(super) fn are_some(&self) -> bool {
        self.files().values().any(|is_waited_for| *is_waited_for)
    }

    /// Waits for none of these any more before they were closed: something may keep a file open for ever, and its end may go unheard. Returns their
    /// names.
    pub(super) fn give_up(&self) -> Vec<String> {
        let mut files = self.files();
        let waited_for = files.iter_mut().filter(|(_, is_waited_for)| **is_waited_for);
        let given_up = waited_for.map(|(path, is_waited_for)| {
            *is_waited_for = false;
            path.display().to_string()
        });
        let mut names: Vec<String> = given_up.collect();
        names.sort();
        names
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

    fn hear(files: &OpenFiles, kind: EventKind, path: &str) {
        files.hear(&Event::new(kind).add_path(path.into()), |path| !path.ends_with("else"));
    }

    #[test]
    fn a_file_is_open_from_its_first_write_until_it_is_closed_renamed_or_removed() {
        let renamed = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let removed = EventKind::Remove(RemoveKind::File);
        for end in [CLOSED, renamed(RenameMode::From), renamed(RenameMode::To), renamed(RenameMode::Both), removed] {
            let files = OpenFiles::default();
            for kind in
                [EventKind::Create(CreateKind::File), EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any))]
            {
                hear(&files, kind, "/p/a");
            }
            hear(&files, WRITTEN, "/p/else");
            assert!(!files.are_some());
            hear(&files, WRITTEN, "/p/a");
            hear(&files, end, "/p/ab");
            hear(&files, EventKind::Access(AccessKind::Close(AccessMode::Read)), "/p/a");
            assert!(files.are_some(), "{end:?}");
            hear(&files, end, "/p/a");
            assert!(!files.are_some(), "{end:?}");
        }
        let files = OpenFiles::default();
        hear(&files, WRITTEN, "/p/a");
        hear(&files, renamed(RenameMode::From), "/p");
        assert!(!files.are_some(), "it went with its folder");
    }

    #[test]
    fn what_was_given_up_is_not_waited_for_again_before_it_was_closed() {
        let files = OpenFiles::default();
        for path in ["/p/b", "/p/a"] {
            hear(&files, WRITTEN, path);
        }
        assert_eq!((files.give_up(), files.are_some()), (vec!["/p/a".to_owned(), "/p/b".to_owned()], false));
        hear(&files, WRITTEN, "/p/a");
        assert_eq!((files.give_up(), files.are_some()), (vec![], false));
        for kind in [CLOSED, WRITTEN] {
            hear(&files, kind, "/p/a");
        }
        assert_eq!(files.give_up(), ["/p/a"]);
        for number in 0..2 * MOST {
            hear(&files, WRITTEN, &format!("/q/{number}"));
        }
        assert_eq!(files.files().len(), MOST);
    }
}
