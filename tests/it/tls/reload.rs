//! Certificates that change while the gateway runs.

use http::Method;
use rcgen::{CertificateParams, DnType};
use rustls::HandshakeKind;
use serde_json::Value;

use super::{Site, ask, shown, two};
use crate::harness::browser::Browser;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::Wire;

const ONE: &str = "tls = { certificate = \"a.pem\", key = \"a.key\" }";

impl Site {
    async fn reload(&self) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}/reload", self.gateway.admin().port());
        let reply = Browser::new().fetch(Method::POST, &url).await;
        (reply.status.as_u16(), reply.json())
    }

    /// The gateway's configuration with something replaced.
    fn change(&self, from: &str, to: &str) {
        let text = self.gateway.read("lychgate.toml");
        assert!(text.contains(from), "{text}");
        self.gateway.write("lychgate.toml", &text.replace(from, to));
    }
}

/// Whether something of a reload takes effect only later.
fn waits(attempt: &Value) -> bool {
    attempt["findings"].as_str().unwrap().contains("at the next start")
}

async fn site() -> Site {
    let authority = Authority::new();
    let [a, _] = two(&authority);
    let files = [("a.pem", a.certificate.as_str()), ("a.key", a.key.as_str())];
    Site::start(authority, ONE, &files).await
}

