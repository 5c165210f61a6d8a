//! What a list of revoked certificates says of itself: whose it is, and when the next one is due.
//!
//! Which certificates stand in it is rustls's business. Specification: RFC 5280 section 5.

use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::ext::pkix::CrlNumber;

use super::{CertificateError, name, seconds};

/// What a revocation list says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// Whose certificates it speaks of, as RFC 4514 writes names.
    pub issuer: String,
    /// The second in which it was made, since 1970.
    pub this_update: i64,
    /// The second in which the next list is due, since 1970; from then on this one says nothing any more.
    pub next_update: Option<i64>,
    /// Its number, which grows from list to list: big-endian, without leading zeros. Empty where it has none.
    pub number: Vec<u8>,
}

impl RevocationList {
    /// Reads a list in DER.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let list: CertificateList = CertificateList::from_der(der).map_err(|_| CertificateError::Encoding)?;
        let signed = list.tbs_cert_list;
        let extensions = signed.crl_extensions.unwrap_or_default();
        let number = extensions.iter().find(|one| one.extn_id == CrlNumber::OID);
        let number = number.and_then(|one| CrlNumber::from_der(one.extn_value.as_bytes()).ok());
        Ok(Self {
            issuer: name::text(&signed.issuer)?,
            this_update: seconds(signed.this_update),
            next_update: signed.next_update.map(seconds),
            number: number.map(|number| number.0.as_bytes().to_vec()).unwrap_or_default(),
        })
    }

    /// What orders lists of one authority, the oldest first: two may be made within a second.
    pub fn age(&self) -> (i64, usize, &[u8]) {
        (self.this_update, self.number.len(), &self.number)
    }
}
