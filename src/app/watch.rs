//! Noticing that a file changed which the configuration was read from.
//!
//! Folders are watched, not files: editors replace a file by renaming another one over it, and Kubernetes swaps a symbolic link (`..data`) on the
//! way to it. So every link and every file on the way to what was read counts by its name in the real folder that holds it, and so do the
//! folders themselves. What was read and not found counts, too. An event only says that something may be different; whether it is, the next
//! reading finds out.
//!
//! May touch: inotify through `notify`, and the names of files. Bounds: [`MAX_FOLDERS`] folders, [`MAX_LINKS`] links on one way.
//! Trust boundary: who may write in those folders can cause a reading a second, no more.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::open_files::OpenFiles;
use crate::config::FilesRead;

/// How many folders are watched; a system allows some thousands to each user.
const MAX_FOLDERS: usize = 1024;
/// Links followed on the way to one file, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// The names that count: paths whose folder is a real one.
#[derive(Default)]
struct Names {
    /// These, wherever they are.
    paths: HashSet<PathBuf>,
    /// Everything in these folders.
    folders: HashSet<PathBuf>,
}

/// The watch over all files.
pub(super) struct FileWatch {
    watcher: RecommendedWatcher,
    names: Arc<ArcSwap<Names>>,
    watched: BTreeSet<PathBuf>,
}

impl FileWatch {
    /// Begins to watch; `changed` is notified, and `open` knows by then which files are not closed yet. None, and a warning, when the system
    /// does not let us.
    pub(super) fn begin(files: &[Arc<FilesRead>], changed: &Arc<Notify>, open: &Arc<OpenFiles>) -> Option<Self> {
        let names = Arc::new(ArcSwap::from_pointee(Names::default()));
        let (known, told, open) = (Arc::clone(&names), Arc::clone(changed), Arc::clone(open));
        let hear = move |event: notify::Result<Event>| {
            let known = known.load();
            if let Ok(event) = &event {
                open.hear(event, |path| known.have(path));
            }
            // What went wrong while watching may have hidden a change.
            if event.map_or(true, |event| counts(&event, &known)) {
                told.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(hear);
        let mut watch = match watcher {
            Ok(watcher) => Self { watcher, names, watched: BTreeSet::new() },
            Err(error) => {
                tracing::warn!(%error, "files cannot be watched; SIGHUP reloads");
                return None;
            }
        };
        watch.follow(files, changed);
        Some(watch)
    }

    /// Watches what these readings read from now on. What changed before the watch was there is noticed, too.
    pub(super) fn follow(&mut self, files: &[Arc<FilesRead>], changed: &Notify) {
        let names = Names::of(files);
        let mut wanted: BTreeSet<PathBuf> =
            names.paths.iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
        wanted.extend(names.folders.iter().cloned());
        self.names.store(Arc::new(names));
        if wanted.len() > MAX_FOLDERS {
            tracing::warn!(folders = wanted.len(), "too many folders to watch all of them; SIGHUP reloads");
            wanted = wanted.into_iter().take(MAX_FOLDERS).collect();
        }
        for gone in self.watched.difference(&wanted) {
            // A folder that was removed is no longer watched anyway.
            let _ = self.watcher.unwatch(gone);
        }
        // Also those that are watched: a folder may have been replaced by another one of the same name.
        for folder in &wanted {
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, folder = %folder.display(), "a folder cannot be watched; SIGHUP reloads");
            }
        }
        self.watched = wanted;
        if files.last().is_some_and(|last| !last.are_current()) {
            changed.notify_one();
        }
    }
}

/// Whether something of ours may be different after this event; reading a file, as we do ourselves, makes nothing different.
fn counts(event: &Event, names: &Names) -> bool {
    let harmless = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    event.need_rescan() || (!harmless && event.paths.iter().any(|path| names.have(path)))
}

impl Names {
    /// Whether this path counts.
    fn have(&self, path: &Path) -> bool {
        // No hidden file is a policy: editors keep their own there.
        let hidden = || path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let listed = || path.parent().is_some_and(|folder| self.folders.contains(folder));
        self.paths.contains(path) || (listed() && !hidden())
    }

    fn of(readings: &[Arc<FilesRead>]) -> Self {
        let mut names = Self::default();
        for reading in readings {
            for path in reading.paths() {
                let way = way_to(&path);
                // A folder that is replaced as a whole is a change of what it holds.
                names.paths.extend(
                    way.last()
                        .and_then(|file| file.parent())
                        .filter(|folder| folder.parent().is_some())
                        .map(Path::to_owned),
                );
                names.paths.extend(way);
            }
            for folder in reading.folders() {
                let way = way_to(&folder);
                names.folders.extend(way.last().cloned());
                names.paths.extend(way);
            }
        }
        names
    }
}

/// Every link on the way to `path`, and where it ends or breaks off; each as a name in a real folder.
fn way_to(path: &Path) -> Vec<PathBuf> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut left: VecDeque<OsString> = names_of(&absolute).collect();
    let mut here = PathBuf::from("/");
    let mut way = Vec::new();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        match std::fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                way.push(next);
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                for name in names_of(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(name);
                }
            }
            _ if next.is_dir() => here = next,
            _ => {
                // A file, or something that is not there: what would come behind it cannot be watched yet.
                way.push(next);
                return way;
            }
        }
    }
    way.push(here);
    way
}

fn names_of(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::crypto::random;

    #[test]
    fn every_link_and_every_end_of_the_way_to_a_file_counts() {
        let folder = std::env::temp_dir().canonicalize().unwrap().join(format!("lychgate-watch-{}", random::token()));
        let at = |name: &str| folder.join(name);
        std::fs::create_dir_all(at("mount/..2026")).unwrap();
        std::fs::write(at("mount/..2026/a.toml"), "").unwrap();
        symlink("..2026", at("mount/..data")).unwrap();
        symlink("..data/a.toml", at("mount/a.toml")).unwrap();
        symlink(at("mount"), at("current")).unwrap();
        let way = way_to(&at("mount/../current/a.toml"));
        assert_eq!(way, [at("current"), at("mount/a.toml"), at("mount/..data"), at("mount/..2026/a.toml")]);
        // What is missing is waited for where the way breaks off.
        assert_eq!(way_to(&at("current/missing/b.toml")), [at("current"), at("mount/missing")]);
        symlink("loop", at("loop")).unwrap();
        assert_eq!(way_to(&at("loop")).len(), MAX_LINKS + 1);
        assert_eq!(way_to(Path::new("/")), [PathBuf::from("/")]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_changes_of_what_was_read_count() {
        let names = Names { paths: [PathBuf::from("/a/x")].into(), folders: [PathBuf::from("/p")].into() };
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        let any = EventKind::Modify(notify::event::ModifyKind::Any);
        for (path, ours) in [
            ("/a/x", true),
            ("/a/y", false),
            ("/p/new.toml", true),
            ("/p", false),
            ("/p/.new.toml.swp", false),
            ("/q/x", false),
        ] {
            assert_eq!(counts(&event(any, path), &names), ours, "{path}");
        }
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(!counts(&event(opened, "/a/x"), &names) && counts(&event(written, "/a/x"), &names));
    }
}
