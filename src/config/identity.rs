//! The keys that sign assertions of who asks: configured ones, or those that the gateway makes for itself in its state directory.
//!
//! Gateways that serve the same hosts need the same keys, so their operator gives them and turns them: the first of `identity.keys` signs and
//! all are published. A gateway by itself makes a key when a policy first needs one, in `state/identity.keys`, readable by its owner only,
//! and turns it every 90 days ([`turn`]). The file appears whole or not at all; of two processes that make a first one, both use the one
//! that came first.
//!
//! May touch: the configured key files and the state directory; [`Identity::ensure`] is what writes. Trust boundary: the operator's files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::private_file::{beside, write_first, write_private};
use super::reader::{Findings, Section};
use super::secrets::{self, warn_if_readable_by_all};
use super::source::{Node, Origin, Value};
use crate::crypto::{DatedKey, IdentityKeys, KeySet, Secret, SigningKey, turn};
use crate::diagnostic::Diagnostic;

/// The file in the state directory.
const FILE: &str = "identity.keys";
/// The most keys that can be configured.
const MOST: usize = 8;

/// Where the keys come from.
#[derive(Clone)]
pub enum Identity {
    /// Configured keys, at least one.
    Configured(Vec<Arc<SigningKey>>),
    /// Keys that the gateway keeps in this file.
    Kept(PathBuf),
    /// Nowhere: there is no state directory either.
    Nowhere,
}

impl Identity {
    /// Whether anything can be signed.
    pub fn can_sign(&self) -> bool {
        !matches!(self, Self::Nowhere)
    }

    /// The same with the state directory of the start, which is the one in use until the next.
    pub fn kept_in(self, state: Option<&Path>) -> Self {
        match (self, state) {
            (Self::Kept(_), Some(state)) => Self::Kept(state.join(FILE)),
            (identity, _) => identity,
        }
    }

    /// Puts the keys in use, after making or turning one where that is due at `now`; the notice says that a first one was made, or that none
    /// could be turned and those that are there stay in use.
    pub fn ensure(&self, keys: &IdentityKeys, now: i64) -> Result<Option<Diagnostic>, Diagnostic> {
        let path = match self {
            Self::Configured(configured) => {
                keys.replace(KeySet::configured(configured));
                return Ok(None);
            }
            Self::Kept(path) => path,
            Self::Nowhere => return Ok(None),
        };
        let is_first = !path.exists();
        let (set, unturned) = turned(path, now).map_err(|what| {
            Diagnostic::error(format!("the identity keys in {} cannot be used: {what}", path.display()))
                .help("make the state directory writable, or configure [identity] keys")
        })?;
        keys.replace(set);
        if let Some(what) = unturned {
            let found = format!("the identity keys in {} cannot be turned, and stay in use: {what}", path.display());
            let help = "see that the state directory is writable and its disk not full; it is tried again every hour";
            return Ok(Some(Diagnostic::warning(found).help(help)));
        }
        let notice = || {
            Diagnostic::warning(format!("a key that signs identity assertions was made in {}", path.display()))
                .help("gateways that serve the same hosts need the same key: give it to all of them as [identity] keys")
        };
        Ok(is_first.then(notice))
    }
}

pub(super) fn read(top: &Section<'_>, state: Option<&Path>, found: &mut Findings<'_>) -> Option<Identity> {
    let section = top.section("identity", found);
    if let Some(entry) = section.entry("keys") {
        let nodes = section.list("keys", "a list such as [{ file = \"identity.pem\" }]", found);
        return if matches!(entry.node.value, Value::List(_)) { configured(&entry.node, nodes, found) } else { None };
    }
    let Some(state) = state else { return Some(Identity::Nowhere) };
    let path = state.join(FILE);
    if path.exists() {
        let place = Node { origin: Origin::File(0..0), value: Value::Other("a key") };
        warn_if_readable_by_all(&place, &path, found);
        if let Err(what) = read_file(&path).and_then(|keys| KeySet::dated(&keys).map_err(|error| error.to_string())) {
            let help = "put the file back, or remove it to have a new key made";
            found.note(&place.origin, Diagnostic::error(format!("{}: {what}", path.display())).help(help));
            return None;
        }
    }
    Some(Identity::Kept(path))
}

fn configured(list: &Node, nodes: &[Node], found: &mut Findings<'_>) -> Option<Identity> {
    if nodes.is_empty() || nodes.len() > MOST {
        let message = format!("`identity.keys` has {} keys", nodes.len());
        found.error(&list.origin, message, format!("expected 1 to {MOST}; the first signs"));
        return None;
    }
    let keys: Vec<Option<Arc<SigningKey>>> = nodes.iter().map(|node| read_key(node, found)).collect();
    keys.into_iter().collect::<Option<_>>().map(Identity::Configured)
}

fn read_key(node: &Node, found: &mut Findings<'_>) -> Option<Arc<SigningKey>> {
    let text = secrets::read("identity.keys", node, found)?;
    match SigningKey::from_pem(&text) {
        Ok(key) => Some(Arc::new(key)),
        Err(error) => {
            let finding = Diagnostic::error(format!("`identity.keys`: {error}"));
            let help = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 makes one";
            found.note(&node.origin, finding.help(help));
            None
        }
    }
}

