//! `[[listeners]]` and `[admin]`: where the gateway listens, and what browsers see there.
//!
//! An address is an IP address and a port, never a name, so that nothing here depends on a resolver. `scheme = "https"`
//! on a listener without TLS says that a load balancer in front ends TLS.

use std::net::{Ipv4Addr, SocketAddr};

use super::hsts::{self, Hsts};
use super::proxies::{self, Networks};
use super::reader::{Findings, Section, Text};
use super::redirect::{self, HttpsRedirect};
use super::source::Node;
use super::tls::{self, ServerTls};
use crate::diagnostic::Diagnostic;
use crate::http::Scheme;
use crate::reference;

/// One address that clients connect to.
pub struct Listener {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What browsers see.
    pub scheme: Scheme,
    /// Certificates and what is asked of clients, when TLS ends here.
    pub tls: Option<ServerTls>,
    /// Whose connections are taken.
    pub admits: Admits,
    /// What browsers are told about coming over https only.
    pub hsts: Hsts,
    /// Where everybody is sent who comes here; requests are served when none.
    pub redirect: Option<HttpsRedirect>,
}

/// Whose connections a listener takes.
#[derive(Clone, Debug, Default)]
pub struct Admits {
    /// Whether each begins with a PROXY header of a trusted proxy.
    pub proxy_protocol: bool,
    /// From where clients may connect.
    pub networks: Networks,
}

impl Listener {
    /// Whether requests are served here in clear text, and not only sent elsewhere.
    pub fn serves_clear_text(&self) -> bool {
        self.scheme == Scheme::Http && self.redirect.is_none()
    }
}

const EXPECTED: &str = "an IP address and a port, such as \"0.0.0.0:443\" or \"[::]:443\"";

