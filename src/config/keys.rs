//! The session keys: configured ones, or one that the gateway makes for itself in its state directory.
//!
//! There is no default key. Without `[keys]` a first start makes `state/session.key`, readable by its owner only, and
//! says so; without a state directory either, starting is refused. The file appears whole or not at all
//! (`private_file`, where the file system has links), and when two processes start at once, both use the one that came first.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::private_file::write_first;
use super::reader::{Findings, Section};
use super::secrets::{self, SecretSource, read_secret, warn_if_readable_by_all};
use super::source::{Node, Origin, Value};
use super::{Environment, FilesRead, Part};
use crate::crypto::{KeyRing, KeyText};
use crate::diagnostic::Diagnostic;

/// The file in the state directory that holds a key made by the gateway.
const FILE: &str = "session.key";

/// The keys that seal sessions, or where a first one is to be made.
#[derive(Clone)]
pub enum SessionKeys {
    /// Keys that are there.
    Ready(Arc<KeyRing>),
    /// No key yet: one is to be made in this file.
    ToGenerate(PathBuf),
}

impl SessionKeys {
    /// Returns the ring, after making a first key where there is none; the warning says that this happened.
    ///
    /// This is the only thing in this module that writes. Call it once the rest of the start was found good.
    pub fn ensure(&self) -> Result<(Arc<KeyRing>, Option<Diagnostic>), Diagnostic> {
        let path = match self {
            Self::Ready(ring) => return Ok((Arc::clone(ring), None)),
            Self::ToGenerate(path) => path,
        };
        let failed = |what: String| {
            Diagnostic::error(format!("cannot make the session key {}: {what}", path.display()))
                .help("make the state directory writable, or configure [keys] with what `lychgate keygen` prints")
        };
        generate(path).map_err(|error| failed(error.to_string()))?;
        let ring = read_generated(path).map_err(|finding| failed(finding.message))?;
        let notice =
            Diagnostic::warning(format!("no session key was configured, so one was made in {}", path.display()))
                .help("gateways that serve the same hosts need the same key: give it to all of them as [keys]");
        Ok((ring, Some(notice)))
    }
}

pub(super) fn read(top: &Section<'_>, state: Option<&Path>, found: &mut Findings<'_>) -> Option<SessionKeys> {
    let section = top.section("keys", found);
    match section.entry("session") {
        Some(entry) => {
            let nodes = section.list("session", "a list such as [{ file = \"session.key\" }]", found);
            if matches!(entry.node.value, Value::List(_)) { configured(&entry.node, nodes, found) } else { None }
        }
        None if state.is_none() && top.entry("state").is_some() => None,
        None => from_state(state, found),
    }
}

fn configured(list: &Node, nodes: &[Node], found: &mut Findings<'_>) -> Option<SessionKeys> {
    let texts: Vec<Option<KeyText>> = nodes.iter().map(|node| secrets::read("keys.session", node, found)).collect();
    let texts: Vec<KeyText> = texts.into_iter().collect::<Option<_>>()?;
    match KeyRing::new(&texts) {
        Ok(ring) => Some(SessionKeys::Ready(Arc::new(ring))),
        Err((index, error)) => {
            let place = nodes.get(index).filter(|_| nodes.len() <= 16).unwrap_or(list);
            let finding = Diagnostic::error(format!("`keys.session`: {error}"));
            found.note(&place.origin, finding.help("`lychgate keygen` prints a fresh key"));
            None
        }
    }
}

fn from_state(state: Option<&Path>, found: &mut Findings<'_>) -> Option<SessionKeys> {
    let Some(state) = state else {
        found.note(
            &Origin::File(0..0),
            Diagnostic::error("there is no key to seal sessions with: neither `keys.session` nor `state` is set")
                .help("run `(umask 077; lychgate keygen > session.key)` and set keys.session = [{ file = \"session.key\" }], or set state = \"state\" to have one made there"),
        );
        return None;
    };
    let path = state.join(FILE);
    if !path.exists() {
        return Some(SessionKeys::ToGenerate(path));
    }
    let place = Node { origin: Origin::File(0..0), value: Value::Other("a key") };
    warn_if_readable_by_all(&place, &path, found);
    match read_generated(&path) {
        Ok(ring) => Some(SessionKeys::Ready(ring)),
        Err(finding) => {
            found.note(&place.origin, finding);
            None
        }
    }
}

/// Reads the key in the state directory. One that is only somebody else's is as good as ever: nobody is told to throw it away.
fn read_generated(path: &Path) -> Result<Arc<KeyRing>, Diagnostic> {
    let empty: Environment = std::iter::empty().collect();
    let lost = "put the key back, or remove the file to have a new one made (everybody signs in again)";
    let source = SecretSource::File(path.to_owned());
    let read = read_secret(&source, Path::new(""), &empty, (&FilesRead::default(), &Part::key("state")));
    let text = read.map_err(|error| {
        let help = if error.is_denied() { error.help() } else { lost.to_owned() };
        Diagnostic::error(error.to_string()).help(help)
    })?;
    let bad = |error| Diagnostic::error(format!("{}: {error}", path.display())).help(lost);
    KeyRing::new(&[text]).map(Arc::new).map_err(|(_, error)| bad(error))
}

/// Writes a fresh key; a file that is there already stays as it is.
fn generate(path: &Path) -> io::Result<()> {
    match write_first(path, KeyRing::generate_key().expose()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => Ok(()),
        other => other,
    }
}
