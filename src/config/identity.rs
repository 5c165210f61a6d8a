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

use super::keys::{private_folder, write_private};
use super::reader::{Findings, Section};
use super::secrets::{self, warn_if_readable_by_all};
use super::source::{Node, Origin, Value};
use crate::crypto::{DatedKey, IdentityKeys, KeySet, Secret, SigningKey, random, turn};
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

    /// Puts the keys in use, after making or turning one where that is due at `now`; the notice says that a first one was made.
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
        let set = turned(path, now).map_err(|what| {
            Diagnostic::error(format!("the identity keys in {} cannot be used: {what}", path.display()))
                .help("make the state directory writable, or configure [identity] keys")
        })?;
        keys.replace(set);
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

/// The keys of the file, after making or turning one where that is due.
fn turned(path: &Path, now: i64) -> Result<KeySet, String> {
    let is_first = !path.exists();
    let mut keys = if is_first { Vec::new() } else { read_file(path)? };
    if turn(&mut keys, now).map_err(|error| error.to_string())? {
        write_file(path, &keys, is_first).map_err(|error| error.to_string())?;
        // Another process may have come first.
        keys = read_file(path)?;
    }
    KeySet::dated(&keys).map_err(|error| error.to_string())
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
    let folder = path.parent().unwrap_or(Path::new("."));
    private_folder(folder)?;
    let lines: Vec<String> = keys.iter().map(|key| format!("{} {}", key.made, key.text.expose())).collect();
    let text = zeroize::Zeroizing::new(lines.join("\n"));
    let beside = folder.join(format!(".{FILE}.{}", random::token()));
    let written = write_private(&beside, &text)
        .and_then(|()| if is_first { std::fs::hard_link(&beside, path) } else { std::fs::rename(&beside, path) });
    let removed = if is_first { std::fs::remove_file(&beside) } else { Ok(()) };
    match written {
        Err(error) if is_first && error.kind() == io::ErrorKind::AlreadyExists => removed,
        other => other.and(removed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
