//! WebSockets and other upgrades are tunnelled, when they were asked for and allowed (H06, H07).

use serde_json::Value;

use super::{IDENTITY, anonymous, site};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::RawApplication;

const ASKED: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A masked text frame, `Hello` (RFC 6455 section 5.7).
const FRAME: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

#[tokio::test]
async fn h06_s02_a_websocket_of_a_person_is_tunnelled_and_carries_her_identity() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let forged = format!("{ASKED}X-Remote-User: root\r\nX_Remote_Groups: admins\r\n");
    // The first frame comes in one packet with the request.
    client.send([site.request("GET /socket", &forged, "").as_bytes(), FRAME].concat()).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    let seen = soon(upstream.request_head()).await.unwrap();
    assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert_eq!(seen.all("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    assert_eq!((seen.all("x-remote-user"), seen.all("x-remote-groups")), (vec!["ada"], vec!["staff;artists"]));
    assert!(seen.names().iter().all(|name| !name.contains('_')) && seen.all("cookie").is_empty());
    upstream.send([SWITCHED.as_bytes(), b"welcome"].concat()).await.unwrap();
    let reply = soon(client.head()).await.unwrap();
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("websocket")));
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(soon(client.bytes()).await, b"welcome");
    assert_eq!(soon(upstream.bytes()).await, FRAME);
    for number in 0..100u8 {
        client.send([number; 300]).await.unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < 300 {
            let some = soon(upstream.bytes()).await;
            upstream.send(&some).await.unwrap();
            echoed.extend(soon(client.bytes()).await);
        }
        assert!(echoed.iter().all(|byte| *byte == number));
    }
    // The end of one side is the end of the other.
    drop(client);
    assert_eq!(soon(upstream.rest()).await, b"");
    drop(upstream);
    let log = site.log().await;
    assert_eq!((&log[0]["status"], &log[0]["decision"]), (&Value::from(101), &Value::from("allow")));
}

#[tokio::test]
async fn h06_c12_a_websocket_without_session_gets_401_and_no_redirect() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    for fields in [ASKED.to_owned(), format!("{ASKED}Accept: text/html\r\nSec-Fetch-Mode: websocket\r\n")] {
        let reply = site.ask(anonymous("GET /socket", &fields, "")).await;
        assert_eq!((reply.status, reply.header("location")), (401, None));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["error"], "sign_in_required");
    }
    let denied = site.ask(site.request("GET /admin/socket", ASKED, "")).await;
    assert_eq!(denied.status, 403);
    assert_eq!(application.seen().len(), 0);
}

#[tokio::test]
async fn h08_an_upgrade_that_nobody_asked_for_is_a_bad_answer() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    for fields in ["", "Upgrade: websocket\r\n", "Connection: upgrade\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"] {
        let mut client = site.connect().await;
        client.send(anonymous("GET /public/x", fields, "")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        let seen = soon(upstream.request()).await.unwrap();
        assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec![], vec![]), "{fields}");
        upstream
            .send([SWITCHED.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat())
            .await
            .unwrap();
        let reply = soon(client.reply(false)).await.unwrap();
        assert_eq!((reply.status, reply.header("upgrade")), (502, None), "{fields}");
        assert!(!reply.body.ends_with(b"evil"));
        assert_eq!(soon(upstream.rest()).await, b"", "that connection is not used again");
    }
    assert!(site.log().await.iter().all(|line| line["reason"] == "upstream_invalid"));
}

#[tokio::test]
async fn h08_a_switch_to_a_protocol_that_nobody_asked_for_is_a_bad_answer() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let named = [
        "",
        "Upgrade: other\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket\r\nUpgrade: other\r\n",
        "Upgrade: websocket, other\r\n",
    ];
    for protocol in named {
        let mut client = site.connect().await;
        client.send(anonymous("GET /public/socket", ASKED, "")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request()).await.unwrap();
        upstream.send(format!("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n{protocol}\r\nEARLY")).await.unwrap();
        let reply = soon(client.reply(false)).await.unwrap();
        assert_eq!((reply.status, reply.header("upgrade")), (502, None), "{protocol}");
        assert_eq!(soon(upstream.rest()).await, b"", "that connection is not used again");
    }
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/socket", ASKED, "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 101, "in whatever letters");
    drop((client, upstream));
    assert_eq!(site.log().await.iter().filter(|line| line["reason"] == "upstream_invalid").count(), named.len());
}

#[tokio::test]
async fn h07_a_connection_is_not_used_again_after_an_upgrade_that_failed() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/socket", ASKED, "")).await.unwrap();
    let mut first = soon(application.accept()).await;
    soon(first.request()).await.unwrap();
    first.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 403);
    client.send(anonymous("GET /public/next", "", "")).await.unwrap();
    let mut second = soon(application.accept()).await;
    assert_eq!(soon(second.request()).await.unwrap().line(), "GET /public/next HTTP/1.1");
    assert_eq!(soon(first.rest()).await, b"");
}
