//! The certificates of one listener, and which of them is for which name.
//!
//! A name is looked for exactly, then as `*.` and the name behind its first label, as browsers understand wildcards; a name that nobody has
//! gets the first certificate. Names come from the certificates' own alternative names; a common name counts for nothing, as with browsers.
//!
//! Bound: the names of the certificates that the administrator lists. Trust boundary: the name asked for is a stranger's and only looked up.
//! Specification: RFC 6066 section 3, RFC 6125 section 6.4, RFC 9110 section 4.3.3.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::RandomState;
use rustls::sign::CertifiedKey;

use super::super::reader::Findings;
use super::super::source::Origin;
use crate::certificate::Certificate;
use crate::http::HostName;

/// A certificate of ours with its key.
pub struct ServerCertificate {
    path: PathBuf,
    certified: Arc<CertifiedKey>,
    facts: Certificate,
    names: CertificateNames,
}

impl ServerCertificate {
    pub(super) fn new(path: PathBuf, certified: Arc<CertifiedKey>, facts: Certificate) -> Self {
        let names = CertificateNames::of(&facts);
        Self { path, certified, facts, names }
    }

    /// The file of the chain.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Both, ready for a rustls certificate resolver.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// What the certificate says.
    pub fn facts(&self) -> &Certificate {
        &self.facts
    }

    /// The hosts that it is good for.
    pub fn names(&self) -> &CertificateNames {
        &self.names
    }
}

/// The hosts that a certificate is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    exact: Vec<HostName>,
    /// What stands behind `*.`.
    below: Vec<HostName>,
}

impl CertificateNames {
    /// Reads them from the alternative names; what is no host name is good for none.
    pub fn of(facts: &Certificate) -> Self {
        let mut names = Self::default();
        for name in &facts.dns_names {
            match name.strip_prefix("*.") {
                Some(below) => names.below.extend(HostName::parse(below)),
                None => names.exact.extend(HostName::parse(name)),
            }
        }
        let address = |text: &String| if text.contains(':') { format!("[{text}]") } else { text.clone() };
        names.exact.extend(facts.addresses.iter().flat_map(|text| HostName::parse(&address(text))));
        names
    }

    /// Whether it is good for this host.
    pub fn cover(&self, host: &HostName) -> bool {
        let below = behind_first_label(host);
        self.exact.contains(host) || self.below.iter().any(|name| Some(name.as_str()) == below)
    }

    fn each(&self) -> impl Iterator<Item = (bool, &HostName)> {
        self.exact.iter().map(|name| (false, name)).chain(self.below.iter().map(|name| (true, name)))
    }
}

/// `example` of `app.example`; addresses have no labels.
fn behind_first_label(host: &HostName) -> Option<&str> {
    host.as_str().split_once('.').map(|(_, rest)| rest).filter(|_| !host.is_address())
}

/// The certificates of a listener.
pub struct Certificates {
    all: Vec<ServerCertificate>,
    exact: HashMap<HostName, usize, RandomState>,
    below: HashMap<HostName, usize, RandomState>,
}

impl Certificates {
    /// Puts them in order; an error where two have the same name, because only one of them would ever be shown for it.
    pub(super) fn new(all: Vec<(ServerCertificate, Origin)>, found: &mut Findings<'_>) -> Option<Self> {
        let mut certificates = Self { all: Vec::new(), exact: HashMap::default(), below: HashMap::default() };
        let mut sound = true;
        let (all, origins): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        for (index, (certificate, origin)) in all.iter().zip(&origins).enumerate() {
            for (wildcard, name) in certificate.names.each() {
                let table = if wildcard { &mut certificates.below } else { &mut certificates.exact };
                match table.entry(name.clone()) {
                    Entry::Vacant(free) => {
                        free.insert(index);
                    }
                    Entry::Occupied(taken) if *taken.get() != index => {
                        let first = all.get(*taken.get()).map(|one| one.path.display().to_string()).unwrap_or_default();
                        let star = if wildcard { "*." } else { "" };
                        let second = certificate.path.display();
                        let message = format!("{first} and {second} are both for {star}{name}");
                        found.error(origin, message, "expected one certificate for each name");
                        sound = false;
                    }
                    // It names the host twice.
                    Entry::Occupied(_) => {}
                }
            }
        }
        certificates.all = all;
        sound.then_some(certificates)
    }

    /// All of them, in the order of the file.
    pub fn all(&self) -> &[ServerCertificate] {
        &self.all
    }

    /// The place of the certificate for this host; that of the first where nobody names one, or no certificate has the name.
    pub fn place(&self, host: Option<&HostName>) -> usize {
        let Some(host) = host else { return 0 };
        let below = || behind_first_label(host).and_then(|rest| self.below.get(rest));
        self.exact.get(host).or_else(below).copied().unwrap_or(0)
    }

    /// The certificate at a place.
    pub fn at(&self, place: usize) -> Option<&ServerCertificate> {
        self.all.get(place)
    }
}
