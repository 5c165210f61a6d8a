//! What the way a request came by has to do with the answer: whether it belongs on this TLS connection, whether it is sent to https, and what
//! browsers are told about coming over https only.
//!
//! A request that names another host than the connection was made for is answered only where the client would have been shown the same
//! certificate, or has been shown one that is good for that host: browsers use one HTTP/2 connection for several hosts in that case (RFC 9113
//! section 9.1.1). Where clients are asked for certificates, the connection must have been made for the very host.
//!
//! Trust boundary: name, host and path are a stranger's; addresses that they are sent to are made of a host that a policy has.
//! Specification: RFC 9110 section 15.5.20 (421), RFC 6797 (HSTS), RFC 9110 section 15.4.

use std::sync::Arc;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::ClientConnection;
use super::refusal::Refusal;
use crate::config::{Certificates, Hsts, HttpsRedirect, Listener};
use crate::http::{HostName, Scheme};
use crate::policy::TlsFacts;

/// What holds for all connections of a listener.
#[derive(Debug)]
pub struct ListenerRules {
    /// How browsers reach it.
    pub scheme: Scheme,
    redirect: Option<HttpsRedirect>,
    hsts: Option<Remembered>,
}

/// The value of `Strict-Transport-Security`.
#[derive(Debug)]
struct Remembered {
    value: HeaderValue,
    /// Whether it stands in place of what the application says.
    always: bool,
}

impl ListenerRules {
    /// The rules of a configured listener.
    pub fn new(listener: &Listener) -> Self {
        let remembered =
            |text: &str, always| HeaderValue::try_from(text).ok().map(|value| Remembered { value, always });
        let hsts = match &listener.hsts {
            Hsts::Off => None,
            Hsts::Unless(text) => remembered(text, false),
            Hsts::Always(text) => remembered(text, true),
        };
        Self { scheme: listener.scheme, redirect: listener.redirect, hsts }
    }

    /// Brings `Strict-Transport-Security` into the answer for `host`; none when the request named none.
    pub(super) fn remind(&self, host: Option<&HostName>, headers: &mut HeaderMap) {
        if self.scheme == Scheme::Http {
            // RFC 6797 section 7.2: not over clear text, whoever says it.
            headers.remove(STRICT_TRANSPORT_SECURITY);
            return;
        }
        let Some(hsts) = self.hsts.as_ref().filter(|_| host.is_some_and(|host| !host.is_loopback())) else { return };
        if hsts.always || !headers.contains_key(STRICT_TRANSPORT_SECURITY) {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.value.clone());
        }
    }

    /// Refuses to serve where everybody is sent to https.
    pub(super) fn redirect(&self, host: &HostName, uri: &Uri) -> Result<(), Refusal> {
        let Some(HttpsRedirect { port, moved }) = self.redirect else { return Ok(()) };
        let status = if moved { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Err(Refusal::ToHttps { instead: format!("https://{host}{port}{target}"), status })
    }
}

/// A client's TLS connection that ends here.
pub struct TlsConnection {
    /// What rules may ask about.
    pub facts: TlsFacts,
    /// The host that it was made for.
    name: Option<HostName>,
    certificates: Arc<Certificates>,
    /// Clients are asked for certificates.
    strict: bool,
}

impl TlsConnection {
    /// A connection that was made for `name`, where the client said one.
    pub fn new(facts: TlsFacts, name: Option<HostName>, certificates: Arc<Certificates>, strict: bool) -> Self {
        Self { facts, name, certificates, strict }
    }

    /// Whether a request for `host` belongs here.
    fn fits(&self, host: &HostName) -> bool {
        let Some(name) = &self.name else {
            // Who says no name contradicts nobody; but a certificate that was asked for is good for what was named only. Addresses are
            // never named.
            return !self.strict || host.is_address();
        };
        if name == host {
            return true;
        }
        let shown = self.certificates.place(Some(name));
        let covers = || self.certificates.at(shown).is_some_and(|certificate| certificate.names().cover(host));
        !self.strict && (shown == self.certificates.place(Some(host)) || covers())
    }
}

impl ClientConnection {
    /// Refuses a request that belongs on another connection (P05).
    pub(super) fn refuse_misdirected(&self, host: &HostName) -> Result<(), Refusal> {
        match &self.tls {
            Some(tls) if !tls.fits(host) => Err(Refusal::Misdirected),
            _ => Ok(()),
        }
    }
}
