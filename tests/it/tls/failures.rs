//! What is spoken and what is not, and how handshakes that fail are counted.

use rustls::NamedGroup;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Site, ask, two};
use crate::harness::soon;
use crate::harness::tls::Authority;

const ONE: &str = "tls = { certificate = \"a.pem\", key = \"a.key\" }";

async fn site(settings: &str) -> Site {
    let authority = Authority::new();
    let [a, _] = two(&authority);
    let files = [("a.pem", a.certificate.as_str()), ("a.key", a.key.as_str())];
    Site::with(authority, ONE, &files, |setup| setup.settings(settings)).await
}

/// Which signatures a client takes; TLS 1.2 brought this.
const SIGNATURES: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3];

/// A hello of this version, as old clients send it: the suites are some that such clients have.
fn hello(version: [u8; 2], more: &[u8]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    let suites: [u16; 5] = [0xc013, 0xc014, 0x002f, 0x0035, 0x000a];
    body.extend((suites.len() as u16 * 2).to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let extensions = [[0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0].as_slice(), more].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

/// What is answered to these bytes.
async fn answer(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut read = Vec::new();
    let _ = soon(stream.read_to_end(&mut read)).await;
    read
}

#[tokio::test]
async fn old_versions_are_refused_with_the_alert_for_it() {
    let site = site("").await;
    let mut failed = 0.0;
    for version in [[3, 0], [3, 1], [3, 2]] {
        // Fatal alerts: protocol_version; and handshake_failure where it can be told before the version is looked at.
        for (more, alert) in [(SIGNATURES, 70), (&[], 40)] {
            assert_eq!(answer(&site, &hello(version, more)).await, [21, 3, 3, 0, 2, 2, alert], "{version:?}");
            failed += 1.0;
            site.failed("version", failed).await;
        }
    }
    // TLS 1.2 with none but old suites: handshake_failure.
    assert_eq!(answer(&site, &hello([3, 3], SIGNATURES)).await, [21, 3, 3, 0, 2, 2, 40]);
    site.failed("suite", 1.0).await;
}

#[tokio::test]
async fn a_key_exchange_that_a_quantum_computer_does_not_break_is_preferred() {
    let site = site("").await;
    let stream = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn d01_every_failure_has_its_reason_in_the_metrics() {
    let site = site("[timeouts]\nhandshake = \"200ms\"\n").await;
    // Another protocol above TLS than is spoken.
    let error =
        site.authority.client().protocols(&["smtp"]).connect(site.address(), "a.gmr.localhost").await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    site.failed("protocol", 1.0).await;
    // No TLS at all.
    answer(&site, b"GET / HTTP/1.1\r\nHost: a.gmr.localhost\r\n\r\n").await;
    site.failed("malformed", 1.0).await;
    // Half a hello, and the client leaves.
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(&hello([3, 3], SIGNATURES)[..20]).await.unwrap();
    drop(stream);
    site.failed("broke_off", 1.0).await;
    // Half a hello, and nothing more.
    answer(&site, &hello([3, 3], SIGNATURES)[..20]).await;
    site.failed("timed_out", 1.0).await;
}
