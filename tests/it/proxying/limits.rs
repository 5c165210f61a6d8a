//! How much a client may send, and how long it and the application are waited for (D01, D03).

use std::time::{Duration, Instant};

use super::{IDENTITY, Plan, Site, anonymous};
use crate::harness::application::Application;
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

/// Client time limits that end a test quickly, each shorter than the others where it is the one that is tested.
pub(super) fn timeouts(which: &str) -> String {
    let all = ["handshake", "first_byte", "header", "idle", "body_stall"];
    let lines = all.map(|name| format!("{name} = \"{}\"\n", if name == which { "300ms" } else { "1h" }));
    format!("[timeouts]\n{}", lines.concat())
}

#[tokio::test]
async fn d03_a_head_that_is_too_large_gets_431() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let settings = "[limits]\nheader_bytes = \"8KiB\"\nheader_count = 20\n";
    let site = Plan { upstream: &upstream, settings, ..Plan::default() }.start().await;
    let long = format!("Accept: {}\r\n", "x".repeat(9 * 1024));
    let unending = format!("GET /public/x HTTP/1.1\r\nHost: {HOST}\r\nAccept: {}", "x".repeat(16 * 1024));
    let many = "Accept: a\r\n".repeat(40);
    for request in [anonymous("GET /public/x", &long, ""), unending, anonymous("GET /public/x", &many, "")] {
        let mut client = site.connect().await;
        client.send(&request).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 431, "{} bytes", request.len());
        assert_eq!(soon(client.rest()).await, b"", "the connection ends");
    }
    let within = "Accept: a\r\n".repeat(10);
    assert_eq!(site.ask(anonymous("GET /public/x", &within, "")).await.status, 200);
    assert_eq!(application.seen().len(), 1);
    let log = site.refused(&[("head_too_large", 3)]).await;
    let mut unread = log.iter().filter(|line| line["reason"] == "head_too_large");
    assert!(unread.all(|line| line["status"] == 431 && line["decision"] == "refused"));
}

#[tokio::test]
async fn d03_a_body_that_is_too_large_gets_413_however_it_is_framed() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: "[limits]\nbody = \"1KiB\"\n", ..Plan::default() }.start().await;
    let data = "x".repeat(1025);
    let chunked = format!("401\r\n{data}\r\n0\r\n\r\n");
    let pieces = "100\r\n".to_owned() + &"y".repeat(256) + "\r\n";
    let pieces = pieces.repeat(5) + "0\r\n\r\n";
    for (fields, body) in [
        ("Content-Length: 1025\r\n", data.as_str()),
        ("Content-Length: 99999999999\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", chunked.as_str()),
        ("Transfer-Encoding: chunked\r\n", pieces.as_str()),
    ] {
        let mut client = site.connect().await;
        client.send(anonymous("POST /public/x", &format!("{fields}Accept: application/json\r\n"), body)).await.unwrap();
        let reply = soon(client.reply(false)).await.unwrap();
        assert_eq!(reply.status, 413, "{fields}");
    }
    assert!(application.seen().iter().all(|seen| seen.body.len() <= 1024), "at most a part, never answered as whole");
    let whole = site.ask(anonymous("POST /public/x", "Content-Length: 1024\r\n", &data[..1024])).await;
    assert_eq!((whole.status, application.last().body.len()), (200, 1024));
    site.refused(&[("request_too_large", 4)]).await;
}

#[tokio::test]
async fn d03_one_connection_too_many_is_turned_away_and_the_others_go_on() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: "[limits]\nconnections = 3\n", ..Plan::default() }.start().await;
    let mut kept = Vec::new();
    while kept.len() < 3 {
        // Connections of the sign-in may still be closing.
        let mut client = site.connect().await;
        let _ = client.send(anonymous("GET /public/x", "", "")).await;
        if soon(client.reply(false)).await.is_some() {
            kept.push(client);
        }
    }
    let mut refused = site.connect().await;
    let _ = refused.send(anonymous("GET /public/x", "", "")).await;
    assert!(soon(refused.reply(false)).await.is_none());
    for client in &mut kept {
        client.send(anonymous("GET /public/x", "", "")).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    }
    drop(kept);
    // Places become free again.
    soon(async {
        loop {
            let mut client = site.connect().await;
            let _ = client.send(anonymous("GET /public/x", "", "")).await;
            if client.reply(false).await.is_some() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn d03_a_tunnel_is_a_connection_too() {
    let application = RawApplication::start().await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: "[limits]\nconnections = 2\n", ..Plan::default() }.start().await;
    let asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut tunnels = Vec::new();
    while tunnels.len() < 2 {
        let mut client = site.connect().await;
        let _ = client.send(anonymous("GET /public/socket", asked, "")).await;
        let upstream = tokio::select! {
            upstream = application.accept() => upstream,
            // Turned away while connections of the sign-in are closing.
            _ = client.head() => continue,
        };
        tunnels.push((client, upstream));
        let (client, upstream) = tunnels.last_mut().unwrap();
        soon(upstream.request()).await.unwrap();
        upstream
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi")
            .await
            .unwrap();
        assert_eq!(soon(client.head()).await.unwrap().status, 101);
        assert_eq!(soon(client.bytes()).await, b"hi");
    }
    let mut refused = site.connect().await;
    let _ = refused.send(anonymous("GET /public/x", "", "")).await;
    assert!(soon(refused.reply(false)).await.is_none());
}

/// Sends `bytes` and waits for the gateway to end the connection; what it said before.
async fn until_closed(which: &str, bytes: &str) -> Vec<u8> {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: &timeouts(which), ..Plan::default() }.start().await;
    rest(&site, bytes).await
}

/// What comes back for `bytes` until the gateway closes.
async fn rest(site: &Site, bytes: &str) -> Vec<u8> {
    let mut client = site.connect().await;
    client.send(bytes).await.unwrap();
    soon(client.rest()).await
}

#[tokio::test]
async fn d01_a_connection_that_says_nothing_is_closed() {
    assert_eq!(until_closed("first_byte", "").await, b"");
}

#[tokio::test]
async fn d01_half_a_head_is_waited_for_only_so_long() {
    assert_eq!(until_closed("header", "GET /public/x HTTP/1.1\r\nHost: app.loc").await, b"");
}

#[tokio::test]
async fn d01_half_a_head_after_a_request_is_waited_for_only_so_long() {
    let request = anonymous("GET /public/x", "", "");
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: &timeouts("header"), ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(&request).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    client.send("GET /pub").await.unwrap();
    assert_eq!(soon(client.rest()).await, b"");
    assert_eq!(application.seen().len(), 1);
}

#[tokio::test]
async fn d01_an_idle_connection_is_closed() {
    let answer = until_closed("idle", &anonymous("GET /public/x", "", "")).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"hello"));
}

