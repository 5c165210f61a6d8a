//! Several certificates on one listener, and requests for another host than the connection was made for.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Site, ask, shown, two};
use crate::harness::soon;
use crate::harness::tls::Authority;

const TWO: &str = "tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }, { certificate = \"b.pem\", key = \"b.key\" }] }";

async fn site_of(authority: Authority, names: [&[&str]; 2]) -> (Site, [rustls::pki_types::CertificateDer<'static>; 2]) {
    let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let [a, b] = names.map(|names| authority.sign(rcgen::CertificateParams::new(names).unwrap()));
    let files = [("a.pem", &a.certificate), ("a.key", &a.key), ("b.pem", &b.certificate), ("b.key", &b.key)];
    let files = files.map(|(name, text)| (name, text.as_str()));
    (Site::start(authority, TWO, &files).await, [a.der(), b.der()])
}

#[tokio::test]
async fn p05_the_name_that_is_asked_for_chooses_the_certificate() {
    let (site, [a, b]) =
        site_of(Authority::new(), [&["a.gmr.localhost"], &["b.gmr.localhost", "*.c.gmr.localhost"]]).await;
    for (name, expected) in
        [("a.gmr.localhost", &a), ("b.gmr.localhost", &b), ("x.c.gmr.localhost", &b), ("B.GMR.LOCALHOST", &b)]
    {
        let stream = site.authority.client().connect(site.address(), name).await.unwrap();
        assert_eq!(shown(&stream), *expected, "{name}");
    }
    // Nobody has the name, so the first is shown; this client does not take it.
    let error = site.authority.client().connect(site.address(), "unknown.localhost").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // No name at all gets the first.
    let stream = site.authority.client().nameless().connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(shown(&stream), a);
    assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
    site.failed("refused_by_client", 1.0).await;
}

#[tokio::test]
async fn p05_a_request_for_a_host_whose_certificate_was_not_shown_is_misdirected() {
    let (site, _) = site_of(Authority::new(), [&["a.gmr.localhost"], &["b.gmr.localhost"]]).await;
    for (name, host, status) in [
        ("a.gmr.localhost", "a.gmr.localhost", 200),
        ("a.gmr.localhost", "A.gmr.Localhost.:8443", 200),
        ("a.gmr.localhost", "b.gmr.localhost", 421),
        ("b.gmr.localhost", "a.gmr.localhost", 421),
        // Nobody's host would be shown the first certificate, which this connection was shown, too.
        ("a.gmr.localhost", "nobody.localhost", 404),
        ("b.gmr.localhost", "nobody.localhost", 421),
    ] {
        let stream = site.authority.client().connect(site.address(), name).await.unwrap();
        assert_eq!(ask(stream, host, "/public/x", "").await.unwrap().status, status, "{name} {host}");
    }
    let log = site.gateway.stop().await;
    let reasons: Vec<_> = log.iter().filter(|line| line["status"] == 421).map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["misdirected"; 3]);
    let hosts: Vec<_> = log.iter().filter(|line| line["status"] == 421).map(|line| line["app"].clone()).collect();
    assert_eq!(hosts, [serde_json::Value::Null, serde_json::Value::Null, serde_json::Value::Null]);
}

#[tokio::test]
async fn p05_one_http2_connection_serves_all_hosts_of_the_certificate_it_was_shown() {
    let (site, _) = site_of(Authority::new(), [&["a.gmr.localhost", "b.gmr.localhost"], &["c.gmr.localhost"]]).await;
    let client = site.authority.client().protocols(&["h2"]);
    let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (host, status) in [
        ("a.gmr.localhost", StatusCode::OK),
        ("b.gmr.localhost", StatusCode::OK),
        ("c.gmr.localhost", StatusCode::MISDIRECTED_REQUEST),
        ("b.gmr.localhost", StatusCode::OK),
    ] {
        let request = Request::get(format!("https://{host}/public/x")).body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(soon(sender.send_request(request)).await.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn p05_a_name_that_has_its_own_certificate_is_served_where_a_wildcard_was_shown() {
    let (site, [wild, own]) =
        site_of(Authority::new(), [&["*.gmr.localhost", "x.example"], &["b.gmr.localhost"]]).await;
    let stream = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(shown(&stream), wild);
    // The client was shown a certificate that is good for it.
    assert_eq!(ask(stream, "b.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
    let stream = site.authority.client().connect(site.address(), "b.gmr.localhost").await.unwrap();
    assert_eq!(shown(&stream), own);
    assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 421);
}

#[tokio::test]
async fn one_certificate_in_the_table_itself_is_for_every_name() {
    let authority = Authority::new();
    let [a, _] = two(&authority);
    let files = [("a.pem", a.certificate.as_str()), ("a.key", a.key.as_str())];
    let site = Site::start(authority, "tls = { certificate = \"a.pem\", key = \"a.key\" }", &files).await;
    let stream = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(ask(stream, "b.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
}
