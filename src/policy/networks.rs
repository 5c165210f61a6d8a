//! Reads `[networks]`: from where an application can be reached at all, whatever its rules say.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's; the client's address is established before.
//! Specification: RFC 4632.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::{Reading, Section, Text};
use super::selector::{network, read_list};
use crate::diagnostic::Diagnostic;

/// From where clients may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl Networks {
    /// Whether a client at `address` may come.
    pub fn admit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

/// Reads `[networks]`.
pub(super) fn read(mut section: Section<'_>, reading: &mut Reading<'_>) -> Option<Networks> {
    let span = section.span();
    let mut read = |key, reading: &mut Reading<'_>| {
        read_list(&mut section, key, reading, |text, reading| Some((read_network(text, reading)?, text.span.clone())))
    };
    let (allow, deny) = (read("allow", reading), read("deny", reading));
    if section.lacks("allow") && section.lacks("deny") {
        reading.error("`networks` names no network", span, "networks = { allow = [\"10.0.0.0/8\"] }");
    }
    let complete = (section.lacks("allow") || allow.is_some()) && (section.lacks("deny") || deny.is_some());
    section.finish(reading);
    let (allow, deny) = (allow.unwrap_or_default(), deny.unwrap_or_default());
    for (network, span) in &allow {
        if let Some((denied, _)) = deny.iter().find(|(denied, _)| denied.contains(network)) {
            let message = format!("{network} is allowed and denied: nobody of it could come");
            reading.error(message, span.clone(), format!("`deny` is asked first and has {denied}; remove one of them"));
        }
    }
    for (network, span) in deny.iter().filter(|_| !allow.is_empty()) {
        if !allow.iter().any(|(allowed, _)| allowed.contains(network)) {
            let message = format!("{network} is not in `allow`, so it is kept out anyway");
            reading.push(Diagnostic::warning(message).help("remove it"), span.clone());
        }
    }
    let bare = |networks: Vec<(IpNet, _)>| networks.into_iter().map(|(network, _)| network).collect();
    complete.then(|| Networks { allow: bare(allow), deny: bare(deny) })
}

fn read_network(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<IpNet> {
    network(text.text).map_err(|(message, help)| reading.error(message, text.span.clone(), help)).ok()
}
