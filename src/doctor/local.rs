//! What this machine must have ready: its clock, the session keys, the state directory, the addresses to listen at.
//!
//! May touch: the files of the configuration, which are read as far as their owner and age; the state directory, where a file is made and
//! removed; each listener's address, which is bound for a moment. Trust boundary: none; the machine is the operator's.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Access, access};
use crate::clock::Timestamp;
use crate::config::{self, Config, Dated, FilesRead, Part, SessionKeys, Validity};
use crate::crypto::random;
use crate::descriptors::Room;
use crate::finding::Finding;

/// No clock that is right shows less: 2026-01-01.
const EARLIEST: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// A year; session keys should not become older.
const KEY_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Whether the time of day can be true at all; how true it is, providers tell.
pub(super) fn clock(now: Timestamp) -> Finding {
    if now < EARLIEST {
        let found = format!("this machine's clock shows {now}, which is past");
        return Finding::problem(
            "system_clock",
            found,
            "set the clock (NTP): sessions and tokens would all be of the future",
        );
    }
    Finding::ok("system_clock", format!("this machine's clock shows {now}"))
}

/// The keys that seal sessions.
pub(super) fn keys(config: &Config, files: &FilesRead, now: Timestamp) -> Vec<Finding> {
    if let SessionKeys::ToGenerate(path) = &config.session_keys {
        let found = format!("there is no key yet; a first start makes {}", path.display());
        return vec![Finding::ok("key_ring", found)];
    }
    let mut findings = vec![Finding::ok("key_ring", "the session keys can be read")];
    let mut paths: BTreeSet<PathBuf> = files.paths_for(&Part::key("keys.session"));
    let made = config.state.as_ref().map(|state| state.join("session.key"));
    if paths.is_empty() {
        paths.extend(made.filter(|path| path.exists()));
    }
    for path in &paths {
        findings.push(permissions("key_file", path, "600"));
        findings.extend(age(path, now));
    }
    findings
}

fn age(path: &Path, now: Timestamp) -> Option<Finding> {
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let age = now.since(Timestamp::from_system_time(changed));
    (age > KEY_AGE).then(|| {
        let days = age.as_secs() / 86_400;
        let found = format!("{} is {days} days old", path.display());
        Finding::warning("key_age", found, "put a fresh key (`lychgate keygen`) first in keys.session, and take the old one away when all sessions of it are over")
    })
}

/// Whether as many clients as are let in can be served.
pub(super) fn open_files(config: &Config) -> Finding {
    let (room, connections) = (Room::foresee(config.workers, config.listeners.len()), config.limits.connections);
    match room.falls_short_of(connections) {
        None => Finding::ok("open_files", room.suffices_for(connections)),
        Some((found, advice)) => {
            Finding::warning("open_files", found, format!("{advice}; a service's limit may be another than this one"))
        }
    }
}

/// The state directory: there, ours, and writable.
pub(super) fn state(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let advice = format!("mkdir -m 700 {shown}, owned by the user that the gateway runs as");
            return vec![Finding::warning(
                "state_folder",
                format!("{shown} is not there; it is made when it is needed"),
                advice,
            )];
        }
        Err(error) => {
            return vec![Finding::problem(
                "state_folder",
                format!("{shown} cannot be looked at: {error}"),
                "look at the owner and permissions of the folders above",
            )];
        }
        Ok(found) if !found.is_dir() => {
            return vec![Finding::problem("state_folder", format!("{shown} is no folder"), "name a folder as `state`")];
        }
        Ok(_) => {}
    }
    vec![permissions("state_permissions", folder, "700"), writable(folder)]
}

fn writable(folder: &Path) -> Finding {
    let probe = folder.join(format!(".doctor-{}", random::token()));
    let written = File::create_new(&probe).and_then(|file| {
        let taken = takes_a_block(&file);
        std::fs::remove_file(&probe).and(taken)
    });
    match written {
        Ok(()) => Finding::ok("state_writable", format!("{} can be written to", folder.display())),
        Err(error) => Finding::problem(
            "state_writable",
            format!("{} cannot be written to: {error}", folder.display()),
            "make it belong to the user that the gateway runs as, and see that the file system is not full or read-only",
        ),
    }
}

/// Whether there is room: an empty file needs none.
fn takes_a_block(mut file: &File) -> std::io::Result<()> {
    file.write_all(&[0; 4096])?;
    file.sync_all()
}

fn permissions(check: &'static str, path: &Path, mode: &str) -> Finding {
    let shown = path.display();
    match access(path) {
        Some(Access::Owner) => Finding::ok(check, format!("only its owner has access to {shown}")),
        Some(Access::Group) => Finding::ok(check, format!("only its owner and group have access to {shown}")),
        Some(Access::Others) => Finding::warning(
            check,
            format!("others than its owner have access to {shown}"),
            format!("chmod {mode} {shown}"),
        ),
        None => Finding::problem(
            check,
            format!("{shown} cannot be looked at"),
            "look at the owner and permissions of the folders above",
        ),
    }
}

/// Until when the certificates and revocation lists of the listeners are good.
pub(super) fn dates(config: &Config, now: Timestamp) -> Vec<Finding> {
    let look = |one: &Dated| {
        let (found, advice) = (one.tell(now), one.advice(now));
        match one.validity(now) {
            Validity::Good => Finding::ok("dates", found),
            Validity::EndsSoon => Finding::warning("dates", found, advice),
            Validity::NotYet | Validity::Over => Finding::problem("dates", found, advice),
        }
    };
    config::dated(&config.listeners).iter().map(look).collect()
}

/// Whether the gateway could listen there. A gateway that runs already holds its addresses itself.
pub(super) fn listener(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("address", format!("{address} is free")),
        Err(error) => {
            let found = format!("{address} cannot be listened at: {error}");
            match error.kind() {
                ErrorKind::AddrInUse => Finding::warning(
                    "address",
                    format!("{address} is in use"),
                    "fine while this gateway runs; otherwise see what listens there: ss -ltnp",
                ),
                ErrorKind::PermissionDenied => {
                    Finding::problem("address", found, "ports below 1024 need the capability CAP_NET_BIND_SERVICE")
                }
                ErrorKind::AddrNotAvailable => Finding::problem("address", found, "this machine has no such address"),
                _ => Finding::problem("address", found, "see the system's message"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_clock_of_the_past_is_a_problem() {
        assert_eq!(clock(Timestamp::from_seconds(0)).verdict, Verdict::Problem);
        assert_eq!(clock(Timestamp::from_seconds(1_800_000_000)).verdict, Verdict::Ok);
    }

    #[test]
    fn a_disk_without_room_is_a_problem() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(takes_a_block(&full).unwrap_err().kind(), ErrorKind::StorageFull);
        let folder = std::env::temp_dir().join(format!("lychgate-doctor-{}", random::token()));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(writable(&folder).verdict, Verdict::Ok);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!(writable(Path::new("/proc/self/fd")).verdict, Verdict::Problem);
    }

    #[test]
    fn an_address_is_free_in_use_or_not_here() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(listener(address).verdict, Verdict::Warning);
        drop(taken);
        assert_eq!(listener(address).verdict, Verdict::Ok);
        assert_eq!(listener("192.0.2.1:8080".parse().unwrap()).verdict, Verdict::Problem);
    }
}
