//! Whether a client's certificate leads to a trusted authority, today.
//!
//! webpki checks signatures, dates, purposes, constraints and revocation lists on the way. It knows no dates of the authority at its end, and asks
//! only the first list that names the issuer; both are added here. One verification is made for a certificate, whatever the number of authorities, so that a
//! chain that is made to take long takes no longer; another one only where authorities have one name and two keys.
//!
//! What policies are told of a certificate is read from the same bytes, so one whose names are in doubt (a NUL in a name, an encoding that no
//! authority should make) is refused too.
//!
//! May touch: memory only. Trust boundary: the client, and whatever a trusted authority has signed; bounds on what its chain costs are webpki's. Specification: RFC 5280 section 6,
//! RFC 8446 section 4.4.2.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use super::lists::List;
use crate::certificate::Certificate;

/// An authority and the seconds since 1970 in which it is one.
pub(super) struct Anchor {
    pub(super) trusted: TrustAnchor<'static>,
    pub(super) valid: RangeInclusive<i64>,
}

/// Verifies certificates of clients.
#[derive(Debug)]
pub(super) struct Verifier {
    required: bool,
    hints: Vec<DistinguishedName>,
    groups: Vec<Group>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Authorities among which a name stands for one key.
#[derive(Debug, Default)]
struct Group {
    anchors: Vec<TrustAnchor<'static>>,
    /// When each of them is one.
    valid: Vec<RangeInclusive<i64>>,
    /// All lists that there are, those of other keys with these names last. Where there are none, nobody is asked.
    lists: Vec<Arc<CertRevocationList<'static>>>,
}

impl Verifier {
    /// Of these authorities, with these lists, newest first.
    pub(super) fn new(
        required: bool,
        anchors: Vec<Anchor>,
        lists: Vec<List>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let hint = |anchor: &Anchor| DistinguishedName::in_sequence(&anchor.trusted.subject);
        let hints = anchors.iter().map(hint).collect();
        let mut groups: Vec<Group> = Vec::new();
        for anchor in anchors {
            match groups.iter_mut().find(|group| group.may_have(&anchor)) {
                Some(group) => group.add(anchor),
                None => groups.push(Group::default().with(anchor)),
            }
        }
        let own: Vec<Vec<bool>> =
            groups.iter().map(|group| lists.iter().map(|list| group.may_ask(list)).collect()).collect();
        let lists: Vec<_> = lists.into_iter().map(|list| Arc::new(list.parsed)).collect();
        for (group, own) in groups.iter_mut().zip(own) {
            let of = |whose: bool| lists.iter().zip(&own).filter(move |(_, own)| **own == whose);
            group.lists = of(true).chain(of(false)).map(|(list, _)| Arc::clone(list)).collect();
        }
        Self { required, hints, groups, algorithms }
    }
}

impl Group {
    fn may_have(&self, anchor: &Anchor) -> bool {
        let (name, key) = (&anchor.trusted.subject, &anchor.trusted.subject_public_key_info);
        self.anchors.iter().all(|one| one.subject != *name || one.subject_public_key_info == *key)
    }

    fn add(&mut self, anchor: Anchor) {
        self.anchors.push(anchor.trusted);
        self.valid.push(anchor.valid);
    }

    fn with(mut self, anchor: Anchor) -> Self {
        self.add(anchor);
        self
    }

    /// Whether nobody here has the list's name and another key.
    fn may_ask(&self, list: &List) -> bool {
        self.anchors.iter().all(|anchor| !list.is_of(anchor) || list.is_signed_by(anchor))
    }

    fn verify(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), webpki::Error> {
        let lists: Vec<_> = self.lists.iter().map(|list| &**list).collect();
        // None only where there is no list at all.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let usage = KeyUsage::client_auth();
        let in_date = |path: &webpki::VerifiedPath<'_>| self.check_dates(path.anchor(), now);
        certificate
            .verify_for_usage(algorithms.all, &self.anchors, intermediates, now, usage, revocation, Some(&in_date))
            .map(|_| ())
    }

    /// An authority of which nothing is known is none. It is known by its place: a renewed one has the same name and key, and other dates.
    fn check_dates(&self, anchor: &TrustAnchor<'_>, time: UnixTime) -> Result<(), webpki::Error> {
        let mut all = self.anchors.iter().zip(&self.valid);
        let (_, valid) = all.find(|(one, _)| std::ptr::eq(*one, anchor)).ok_or(webpki::Error::UnknownIssuer)?;
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        match now {
            now if now < *valid.start() => {
                Err(webpki::Error::CertNotValidYet { time, not_before: unix_time(*valid.start()) })
            }
            now if now > *valid.end() => Err(webpki::Error::CertExpired { time, not_after: unix_time(*valid.end()) }),
            _ => Ok(()),
        }
    }
}

fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(refusal)?;
        let mut refused = webpki::Error::UnknownIssuer;
        for group in &self.groups {
            match group.verify(&certificate, intermediates, now, &self.algorithms) {
                // One that cannot be read is refused before anything is told of it.
                Ok(()) if Certificate::of_client(end_entity).is_some() => return Ok(ClientCertVerified::assertion()),
                Ok(()) => return Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
                Err(error) if costs_too_much(&error) => return Err(refusal(error)),
                // Whoever signed it knows best what is wrong with it.
                Err(error) if is_of_nobody(&refused) => refused = error,
                Err(_) => {}
            }
        }
        Err(refusal(refused))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the certificate was signed by nobody of those who were asked.
fn is_of_nobody(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey)
}

fn costs_too_much(error: &webpki::Error) -> bool {
    matches!(
        error,
        webpki::Error::MaximumSignatureChecksExceeded
            | webpki::Error::MaximumPathBuildCallsExceeded
            | webpki::Error::MaximumNameConstraintComparisonsExceeded
    )
}

/// What is told to the client, and counted.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as Reason;
    Error::InvalidCertificate(match error {
        Reason::BadDer | Reason::BadDerTime | Reason::TrailingData(_) => CertificateError::BadEncoding,
        Reason::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Reason::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        Reason::InvalidCertValidity => CertificateError::Expired,
        Reason::UnknownIssuer => CertificateError::UnknownIssuer,
        Reason::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Reason::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Reason::CertRevoked => CertificateError::Revoked,
        Reason::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        // A list that its issuer may not or did not sign says nothing.
        Reason::UnknownRevocationStatus | Reason::IssuerNotCrlSigner | Reason::InvalidCrlSignatureForPublicKey => {
            CertificateError::UnknownRevocationStatus
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}
