//! `listeners.tls.client`: whose certificates clients must or may show.
//!
//! With revocation lists, every certificate from the client's up to the authority must be covered by a list that is not out of date: what
//! nobody vouches for is refused. May touch: the files that the settings name. Trust boundary: the administrator's files.
//! Specification: RFC 5280 sections 5 and 6, RFC 8446 section 4.4.2.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};

use super::super::Part;
use super::super::reader::{Findings, Section, Text};
use super::super::source::Entry;
use super::pem;
use crate::certificate::{Certificate, RevocationList};
use crate::reference;

/// How the certificates of clients are checked.
#[derive(Clone)]
pub struct ClientCertificates {
    /// Whether no client is served without one.
    pub required: bool,
    /// Checks the chain, the validity, the purpose and the revocation lists.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// The authorities, each with the file that it stands in.
    pub authorities: Vec<(PathBuf, Certificate)>,
    /// The revocation lists, each with its file; empty where nobody is asked whether a certificate is revoked.
    pub lists: Vec<(PathBuf, RevocationList)>,
}

pub(super) fn read(
    path: &str,
    tls: &Section<'_>,
    entry: &Entry,
    digest: &mut Sha256,
    found: &mut Findings<'_>,
) -> Option<ClientCertificates> {
    let section =
        Section::open(&tls.path("client"), &entry.node, &entry.key, &reference::gateway::CLIENT_CERTIFICATES, found);
    let part = Part::key(path);
    let required = section.choice("mode", &[("required", true), ("optional", false)], found);
    if section.entry("mode").is_none() {
        section.missing("mode", "write mode = \"required\" or mode = \"optional\"", found);
    }
    let expected = "a list of PEM files with CA certificates";
    let files = section.texts("ca", expected, found);
    if files.is_empty() {
        section.missing("ca", "write ca = [\"clients-ca.pem\"]", found);
    }
    let mut roots = RootCertStore::empty();
    let added: Vec<_> =
        files.iter().map(|text| pem::add_authorities(*text, &part, &mut roots, digest, found)).collect();
    let listed = section.texts("crl", "a list of PEM files with revocation lists", found);
    if let (Some(entry), true) = (section.entry("crl"), listed.is_empty()) {
        let expected = "expected the files of revocation lists, or no `crl` at all to ask nobody";
        found.error(&entry.node.origin, format!("`{}` is empty", section.path("crl")), expected);
    }
    let lists: Vec<_> = listed.iter().map(|text| pem::revocation_lists(*text, &part, digest, found)).collect();
    let lists = of_files(&listed, lists, found)?;
    let authorities = of_files(&files, added, found).filter(|all| !all.is_empty())?;
    let required = required?;
    digest.update([1 + u8::from(required)]);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let (ders, lists): (Vec<_>, Vec<_>) = lists.into_iter().map(|(path, (der, facts))| (der, (path, facts))).unzip();
    if !ders.is_empty() {
        builder = builder.with_crls(ders).enforce_revocation_expiration();
    }
    if !required {
        builder = builder.allow_unauthenticated();
    }
    match builder.build() {
        Ok(verifier) => Some(ClientCertificates { required, verifier, authorities, lists }),
        Err(error) => {
            let place = listed.first().map_or(&entry.node.origin, |text| text.origin);
            found.error(
                place,
                format!("`{}` cannot be used: {error}", section.path("crl")),
                "expected revocation lists",
            );
            None
        }
    }
}

/// What stands in each file, with its path; nothing where one of them cannot be used.
fn of_files<T>(files: &[Text<'_>], read: Vec<Option<Vec<T>>>, found: &Findings<'_>) -> Option<Vec<(PathBuf, T)>> {
    let read: Vec<Vec<T>> = read.into_iter().collect::<Option<_>>()?;
    let each = files.iter().zip(read).flat_map(|(text, objects)| {
        let path = found.resolve(text.value);
        objects.into_iter().map(move |one| (path.clone(), one))
    });
    Some(each.collect())
}
