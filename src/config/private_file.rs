//! Files of the state directory that only their owner may read: made whole, or not at all. On a file system without links one that is being made
//! can be seen before it is whole, and the end of the machine in that moment leaves it so.
//!
//! May touch: the folders and files that it is given. Trust boundary: none; names and texts are the gateway's own.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::crypto::random;

/// Writes a private file that is not there yet, in its folder, which is made where it is missing: beside it, and brought there whole. One that is
/// there already stays as it is, and is an error (`AlreadyExists`). Nothing else is left behind.
pub(super) fn write_first(path: &Path, text: &str) -> io::Result<()> {
    private_folder(path.parent().unwrap_or(Path::new(".")))?;
    write_and_link(path, text, |from, to| std::fs::hard_link(from, to))
}

fn write_and_link(path: &Path, text: &str, link: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let beside = beside(path);
    let written = write_private(&beside, text).and_then(|()| match link(&beside, path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::StorageFull) => Err(error),
        // There are file systems without links.
        Err(_) => write_private(path, text).inspect_err(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = std::fs::remove_file(path);
            }
        }),
        Ok(()) => Ok(()),
    });
    written.and(std::fs::remove_file(&beside))
}

/// A new name beside a file.
pub(super) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", random::token()))
}

#[cfg(unix)]
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_links_gets_a_whole_file_and_one_that_is_there_stays() {
        let folder = std::env::temp_dir().join(format!("lychgate-private-{}", random::token()));
        private_folder(&folder).unwrap();
        let path = folder.join("session.key");
        let no_links = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
        let full = |_: &Path, _: &Path| Err(io::ErrorKind::StorageFull.into());
        assert_eq!(write_and_link(&path, "one", full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        write_and_link(&path, "one", no_links).unwrap();
        let again = [write_and_link(&path, "two", no_links), write_first(&path, "two")];
        assert!(again.into_iter().all(|again| again.unwrap_err().kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
