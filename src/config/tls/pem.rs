//! Certificates, keys, authorities and revocation lists, read from PEM files.
//!
//! May touch: the files that the settings name, through the reading that notes them. Trust boundary: the administrator's files.
//! Specification: RFC 7468.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::super::Part;
use super::super::reader::{Findings, Text};
use super::super::secrets::warn_if_readable_by_all;
use super::super::source::Entry;
use crate::diagnostic::Diagnostic;

/// A certificate with those that vouch for it.
pub(super) fn chain(
    text: Text<'_>,
    part: &Part,
    digest: &mut Sha256,
    found: &mut Findings<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = read_file(text, "certificate", part, found)?;
    note(digest, &pem);
    match objects(&pem, "certificate") {
        Ok(chain) => Some(chain),
        Err(error) => {
            found.error(text.origin, format!("{}: {error}", text.value), "expected a PEM file with certificates");
            None
        }
    }
}

/// The key of a certificate.
pub(super) fn private_key(
    text: Text<'_>,
    part: &Part,
    entry: &Entry,
    digest: &mut Sha256,
    found: &mut Findings<'_>,
) -> Option<PrivateKeyDer<'static>> {
    let pem = zeroize::Zeroizing::new(read_file(text, "key", part, found)?);
    note(digest, &pem);
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

/// Adds the authorities of a file to those that are trusted.
pub(super) fn add_authorities(
    text: Text<'_>,
    part: &Part,
    roots: &mut RootCertStore,
    digest: &mut Sha256,
    found: &mut Findings<'_>,
) -> Option<()> {
    let pem = read_file(text, "authority", part, found)?;
    note(digest, &pem);
    checked(&pem, roots, text, found)
}

/// The revocation lists of a file.
pub(super) fn revocation_lists(
    text: Text<'_>,
    part: &Part,
    digest: &mut Sha256,
    found: &mut Findings<'_>,
) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let pem = read_file(text, "revocation list", part, found)?;
    note(digest, &pem);
    match objects(&pem, "revocation list") {
        Ok(lists) => Some(lists),
        Err(error) => {
            found.error(text.origin, format!("{}: {error}", text.value), "expected a PEM file with `X509 CRL` in it");
            None
        }
    }
}

/// Reads the file of authorities that the key `path` names, and checks each; returns the PEM text.
pub(in super::super) fn read_authorities(path: &str, text: Text<'_>, found: &mut Findings<'_>) -> Option<Vec<u8>> {
    let pem = read_file(text, "authority", &Part::key(path), found)?;
    checked(&pem, &mut RootCertStore::empty(), text, found).map(|()| pem)
}

fn checked(pem: &[u8], roots: &mut RootCertStore, text: Text<'_>, found: &mut Findings<'_>) -> Option<()> {
    let checked = objects::<CertificateDer<'static>>(pem, "certificate")
        .and_then(|list| list.into_iter().try_for_each(|one| roots.add(one).map_err(|error| error.to_string())));
    match checked {
        Ok(()) => Some(()),
        Err(error) => {
            found.error(text.origin, format!("{}: {error}", text.value), "expected a PEM file with CA certificates");
            None
        }
    }
}

/// The objects of one kind in a PEM file; at least one.
fn objects<T: PemObject>(pem: &[u8], what: &str) -> Result<Vec<T>, String> {
    let objects: Vec<T> = T::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if objects.is_empty() { Err(format!("it holds no {what}")) } else { Ok(objects) }
}

/// Files one after the other, so that no two sets of them come to the same.
fn note(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
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
