//! `listeners.tls.client`: whose certificates clients must or may show.
//!
//! With revocation lists, every certificate from the client's up to the authority must be covered by a list that is not out of date: what
//! nobody vouches for is refused. May touch: the files that the settings name. Trust boundary: the administrator's files.
//! Specification: RFC 5280 sections 5 and 6, RFC 8446 section 4.4.2.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;

use super::super::Part;
use super::super::reader::{Findings, Section, Text};
use super::super::source::Entry;
use super::lists::{self, List, PassedOver};
use super::noted::Noted;
use super::pem;
use super::verifier::{Anchor, Verifier};
use crate::certificate::{Certificate, RevocationList};
use crate::reference;

/// How the certificates of clients are checked.
#[derive(Clone)]
pub struct ClientCertificates {
    /// Whether no client is served without one.
    pub required: bool,
    /// Checks the chain, the validity, the purpose and the revocation lists.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// The authorities.
    pub authorities: Vec<ClientAuthority>,
    /// The revocation lists that count, each with its file; empty where nobody is asked whether a certificate is revoked.
    pub lists: Vec<(PathBuf, RevocationList)>,
    /// Those that do not, because a newer one is for the same certificates.
    pub passed_over: Vec<PassedOver>,
}

/// An authority that certifies clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthority {
    /// The file that it stands in.
    pub path: PathBuf,
    /// What its certificate says.
    pub facts: Certificate,
    /// Whether one of the revocation lists was signed with its key.
    pub listed: bool,
}

pub(super) fn read(
    path: &str,
    tls: &Section<'_>,
    entry: &Entry,
    noted: &mut Noted,
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
    let added: Vec<_> = files.iter().map(|text| pem::add_authorities(*text, &part, &mut roots, noted, found)).collect();
    let listed = section.texts("crl", "a list of PEM files with revocation lists", found);
    if let (Some(entry), true) = (section.entry("crl"), listed.is_empty()) {
        let expected = "expected the files of revocation lists, or no `crl` at all to ask nobody";
        found.error(&entry.node.origin, format!("`{}` is empty", section.path("crl")), expected);
    }
    let lists: Vec<_> = listed.iter().map(|text| pem::revocation_lists(*text, &part, noted, found)).collect();
    let read = of_files(&listed, lists, found)?;
    let facts = of_files(&files, added, found).filter(|all| !all.is_empty())?;
    let required = required?;
    noted.demand(required);
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let signed = read.into_iter().map(|(path, (der, mut list))| {
        list.find_signer(&der, &roots.roots, &algorithms);
        (path, list)
    });
    let (counting, passed_over) = lists::newest_first(signed.collect());
    let (paths, counting): (Vec<_>, Vec<_>) = counting.into_iter().unzip();
    let lists = paths.into_iter().zip(counting.iter().map(|list: &List| list.facts.clone())).collect();
    let (mut authorities, mut anchors) = (Vec::new(), Vec::new());
    for ((path, facts), trusted) in facts.into_iter().zip(roots.roots) {
        let listed = counting.iter().any(|list| list.is_signed_by(&trusted));
        anchors.push(Anchor { trusted, valid: facts.not_before..=facts.not_after });
        authorities.push(ClientAuthority { path, facts, listed });
    }
    let verifier = Arc::new(Verifier::new(required, anchors, counting, algorithms));
    Some(ClientCertificates { required, verifier, authorities, lists, passed_over })
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
