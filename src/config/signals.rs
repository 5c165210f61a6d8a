//! What ends sessions from the provider's side, beside logout tokens: security event tokens and Okta's event hooks.
//!
//! Both are switched on by their table alone. Trust boundary: see the room's head.

use url::Url;

use super::reader::{Findings, Section, Text};
use super::secrets;
use crate::crypto::Secret;
use crate::http::HostName;
use crate::reference;

/// What one provider may send.
#[derive(Clone, Default)]
pub struct Signals {
    /// Who sends security event tokens; none unless configured.
    pub events: Option<Transmitter>,
    /// What Okta's event hooks must carry as `Authorization`; none unless configured.
    pub okta_hooks: Option<Secret<String>>,
}

/// Who sends security event tokens (RFC 8417), where not the provider itself.
#[derive(Clone)]
pub struct Transmitter {
    /// Its issuer; the provider's when absent.
    pub issuer: Option<String>,
    /// What it calls this gateway; the client id when absent.
    pub audience: Option<String>,
    /// Where its keys are; the provider's keys when absent.
    pub jwks_uri: Option<Url>,
    /// What it must send as `Authorization`; anything when absent.
    pub authorization: Option<Secret<String>>,
}

pub(super) fn read(provider: &Section<'_>, found: &mut Findings<'_>) -> Signals {
    Signals { events: read_events(provider, found), okta_hooks: read_hooks(provider, found) }
}

fn read_events(provider: &Section<'_>, found: &mut Findings<'_>) -> Option<Transmitter> {
    let entry = provider.entry("events")?;
    let path = provider.path("events");
    let section = Section::open(&path, &entry.node, &entry.key, &reference::gateway::EVENTS, found);
    let issuer = section.text("issuer", "the transmitter's issuer", found).map(|text| text.value.to_owned());
    let audience = section.text("audience", "what the transmitter calls this gateway", found);
    let jwks_uri = section.text("jwks_uri", "the address of the transmitter's keys", found);
    let jwks_uri = jwks_uri.and_then(|text| keys_at(&section, text, found));
    let authorization = section.entry("authorization");
    let authorization =
        authorization.and_then(|entry| secrets::read(&section.path("authorization"), &entry.node, found));
    Some(Transmitter { issuer, audience: audience.map(|text| text.value.to_owned()), jwks_uri, authorization })
}

fn read_hooks(provider: &Section<'_>, found: &mut Findings<'_>) -> Option<Secret<String>> {
    let entry = provider.entry("okta_hooks")?;
    let path = provider.path("okta_hooks");
    let section = Section::open(&path, &entry.node, &entry.key, &reference::gateway::OKTA_HOOKS, found);
    match section.entry("authorization") {
        Some(entry) => {
            let secret = secrets::read(&section.path("authorization"), &entry.node, found)?;
            if secret.expose().len() < 16 {
                let message = format!("`{}` has fewer than 16 characters", section.path("authorization"));
                found.error(
                    &entry.node.origin,
                    message,
                    "expected a long random text, such as `lychgate keygen` prints",
                );
                return None;
            }
            Some(secret)
        }
        None => {
            section.missing("authorization", "write authorization = { file = \"…\" } or { env = \"…\" }", found);
            None
        }
    }
}

/// Keys decide who is believed: they come over TLS, or from this machine.
fn keys_at(section: &Section<'_>, text: Text<'_>, found: &mut Findings<'_>) -> Option<Url> {
    let url = Url::parse(text.value).ok();
    let host = url.as_ref().and_then(Url::host_str).and_then(|host| HostName::parse(host).ok());
    let good = url.filter(|url| {
        let loopback = host.as_ref().is_some_and(HostName::is_loopback);
        let secure = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        secure && host.is_some() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    });
    if good.is_none() {
        let message = format!("`{}` is no address that keys can be fetched from", section.path("jwks_uri"));
        found.error(
            text.origin,
            message,
            "expected https:// without user and fragment (http:// is for loopback addresses only)",
        );
    }
    good
}
