//! What an X.509 certificate says: its names, its serial number, when it is valid; and what a list of revoked ones says of itself.
//!
//! A certificate of ours is read for the hosts that it is good for, a client's for what policies may ask about it. Nothing is verified here:
//! who shows a certificate has been checked by rustls before. Texts are kept as they stand in the certificate, or the certificate is refused:
//! a control character, a NUL among them, is never part of a name that a rule compares.
//!
//! May touch: nothing but memory. Bound: what is read is no larger than the certificate. Trust boundary: the bytes are a stranger's, or
//! whoever's a trusted authority has signed. Specification: RFC 5280 (certificates), RFC 4514 (names as text).

mod name;
mod revocation;

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

pub use revocation::RevocationList;

/// The largest certificate of a client, in bytes; rustls takes chains of up to 64 KiB.
const MAX_OF_CLIENT: usize = 16 * 1024;

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, as RFC 4514 writes names: `CN=ada,O=Garnet Records`.
    pub subject: String,
    /// Who signed it, written in the same way.
    pub issuer: String,
    /// The subject's common name; empty where there is none, or more than one.
    pub common_name: String,
    /// The serial number in lower-case hexadecimal, without leading zeros.
    pub serial: String,
    /// SHA-256 of the whole certificate in lower-case hexadecimal.
    pub fingerprint: String,
    /// The host names among its alternative names.
    pub dns_names: Vec<String>,
    /// The mail addresses among them.
    pub emails: Vec<String>,
    /// The URIs among them.
    pub uris: Vec<String>,
    /// The IP addresses among them.
    pub addresses: Vec<String>,
    /// The first second in which it is valid, since 1970.
    pub not_before: i64,
    /// The last second in which it is valid, since 1970.
    pub not_after: i64,
    /// Whether it may sign others: its basic constraints say that it is an authority's.
    pub authority: bool,
}

/// Why a certificate cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// It is not encoded as RFC 5280 wants it.
    Encoding,
    /// A name in it holds a control character.
    ControlCharacter,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => write!(f, "it is not encoded as RFC 5280 wants it"),
            Self::ControlCharacter => write!(f, "a name in it holds a control character"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads what a client showed, where it may be told to policies: at most 16 KiB, and no name in doubt.
    pub fn of_client(der: &[u8]) -> Option<Self> {
        Some(der).filter(|der| der.len() <= MAX_OF_CLIENT).and_then(|der| Self::parse(der).ok())
    }

    /// Reads a certificate in DER.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::Encoding)?;
        let signed = certificate.tbs_certificate();
        let (not_before, not_after) = (signed.validity().not_before, signed.validity().not_after);
        let mut read = Self {
            subject: name::text(signed.subject())?,
            issuer: name::text(signed.issuer())?,
            common_name: name::common_name(signed.subject())?,
            serial: serial(signed.serial_number().as_bytes()),
            fingerprint: hex(&Sha256::digest(der)),
            not_before: seconds(not_before),
            not_after: seconds(not_after),
            ..Self::default()
        };
        let names = signed.get_extension::<SubjectAltName>().map_err(|_| CertificateError::Encoding)?;
        let constraints = signed.get_extension::<BasicConstraints>().map_err(|_| CertificateError::Encoding)?;
        read.authority = constraints.is_some_and(|(_, constraints)| constraints.ca);
        for name in names.iter().flat_map(|(_, names)| &names.0) {
            read.add(name)?;
        }
        Ok(read)
    }

    fn add(&mut self, name: &GeneralName) -> Result<(), CertificateError> {
        match name {
            GeneralName::DnsName(name) => self.dns_names.push(printable(name.as_str())?),
            GeneralName::Rfc822Name(name) => self.emails.push(printable(name.as_str())?),
            GeneralName::UniformResourceIdentifier(name) => self.uris.push(printable(name.as_str())?),
            GeneralName::IpAddress(bytes) => {
                self.addresses.push(address(bytes.as_bytes()).ok_or(CertificateError::Encoding)?.to_string());
            }
            // Kinds that no rule can ask about.
            GeneralName::OtherName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::RegisteredId(_) => {}
        }
        Ok(())
    }
}

/// The text itself, where nothing in it can be mistaken for its end.
fn printable(text: &str) -> Result<String, CertificateError> {
    if text.chars().any(char::is_control) { Err(CertificateError::ControlCharacter) } else { Ok(text.to_owned()) }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn seconds(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

fn serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len().saturating_sub(1));
    hex(bytes.get(zeros..).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

#[cfg(test)]
mod tests;