#[tokio::test]
async fn d01_a_body_that_does_not_come_gets_408() {
    for (fields, part) in [("Content-Length: 10\r\n", "half"), ("Transfer-Encoding: chunked\r\n", "4\r\nhalf\r\n")] {
        let application = Application::start(IDENTITY).await;
        let upstream = format!("\"{}\"", application.url());
        let site = Plan { upstream: &upstream, settings: &timeouts("body_stall"), ..Plan::default() }.start().await;
        let answer = rest(&site, &anonymous("POST /public/x", fields, part)).await;
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
        site.refused(&[("request_stalled", 1)]).await;
    }
}

#[tokio::test]
async fn d01_a_body_that_nobody_wants_is_not_waited_for_longer() {
    // Denied before the body came: the rest has the limits of a head.
    let answer = until_closed("header", &anonymous("POST /private", "Content-Length: 10\r\n", "half")).await;
    assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn d01_a_client_that_does_not_read_is_left() {
    let application = RawApplication::start().await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: &timeouts("body_stall"), ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    let piece = vec![7u8; 1 << 20];
    // The application's connection ends because the client's does.
    soon(async { while upstream.send(&piece).await.is_ok() {} }).await;
    assert!(soon(client.rest()).await.len() < 500_000_000);
    assert_eq!(site.log().await[0]["complete"], false);
}

#[tokio::test]
async fn d01_an_application_that_does_not_answer_gets_504() {
    for method in ["GET", "POST"] {
        let application = RawApplication::start().await;
        let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { first_byte = \"1s\" }");
        let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
        let mut client = site.connect().await;
        let began = Instant::now();
        let fields = if method == "POST" { "Content-Length: 4\r\nAccept: application/json\r\n" } else { "" };
        client
            .send(anonymous(&format!("{method} /public/x"), fields, if method == "POST" { "data" } else { "" }))
            .await
            .unwrap();
        let mut upstream = soon(application.accept()).await;
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 504);
        let took = began.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_millis(1700)).contains(&took), "{method}: {took:?}");
        soon(upstream.request()).await.unwrap();
        assert_eq!(soon(upstream.rest()).await, b"", "given up");
        assert_eq!(site.log().await[0]["reason"], "upstream_timeout");
    }
}

#[tokio::test]
async fn d01_an_upload_that_moves_is_not_an_application_that_does_not_answer() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { first_byte = \"200ms\" }");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    let mut ticker = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..8 {
        ticker.tick().await;
        client.send("1\r\nx\r\n").await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), b"x");
    }
    client.send("0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await, None);
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 204);
}

#[tokio::test]
async fn d01_an_application_has_its_time_from_the_last_byte_of_an_upload_and_no_longer() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { first_byte = \"1s\" }");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    // The last byte comes shortly after the first limit would have begun anew.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let last = Instant::now();
    client.send("1\r\nx\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 504);
    let took = last.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_millis(1700)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn d01_an_answer_that_stalls_breaks_off() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { stall = \"300ms\" }");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let mut client: Wire = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 200);
    assert_eq!(soon(client.rest()).await, b"half");
    assert_eq!(soon(upstream.rest()).await, b"");
}

#[tokio::test]
async fn d03_a_client_that_is_still_sending_hears_why_it_is_refused() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: "[limits]\nbody = \"1MiB\"\n", ..Plan::default() }.start().await;
    let length = "Content-Length: 33554432\r\n";
    for (request, status) in [
        (anonymous("POST /public/x", length, ""), 413),
        (anonymous("POST /private", length, ""), 401),
        (site.request("POST /admin/x", length, ""), 403),
    ] {
        let mut client = site.connect().await;
        client.send(request).await.unwrap();
        // Sends on and on, as browsers do, until the gateway takes no more.
        let piece = vec![7u8; 1 << 20];
        for _ in 0..32 {
            if soon(client.send(&piece)).await.is_err() {
                break;
            }
        }
        assert_eq!(soon(client.reply(false)).await.map(|reply| reply.status), Some(status));
    }
}
