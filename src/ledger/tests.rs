//! The list survives a restart; a file that cannot be used is an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::claims::Claims;
use crate::session::{Cause, Effect, Order, Sender, Session, SessionId, Standing, Wanted, Whom};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn at(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn session(subject: &str) -> Session {
    let id = SessionId::new();
    Session {
        id,
        root: id,
        registration: crate::session::Registration::new("https://idp.example", "client"),
        provider: "okta".into(),
        subject: subject.into(),
        provider_session: None,
        acr: None,
        amr: Vec::new(),
        authenticated_at: NOW,
        started_at: NOW,
        seen_at: NOW,
        refresh_at: None,
        generation: 0,
        claims: Claims::default(),
        absent_claims: Vec::new(),
    }
}

fn person<'a>(provider: &'a str, subject: &'a str) -> Whom<'a> {
    Whom::Person { provider, subject }
}

fn wanted(whom: Whom<'_>, before: Timestamp) -> Vec<Wanted> {
    vec![Wanted::new(&whom, before, Cause::Admin, Effect::Ended)]
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lychgate-revoked-{}", random::token()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn l04_the_list_survives_a_restart_and_old_entries_do_not() {
    let folder = folder();
    let (mine, other) = (session("00u1"), session("00u2"));
    let first = open(&folder, NOW).unwrap();
    first.sessions_last(Duration::from_secs(3600 * 48));
    assert!(first.revoke(wanted(person("okta", "00u1"), at(1)), at(1)).is_kept().await);
    assert!(first.revoke(wanted(Whom::Session(&other.id), at(2)), at(2)).is_kept().await);
    let message = Tag::message("okta", Sender::OktaHook, "jti-1");
    let order = Order { wanted: Vec::new(), message: Some(message) };
    assert!(first.carry_out(vec![order], at(2)).keeping.is_kept().await);
    first.close();

    let second = open(&folder, at(10)).unwrap();
    assert_eq!(Standing::new(&mine).check(&second, &mine, "ada", None), Err(Effect::Ended));
    assert_eq!(Standing::new(&other).check(&second, &other, "grace", None), Err(Effect::Ended));
    assert!(second.knows_message(message));
    second.close();

    let much_later = open(&folder, at(3600 * 48 + 1)).unwrap();
    assert_eq!(much_later.count(), 1);
    much_later.close();
    assert_eq!(Ledger::open(&folder).unwrap().1.len(), 1, "what is over has left the file");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn l04_a_file_that_cannot_be_used_is_an_error_that_says_what_to_do() {
    let folder = folder();
    let path = folder.join("revocations.redb");
    let refused = |what: &str, help: &str| {
        let error = open(&folder, NOW).map(drop).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(error.help().contains(help), "{}", error.help());
    };
    std::fs::write(&path, "not a database".repeat(1000)).unwrap();
    refused("cannot be read", "put the file back");

    std::fs::remove_file(&path).unwrap();
    let first = open(&folder, NOW).unwrap();
    refused("in use by another gateway", "directory of its own");
    let _ = first.revoke(wanted(person("okta", "00u1"), at(1)), at(1));
    first.close();

    // The middle of the file is gone.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle.max(8192)].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    refused("cannot be read", "put the file back");

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("cannot be used", "readable and writable");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn l04_a_list_that_a_full_disk_does_not_take_leaves_nothing_behind_and_is_no_damage() {
    let disk = Disk::default();
    disk.is_full.store(true, Ordering::Relaxed);
    let error = Builder::new().create_with_backend(disk).map(drop).map_err(fault).unwrap_err();
    assert!(matches!(&error, Fault::System(error) if error.kind() == ErrorKind::StorageFull), "{error}");

    let folder = folder();
    let path = folder.join(FILE);
    let cut_off = |mut file: File| {
        io::Write::write_all(&mut file, &[0; 4096]).unwrap();
        Err(Fault::System(ErrorKind::StorageFull.into()))
    };
    let error = make(&folder, &path, cut_off, hard_link).map(drop).unwrap_err();
    let error = LedgerError { path: path.clone(), fault: error };
    assert!(!error.is_of_the_file() && error.help().contains("disk is not full"), "{error}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    open(&folder, NOW).unwrap().close();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn l04_a_file_system_without_links_gets_a_whole_list_or_none() {
    let folder = folder();
    let path = folder.join(FILE);
    let no_links = |_: &Path, _: &Path| Err(ErrorKind::PermissionDenied.into());
    let begun = std::cell::Cell::new(0);
    // The second time it is made under its own name, and the disk is full by then.
    let full = |file: File| {
        begun.set(begun.get() + 1);
        if begun.get() == 1 { Store::in_file(file) } else { Err(Fault::System(ErrorKind::StorageFull.into())) }
    };
    let error = make(&folder, &path, full, no_links).map(drop).unwrap_err();
    assert!(matches!(&error, Fault::System(error) if error.kind() == ErrorKind::StorageFull), "{error}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    let first = make(&folder, &path, Store::in_file, no_links).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    // Another one that looked before it was made finds it.
    assert!(matches!(make(&folder, &path, Store::in_file, no_links), Err(Fault::InUse)));
    drop(first);
    drop(make(&folder, &path, Store::in_file, no_links).unwrap());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    open(&folder, NOW).unwrap().close();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn l04_without_links_a_list_that_another_gateway_locked_first_is_not_taken_away() {
    let folder = folder();
    let path = folder.join(FILE);
    let first = std::cell::RefCell::new(None);
    let late = |file: File| {
        *first.borrow_mut() = Some(Store::in_file(existing(&path)?)?);
        Store::in_file(file)
    };
    let error = make_in_place(&path, late).map(drop).unwrap_err();
    assert!(matches!(error, Fault::InUse), "{error}");
    assert!(path.exists());
    drop(first);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn l04_of_two_gateways_that_make_a_list_at_once_the_second_finds_that_of_the_first() {
    let folder = folder();
    let path = folder.join(FILE);
    let first = open(&folder, NOW).unwrap();
    assert!(first.revoke(wanted(person("okta", "00u1"), at(1)), at(1)).is_kept().await);
    // It looked before the first one had made it.
    let error = make(&folder, &path, Store::in_file, hard_link).map(drop).unwrap_err();
    assert!(matches!(error, Fault::InUse), "{error}");
    first.close();
    let second = make(&folder, &path, Store::in_file, hard_link).unwrap();
    assert_eq!(entries(second.database.as_ref().unwrap()).unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    drop(second);
    // What is cut off somewhere is damaged, whatever the system says of that.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let error = open(&folder, NOW).map(drop).unwrap_err();
    assert!(error.is_of_the_file() && error.help().contains("put the file back"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn l04_a_job_that_the_thread_cannot_write_is_told_of() {
    // Nobody takes jobs any more.
    let gone = Ledger { queue: Some(channel(1).0), thread: None };
    let revocations = Revocations::kept_by(Box::new(gone), Vec::new(), NOW);
    assert!(!revocations.revoke(wanted(person("okta", "00u1"), at(1)), at(1)).is_kept().await);
    // They are taken, and the thread ends with them.
    let (queue, jobs) = channel(1);
    let revocations = Revocations::kept_by(Box::new(Ledger { queue: Some(queue), thread: None }), Vec::new(), NOW);
    let keeping = revocations.revoke(wanted(person("okta", "00u1"), at(1)), at(1));
    let refused = revocations.revoke(wanted(person("okta", "00u1"), at(2)), at(2));
    assert!(!refused.is_kept().await, "there was room for one");
    drop(jobs);
    assert!(!keeping.is_kept().await);
}

#[tokio::test]
async fn l03_nobody_waits_longer_for_the_disk_than_a_hook_may_take() {
    // Jobs lie there, and nobody takes them.
    let (queue, _jobs) = channel(500);
    let revocations = Revocations::kept_by(Box::new(Ledger { queue: Some(queue), thread: None }), Vec::new(), NOW);
    const { assert!(PATIENCE.as_secs() < 3) };
    let keepings = (0..500).map(|number| revocations.revoke(wanted(person("okta", &number.to_string()), at(1)), at(1)));
    let all = keepings.reduce(crate::session::Keeping::and).unwrap();
    // One patience for all of them; one after the other would be a quarter of an hour.
    assert_eq!(tokio::time::timeout(PATIENCE * 20, all.is_kept()).await, Ok(false));
}

/// A disk in memory that can be full.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> io::Result<std::sync::MutexGuard<'_, Vec<u8>>> {
        let full = self.is_full.load(Ordering::Relaxed);
        if full { Err(ErrorKind::StorageFull.into()) } else { Ok(self.bytes.lock().unwrap()) }
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock().unwrap()[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.room()?.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.room().map(drop)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        self.room()?[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[tokio::test]
async fn l04_what_a_full_disk_did_not_take_is_written_when_it_comes_again_and_there_is_room() {
    let disk = Disk::default();
    let opens = disk.clone();
    let open = move || Builder::new().create_with_backend(opens.clone()).map_err(fault);
    let store = Store::new(open().unwrap(), open);
    let (queue, jobs) = channel(QUEUE);
    let thread = Some(std::thread::spawn(move || write_all(store, jobs)));
    let revocations = Revocations::kept_by(Box::new(Ledger { queue: Some(queue), thread }), Vec::new(), NOW);
    let order = |subject: &str| {
        let message = Some(Tag::message("okta", Sender::OktaHook, subject));
        vec![Order { wanted: wanted(person("okta", subject), at(1)), message }]
    };
    assert!(revocations.revoke(wanted(Whom::Name("grace"), at(0)), at(0)).is_kept().await);
    revocations.sessions_last(Duration::from_secs(3600 * 48));
    assert!(revocations.carry_out(order("00u1"), at(1)).keeping.is_kept().await);
    disk.is_full.store(true, Ordering::Relaxed);
    // Grace's entry and the first message are over by then, and cannot leave the file yet.
    assert!(!revocations.revoke(wanted(Whom::Name("ada"), at(3600 * 25)), at(3600 * 25)).is_kept().await);
    for _ in 0..3 {
        let refused = revocations.carry_out(order("00u2"), at(1));
        assert_eq!((refused.ended, refused.keeping.is_kept().await), (1, false));
    }
    disk.is_full.store(false, Ordering::Relaxed);
    assert!(revocations.carry_out(order("00u2"), at(1)).keeping.is_kept().await);
    assert!(revocations.carry_out(order("00u3"), at(1)).keeping.is_kept().await);
    revocations.close();
    let found = entries(&Builder::new().create_with_backend(disk).unwrap()).unwrap();
    let people: std::collections::BTreeSet<&str> = found.iter().map(|(_, entry)| &*entry.word).collect();
    assert_eq!((found.len(), people), (5, ["", "00u1", "00u2", "00u3"].into()));
}

#[tokio::test]
async fn l04_a_database_that_panics_is_told_of_and_written_to_again() {
    let disk = Disk::default();
    let (opens, is_absurd) = (disk.clone(), Arc::new(AtomicBool::new(false)));
    let absurd = Arc::clone(&is_absurd);
    let open = move || {
        assert!(!absurd.load(Ordering::Relaxed), "what stands in it contradicts itself");
        Builder::new().create_with_backend(opens.clone()).map_err(fault)
    };
    let store = Store::new(open().unwrap(), open);
    let (queue, jobs) = channel(QUEUE);
    let thread = Some(std::thread::spawn(move || write_all(store, jobs)));
    let revocations = Revocations::kept_by(Box::new(Ledger { queue: Some(queue), thread }), Vec::new(), NOW);
    let is_kept = async |subject| revocations.revoke(wanted(person("okta", subject), at(1)), at(1)).is_kept().await;
    assert!(is_kept("00u1").await);
    // After an error of the disk the database is opened again.
    disk.is_full.store(true, Ordering::Relaxed);
    is_absurd.store(true, Ordering::Relaxed);
    for subject in ["00u2", "00u3", "00u4"] {
        assert!(!is_kept(subject).await, "{subject}");
    }
    disk.is_full.store(false, Ordering::Relaxed);
    is_absurd.store(false, Ordering::Relaxed);
    assert!(is_kept("00u5").await);
    revocations.close();
    let found = entries(&Builder::new().create_with_backend(disk).unwrap()).unwrap();
    let people: std::collections::BTreeSet<&str> = found.iter().map(|(_, entry)| &*entry.word).collect();
    assert_eq!(people, ["00u1", "00u5"].into());
}

#[cfg(unix)]
#[test]
fn only_the_gateways_user_reads_who_was_signed_out() {
    use std::os::unix::fs::PermissionsExt as _;

    let outer = folder();
    let folder = outer.join("a/state");
    open(&folder, NOW).unwrap().close();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
    std::fs::remove_dir_all(outer).unwrap();
}
