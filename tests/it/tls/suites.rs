//! Which suite is chosen: by the gateway's order, unless the client puts ChaCha20 first.

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as AES_128_1_2, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as AES_256_1_2,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 as CHACHA20_1_2, TLS13_AES_128_GCM_SHA256 as AES_128,
    TLS13_AES_256_GCM_SHA384 as AES_256, TLS13_CHACHA20_POLY1305_SHA256 as CHACHA20,
};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SupportedCipherSuite, SupportedProtocolVersion};

use super::{Site, ask};
use crate::harness::tls::Authority;

const ONE: &str = "tls = { certificate = \"a.pem\", key = \"a.key\" }";

async fn site() -> Site {
    let authority = Authority::new();
    let a = authority.certify("a.gmr.localhost");
    let files = [("a.pem", a.certificate.as_str()), ("a.key", a.key.as_str())];
    Site::start(authority, ONE, &files).await
}

#[tokio::test]
async fn the_order_of_suites_is_ours_and_chacha20_is_for_who_names_it_first() {
    let site = site().await;
    let versions: [(&[&'static SupportedProtocolVersion], [SupportedCipherSuite; 3]); 2] =
        [(&[&TLS13], [AES_128, AES_256, CHACHA20]), (&[&TLS12], [AES_128_1_2, AES_256_1_2, CHACHA20_1_2])];
    for (version, [aes_128, aes_256, chacha20]) in versions {
        for (offered, expected) in [
            (&[aes_128, aes_256, chacha20][..], aes_128),
            (&[aes_256, aes_128, chacha20], aes_128),
            (&[aes_256, chacha20, aes_128], aes_128),
            (&[aes_256, chacha20], aes_256),
            (&[aes_256], aes_256),
            (&[chacha20, aes_128, aes_256], chacha20),
            (&[chacha20, aes_256], chacha20),
            (&[chacha20], chacha20),
        ] {
            let client = site.authority.client().version(version).suites(offered);
            let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
            let chosen = stream.get_ref().1.negotiated_cipher_suite().unwrap();
            assert_eq!(chosen.suite(), expected.suite(), "{offered:?}");
        }
    }
}

#[tokio::test]
async fn sessions_are_resumed_in_either_order() {
    let site = site().await;
    for offered in [&[AES_128, CHACHA20][..], &[CHACHA20, AES_128]] {
        let client = site.authority.client().suites(offered).remembering();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!((stream.get_ref().1.negotiated_cipher_suite(), kind), (Some(offered[0]), Some(expected)));
            assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
        }
    }
}
