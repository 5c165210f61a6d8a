//! Why a handshake failed: one of a few words, counted always, and logged now and then.
//!
//! Whoever can open a connection can make a handshake fail, so the log gets at most one line a [`SPAN`] for each reason, with how many there
//! were. Bounds: one time series and one pair of numbers a reason. Trust boundary: what a client sent is never part of a line.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::{CertificateError, Error, PeerIncompatible};

use crate::observe::Metrics;

/// How long a reason is silent after a line about it.
const SPAN: Duration = Duration::from_secs(60);

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Failure {
    /// The client shows no certificate, and must.
    NoCertificate,
    /// Its certificate is not, or no longer, valid now.
    CertificateExpired,
    /// Its certificate was revoked, or nobody says that it was not.
    CertificateRevoked,
    /// Its certificate was signed by somebody else than the authorities of the listener.
    CertificateUntrusted,
    /// Its certificate cannot be used for another reason.
    CertificateInvalid,
    /// It speaks only versions that are not spoken here.
    Version,
    /// There is no suite, key exchange or signature that both know.
    Suite,
    /// It speaks none of the protocols above TLS that are spoken here.
    Protocol,
    /// It refuses us: most often it does not trust our certificate.
    RefusedByClient,
    /// What it sends is no TLS, or breaks its rules.
    Malformed,
    /// It left.
    BrokeOff,
    /// It took too long.
    TimedOut,
}

/// All reasons, in the order of the numbers.
const ALL: [Failure; 12] = [
    Failure::NoCertificate,
    Failure::CertificateExpired,
    Failure::CertificateRevoked,
    Failure::CertificateUntrusted,
    Failure::CertificateInvalid,
    Failure::Version,
    Failure::Suite,
    Failure::Protocol,
    Failure::RefusedByClient,
    Failure::Malformed,
    Failure::BrokeOff,
    Failure::TimedOut,
];

impl Failure {
    /// The reason code for metrics and logs.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateInvalid => "certificate_invalid",
            Self::Version => "version",
            Self::Suite => "suite",
            Self::Protocol => "protocol",
            Self::RefusedByClient => "refused_by_client",
            Self::Malformed => "malformed",
            Self::BrokeOff => "broke_off",
            Self::TimedOut => "timed_out",
        }
    }

    /// The reason behind an error of the handshake.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::BrokeOff,
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                // Only what is older than TLS 1.2 does without.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            ) => Self::Version,
            Error::PeerIncompatible(_) => Self::Suite,
            Error::NoApplicationProtocol => Self::Protocol,
            Error::AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Malformed,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::CertificateExpired,
            CertificateError::Revoked
            | CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::CertificateRevoked,
            CertificateError::UnknownIssuer => Self::CertificateUntrusted,
            _ => Self::CertificateInvalid,
        }
    }
}

/// What was logged of each reason; one for all workers.
pub(in super::super) struct Failures {
    began: Instant,
    logged: [Logged; ALL.len()],
}

#[derive(Default)]
struct Logged {
    /// Milliseconds since the beginning, and one; 0 before the first line.
    last: AtomicU64,
    /// Failures since then.
    since: AtomicU64,
}

impl Default for Failures {
    fn default() -> Self {
        Self { began: Instant::now(), logged: Default::default() }
    }
}

impl Failures {
    /// Counts a failure, and logs it if nothing was said of its kind for a while.
    pub(in super::super) fn note(&self, failure: Failure, peer: IpAddr, metrics: &Metrics) {
        metrics.handshake_failed(failure.code());
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        if let Some(silent) = self.due(failure, now) {
            tracing::info!(reason = failure.code(), client = %peer, silent, "a TLS handshake failed");
        }
    }

    /// How many were not spoken of before this one, if a line is due.
    fn due(&self, failure: Failure, now: u64) -> Option<u64> {
        let logged = self.logged.get(ALL.iter().position(|one| *one == failure)?)?;
        let last = logged.last.load(Ordering::Relaxed);
        let quiet = last == 0 || now.saturating_sub(last) >= SPAN.as_millis() as u64;
        // One of several at the same moment speaks for all.
        let first = quiet && logged.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first {
            return Some(logged.since.swap(0, Ordering::Relaxed));
        }
        logged.since.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_speaks_once_a_minute_and_says_how_many_were_silent() {
        let failures = Failures::default();
        assert_eq!(failures.due(Failure::Malformed, 1), Some(0));
        for now in 2..1000 {
            assert_eq!(failures.due(Failure::Malformed, now), None);
        }
        assert_eq!(failures.due(Failure::NoCertificate, 1000), Some(0));
        assert_eq!(failures.due(Failure::Malformed, 60_001), Some(998));
        assert_eq!(failures.due(Failure::Malformed, 60_002), None);
        assert_eq!(failures.due(Failure::Malformed, 120_001), Some(1));
    }

    #[test]
    fn every_reason_has_its_own_code() {
        let codes: std::collections::BTreeSet<_> = ALL.iter().map(|one| one.code()).collect();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn an_error_without_tls_in_it_is_a_connection_that_broke_off() {
        assert_eq!(Failure::of(&io::ErrorKind::UnexpectedEof.into()), Failure::BrokeOff);
        assert_eq!(Failure::of(&io::Error::other(Error::NoCertificatesPresented)), Failure::NoCertificate);
        assert_eq!(Failure::of(&io::Error::other(Error::DecryptError)), Failure::Malformed);
    }
}
