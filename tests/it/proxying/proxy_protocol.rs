//! Connections that begin with a PROXY header: who is believed, and who then counts as the client (S05).

use serde_json::Value;

use super::{IDENTITY, Plan, Site, anonymous};
use crate::harness::application::Application;
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::Wire;

/// A listener with the PROXY protocol, and an ordinary one over which a person signs in.
const LISTENERS: &str =
    "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";

const CLIENT: &str = "PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n";
/// The same client in version 2, with an additional field.
const CLIENT_BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x11\xc6\x33\x64\x07\xc0\x00\x02\x01\xdc\x04\x01\xbb\x01\x00\x02h2";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

async fn site(application: &Application, settings: &str) -> Site {
    let upstream = format!("\"{}\"", application.url());
    Plan { upstream: &upstream, settings, listeners: LISTENERS, ..Plan::default() }.start().await
}

/// Counters of the connections that were turned away for this reason.
async fn turned_away(site: &Site, reason: &str) -> bool {
    let mut client = Wire::connect(site.gateway.admin()).await;
    client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let text = String::from_utf8(soon(client.reply(false)).await.unwrap().body).unwrap();
    text.contains(&format!("lychgate_connections_turned_away_total{{reason=\"{reason}\"}} "))
}

fn clients(log: &[Value]) -> Vec<&str> {
    log.iter().map(|line| line["client"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn s05_whom_a_trusted_proxy_announces_is_the_client_everywhere() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, TRUSTED).await;
    for header in [CLIENT.as_bytes(), CLIENT_BINARY] {
        let mut client = site.connect().await;
        // In one piece with the first request; what the client says of others is not believed.
        let request = anonymous("GET /public/x", "X-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n", "");
        client.send([header, request.as_bytes()].concat()).await.unwrap();
        for again in [true, false] {
            assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
            let seen = application.last();
            assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("198.51.100.7"));
            let forwarded = format!("for=198.51.100.7;host=\"{HOST}\";proto=http");
            assert_eq!(seen.header("forwarded"), Some(forwarded));
            if again {
                // Only a connection begins with a header.
                client.send(anonymous("GET /public/x", "", "")).await.unwrap();
            }
        }
    }
    let log = site.log().await;
    assert_eq!(clients(&log), ["198.51.100.7"; 4]);
}

#[tokio::test]
async fn s05_a_header_may_come_byte_by_byte() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, TRUSTED).await;
    for header in [CLIENT.as_bytes(), CLIENT_BINARY] {
        let mut client = site.connect().await;
        for byte in [header, anonymous("GET /public/x", "", "").as_bytes()].concat() {
            client.send([byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
        assert_eq!(application.last().header("x-forwarded-for").as_deref(), Some("198.51.100.7"));
    }
}

#[tokio::test]
async fn s05_the_header_comes_before_tls() {
    let application = Application::start(IDENTITY).await;
    let authority = Authority::new();
    let certified = authority.certify(HOST);
    let files = [("cert.pem", certified.certificate.as_str()), ("key.pem", certified.key.as_str())];
    let upstream = format!("\"{}\"", application.url());
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
        tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
    let plan = Plan { upstream: &upstream, settings: TRUSTED, listeners, files: &files, ..Plan::default() };
    let site = plan.start().await;
    for header in [CLIENT.as_bytes(), CLIENT_BINARY] {
        let stream = authority.connect_after(header, site.gateway.address(), HOST, &[]).await;
        let mut client = Wire::over(stream);
        client.send(site.request("GET /mine", "", "")).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().body, b"hello");
        let seen = application.last();
        assert_eq!(seen.header("x-remote-user").as_deref(), Some("ada"));
        assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("198.51.100.7"));
    }
}

#[tokio::test]
async fn s05_an_announced_client_that_is_a_trusted_proxy_itself_is_believed_in_turn() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, TRUSTED).await;
    let mut client = site.connect().await;
    let request = anonymous("GET /public/x", "X-Forwarded-For: 203.0.113.5\r\n", "");
    client.send(format!("PROXY TCP4 10.0.0.9 192.0.2.1 1 443\r\n{request}")).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    assert_eq!(application.last().header("x-forwarded-for").as_deref(), Some("203.0.113.5, 10.0.0.9"));
    assert_eq!(clients(&site.log().await), ["203.0.113.5"]);
}

#[tokio::test]
async fn s05_where_nobody_is_announced_the_proxy_is_the_client_and_nothing_in_requests_is_believed() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, TRUSTED).await;
    for header in [LOCAL, b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 198.51.100.7 192.0.2.1 1 2\r\n"] {
        let mut client = site.connect().await;
        let request = anonymous("GET /public/x", "X-Forwarded-For: 203.0.113.5\r\n", "");
        client.send([header, request.as_bytes()].concat()).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
        assert_eq!(application.last().header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    }
    assert_eq!(clients(&site.log().await), ["127.0.0.1"; 3]);
}

#[tokio::test]
async fn s05_who_is_no_trusted_proxy_is_turned_away_whatever_it_sends() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, "trusted_proxies = [\"10.0.0.0/8\"]\n").await;
    for start in [CLIENT, ""] {
        let mut client = site.connect().await;
        let _ = client.send(format!("{start}{}", anonymous("GET /public/x", "", ""))).await;
        assert!(soon(client.reply(false)).await.is_none());
    }
    assert!(application.seen().is_empty());
    assert!(turned_away(&site, "proxy_untrusted").await);
}

#[tokio::test]
async fn s05_without_a_sound_header_nothing_is_answered() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, TRUSTED).await;
    let request = anonymous("GET /public/x", "", "");
    for header in ["", "\r\n", "PROXY TCP4 somewhere 192.0.2.1 1 2\r\n", "PROXY TCP4 198.51.100.7 192.0.2.1 1 2\n"] {
        let mut client = site.connect().await;
        let _ = client.send(format!("{header}{request}")).await;
        assert!(soon(client.reply(false)).await.is_none(), "{header:?}");
    }
    assert!(application.seen().is_empty());
    assert!(turned_away(&site, "proxy_header").await);
}

#[tokio::test]
async fn s05_a_health_check_that_resets_its_connection_is_no_header_that_is_missing() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application, TRUSTED).await;
    for _ in 0..20 {
        let stream = tokio::net::TcpStream::connect(site.gateway.address()).await.unwrap();
        stream.set_zero_linger().unwrap();
    }
    soon(async { while !turned_away(&site, "proxy_silent").await {} }).await;
    assert!(!turned_away(&site, "proxy_header").await);
}

#[tokio::test]
async fn d01_a_header_that_does_not_come_is_waited_for_only_so_long() {
    let application = Application::start(IDENTITY).await;
    let settings = format!("{TRUSTED}[timeouts]\nhandshake = \"300ms\"\n");
    let site = site(&application, &settings).await;
    for beginning in ["", "PROXY TCP4 198.5"] {
        let mut client = site.connect().await;
        client.send(beginning).await.unwrap();
        assert_eq!(soon(client.rest()).await, b"", "{beginning:?}");
    }
}

#[tokio::test]
async fn s05_on_an_ordinary_listener_a_header_is_a_bad_request() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: TRUSTED, ..Plan::default() }.start().await;
    for header in [CLIENT.as_bytes(), CLIENT_BINARY] {
        let mut client = site.connect().await;
        client.send([header, anonymous("GET /public/x", "", "").as_bytes()].concat()).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 400);
        assert_eq!(soon(client.rest()).await, b"");
    }
    assert!(application.seen().is_empty());
}
