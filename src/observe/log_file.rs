//! The access log's file, opened anew when it is asked for, so that it can be moved away while the gateway runs.
//!
//! After the asking no line is written to the old file any more; the new one appears with the next line. A file that cannot be opened is told
//! of, and the old one is written on: no line is lost.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where lines are written, many at a time.
pub(super) trait Sink: Write + Send {
    /// Called before lines are written: whether they go behind a piece of a line, where that is not known from what was written before.
    fn begin(&mut self) -> Option<bool> {
        None
    }
}

impl Sink for std::io::Stdout {}
impl Sink for std::io::Stderr {}

/// Asks for the file to be opened anew.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// From the next line on, the file that then stands at the path is written to.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A file that lines are added to.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    anew: Reopen,
    /// Whether the file ended within a line when it was opened, until that was told.
    torn: Option<bool>,
}

impl LogFile {
    pub(super) fn open(path: PathBuf, anew: Reopen) -> std::io::Result<Self> {
        let (file, torn) = opened(&path)?;
        Ok(Self { path, file, anew, torn })
    }
}

/// The file, and whether it ends within a line: a disk that was full, or a machine that stopped, left it so.
fn opened(path: &Path) -> std::io::Result<(File, Option<bool>)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let torn = ends_within_a_line(path, &file);
    Ok((file, torn))
}

/// None for a pipe and the like, and where a log may be written and not read.
fn ends_within_a_line(path: &Path, file: &File) -> Option<bool> {
    let length = file.metadata().ok().filter(Metadata::is_file)?.len();
    let Some(last) = length.checked_sub(1) else { return Some(false) };
    let mut byte = [0];
    File::open(path).ok()?.read_exact_at(&mut byte, last).ok()?;
    Some(byte != *b"\n")
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LogFile {
    fn begin(&mut self) -> Option<bool> {
        if self.anew.0.swap(false, Ordering::Acquire) {
            match opened(&self.path) {
                Ok((file, torn)) => (self.file, self.torn) = (file, torn),
                Err(error) => {
                    let path = self.path.display();
                    tracing::error!(%error, "the access log {path} cannot be opened anew; the old file is written on");
                }
            }
        }
        self.torn.take()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_that_ends_within_a_line_says_so_once_when_it_is_opened() {
        let folder = std::env::temp_dir().join(format!("lychgate-torn-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("access.log");
        for (text, torn) in [("", Some(false)), ("a\n", Some(false)), ("a\nb", Some(true))] {
            std::fs::write(&path, text).unwrap();
            let mut log = LogFile::open(path.clone(), Reopen::default()).unwrap();
            assert_eq!((log.begin(), log.begin()), (torn, None), "{text:?}");
            log.anew.ask();
            assert_eq!((log.begin(), log.begin()), (torn, None), "{text:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(LogFile::open("/dev/null".into(), Reopen::default()).unwrap().begin(), None);
    }

    #[test]
    fn a_file_that_was_moved_away_gets_no_more_lines_once_asked() {
        let folder = std::env::temp_dir().join(format!("lychgate-log-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (path, moved) = (folder.join("access.log"), folder.join("access.log.1"));
        let anew = Reopen::default();
        let mut log = LogFile::open(path.clone(), anew.clone()).unwrap();
        let mut add = |line: &str| {
            log.begin();
            log.write_all(line.as_bytes()).unwrap();
        };
        add("a\n");
        std::fs::rename(&path, &moved).unwrap();
        add("b\n");
        anew.ask();
        assert!(!path.exists());
        add("c\n");
        add("d\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "a\nb\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "c\nd\n");
        // A folder in its place: nothing is lost.
        let mut old = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        anew.ask();
        add("e\n");
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        assert_eq!(text, "c\nd\ne\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
