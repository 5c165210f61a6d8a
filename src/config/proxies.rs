//! `trusted_proxies`: the peers whose `Forwarded` and `X-Forwarded-*` are believed (S05). Empty unless configured.
//!
//! Each element is a network (`10.0.0.0/8`) or one address. A network with bits beyond its prefix is refused: it is
//! either a slip or an address with the wrong length.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::{Findings, Section, Text};
use crate::diagnostic::Diagnostic;

const EXPECTED: &str = "networks or addresses such as \"10.0.0.0/8\"";

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Vec<IpNet> {
    let texts = top.texts("trusted_proxies", EXPECTED, found);
    texts.into_iter().filter_map(|text| network(text, found)).collect()
}

fn network(text: Text<'_>, found: &mut Findings<'_>) -> Option<IpNet> {
    let parsed = text.value.parse::<IpNet>().ok();
    let network = parsed.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        None => {
            let message = format!("`trusted_proxies` holds \"{}\", which is no network", text.value);
            found.error(text.origin, message, format!("expected {EXPECTED}"));
            None
        }
        Some(network) if network != network.trunc() => {
            let finding = Diagnostic::error(format!("{network} has bits beyond its prefix"));
            let help = format!("write \"{}\" or \"{}\"", network.trunc(), network.addr());
            found.note(text.origin, finding.help(help));
            None
        }
        Some(network) => {
            if network.prefix_len() == 0 {
                let warning = Diagnostic::warning(format!("{network} trusts everybody to say who they are"));
                found.note(text.origin, warning.help("name the networks of your own load balancers"));
            }
            Some(network)
        }
    }
}
