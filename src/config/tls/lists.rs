//! Revocation lists: which authority's key signed each, and which of several counts.
//!
//! Of lists for the same certificates the newest counts, wherever it stands. Lists are for the same certificates when they name one issuer, have the
//! same issuing distribution point or none, and were signed by the same of the trusted keys: authorities may have one name and two keys. What is
//! no complete list of one issuer (changes since another list, lists of several issuers or of some reasons only) is refused when it is read.
//!
//! May touch: memory only. Trust boundary: the administrator's files. Specification: RFC 5280 section 5.

use std::path::PathBuf;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{Der, TrustAnchor};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_cert::der::asn1::{AnyRef, BitStringRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};

use crate::certificate::RevocationList;

/// A list that can be asked.
pub(super) struct List {
    pub(super) parsed: CertRevocationList<'static>,
    pub(super) facts: RevocationList,
    /// The key of the trusted authority that signed it; none where that is an authority further down, or nobody.
    pub(super) signer: Option<Der<'static>>,
}

/// A list that another one stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its file.
    pub path: PathBuf,
    /// What it says of itself.
    pub facts: RevocationList,
    /// The file of the list that counts.
    pub newer: PathBuf,
    /// The second in which that one was made, since 1970.
    pub newer_update: i64,
}

impl List {
    /// Reads a list in DER; says why it cannot be used.
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        let facts = RevocationList::parse(der).map_err(|error| error.to_string())?;
        let parsed = OwnedCertRevocationList::from_der(der).map_err(|error| match error {
            webpki::Error::UnsupportedDeltaCrl => "it holds only what changed since another list".to_owned(),
            webpki::Error::UnsupportedIndirectCrl => "it speaks of certificates of several issuers".to_owned(),
            webpki::Error::UnsupportedRevocationReasonsPartitioning => "it is for some reasons only".to_owned(),
            _ if facts.next_update.is_none() => "it does not say when the next one is due".to_owned(),
            error => error.to_string(),
        })?;
        Ok(Self { parsed: parsed.into(), facts, signer: None })
    }

    /// Finds out which of these authorities signed it; `der` is what it was read from.
    pub(super) fn find_signer(&mut self, der: &[u8], anchors: &[TrustAnchor<'_>], known: &WebPkiSupportedAlgorithms) {
        let own = |anchor: &&TrustAnchor<'_>| self.is_of(anchor) && is_signed(der, anchor, known).unwrap_or(false);
        let signer = anchors.iter().find(own);
        self.signer = signer.map(|anchor| anchor.to_owned().subject_public_key_info);
    }

    /// Whether it names this authority as its issuer.
    pub(super) fn is_of(&self, anchor: &TrustAnchor<'_>) -> bool {
        self.parsed.issuer() == &*anchor.subject
    }

    /// Whether it names this authority as its issuer, and its key signed it.
    pub(super) fn is_signed_by(&self, anchor: &TrustAnchor<'_>) -> bool {
        self.is_of(anchor) && self.signer.as_ref() == Some(&anchor.subject_public_key_info)
    }

    fn is_for_the_same(&self, other: &Self) -> bool {
        self.parsed.issuer() == other.parsed.issuer()
            && self.parsed.issuing_distribution_point() == other.parsed.issuing_distribution_point()
            && self.signer == other.signer
    }
}

/// Puts the newest first, and tells apart those that a newer one stands for.
pub(super) fn newest_first(mut all: Vec<(PathBuf, List)>) -> (Vec<(PathBuf, List)>, Vec<PassedOver>) {
    all.sort_by(|(_, one), (_, other)| other.facts.age().cmp(&one.facts.age()));
    let (mut counting, mut passed_over) = (Vec::<(PathBuf, List)>::new(), Vec::new());
    for (path, list) in all {
        match counting.iter().find(|(_, newer)| newer.is_for_the_same(&list)) {
            None => counting.push((path, list)),
            Some((newer, counts)) => passed_over.push(PassedOver {
                path,
                facts: list.facts,
                newer: newer.clone(),
                newer_update: counts.facts.this_update,
            }),
        }
    }
    (counting, passed_over)
}

/// Whether the authority's key signed this list.
fn is_signed(list: &[u8], anchor: &TrustAnchor<'_>, known: &WebPkiSupportedAlgorithms) -> Option<bool> {
    let mut parts = SliceReader::new(AnyRef::from_der(list).ok()?.value()).ok()?;
    let signed = parts.tlv_bytes().ok()?;
    let algorithm = AnyRef::decode(&mut parts).ok()?.value();
    let signature = BitStringRef::decode(&mut parts).ok()?.as_bytes()?;
    let mut parts = SliceReader::new(&anchor.subject_public_key_info).ok()?;
    let kind = AnyRef::decode(&mut parts).ok()?.value();
    let key = BitStringRef::decode(&mut parts).ok()?.as_bytes()?;
    let fitting = known.all.iter().filter(|one| {
        let (signature, public_key) = (one.signature_alg_id(), one.public_key_alg_id());
        (signature.as_ref(), public_key.as_ref()) == (algorithm, kind)
    });
    let mut fitting = fitting.map(|one| one.verify_signature(key, signed, signature));
    Some(fitting.any(|verified| verified.is_ok()))
}
