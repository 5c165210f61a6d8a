//! The list on disk: one file in the state directory, written by one thread.
//!
//! The file is a `redb` database that is whole after every commit, whatever happens to the process. It holds names of people, no secret and
//! no cookie, and is readable by its owner only. Its format has a number; a file of another number, or one that cannot be read, is an
//! error that says what to do, never an empty list.
//!
//! Layer 2: knows what an entry is (`session`). May touch: `revocations.redb` in the state directory. Bound: 1,024 jobs on
//! their way; many are committed together. The file holds no more than the list in memory, which says what leaves it, when the disk takes it.
//! Trust boundary: the state directory belongs to the gateway.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, Database, Error, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::clock::Timestamp;
use crate::crypto::random;
use crate::session::{Change, Done, Entry, Keeper, Patience, Revocations, Tag};

/// The file in the state directory.
const FILE: &str = "revocations.redb";
/// The number of the present format.
const FORMAT: u64 = 1;
/// Jobs that may wait for the thread.
const QUEUE: usize = 1024;
/// Entries that could not leave the file and are remembered, of 16 bytes each; what is more leaves it at the next start, when it is over.
const OWED: usize = 65_536;
/// How long whoever ends a session waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a panic of the database means.
const CONTRADICTION: &str = "what stands in it contradicts itself";
/// Jobs that one commit takes along.
const TOGETHER: usize = 256;

const ENTRIES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("revocations");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// Why the file cannot be used.
#[derive(Debug)]
pub struct LedgerError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    InUse,
    Format(u64),
    Damaged(String),
    System(io::Error),
}

impl LedgerError {
    /// Whether what stands in the file is at fault, so that trying again without changing it is no use.
    pub const fn is_of_the_file(&self) -> bool {
        matches!(self.fault, Fault::Format(_) | Fault::Damaged(_))
    }

    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self.fault {
            Fault::InUse => "give each gateway a `state` directory of its own; its keys can be shared through [keys]",
            Fault::Format(_) => "start the version of the gateway that wrote it, or move the file away",
            Fault::Damaged(_) => {
                "put the file back from a copy, or move it away. Without it, sessions that were ended and whose cookie somebody kept work again until their limits: make a new session key as well to be safe, then everybody signs in again"
            }
            Fault::System(_) => {
                "make the state directory and what is in it readable and writable for the gateway, and see that the disk is not full"
            }
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list of ended sessions {} {}", self.path.display(), self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("is in use by another gateway"),
            Self::Format(found) => write!(f, "has format {found}, and this gateway knows {FORMAT}"),
            Self::Damaged(why) => write!(f, "cannot be read: {why}"),
            Self::System(error) => write!(f, "cannot be used: {error}"),
        }
    }
}

impl std::error::Error for LedgerError {}

/// What is handed to the thread.
struct Job {
    changes: Vec<Change>,
    done: Done,
}

/// The list that is kept in the state directory `folder`; makes it there when there is none.
pub fn open(folder: &Path, now: Timestamp) -> Result<Revocations, LedgerError> {
    let (ledger, entries) = Ledger::open(folder)?;
    Ok(Revocations::kept_by(Box::new(ledger), entries, now))
}

/// The open file and its thread; both end when this is dropped.
struct Ledger {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Opens the file in `folder`, or makes it, and reads what stands in it.
    fn open(folder: &Path) -> Result<(Self, Vec<(Tag, Entry)>), LedgerError> {
        let path = folder.join(FILE);
        // The database checks what it reads, and some of these checks end in a panic.
        let opened = std::panic::catch_unwind(|| read(folder, &path))
            .unwrap_or_else(|_| Err(Fault::Damaged(CONTRADICTION.to_owned())));
        let failed = |fault| LedgerError { path: path.clone(), fault };
        let (store, entries) = opened.map_err(failed)?;
        let (queue, jobs) = channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("revocations".to_owned())
            .spawn(move || write_all(store, jobs))
            .map_err(|error| LedgerError { path: path.clone(), fault: Fault::System(error) })?;
        Ok((Self { queue: Some(queue), thread: Some(thread) }, entries))
    }
}