/// The keys of the file, after making or turning one where that is due, and why that was not possible.
fn turned(path: &Path, now: i64) -> Result<(KeySet, Option<String>), String> {
    let is_first = !path.exists();
    let kept = if is_first { Vec::new() } else { read_file(path)? };
    let (keys, unturned) = match renewed(path, &kept, now) {
        Ok(keys) => (keys, None),
        Err(what) if is_first => return Err(what),
        Err(what) => (kept, Some(what)),
    };
    let set = KeySet::dated(&keys).map_err(|error| error.to_string())?;
    Ok((set, unturned))
}

/// What stands in the file once a key was made or turned where that is due.
fn renewed(path: &Path, kept: &[DatedKey], now: i64) -> Result<Vec<DatedKey>, String> {
    let mut keys = kept.to_vec();
    if !turn(&mut keys, now).map_err(|error| error.to_string())? {
        return Ok(keys);
    }
    write_file(path, &keys, kept.is_empty()).map_err(|error| error.to_string())?;
    // Another process may have come first.
    read_file(path)
}

/// One key on each line, oldest first: when it was made, and its PKCS #8 in Base64.
fn read_file(path: &Path) -> Result<Vec<DatedKey>, String> {
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|error| error.to_string())?);
    let read = |line: &str| {
        let (made, text) = line.split_once(' ')?;
        Some(DatedKey { made: made.parse().ok()?, text: Secret::new(text.trim().to_owned()) })
    };
    let keys: Option<Vec<DatedKey>> = text.lines().filter(|line| !line.trim().is_empty()).map(read).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| "it is damaged: a line is no key".to_owned())
}

/// Writes beside `path` and brings it there whole; a first file never takes the place of another.
fn write_file(path: &Path, keys: &[DatedKey], is_first: bool) -> io::Result<()> {
    let lines: Vec<String> = keys.iter().map(|key| format!("{} {}", key.made, key.text.expose())).collect();
    let text = zeroize::Zeroizing::new(lines.join("\n"));
    if is_first {
        return match write_first(path, &text) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
    }
    let beside = beside(path);
    // What a full disk took of a private key is not left.
    write_private(&beside, &text).and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random;

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("lychgate-identity-{}", random::token()))
    }

    #[test]
    fn a_first_key_is_made_once_and_only_its_owner_can_read_it() {
        let folder = folder();
        let (kept, keys) = (Identity::Kept(folder.join(FILE)), IdentityKeys::default());
        assert!(kept.ensure(&keys, 1000).unwrap().is_some(), "the first start says so");
        let first = keys.published(1000);
        let again = IdentityKeys::default();
        assert!(kept.ensure(&again, 2000).unwrap().is_none());
        assert_eq!(again.published(2000), first, "a restart keeps the key");
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(std::fs::metadata(folder.join(FILE)).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn keys_are_turned_in_the_file_and_a_restart_in_between_changes_nothing() {
        let folder = folder();
        let (kept, keys) = (Identity::Kept(folder.join(FILE)), IdentityKeys::default());
        kept.ensure(&keys, 0).unwrap();
        let (day, first) = (24 * 60 * 60, keys.signing(0).unwrap());
        kept.ensure(&keys, 90 * day).unwrap();
        let restarted = IdentityKeys::default();
        kept.ensure(&restarted, 90 * day + 1).unwrap();
        assert_eq!(restarted.published(90 * day + 1), keys.published(90 * day + 1));
        assert_eq!(restarted.signing(91 * day - 1).unwrap().id(), first.id());
        let second = restarted.signing(91 * day).unwrap();
        assert_ne!(second.id(), first.id());
        kept.ensure(&restarted, 92 * day).unwrap();
        assert_eq!(restarted.published(92 * day), format!("{{\"keys\":[{}]}}", second.public_jwk()));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn keys_that_cannot_be_turned_stay_in_use_and_nothing_is_left_beside_them() {
        let folder = folder();
        let path = folder.join(FILE);
        let keys = IdentityKeys::default();
        Identity::Kept(path.clone()).ensure(&keys, 0).unwrap();
        let (due, first) = (90 * 24 * 60 * 60, keys.published(0));
        // A place where the file can be read and nothing be written beside it, whoever we are.
        let file = std::fs::File::open(&path).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        let readable = Identity::Kept(PathBuf::from(format!("/proc/self/fd/{number}")));
        let restarted = IdentityKeys::default();
        for keys in [&keys, &restarted] {
            let notice = readable.ensure(keys, due).unwrap().unwrap();
            assert!(notice.message.contains("cannot be turned, and stay in use"), "{}", notice.message);
            assert_eq!(keys.published(due), first);
        }
        // What was written, and cannot be brought to its place.
        let taken = folder.join("taken");
        std::fs::create_dir(&taken).unwrap();
        let kept = read_file(&path).unwrap();
        assert!(write_file(&taken, &kept, false).is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "the file and the folder");
        // Without a key there is nothing that could stay.
        let nowhere = Identity::Kept(PathBuf::from("/proc/self/fd/none"));
        assert!(nowhere.ensure(&IdentityKeys::default(), 0).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_file_is_never_written_over() {
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        for damaged in ["", "1000", "x y", "1000 AAAA", "1000 not base64!"] {
            std::fs::write(folder.join(FILE), damaged).unwrap();
            let error = Identity::Kept(folder.join(FILE)).ensure(&IdentityKeys::default(), 1000);
            assert!(error.is_err(), "{damaged:?}");
            assert_eq!(std::fs::read_to_string(folder.join(FILE)).unwrap(), damaged);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
