//! `listeners.redirect`: a listener that serves nothing and sends everybody to https.
//!
//! May touch: memory only. Trust boundary: the administrator's file.

use super::reader::{Findings, Section, describe};
use super::source::Value;
use crate::http::Scheme;
use crate::reference;

/// Where whoever comes in clear text is sent: the same host and path, over https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port at which browsers reach https.
    pub port: u16,
    /// Whether the answer is 301 in place of 308.
    pub moved: bool,
}

const USUAL: HttpsRedirect = HttpsRedirect { port: 443, moved: false };

pub(super) fn read(listener: &Section<'_>, scheme: Scheme, found: &mut Findings<'_>) -> Option<HttpsRedirect> {
    let entry = listener.entry("redirect")?;
    if scheme == Scheme::Https {
        let message = format!("`{}` on a listener that browsers reach over https", listener.path("redirect"));
        found.error(&entry.key, message, "expected it on a listener of its own, without `tls` and `scheme`");
    }
    match &entry.node.value {
        Value::Text(_) => listener.choice("redirect", &[("https", USUAL)], found),
        Value::Table(_) => {
            let keys = &reference::gateway::REDIRECT;
            let section = Section::open(&listener.path("redirect"), &entry.node, &entry.key, keys, found);
            let port = section.number("port", found).and_then(|port| u16::try_from(port).ok());
            let moved = section.choice("status", &[("308", false), ("301", true)], found);
            Some(HttpsRedirect { port: port.unwrap_or(USUAL.port), moved: moved.unwrap_or(USUAL.moved) })
        }
        other => {
            let message = format!("`{}` is {}", listener.path("redirect"), describe(other));
            found.error(&entry.node.origin, message, "expected \"https\", or { port = 8443 }");
            None
        }
    }
}
