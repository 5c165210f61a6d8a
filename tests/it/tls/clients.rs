//! Certificates of clients: who gets a connection, and what policies know.

use rcgen::{CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, SerialNumber};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};

use super::{Site, ask, two};
use crate::harness::soon;
use crate::harness::tls::{Authority, Certified};

fn listener(mode: &str, more: &str) -> String {
    format!(
        "tls = {{ certificate = \"a.pem\", key = \"a.key\", client = {{ ca = [\"clients.pem\"], mode = \"{mode}\"{more} }} }}"
    )
}

/// What a client is certified with: its name and number.
pub(super) fn device(name: DnValue, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

pub(super) fn named(name: &str) -> DnValue {
    DnValue::Utf8String(name.to_owned())
}

/// A site that asks clients for certificates of the second authority.
async fn site(mode: &str, more: &str, files: &[(&str, &str)]) -> (Site, Authority) {
    let (servers, clients) = (Authority::new(), Authority::new());
    (site_of(servers, &clients, mode, more, files).await, clients)
}

pub(super) async fn site_of(
    servers: Authority,
    clients: &Authority,
    mode: &str,
    more: &str,
    files: &[(&str, &str)],
) -> Site {
    let a = servers.sign(CertificateParams::new(["a.gmr.localhost".to_owned(), "b.gmr.localhost".to_owned()]).unwrap());
    let mut all = vec![("a.pem", &*a.certificate), ("a.key", &*a.key), ("clients.pem", &*clients.pem)];
    all.extend(files);
    Site::start(servers, &listener(mode, more), &all).await
}

fn fingerprint(certified: &Certified) -> String {
    Sha256::digest(certified.der()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_required_certificate_is_needed_for_a_connection_and_known_to_rules() {
    let (site, clients) = site("required", "", &[]).await;
    let cookie = format!("Cookie: {}\r\n", sign_in_as(&site).await);
    let laptop = clients.sign(device(named("laptop-7"), 7));
    let other = clients.sign(device(named("laptop-8"), 8));
    for version in [[&TLS12].as_slice(), &[&TLS13]] {
        let client = site.authority.client().version(version);
        // Who has none gets no answer; with TLS 1.3 a client learns that after its own part of the handshake.
        if let Ok(stream) = client.connect(site.address(), "a.gmr.localhost").await {
            assert!(ask(stream, "a.gmr.localhost", "/public/x", "").await.is_none());
        }
        let stream = client.clone().shows(&laptop).connect(site.address(), "a.gmr.localhost").await.unwrap();
        let reply = ask(stream, "a.gmr.localhost", "/device/x", &cookie).await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(site.application.last().header("x-device"), Some(fingerprint(&laptop)));
        let stream = client.clone().shows(&other).connect(site.address(), "a.gmr.localhost").await.unwrap();
        assert_eq!(ask(stream, "a.gmr.localhost", "/device/x", &cookie).await.unwrap().status, 403);
    }
    site.failed("no_certificate", 2.0).await;
}

/// Signs Ada in over the clear listener and takes her cookie for `a.gmr.localhost`.
async fn sign_in_as(site: &Site) -> String {
    let mut browser = crate::harness::browser::Browser::new();
    let port = site.gateway.running().addresses()[1].port();
    let mut next = format!("http://a.gmr.localhost:{port}/");
    for _ in 0..3 {
        next = browser.get(&next).await.location().unwrap();
    }
    let cookies = &browser.cookies["a.gmr.localhost"];
    cookies.iter().map(|(name, cookie)| format!("{name}={}", cookie.value)).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn an_optional_certificate_is_for_the_rules_to_ask_for() {
    let (site, clients) = site("optional", "", &[]).await;
    let cookie = format!("Cookie: {}\r\n", sign_in_as(&site).await);
    let laptop = clients.sign(device(named("laptop-7"), 7));
    let client = site.authority.client();
    let bare = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(ask(bare, "a.gmr.localhost", "/device/x", &cookie).await.unwrap().status, 403);
    let bare = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(ask(bare, "a.gmr.localhost", "/mine", &cookie).await.unwrap().status, 200);
    assert_eq!(site.application.last().header("x-device").as_deref(), Some(""));
    let shown = client.clone().shows(&laptop).connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(ask(shown, "a.gmr.localhost", "/device/x", &cookie).await.unwrap().status, 200);
    // Nobody is told of a certificate by a header of the client's own.
    let bare = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
    let forged = format!("{cookie}X-Device: {}\r\n", fingerprint(&laptop));
    assert_eq!(ask(bare, "a.gmr.localhost", "/mine", &forged).await.unwrap().status, 200);
    assert_eq!(site.application.last().header("x-device").as_deref(), Some(""));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_verified_gets_no_connection_even_where_none_is_needed() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let list = clients.revoke(&[13], 2999);
    let site = site_of(servers, &clients, "optional", ", crl = [\"revoked.pem\"]", &[("revoked.pem", &list)]).await;
    let good = clients.sign(device(named("laptop-7"), 7));
    let mut expired = device(named("laptop-9"), 9);
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2020, 2, 1));
    let mut server_only = device(named("laptop-10"), 10);
    server_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut huge = device(named("laptop-11"), 11);
    huge.subject_alt_names =
        (0..2000).map(|number| rcgen::SanType::DnsName(format!("n{number}.example").try_into().unwrap())).collect();
    let mut nul = device(named("laptop-7"), 12);
    nul.distinguished_name.push(DnType::CommonName, named("laptop-7\0.evil.example"));
    let cases = [
        ("certificate_untrusted", Authority::new().sign(device(named("laptop-7"), 7))),
        ("certificate_expired", clients.sign(expired)),
        ("certificate_revoked", clients.sign(device(named("laptop-13"), 13))),
        ("certificate_invalid", clients.sign(server_only)),
    ];
    let unreadable = [clients.sign(huge), clients.sign(nul)];
    for (reason, certified) in &cases {
        assert!(attempt(&site, certified).await.is_none(), "{reason}");
        site.failed(reason, 1.0).await;
    }
    for (index, certified) in unreadable.iter().enumerate() {
        assert!(attempt(&site, certified).await.is_none());
        site.failed("certificate_invalid", index as f64 + 2.0).await;
    }
    assert_eq!(attempt(&site, &good).await, Some(200));
}

/// The status of a request with this certificate; none where it gets no connection.
pub(super) async fn attempt(site: &Site, certified: &Certified) -> Option<u16> {
    let client = site.authority.client().shows(certified);
    let stream = client.connect(site.address(), "a.gmr.localhost").await.ok()?;
    ask(stream, "a.gmr.localhost", "/public/x", "").await.map(|reply| reply.status)
}

#[tokio::test]
async fn a_revocation_list_that_is_out_of_date_lets_nobody_in() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let list = clients.revoke(&[13], 2021);
    let site = site_of(servers, &clients, "required", ", crl = [\"revoked.pem\"]", &[("revoked.pem", &list)]).await;
    assert_eq!(attempt(&site, &clients.sign(device(named("laptop-7"), 7))).await, None);
    site.failed("certificate_revoked", 1.0).await;
}

#[tokio::test]
async fn p05_where_clients_show_certificates_a_connection_is_for_one_host() {
    let (site, clients) = site("optional", "", &[]).await;
    let laptop = clients.sign(device(named("laptop-7"), 7));
    let client = site.authority.client();
    // The certificate is for both hosts; still each needs a connection of its own.
    for (client, name, host, status) in [
        (client.clone().shows(&laptop), "a.gmr.localhost", "a.gmr.localhost", 200),
        (client.clone().shows(&laptop), "a.gmr.localhost", "b.gmr.localhost", 421),
        (client.clone(), "a.gmr.localhost", "b.gmr.localhost", 421),
        (client.clone().shows(&laptop).nameless(), "a.gmr.localhost", "a.gmr.localhost", 421),
    ] {
        let stream = client.connect(site.address(), name).await.unwrap();
        assert_eq!(ask(stream, host, "/public/x", "").await.unwrap().status, status, "{name} {host}");
    }
}

#[tokio::test]
async fn a_session_is_never_resumed_where_clients_show_certificates() {
    let (site, clients) = site("optional", "", &[]).await;
    let cookie = format!("Cookie: {}\r\n", sign_in_as(&site).await);
    let laptop = clients.sign(device(named("laptop-7"), 7));
    for version in [[&TLS12].as_slice(), &[&TLS13]] {
        let client = site.authority.client().version(version).shows(&laptop).remembering();
        for _ in 0..3 {
            let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert!(matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)), "{kind:?}");
            assert_eq!(ask(stream, "a.gmr.localhost", "/device/x", &cookie).await.unwrap().status, 200);
            assert_eq!(site.application.last().header("x-device"), Some(fingerprint(&laptop)));
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed_where_they_do_not() {
    let authority = Authority::new();
    let [a, _] = two(&authority);
    let files = [("a.pem", a.certificate.as_str()), ("a.key", a.key.as_str())];
    let site = Site::start(authority, "tls = { certificate = \"a.pem\", key = \"a.key\" }", &files).await;
    for version in [[&TLS12].as_slice(), &[&TLS13]] {
        let client = site.authority.client().version(version).remembering();
        let resumed = async {
            loop {
                let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
                let kind = stream.get_ref().1.handshake_kind();
                assert_eq!(
                    ask(stream, "a.gmr.localhost", "/public/x", "Connection: close\r\n").await.unwrap().status,
                    200
                );
                if kind == Some(HandshakeKind::Resumed) {
                    break;
                }
            }
        };
        soon(resumed).await;
    }
}
