//! `listeners.tls.client`: whose certificates clients must or may show.
//!
//! With revocation lists, every certificate from the client's up to the authority must be covered by a list that is not out of date: what
//! nobody vouches for is refused. May touch: the files that the settings name. Trust boundary: the administrator's files.
//! Specification: RFC 5280 sections 5 and 6, RFC 8446 section 4.4.2.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};

use super::super::Part;
use super::super::reader::{Findings, Section};
use super::super::source::Entry;
use super::pem;
use crate::reference;

/// How the certificates of clients are checked.
#[derive(Clone)]
pub struct ClientCertificates {
    /// Whether no client is served without one.
    pub required: bool,
    /// Checks the chain, the validity, the purpose and the revocation lists.
    pub verifier: Arc<dyn ClientCertVerifier>,
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
    let lists: Vec<_> = listed.iter().map(|text| pem::revocation_lists(*text, &part, digest, found)).collect();
    let lists: Vec<_> = lists.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    if added.is_empty() || added.contains(&None) {
        return None;
    }
    let required = required?;
    digest.update([1 + u8::from(required)]);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if !lists.is_empty() {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if !required {
        builder = builder.allow_unauthenticated();
    }
    match builder.build() {
        Ok(verifier) => Some(ClientCertificates { required, verifier }),
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
