//! Certificates, keys and authorities, read from PEM files and checked before anything is bound.
//!
//! A certificate chain and a key are kept only when rustls can use them together; an authority file only when each of its
//! certificates is one that rustls would trust. Specification: RFC 7468 (PEM), RFC 8446 (TLS 1.3).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::Part;
use super::reader::{Findings, Section, Text};
use super::secrets::warn_if_readable_by_all;
use super::source::Entry;
use crate::diagnostic::Diagnostic;
use crate::reference;

/// A certificate chain and its key, known to belong together.
#[derive(Clone)]
pub struct ServerTls {
    /// The file of the chain.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    /// Both, ready for a rustls certificate resolver.
    pub certified: Arc<CertifiedKey>,
}

pub(super) fn read(path: &str, entry: &Entry, found: &mut Findings<'_>) -> Option<ServerTls> {
    let section = Section::open(path, &entry.node, &entry.key, &reference::gateway::TLS, found);
    let certificate = section.required_text("certificate", "the path of a PEM file with the certificate chain", found);
    let key = section.required_text("key", "the path of a PEM file with the private key", found);
    let part = Part::key(path);
    let chain = certificate.and_then(|text| chain(text, &part, found));
    let private = key.and_then(|text| private_key(text, &part, section.entry("key")?, found));
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
    Some(ServerTls {
        certificate: found.resolve(certificate.value),
        key: found.resolve(key.value),
        certified: Arc::new(certified.ok()?),
    })
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
}

fn chain(text: Text<'_>, part: &Part, found: &mut Findings<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let pem = read_file(text, "certificate", part, found)?;
    match certificates(&pem) {
        Ok(chain) => Some(chain),
        Err(error) => {
            found.error(text.origin, format!("{}: {error}", text.value), "expected a PEM file with certificates");
            None
        }
    }
}

/// The certificates of a PEM file; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(certificates) }
}

fn private_key(text: Text<'_>, part: &Part, entry: &Entry, found: &mut Findings<'_>) -> Option<PrivateKeyDer<'static>> {
    let pem = zeroize::Zeroizing::new(read_file(text, "key", part, found)?);
    warn_if_readable_by_all(&entry.node, &found.resolve(text.value), found);
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Some(key),
        Err(error) => {
            let reason = match error {
                rustls::pki_types::pem::Error::NoItemsFound => "it holds no private key".to_owned(),
                other => other.to_string(),
            };
            let expected = "expected a PEM file with an unencrypted private key";
            found.error(text.origin, format!("{}: {reason}", text.value), expected);
            None
        }
    }
}

/// Reads the file of authorities that the key `path` names, and checks each; returns the PEM text.
pub(super) fn read_authorities(path: &str, text: Text<'_>, found: &mut Findings<'_>) -> Option<Vec<u8>> {
    let pem = read_file(text, "authority", &Part::key(path), found)?;
    let mut store = RootCertStore::empty();
    let checked = certificates(&pem)
        .and_then(|list| list.into_iter().try_for_each(|one| store.add(one).map_err(|error| error.to_string())));
    match checked {
        Ok(()) => Some(pem),
        Err(error) => {
            found.error(text.origin, format!("{}: {error}", text.value), "expected a PEM file with CA certificates");
            None
        }
    }
}

fn read_file(text: Text<'_>, what: &str, part: &Part, found: &mut Findings<'_>) -> Option<Vec<u8>> {
    let path: &Path = &found.resolve(text.value);
    match found.files().read(part, path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let finding = Diagnostic::error(format!("cannot read the {what} file {}: {error}", path.display()));
            found.note(text.origin, finding.help("paths are relative to the folder of the configuration file"));
            None
        }
    }
}
