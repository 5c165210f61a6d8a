//! Networks: `trusted_proxies`, the peers whose `Forwarded` and `X-Forwarded-*` are believed (S05), and from where a listener takes
//! connections. Nobody is trusted, and everybody may connect, unless configured.
//!
//! Each element is a network or one address, as [`network`](crate::network) reads them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::{Findings, Section, Text};
use crate::diagnostic::Diagnostic;
use crate::network::{self, NetworkError};

const EXPECTED: &str = "networks or addresses such as \"10.0.0.0/8\"";

/// From where a listener takes connections.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// `None` for everywhere.
    allow: Option<Vec<IpNet>>,
    deny: Vec<IpNet>,
}

impl Networks {
    /// Whether this address, in its canonical form, may connect.
    pub fn admit(&self, address: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        self.allow.as_deref().is_none_or(within) && !within(&self.deny)
    }
}

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Vec<IpNet> {
    let trusted = networks(top, "trusted_proxies", found);
    for (network, text) in trusted.iter().filter(|(network, _)| network.prefix_len() == 0) {
        let warning = Diagnostic::warning(format!("{network} trusts everybody to say who they are"));
        found.note(text.origin, warning.help("name the networks of your own load balancers"));
    }
    trusted.into_iter().map(|(network, _)| network).collect()
}

pub(super) fn read_networks(section: &Section<'_>, found: &mut Findings<'_>) -> Networks {
    let mut list = |key| networks(section, key, found).into_iter().map(|(network, _)| network).collect::<Vec<_>>();
    let (allow, deny) = (list("allow"), list("deny"));
    match section.entry("allow") {
        None => Networks { allow: None, deny },
        Some(entry) => {
            if allow.is_empty() {
                let message = format!("`{}` admits nobody", section.path("allow"));
                found.error(&entry.node.origin, message, format!("expected {EXPECTED}, or no `allow` at all"));
            }
            Networks { allow: Some(allow), deny }
        }
    }
}

fn networks<'a>(section: &Section<'a>, key: &str, found: &mut Findings<'_>) -> Vec<(IpNet, Text<'a>)> {
    let texts = section.texts(key, EXPECTED, found);
    let path = section.path(key);
    texts.into_iter().filter_map(|text| Some((network(&path, text, found)?, text))).collect()
}

fn network(path: &str, text: Text<'_>, found: &mut Findings<'_>) -> Option<IpNet> {
    match network::parse(text.value) {
        Ok(network) => return Some(network),
        Err(NetworkError::NoNetwork) => {
            let message = format!("`{path}` holds \"{}\", which is no network", text.value);
            found.error(text.origin, message, format!("expected {EXPECTED}"));
        }
        Err(error) => found.note(text.origin, Diagnostic::error(error.to_string()).help(error.help())),
    }
    None
}
