//! The check of a client's certificate: rustls verifies it, and then it must be one that can be read.
//!
//! What policies are told of a certificate is read from the same bytes; one whose names are in doubt (a NUL in a name, an encoding that no
//! authority should make) is refused before anything is told of it. Bound: [`MAX_CERTIFICATE`]. Trust boundary: the client, and whatever a
//! trusted authority has signed.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::certificate::Certificate;

/// The largest certificate of a client, in bytes; rustls takes chains of up to 64 KiB.
const MAX_CERTIFICATE: usize = 16 * 1024;

/// Verifies as another verifier does, and refuses what cannot be read.
#[derive(Debug)]
pub(super) struct Readable(Arc<dyn ClientCertVerifier>);

impl Readable {
    pub(super) fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self(verifier)
    }
}

/// What a certificate says, where it may be told to policies.
pub(super) fn facts(certificate: &[u8]) -> Option<Certificate> {
    Some(certificate).filter(|der| der.len() <= MAX_CERTIFICATE).and_then(|der| Certificate::parse(der).ok())
}

impl ClientCertVerifier for Readable {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        match facts(end_entity) {
            Some(_) => Ok(verified),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