pub(super) fn read(top: &Section<'_>, found: &mut Findings<'_>) -> Vec<Listener> {
    let nodes = top.list("listeners", "a list of tables: [[listeners]]", found);
    if nodes.is_empty() && top.entry("listeners").is_none_or(|entry| table_free(&entry.node)) {
        top.missing("listeners", "write [[listeners]] and under it address = \"0.0.0.0:443\"", found);
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for node in nodes {
        let section = Section::open("listeners", node, &node.origin, &reference::gateway::LISTENER, found);
        let listener = read_one(&section, top, found);
        if let Some(listener) = listener {
            check_single(&listener, &listeners, &section, found);
            listeners.push(listener);
        }
    }
    listeners
}

/// An empty list, as opposed to something that is no list and already noted.
fn table_free(node: &Node) -> bool {
    matches!(&node.value, super::source::Value::List(items) if items.is_empty())
}

fn read_one(section: &Section<'_>, top: &Section<'_>, found: &mut Findings<'_>) -> Option<Listener> {
    let address = section.required_text("address", EXPECTED, found).and_then(|text| address(section, text, found));
    let tls = section.entry("tls").map(|entry| tls::read(&section.path("tls"), entry, found));
    let scheme = section.choice("scheme", &[("http", Scheme::Http), ("https", Scheme::Https)], found);
    if let (Some(_), Some(Scheme::Http), Some(entry)) = (&tls, scheme, section.entry("scheme")) {
        let expected = "expected \"https\", or no scheme at all";
        found.error(&entry.node.origin, "`listeners.scheme` is \"http\" on a listener with TLS", expected);
    }
    let natural = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    let admits = read_admits(section, top, found);
    if let (None, Some(Scheme::Https), Some(entry)) = (&tls, scheme, section.entry("scheme"))
        && top.entry("trusted_proxies").is_none()
    {
        let message = "`listeners.scheme` is \"https\" without `tls`, and `trusted_proxies` is not set: every client has the load balancer's address";
        let help = "name the load balancer in `trusted_proxies`, so that limits, networks and the log know who comes; write trusted_proxies = [] where it does not say who its client is";
        found.note(&entry.node.origin, Diagnostic::warning(message).help(help));
    }
    let usable = match tls {
        Some(read) => Some(read?),
        None => None,
    };
    let scheme = scheme.unwrap_or(natural);
    let (hsts, redirect) = (hsts::read(section, scheme, found), redirect::read(section, scheme, found));
    Some(Listener { address: address?, scheme, tls: usable, admits, hsts, redirect })
}

fn read_admits(section: &Section<'_>, top: &Section<'_>, found: &mut Findings<'_>) -> Admits {
    let proxy_protocol = section.boolean("proxy_protocol", found).unwrap_or(false);
    if let (true, Some(entry)) = (proxy_protocol, section.entry("proxy_protocol"))
        && top.entry("trusted_proxies").is_none_or(|entry| table_free(&entry.node))
    {
        let message = "`listeners.proxy_protocol` is true and `trusted_proxies` is empty: nobody could connect";
        let help = "name the networks of your load balancers in `trusted_proxies`";
        found.note(&entry.node.origin, Diagnostic::error(message).help(help));
    }
    Admits { proxy_protocol, networks: proxies::read_networks(section, found) }
}

fn address(section: &Section<'_>, text: Text<'_>, found: &mut Findings<'_>) -> Option<SocketAddr> {
    let error = match text.value.parse() {
        Ok(address) => return Some(address),
        Err(_) => Diagnostic::error(format!("`{}` is no address: \"{}\"", section.path("address"), text.value)),
    };
    let finding = error.label(format!("expected {EXPECTED}"));
    found.note(
        text.origin,
        match address_help(text.value) {
            Some(help) => finding.help(help),
            None => finding,
        },
    );
    None
}

fn address_help(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    match (host, port) {
        ("", port) if port.parse::<u16>().is_ok() => Some(format!("for every address write \"0.0.0.0:{port}\"")),
        ("localhost", port) => Some(format!("write \"127.0.0.1:{port}\"")),
        _ if text.parse::<Ipv4Addr>().is_ok() => Some(format!("the port is missing: \"{text}:443\"")),
        _ if host.parse::<std::net::Ipv6Addr>().is_ok() => Some(format!("write \"[{host}]:{port}\"")),
        _ => None,
    }
}

fn check_single(listener: &Listener, before: &[Listener], section: &Section<'_>, found: &mut Findings<'_>) {
    let taken = before.iter().find(|other| overlap(other.address, listener.address));
    if let (Some(other), Some(entry)) = (taken, section.entry("address")) {
        let message = match other.address == listener.address {
            true => format!("two listeners have the address {}", listener.address),
            false => format!("the listeners {} and {} take the same connections", other.address, listener.address),
        };
        found.error(&entry.node.origin, message, expected_beside(other.address, listener.address));
    }
}

/// Whether both cannot be listened at: one address, or one of them stands for all addresses, of IPv4 too where it is `[::]`.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let same = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    one.port() != 0 && one.port() == other.port() && same
}

fn expected_beside(one: SocketAddr, other: SocketAddr) -> &'static str {
    let both = one.is_ipv6() != other.is_ipv6() && one.ip().is_unspecified() && other.ip().is_unspecified();
    if both { "expected only one of them: `[::]` takes IPv4 too" } else { "expected another address or port" }
}

/// Reads `[admin]`: on loopback unless configured otherwise, `None` when it is switched off.
pub(super) fn read_admin(top: &Section<'_>, listeners: &[Listener], found: &mut Findings<'_>) -> Option<SocketAddr> {
    let section = top.section("admin", found);
    let enabled = section.boolean("enabled", found).unwrap_or(true);
    let configured = section.text("address", EXPECTED, found).and_then(|text| address(&section, text, found));
    let address = configured.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9180)));
    let taken = listeners.iter().find(|listener| overlap(listener.address, address)).filter(|_| enabled);
    if let Some(listener) = taken {
        let place = section.entry("address").map_or(section.origin(), |entry| &entry.node.origin);
        let message = match listener.address == address {
            true => format!("the admin listener and a listener have the address {address}"),
            false => format!(
                "the admin listener at {address} and the listener {} take the same connections",
                listener.address
            ),
        };
        found.error(place, message, "expected an address of its own");
    }
    enabled.then_some(address)
}