impl Keeper for Ledger {
    fn has_room(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_closed() && queue.capacity() > 0)
    }

    fn keep(&self, changes: Vec<Change>, done: Done) {
        if let Some(queue) = &self.queue {
            // A job that comes back is dropped, which tells that it was not written.
            drop(queue.try_send(Job { changes, done }));
        }
    }

    fn patience(&self) -> Patience {
        // Begun when somebody waits, which only tasks do.
        Box::pin(async { tokio::time::sleep(PATIENCE).await })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The database, and how to open it again.
struct Store {
    /// None after an error of the disk, after which it takes nothing any more.
    database: Option<Database>,
    open: Box<dyn Fn() -> Result<Database, Fault> + Send>,
    /// What must leave the file and could not; at most [`OWED`].
    owed: Vec<Tag>,
}

impl Store {
    /// Opens the database in an open file. It is opened again in the same file, whatever has its name by then.
    fn in_file(file: File) -> Result<Self, Fault> {
        let open = move || {
            let file = file.try_clone().map_err(Fault::System)?;
            let file = FileBackend::new(file).map_err(fault)?;
            Builder::new().create_with_backend(file).map_err(fault)
        };
        Ok(Self::new(open()?, open))
    }

    fn new(database: Database, open: impl Fn() -> Result<Database, Fault> + Send + 'static) -> Self {
        Self { database: Some(database), open: Box::new(open), owed: Vec::new() }
    }

    /// Writes all of it or nothing. What should have left the file then does so the next time; who wanted something to be in it is told.
    fn commit(&mut self, jobs: &[Job]) -> Result<(), Box<dyn std::error::Error>> {
        // Some of the database's own checks end in a panic. What panicked is opened again for the next jobs.
        let written = std::panic::catch_unwind(AssertUnwindSafe(|| self.try_commit(jobs)))
            .unwrap_or_else(|_| Err(CONTRADICTION.into()));
        if written.is_err() {
            let changes = jobs.iter().flat_map(|job| &job.changes);
            let removed = changes.filter_map(|change| if let Change::Remove(tag) = change { Some(*tag) } else { None });
            self.owed.extend(removed.take(OWED.saturating_sub(self.owed.len())));
        }
        written
    }

    fn try_commit(&mut self, jobs: &[Job]) -> Result<(), Box<dyn std::error::Error>> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)().map_err(|fault| fault.to_string())?,
        };
        commit(&database, &self.owed, jobs)?;
        self.owed = Vec::new();
        self.database = Some(database);
        Ok(())
    }
}

fn read(folder: &Path, path: &Path) -> Result<(Store, Vec<(Tag, Entry)>), Fault> {
    private_folder(folder).map_err(Fault::System)?;
    let store = match private_options().open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(folder, path, Store::in_file, hard_link)?,
        opened => Store::in_file(opened.map_err(Fault::System)?)?,
    };
    let entries = store.database.as_ref().map_or(Ok(Vec::new()), entries)?;
    Ok((store, entries))
}

fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to)
}

fn entries(database: &Database) -> Result<Vec<(Tag, Entry)>, Fault> {
    check_format(database)?;
    let reading = database.begin_read().map_err(fault)?;
    let table = match reading.open_table(ENTRIES) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(fault(error)),
    };
    let mut entries = Vec::new();
    for row in table.iter().map_err(fault)? {
        let (tag, entry) = row.map_err(fault)?;
        let entry = postcard::from_bytes(entry.value()).map_err(|error| damaged(&error))?;
        entries.push((Tag::from_bytes(*tag.value()), entry));
    }
    Ok(entries)
}

