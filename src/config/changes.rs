//! Which settings of two readings differ, so that what takes effect only at a start can be named when it is changed.
//!
//! Each key is kept as a hash of its value, wherever the value came from: no secret stays here.
//! May touch: memory only. Trust boundary: none; both sides are checked settings.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::source::{Node, Value};

/// Keys, or the tables that hold them, that take effect while the gateway runs.
const AT_RUN_TIME: &[&str] = &["policies", "providers", "identity", "log.level", "listeners.tls"];
/// What of a listener takes effect while the gateway runs. Whether it has TLS at all is not among them.
const OF_LISTENERS: &[&str] = &["tls", "hsts", "redirect"];

/// What the settings say, comparable key by key.
pub struct Settings(BTreeMap<String, u64>);

impl Settings {
    pub(super) fn of(root: &Node) -> Self {
        let mut keys = BTreeMap::new();
        if let Value::Table(entries) = &root.value {
            for (key, entry) in entries {
                collect(key, &entry.node, &mut keys);
            }
        }
        Self(keys)
    }

    /// Whether a change of this key takes effect only when the gateway is started again.
    pub fn waits_for_start(key: &str) -> bool {
        let within = |known: &str| key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        !AT_RUN_TIME.iter().any(|known| within(known))
    }

    /// The keys that differ from those at the start and wait for the next one.
    pub fn waiting(&self, start: &Self) -> Vec<String> {
        let mut keys: Vec<&String> = self.0.keys().chain(start.0.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.0.get(*key) != start.0.get(*key) && Self::waits_for_start(key));
        keys.into_iter().cloned().collect()
    }
}

/// A table's keys each by themselves, everything else as a whole.
fn collect(key: &str, node: &Node, keys: &mut BTreeMap<String, u64>) {
    match &node.value {
        Value::Table(entries) => {
            for (name, entry) in entries {
                keys.insert(format!("{key}.{name}"), digest(&entry.node));
            }
        }
        Value::List(listeners) if key == "listeners" => {
            let mut hasher = DefaultHasher::new();
            listeners.len().hash(&mut hasher);
            listeners.iter().for_each(|listener| feed_listener(listener, &mut hasher));
            keys.insert(key.to_owned(), hasher.finish());
        }
        _ => drop(keys.insert(key.to_owned(), digest(node))),
    }
}

/// What of a listener waits for a start.
fn feed_listener(node: &Node, hasher: &mut DefaultHasher) {
    let Value::Table(entries) = &node.value else { return feed(node, hasher) };
    entries.contains_key("tls").hash(hasher);
    for (key, entry) in entries.iter().filter(|(key, _)| !OF_LISTENERS.contains(&key.as_str())) {
        key.hash(hasher);
        feed(&entry.node, hasher);
    }
}

fn digest(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(node, &mut hasher);
    hasher.finish()
}

fn feed(node: &Node, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&node.value).hash(hasher);
    match &node.value {
        Value::Text(text) => text.hash(hasher),
        Value::Integer(number) => number.hash(hasher),
        Value::Boolean(value) => value.hash(hasher),
        Value::Other(kind) => kind.hash(hasher),
        Value::List(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| feed(item, hasher));
        }
        Value::Table(entries) => {
            entries.len().hash(hasher);
            for (key, entry) in entries {
                key.hash(hasher);
                feed(&entry.node, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, source};
    use super::*;

    fn settings(text: &str) -> Settings {
        let environment: Environment = std::iter::empty().collect();
        let (_, root) = source::read(Path::new("lychgate.toml"), text, &environment, &[]).unwrap();
        Settings::of(&root)
    }

    #[test]
    fn only_what_waits_for_a_start_is_named() {
        let text = "workers = 1\npolicies = [\"a\"]\n[[listeners]]\naddress = \"x\"\n[limits]\nbody = \"1B\"\nconnections = 1\n[log]\nlevel = \"info\"\n[providers.a]\nscopes = []\n";
        let start = settings(text);
        assert_eq!(settings(text).waiting(&start), [""; 0]);
        let changed = settings(
            "policies = [\"b\"]\nlisteners = []\n[limits]\nbody = \"2B\"\nconnections = 1\n[log]\nlevel = \"warn\"\naccess = \"off\"\n[providers.b]\nissuer = \"x\"\n",
        );
        assert_eq!(changed.waiting(&start), ["limits.body", "listeners", "log.access", "workers"]);
    }
}
