//! `listeners.tls`: certificates with their keys, and what is asked of clients. Everything is read from PEM files and checked before
//! anything is bound.
//!
//! A certificate chain and a key are kept only when rustls can use them together; an authority file only when each of its
//! certificates is one that rustls would trust. Specification: RFC 7468 (PEM), RFC 8446 (TLS 1.3), RFC 6066 section 3 (SNI).

mod certificates;
mod client;
mod dates;
mod lists;
mod noted;
mod pem;
mod verifier;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

pub use certificates::{CertificateNames, Certificates, ServerCertificate};
pub use client::{ClientAuthority, ClientCertificates};
pub use dates::{Dated, Validity, dated, dated_of};
pub use lists::PassedOver;
use noted::Noted;
pub(super) use pem::read_authorities;

use super::Part;
use super::reader::{Findings, Section, Text};
use super::source::{Entry, Node, Origin};
use crate::certificate::Certificate;
use crate::reference;

/// The most certificates that one listener has.
const MAX_CERTIFICATES: usize = 1000;

/// What a listener shows clients, and what it wants to see of them.
#[derive(Clone)]
pub struct ServerTls {
    /// The certificates; at least one, the first is for names that no other has.
    pub certificates: Arc<Certificates>,
    /// What clients must or may show; nothing is asked of them when none.
    pub client: Option<ClientCertificates>,
    /// A digest of all that it was read from: two with the same one are the same.
    pub digest: [u8; 32],
    /// A digest of what its files are called and are for: two with the same one were written alike.
    pub names: [u8; 32],
}

pub(super) fn read(path: &str, entry: &Entry, found: &mut Findings<'_>) -> Option<ServerTls> {
    let section = Section::open(path, &entry.node, &entry.key, &reference::gateway::TLS, found);
    let mut noted = Noted::default();
    let certificates = read_certificates(path, &section, &mut noted, found);
    let client = section.entry("client").map(|entry| client::read(path, &section, entry, &mut noted, found));
    let client = match client {
        Some(client) => Some(client?),
        None => None,
    };
    let [names, digest] = noted.digests();
    Some(ServerTls { certificates: Arc::new(certificates?), client, digest, names })
}

/// One certificate in the table itself, or a list of several.
fn read_certificates(
    path: &str,
    section: &Section<'_>,
    noted: &mut Noted,
    found: &mut Findings<'_>,
) -> Option<Certificates> {
    const LISTED: &str = "[{ certificate = \"a.pem\", key = \"a-key.pem\" }]";
    let Some(listed) = section.entry("certificates") else {
        let (one, origin) = read_pair(path, section, noted, found)?;
        return Certificates::new(vec![(one, origin.clone())], found);
    };
    for key in ["certificate", "key"] {
        if let Some(entry) = section.entry(key) {
            let message = format!("`{path}` has both `certificates` and `{key}`");
            found.error(
                &entry.key,
                message,
                "expected every certificate in `certificates`, the one for all other names first",
            );
        }
    }
    let nodes = section.list("certificates", &format!("a list of tables: {LISTED}"), found);
    if let (true, super::source::Value::List(_)) = (nodes.is_empty(), &listed.node.value) {
        found.error(&listed.node.origin, format!("`{path}.certificates` is empty"), format!("expected {LISTED}"));
    }
    if nodes.len() > MAX_CERTIFICATES {
        let message = format!("`{path}.certificates` has {} elements", nodes.len());
        found.error(&listed.node.origin, message, format!("expected at most {MAX_CERTIFICATES}"));
        return None;
    }
    let read = |node: &Node, noted: &mut Noted, found: &mut Findings<'_>| {
        let keys = &reference::gateway::CERTIFICATE;
        let section = Section::open(&format!("{path}.certificates"), node, &node.origin, keys, found);
        read_pair(path, &section, noted, found).map(|(one, origin)| (one, origin.clone()))
    };
    // All of them, so that all findings are made.
    let all: Vec<_> = nodes.iter().map(|node| read(node, noted, found)).collect();
    Certificates::new(all.into_iter().collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())?, found)
}

/// A certificate and its key, and where the certificate is named.
fn read_pair<'a>(
    path: &str,
    section: &Section<'a>,
    noted: &mut Noted,
    found: &mut Findings<'_>,
) -> Option<(ServerCertificate, &'a Origin)> {
    let certificate = section.required_text("certificate", "the path of a PEM file with the certificate chain", found);
    let key = section.required_text("key", "the path of a PEM file with the private key", found);
    let part = Part::key(path);
    let chain = certificate.and_then(|text| pem::chain(text, &part, noted, found));
    let private = key.and_then(|text| pem::private_key(text, &part, section.entry("key")?, noted, found));
    let (certificate, key) = (certificate?, key?);
    let certified = certified(chain?, private?).map_err(|error| match error {
        rustls::Error::InvalidCertificate(error) => {
            let message = format!("{}: the first certificate is damaged ({error:?})", certificate.value);
            found.error(certificate.origin, message, "expected a PEM file with certificates");
        }
        rustls::Error::InconsistentKeys(_) => {
            let message = format!("{} is not the key of {}", key.value, certificate.value);
            found.error(key.origin, message, "expected the key of the first certificate in that file");
        }
        error => found.error(key.origin, format!("{}: {error}", key.value), "expected an RSA, ECDSA or Ed25519 key"),
    });
    let certified = certified.ok()?;
    let facts = facts(&certified.cert, certificate, found)?;
    let path: PathBuf = found.resolve(certificate.value);
    Some((ServerCertificate::new(path, Arc::new(certified), facts), certificate.origin))
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
}

/// What the server's own certificate says.
fn facts(chain: &[CertificateDer<'static>], text: Text<'_>, found: &mut Findings<'_>) -> Option<Certificate> {
    match Certificate::parse(chain.first()?) {
        Ok(facts) => Some(facts),
        Err(error) => {
            let message = format!("{}: the first certificate cannot be used: {error}", text.value);
            found.error(text.origin, message, "expected a PEM file with certificates");
            None
        }
    }
}