/// Makes a database beside `path` and links it there when it is whole: what a full disk or the end of the process cut off is never found
/// under that name. Where another gateway came first, its database is opened.
fn make(
    folder: &Path,
    path: &Path,
    begin: impl Fn(File) -> Result<Store, Fault>,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<Store, Fault> {
    let beside = folder.join(format!(".{FILE}.{}", random::token()));
    let file = private_options().create_new(true).open(&beside).map_err(Fault::System)?;
    let linked = begin(file).and_then(with_format).and_then(|store| match link(&beside, path) {
        Ok(()) => Ok(store),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => begin(existing(path)?),
        Err(error) if error.kind() == ErrorKind::StorageFull => Err(Fault::System(error)),
        // There are file systems without links.
        Err(_) => make_in_place(path, begin),
    });
    // If it stays, it is the same file under another name, or one that nobody looks for.
    let _ = std::fs::remove_file(&beside);
    // So that the name outlives the machine as what is in it does; not every file system can do that.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    linked
}

/// The file that another gateway made.
fn existing(path: &Path) -> Result<File, Fault> {
    private_options().open(path).map_err(Fault::System)
}

/// A new database is whole once its format stands in it.
fn with_format(store: Store) -> Result<Store, Fault> {
    store.database.as_ref().map_or(Ok(()), check_format)?;
    Ok(store)
}

/// Makes a database under its own name; what is no whole one is taken away. One that is in use is another gateway's, which found it in the meantime.
fn make_in_place(path: &Path, begin: impl Fn(File) -> Result<Store, Fault>) -> Result<Store, Fault> {
    let file = match private_options().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return begin(existing(path)?),
        file => file.map_err(Fault::System)?,
    };
    let made = begin(file).and_then(with_format);
    if made.as_ref().is_err_and(|fault| !matches!(fault, Fault::InUse)) {
        let _ = std::fs::remove_file(path);
    }
    made
}

/// A new file gets the present number.
fn check_format(database: &Database) -> Result<(), Fault> {
    let writing = database.begin_write().map_err(fault)?;
    let found = {
        let mut about = writing.open_table(ABOUT).map_err(fault)?;
        let found = about.get("format").map_err(fault)?.map(|found| found.value());
        if found.is_none() {
            about.insert("format", FORMAT).map_err(fault)?;
        }
        found.unwrap_or(FORMAT)
    };
    writing.commit().map_err(fault)?;
    if found == FORMAT { Ok(()) } else { Err(Fault::Format(found)) }
}

fn fault(error: impl Into<Error>) -> Fault {
    match error.into() {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Fault::InUse,
        // A file that is too short, or says where nothing can be, is damaged: that is no error of the disk.
        Error::Io(error)
            if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput) =>
        {
            Fault::System(error)
        }
        other => damaged(&other),
    }
}

fn damaged(error: &impl fmt::Display) -> Fault {
    Fault::Damaged(error.to_string())
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The thread: takes what waits, commits it together, tells everybody.
fn write_all(mut store: Store, mut jobs: Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut taken = vec![first];
        while taken.len() < TOGETHER
            && let Ok(job) = jobs.try_recv()
        {
            taken.push(job);
        }
        let written = store.commit(&taken);
        if let Err(error) = &written {
            tracing::error!(%error, "ended sessions could not be written down: they are ended, and a restart would forget it");
        }
        for job in taken {
            job.done.tell(written.is_ok());
        }
    }
}

fn commit(database: &Database, owed: &[Tag], jobs: &[Job]) -> Result<(), Error> {
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(ENTRIES)?;
        for tag in owed {
            table.remove(tag.bytes())?;
        }
        for change in jobs.iter().flat_map(|job| &job.changes) {
            match change {
                Change::Put(tag, entry) => {
                    let bytes = postcard::to_allocvec(entry).unwrap_or_default();
                    table.insert(tag.bytes(), bytes.as_slice())?;
                }
                Change::Remove(tag) => drop(table.remove(tag.bytes())?),
            }
        }
    }
    writing.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
