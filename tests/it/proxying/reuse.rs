//! Which connections to an application serve another request, and which never do (H05, H07, H08).

use std::time::Duration;

use super::{anonymous, kept, site};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// The next request comes on a connection of its own.
async fn is_served_anew(application: &RawApplication, client: &mut Wire) {
    client.send(anonymous("POST /public/next", "Content-Length: 4\r\n", "data")).await.unwrap();
    let mut second = soon(application.accept()).await;
    let seen = soon(second.request()).await.unwrap();
    assert_eq!((seen.line(), &seen.body[..]), ("POST /public/next HTTP/1.1", &b"data"[..]));
    second.send(OK).await.unwrap();
    let reply = soon(client.reply(false)).await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (200, &b"ok"[..]));
}

#[tokio::test]
async fn h08_what_an_application_says_while_nobody_asks_is_nobodys_answer() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let mut first = kept(&application, &mut client).await;
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await.unwrap();
    // It lies in the gateway's socket before the next request is sent.
    tokio::time::sleep(Duration::from_millis(50)).await;
    is_served_anew(&application, &mut client).await;
    assert_eq!(soon(first.rest()).await, b"", "the connection is closed, and nothing was sent on it");
}

#[tokio::test]
async fn h07_what_cannot_be_sent_twice_is_not_sent_on_a_connection_that_was_closed() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    drop(kept(&application, &mut client).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    is_served_anew(&application, &mut client).await;
}

#[tokio::test]
async fn h05_h07_a_connection_with_half_an_upload_on_it_is_not_used_again() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/upload", CHUNKED, "4\r\nhalf\r\n")).await.unwrap();
    let mut first = soon(application.accept()).await;
    soon(first.request_head()).await.unwrap();
    assert_eq!(soon(first.chunk()).await.unwrap(), b"half");
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345").await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 200);
    // What the client goes on with is no chunk, and looks like a request.
    client.send(format!("zz\r\n{}", anonymous("GET /public/smuggled", "", ""))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.send("67890").await.unwrap();
    let mut other = site.connect().await;
    is_served_anew(&application, &mut other).await;
    assert_eq!(soon(first.rest()).await, b"", "half an upload has no end");
    drop(client);
    let log = site.log().await;
    assert!(log.iter().all(|line| line["path"] != "/public/smuggled"), "{log:#?}");
}

#[tokio::test]
async fn h07_an_answer_that_began_in_two_reads_began() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let mut first = kept(&application, &mut client).await;
    client.send(anonymous("GET /public/pay", "Accept: application/json\r\n", "")).await.unwrap();
    soon(first.request()).await.unwrap();
    first.send("HTTP/1.1 2").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.send("00 O").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(first);
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 502, "the request is not sent again");
    is_served_anew(&application, &mut client).await;
}

#[tokio::test]
async fn h06_h07_an_upload_goes_on_behind_an_answer_without_a_body() {
    for (method, head) in [
        ("POST", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("POST", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let application = RawApplication::start().await;
        let site = site(&application.url()).await;
        let mut client = site.connect().await;
        client.send(anonymous(&format!("{method} /public/upload"), CHUNKED, "4\r\nhalf\r\n")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request_head()).await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), b"half");
        upstream.send(head).await.unwrap();
        soon(client.reply(true)).await.unwrap();
        client.send("4\r\nrest\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), b"rest", "{head}");
        assert_eq!(soon(upstream.chunk()).await, None);
        client.send(anonymous("GET /public/next", "", "")).await.unwrap();
        let next = soon(async {
            tokio::select! {
                next = upstream.request() => next,
                _ = application.accept() => None,
            }
        });
        assert_eq!(next.await.expect("the same connection").line(), "GET /public/next HTTP/1.1", "{head}");
    }
}