const REQUEST: &str = "GET /public/x HTTP/1.1\r\nHost: a.gmr.localhost\r\n\r\n";

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let site = site().await;
    let before = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
    let old = shown(&before);
    let mut open = Wire::over(before);
    open.send(REQUEST).await.unwrap();
    assert_eq!(soon(open.reply(false)).await.unwrap().status, 200);

    let renewed = site.authority.certify("a.gmr.localhost");
    site.gateway.write("a.pem", &renewed.certificate);
    site.gateway.write("a.key", &renewed.key);
    let (status, attempt) = site.reload().await;
    assert_eq!((status, &attempt["outcome"]), (200, &Value::from("applied")), "{attempt}");
    assert!(!waits(&attempt), "{attempt}");

    let after = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(shown(&after), renewed.der());
    assert_ne!(shown(&after), old);
    assert_eq!(ask(after, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
    // The connection that was open before speaks on.
    open.send(REQUEST).await.unwrap();
    assert_eq!(soon(open.reply(false)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_bad_certificate_changes_nothing_and_is_told() {
    let site = site().await;
    let old = shown(&site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap());
    let (certificate, key) = (site.gateway.read("a.pem"), site.gateway.read("a.key"));
    let other = site.authority.certify("a.gmr.localhost");
    for (name, text, word) in [
        ("a.pem", other.certificate.as_str(), "is not the key of"),
        ("a.pem", "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n", "damaged"),
        ("a.key", "half a key", "holds no private key"),
    ] {
        site.gateway.write(name, text);
        let (status, attempt) = site.reload().await;
        assert_eq!((status, &attempt["outcome"]), (422, &Value::from("refused")), "{attempt}");
        assert!(attempt["findings"].as_str().unwrap().contains(word), "{attempt}");
        assert_eq!(site.sample("lychgate_reload_failed").await, Some(1.0));
        let stream = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
        assert_eq!(shown(&stream), old, "{word}");
        assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
        site.gateway.write("a.pem", &certificate);
        site.gateway.write("a.key", &key);
    }
    site.gateway.remove("a.pem");
    let (status, attempt) = site.reload().await;
    assert_eq!(status, 422, "{attempt}");
    assert!(attempt["findings"].as_str().unwrap().contains("cannot read the certificate file"), "{attempt}");
}

#[tokio::test]
async fn a_certificate_more_and_a_demand_on_clients_take_effect_without_a_start() {
    let site = site().await;
    let [_, b] = two(&site.authority);
    site.gateway.write("b.pem", &b.certificate);
    site.gateway.write("b.key", &b.key);
    let two = "tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }, { certificate = \"b.pem\", key = \"b.key\" }] }";
    site.change(ONE, two);
    let (status, attempt) = site.reload().await;
    assert!(status == 200 && !waits(&attempt), "{attempt}");
    let stream = site.authority.client().connect(site.address(), "b.gmr.localhost").await.unwrap();
    assert_eq!(shown(&stream), b.der());

    // Who resumes a session of before the demand shows a certificate all the same.
    let client = site.authority.client().remembering();
    let resumed = async {
        loop {
            let stream = client.connect(site.address(), "b.gmr.localhost").await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(ask(stream, "b.gmr.localhost", "/public/x", "Connection: close\r\n").await.unwrap().status, 200);
            if kind == Some(HandshakeKind::Resumed) {
                break;
            }
        }
    };
    soon(resumed).await;
    let clients = Authority::new();
    site.gateway.write("clients.pem", &clients.pem);
    site.change("b.key\" }] }", "b.key\" }], client = { ca = [\"clients.pem\"], mode = \"required\" } }");
    let (status, attempt) = site.reload().await;
    assert!(status == 200 && !waits(&attempt), "{attempt}");
    if let Ok(stream) = client.connect(site.address(), "b.gmr.localhost").await {
        assert!(ask(stream, "b.gmr.localhost", "/public/x", "").await.is_none());
    }
    site.failed("no_certificate", 1.0).await;
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "laptop-7");
    let laptop = clients.sign(params);
    let stream = site.authority.client().shows(&laptop).connect(site.address(), "b.gmr.localhost").await.unwrap();
    assert_eq!(ask(stream, "b.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn what_has_not_changed_keeps_its_session_tickets() {
    let site = site().await;
    let client = site.authority.client().remembering();
    let resumed = || async {
        loop {
            let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "Connection: close\r\n").await.unwrap().status, 200);
            if kind == Some(HandshakeKind::Resumed) {
                break;
            }
        }
    };
    soon(resumed()).await;
    site.gateway.write("policies/a.toml", &site.gateway.read("policies/a.toml").replace("'staff' in", "'nobody' in"));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    // The very next connection resumes.
    let stream = client.connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn addresses_and_whether_there_is_tls_wait_for_a_start() {
    let site = site().await;
    site.change(ONE, "");
    let (status, attempt) = site.reload().await;
    assert_eq!(status, 200, "{attempt}");
    let findings = attempt["findings"].as_str().unwrap();
    assert!(findings.contains("`listeners` changed and takes effect at the next start"), "{findings}");
    // It is shown on as it was.
    let stream = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
    assert_eq!(ask(stream, "a.gmr.localhost", "/public/x", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_listener_whose_new_address_waits_for_a_start_follows_its_files_meanwhile() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let [a, _] = two(&servers);
    let list = clients.revoke(&[1], 2999);
    let files = [
        ("a.pem", a.certificate.as_str()),
        ("a.key", a.key.as_str()),
        ("clients.pem", &clients.pem),
        ("clients.crl", &list),
    ];
    let asks =
        ONE.replace(" }", ", client = { ca = [\"clients.pem\"], crl = [\"clients.crl\"], mode = \"required\" } }");
    let site = Site::start(servers, &asks, &files).await;
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.serial_number = Some(13.into());
    let laptop = clients.sign(params);
    let status = async || {
        let client = site.authority.client().shows(&laptop);
        let stream = client.connect(site.address(), "a.gmr.localhost").await.ok()?;
        let certificate = shown(&stream);
        ask(stream, "a.gmr.localhost", "/public/x", "").await.map(|reply| (reply.status, certificate))
    };
    assert_eq!(status().await, Some((200, a.der())));
    site.change(&format!("\"127.0.0.1:0\"\n{asks}"), &format!("\"127.0.0.2:0\"\n{asks}"));
    let renewed = site.authority.certify("a.gmr.localhost");
    site.gateway.write("a.pem", &renewed.certificate);
    site.gateway.write("a.key", &renewed.key);
    let (_, attempt) = site.reload().await;
    assert!(waits(&attempt), "{attempt}");
    assert_eq!(status().await, Some((200, renewed.der())));
    site.gateway.write("clients.crl", &clients.revoke(&[13], 2999));
    let (_, attempt) = site.reload().await;
    assert!(waits(&attempt), "{attempt}");
    assert_eq!(status().await, None);
    site.failed("certificate_revoked", 1.0).await;
}

#[tokio::test]
async fn a_listener_that_is_not_followed_any_more_is_told_of_and_asks_no_less_than_before() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let [a, b] = two(&servers);
    let files = [("a.pem", &a), ("b.pem", &b)].map(|(name, certified)| (name, certified.certificate.as_str()));
    let files = [files[0], files[1], ("a.key", &a.key), ("b.key", &b.key), ("clients.pem", &clients.pem)];
    let asks = ONE.replace(" }", ", client = { ca = [\"clients.pem\"], mode = \"required\" } }");
    let site = Site::start(servers, &asks, &files).await;
    // Another listener in its place, with TLS and without the demand.
    site.change(&format!("\"127.0.0.1:0\"\n{asks}"), &format!("\"127.0.0.2:0\"\n{}", ONE.replace("a.", "b.")));
    let (_, attempt) = site.reload().await;
    let findings = attempt["findings"].as_str().unwrap();
    assert!(waits(&attempt) && findings.contains("127.0.0.1:0 goes on with the certificates"), "{attempt}");
    if let Ok(stream) = site.authority.client().connect(site.address(), "a.gmr.localhost").await {
        assert!(ask(stream, "a.gmr.localhost", "/public/x", "").await.is_none());
    }
    site.failed("no_certificate", 1.0).await;
    // What is shown is told of, beside what is configured.
    let url = format!("http://127.0.0.1:{}/metrics", site.gateway.admin().port());
    let metrics = Browser::new().get(&url).await.text();
    for file in ["/a.pem\"} ", "/b.pem\"} ", "/clients.pem\"} "] {
        assert!(metrics.contains(file), "{metrics}");
    }
}

#[tokio::test]
async fn a_listeners_scheme_waits_for_a_start() {
    let site = site().await;
    let address = site.gateway.running().addresses()[1];
    let location = async || {
        let mut wire = Wire::connect(address).await;
        wire.send("GET / HTTP/1.1\r\nHost: a.gmr.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\r\n")
            .await
            .unwrap();
        let reply = soon(wire.reply(false)).await.unwrap();
        reply.header("location").unwrap_or_default().to_owned()
    };
    let before = location().await;
    assert!(before.contains("https%3A%2F%2Fa.gmr.localhost"), "{before}");
    site.change("scheme = \"https\"", "");
    let (status, attempt) = site.reload().await;
    let findings = attempt["findings"].as_str().unwrap();
    assert!(status == 200 && findings.contains("`listeners` changed and takes effect at the next start"), "{attempt}");
    let after = location().await;
    assert!(after.contains("https%3A%2F%2Fa.gmr.localhost"), "{after}");
}

#[tokio::test]
async fn metrics_tell_when_each_file_is_over_and_no_more_of_files_that_are_gone() {
    let site = site().await;
    let samples = async || {
        let url = format!("http://127.0.0.1:{}/metrics", site.gateway.admin().port());
        let text = Browser::new().get(&url).await.text();
        let lines = text.lines().filter(|line| line.starts_with("lychgate_certificate_expires_timestamp_seconds{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = samples().await;
    assert!(before.len() == 1 && before[0].contains("/a.pem\"} "), "{before:?}");
    let mut params = CertificateParams::new(["a.gmr.localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let renewed = site.authority.sign(params);
    site.gateway.write("b.pem", &renewed.certificate);
    site.gateway.write("b.key", &renewed.key);
    site.change(ONE, &ONE.replace("a.pem", "b.pem").replace("a.key", "b.key"));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    let after = samples().await;
    assert!(after.len() == 1 && after[0].ends_with("/b.pem\"} 2208988800"), "{after:?}");
}

#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    let authority = Authority::new();
    let [a, _] = two(&authority);
    let files = [("a.pem", a.certificate.as_str()), ("a.key", a.key.as_str())];
    let site = Site::with(authority, ONE, &files, |setup| setup).await;
    let renewed = site.authority.certify("a.gmr.localhost");
    site.gateway.write("a.key", &renewed.key);
    site.gateway.write("a.pem", &renewed.certificate);
    let noticed = async {
        loop {
            let stream = site.authority.client().connect(site.address(), "a.gmr.localhost").await.unwrap();
            if shown(&stream) == renewed.der() {
                break;
            }
        }
    };
    soon(noticed).await;
}
