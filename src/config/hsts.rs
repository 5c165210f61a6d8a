//! `listeners.hsts`: what browsers are told about coming over https only.
//!
//! May touch: memory only. Trust boundary: the administrator's file. Specification: RFC 6797.

use std::time::Duration;

use super::reader::{Findings, Section};
use super::source::Value;
use crate::diagnostic::Diagnostic;
use crate::http::Scheme;
use crate::reference;

/// Half a year: long enough that hardly anybody's browser forgets it, short enough to be outlived. Names below the host are other people's.
const USUAL: Duration = Duration::from_secs(180 * 24 * 60 * 60);
/// The least that the lists in browsers take.
const PRELOADED: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What is said in `Strict-Transport-Security`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hsts {
    /// Nothing by the gateway; what the application says stays.
    Off,
    /// This, where the application says nothing.
    Unless(String),
    /// This, whatever the application says.
    Always(String),
}

pub(super) fn read(listener: &Section<'_>, scheme: Scheme, found: &mut Findings<'_>) -> Hsts {
    let Some(entry) = listener.entry("hsts") else {
        return if scheme == Scheme::Https { Hsts::Unless(field(USUAL, false, false)) } else { Hsts::Off };
    };
    if scheme == Scheme::Http && !matches!(entry.node.value, Value::Boolean(false)) {
        let message = format!("`{}` on a listener that browsers reach over http", listener.path("hsts"));
        found.error(&entry.key, message, "expected it where `tls` is, or scheme = \"https\"");
        return Hsts::Off;
    }
    match &entry.node.value {
        Value::Boolean(false) => Hsts::Off,
        Value::Boolean(true) => Hsts::Always(field(USUAL, false, false)),
        Value::Table(_) => {
            let keys = &reference::gateway::HSTS;
            let section = Section::open(&listener.path("hsts"), &entry.node, &entry.key, keys, found);
            read_table(&section, found)
        }
        other => {
            let message = format!("`{}` is {}", listener.path("hsts"), super::reader::describe(other));
            found.error(&entry.node.origin, message, "expected true, false, or { max_age = \"180d\" }");
            Hsts::Off
        }
    }
}

fn read_table(section: &Section<'_>, found: &mut Findings<'_>) -> Hsts {
    let age = section.duration("max_age", found).unwrap_or(USUAL);
    let subdomains = section.boolean("include_subdomains", found).unwrap_or(false);
    let preload = section.boolean("preload", found).unwrap_or(false);
    if let (true, Some(entry)) = (preload && (!subdomains || age < PRELOADED), section.entry("preload")) {
        let finding =
            Diagnostic::error(format!("`{}` is not enough for the lists in browsers", section.path("preload")));
        found.note(&entry.node.origin, finding.help("add include_subdomains = true and max_age = \"1y\" or more"));
    }
    Hsts::Always(field(age, subdomains, preload))
}

fn field(age: Duration, subdomains: bool, preload: bool) -> String {
    let subdomains = if subdomains { "; includeSubDomains" } else { "" };
    let preload = if preload { "; preload" } else { "" };
    format!("max-age={}{subdomains}{preload}", age.as_secs())
}
