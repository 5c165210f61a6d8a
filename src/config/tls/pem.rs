//! Certificates, keys, authorities and revocation lists, read from PEM files.
//!
//! May touch: the files that the settings name, through the reading that notes them. Trust boundary: the administrator's files.
//! Specification: RFC 7468.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::super::Part;
use super::super::reader::{Findings, Text};
use super::super::secrets::{is_no_path, warn_if_readable_by_all};
use super::super::source::Entry;
use super::lists::List;
use super::noted::Noted;
use crate::certificate::Certificate;
use crate::diagnostic::Diagnostic;

/// A certificate with those that vouch for it.
pub(super) fn chain(
    text: Text<'_>,
    part: &Part,
    noted: &mut Noted,
    found: &mut Findings<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = read_file(text, "certificate", part, found)?;
    noted.file("certificate", text.value, &pem);
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
    noted: &mut Noted,
    found: &mut Findings<'_>,
) -> Option<PrivateKeyDer<'static>> {
    let pem = zeroize::Zeroizing::new(read_file(text, "key", part, found)?);
    noted.file("key", text.value, &pem);
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

/// Adds the authorities of a file to those that are trusted, and returns what they say. A certificate that is nobody's authority is refused:
/// whoever has its key could make one for any name.
pub(super) fn add_authorities(
    text: Text<'_>,
    part: &Part,
    roots: &mut RootCertStore,
    noted: &mut Noted,
    found: &mut Findings<'_>,
) -> Option<Vec<Certificate>> {
    let pem = read_file(text, "authority", part, found)?;
    noted.file("ca", text.value, &pem);
    let certificates = checked(&pem, roots, text, found)?;
    let facts: Result<Vec<_>, _> = certificates.iter().map(|one| Certificate::parse(one)).collect();
    let (message, expected) = match facts {
        Ok(facts) => match facts.iter().find(|facts| !facts.authority) {
            None => return Some(facts),
            Some(one) => (
                format!("{}: the certificate of `{}` is no authority's", text.value, one.subject),
                "expected certificates whose basic constraints say CA; to know single clients, let a rule ask for `request.tls.client.fingerprint`",
            ),
        },
        Err(error) => (format!("{}: {error}", text.value), "expected a PEM file with CA certificates"),
    };
    found.error(text.origin, message, expected);
    None
}

/// The revocation lists of a file, with what each was read from.
pub(super) fn revocation_lists(
    text: Text<'_>,
    part: &Part,
    noted: &mut Noted,
    found: &mut Findings<'_>,
) -> Option<Vec<(CertificateRevocationListDer<'static>, List)>> {
    let pem = read_file(text, "revocation list", part, found)?;
    noted.file("crl", text.value, &pem);
    let read = |der: CertificateRevocationListDer<'static>| List::read(&der).map(|list| (der, list));
    let lists = objects(&pem, "revocation list").and_then(|lists| lists.into_iter().map(read).collect());
    match lists {
        Ok(lists) => Some(lists),
        Err(error) => {
            let expected = "expected a PEM file with complete lists of revoked certificates (`X509 CRL`)";
            found.error(text.origin, format!("{}: {error}", text.value), expected);
            None
        }
    }
}

/// Reads the file of authorities that the key `path` names, and checks each; returns the PEM text.
pub(in super::super) fn read_authorities(path: &str, text: Text<'_>, found: &mut Findings<'_>) -> Option<Vec<u8>> {
    let pem = read_file(text, "authority", &Part::key(path), found)?;
    checked(&pem, &mut RootCertStore::empty(), text, found).map(|_| pem)
}

/// The certificates of a file, once they are among those that are trusted.
fn checked(
    pem: &[u8],
    roots: &mut RootCertStore,
    text: Text<'_>,
    found: &mut Findings<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let checked = objects::<CertificateDer<'static>>(pem, "certificate").and_then(|list| {
        list.iter().try_for_each(|one| roots.add(one.clone()).map_err(|error| error.to_string())).map(|()| list)
    });
    match checked {
        Ok(list) => Some(list),
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

fn read_file(text: Text<'_>, what: &str, part: &Part, found: &mut Findings<'_>) -> Option<Vec<u8>> {
    if is_no_path(text.value) {
        found.error(
            text.origin,
            format!("the {what} itself stands here"),
            "expected the path of a PEM file that holds it",
        );
        return None;
    }
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
