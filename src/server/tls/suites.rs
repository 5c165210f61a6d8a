//! Which suite is chosen of those that a client offers: by our order, for whom AES is nothing slow, else ChaCha20 first.
//!
//! Every suite that rustls has is sound. A client without instructions for AES names ChaCha20 first, and is given it; everybody else gets
//! AES with 128 bits, what browsers name first, where they have it
//! ([decision 94](../../../docs/decisions/0094-our-order-of-suites-and-chacha20-for-whom-aes-is-slow.md)).
//!
//! Trust boundary: the wire; what a client offers only chooses between two orders. Specification: RFC 8446 section 4.1.2, RFC 8701 (GREASE).

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, ServerConfig};

/// The settings of one listener, once for each order of suites.
pub(super) struct ByOffer {
    pub(super) usual: Arc<ServerConfig>,
    pub(super) chacha20: Arc<ServerConfig>,
}

impl ByOffer {
    /// The settings for a client that offers these suites.
    pub(super) fn settings(&self, offered: &[CipherSuite]) -> Arc<ServerConfig> {
        Arc::clone(if names_chacha20_first(offered) { &self.chacha20 } else { &self.usual })
    }
}

/// rustls' suites, in the usual order or with ChaCha20 before the others.
pub(super) fn provider(chacha20_first: bool) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        suite if is_chacha20(suite) => u8::from(!chacha20_first) * 3,
        suite if is_aes_128(suite) => 1,
        _ => 2,
    });
    Arc::new(provider)
}

/// Whether the first suite of the list is ChaCha20. Values that stand for nothing are passed over: browsers put one first by chance (GREASE).
fn names_chacha20_first(offered: &[CipherSuite]) -> bool {
    let first = offered.iter().find(|suite| !stands_for_nothing(**suite));
    first.is_some_and(|suite| is_chacha20(*suite))
}

/// RFC 8701 section 2 and RFC 5746 section 3.3.
fn stands_for_nothing(suite: CipherSuite) -> bool {
    let number = u16::from(suite);
    let grease = number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff;
    grease || suite == CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV
}

fn is_chacha20(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_rustls_is_in_both_orders() {
        for chacha20_first in [false, true] {
            let ours = provider(chacha20_first);
            let suites: Vec<_> = ours.cipher_suites.iter().map(|suite| suite.suite()).collect();
            assert_eq!(suites.len(), aws_lc_rs::DEFAULT_CIPHER_SUITES.len());
            assert_eq!(suites.first().copied().map(is_chacha20), Some(chacha20_first), "{suites:?}");
            let of_aes: Vec<_> =
                suites.iter().filter(|suite| !is_chacha20(**suite)).map(|suite| is_aes_128(*suite)).collect();
            assert_eq!(of_aes, [true, true, true, false, false, false], "{suites:?}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_passed_over() {
        let chacha20 = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        let grease = CipherSuite::from(0x4a4a);
        let renegotiation = CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV;
        let aes = CipherSuite::TLS13_AES_128_GCM_SHA256;
        // One that nobody here knows is a wish all the same.
        let unknown = [CipherSuite::from(0x1a2a), CipherSuite::from(0x1304), CipherSuite::from(0x0a0b)];
        for offered in [&[chacha20, aes][..], &[grease, chacha20], &[renegotiation, grease, chacha20]] {
            assert!(names_chacha20_first(offered), "{offered:?}");
        }
        for offered in [
            &[][..],
            &[grease],
            &[aes, chacha20],
            &[grease, aes, chacha20],
            &[unknown[0], chacha20],
            &[unknown[1], chacha20],
            &[unknown[2], chacha20],
        ] {
            assert!(!names_chacha20_first(offered), "{offered:?}");
        }
    }
}
