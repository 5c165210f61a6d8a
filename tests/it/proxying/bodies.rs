//! Bodies are streamed both ways, and what has no body has none (H06).

use std::time::Duration;

use super::{IDENTITY, anonymous, site};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::RawApplication;

/// Much more than every buffer between a client and an application together.
const MUCH: usize = 64 << 20;

/// A site, a client's connection, the application's end of it, and a request that the application has the head of.
macro_rules! begun {
    ($application:ident, $site:ident, $client:ident, $upstream:ident, $seen:ident, $request:expr) => {
        let $application = RawApplication::start().await;
        let $site = site(&$application.url()).await;
        let mut $client = $site.connect().await;
        $client.send($request).await.unwrap();
        let mut $upstream = soon($application.accept()).await;
        let $seen = soon($upstream.request_head()).await.unwrap();
        let _ = (&$site, &$seen);
    };
}

#[tokio::test]
async fn h06_the_application_has_the_first_piece_before_the_client_sends_the_last() {
    begun!(
        a,
        s,
        client,
        upstream,
        seen,
        anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n")
    );
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"first");
    client.send("4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"last");
    assert_eq!(soon(upstream.chunk()).await, None);
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 204);
}

#[tokio::test]
async fn h06_the_client_has_the_first_event_before_the_application_sends_the_next() {
    begun!(a, s, client, upstream, seen, anonymous("GET /public/events", "Accept: text/event-stream\r\n", ""));
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let head = soon(client.head()).await.unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    for number in 0..3 {
        let event = format!("data: {number}\n\n");
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await.unwrap();
        assert_eq!(soon(client.chunk()).await.unwrap(), event.as_bytes());
    }
}

#[tokio::test]
async fn h06_an_upload_waits_for_the_application_and_comes_whole() {
    begun!(a, s, client, upstream, seen, anonymous("POST /public/x", &format!("Content-Length: {MUCH}\r\n"), ""));
    let (piece, mut sent) = (vec![7u8; 1 << 20], 0);
    // The application reads nothing: soon the client cannot write, because nobody keeps what nobody takes.
    while let Ok(moved) = tokio::time::timeout(Duration::from_secs(2), client.send_some(&piece)).await {
        sent += moved.unwrap();
        assert!(sent < MUCH / 2, "the gateway keeps {sent} bytes that the application does not take");
    }
    let sending = tokio::spawn(async move {
        while sent < MUCH {
            sent += client.send_some(&piece[..piece.len().min(MUCH - sent)]).await.unwrap();
        }
        client
    });
    let mut received = 0;
    while received < MUCH {
        let some = soon(upstream.bytes()).await;
        assert!(!some.is_empty() && some.iter().all(|byte| *byte == 7));
        received += some.len();
    }
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(soon(sending).await.unwrap().reply(false)).await.unwrap().status, 204);
}

#[tokio::test]
async fn h06_a_download_waits_for_the_client_and_comes_whole() {
    begun!(a, s, client, upstream, seen, anonymous("GET /public/x", "", ""));
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n")).await.unwrap();
    let (piece, mut sent) = (vec![7u8; 1 << 20], 0);
    while let Ok(moved) = tokio::time::timeout(Duration::from_secs(2), upstream.send_some(&piece)).await {
        sent += moved.unwrap();
        assert!(sent < MUCH / 2, "the gateway keeps {sent} bytes that the client does not take");
    }
    let sending = tokio::spawn(async move {
        while sent < MUCH {
            sent += upstream.send_some(&piece[..piece.len().min(MUCH - sent)]).await.unwrap();
        }
        upstream
    });
    let reply = soon(client.reply(false)).await.unwrap();
    assert_eq!((reply.header("content-length"), reply.body.len()), (Some("67108864"), MUCH));
    assert!(reply.body.iter().all(|byte| *byte == 7));
    drop(soon(sending).await);
}

#[tokio::test]
async fn h06_answers_without_a_body_keep_what_their_head_says() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"e\"\r\n\r\n", 200, Some("1234")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200, None),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"e\"\r\nContent-Length: 5\r\n\r\n", 200, Some("5")),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5, 05\r\n\r\n", 304, Some("5")),
        ("GET", "HTTP/1.1 204 No Content\r\nETag: \"e\"\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n", 304, None),
    ];
    begun!(a, s, client, upstream, seen, anonymous("GET /public/x", "", ""));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    soon(client.reply(false)).await.unwrap();
    for (method, answer, status, length) in cases {
        client.send(anonymous(&format!("{method} /public/x"), "If-None-Match: \"e\"\r\n", "")).await.unwrap();
        let seen = match soon(upstream.request()).await {
            Some(seen) => seen,
            // Where a body was announced the connection is not used again.
            None => {
                upstream = soon(a.accept()).await;
                soon(upstream.request()).await.unwrap()
            }
        };
        assert_eq!(seen.all("if-none-match"), ["\"e\""]);
        upstream.send(answer).await.unwrap();
        let reply = soon(client.reply(true)).await.unwrap();
        assert_eq!((reply.status, reply.header("content-length")), (status, length), "{method} {answer:?}");
        assert_eq!(reply.header("etag").is_some(), answer.contains("ETag"));
        assert_eq!(reply.head.matches("content-length").count(), usize::from(length.is_some()), "{answer:?}");
    }
}

#[tokio::test]
async fn h06_a_range_is_asked_for_and_answered() {
    begun!(a, s, client, upstream, seen, anonymous("GET /public/x", "Range: bytes=2-4\r\nIf-Range: \"e\"\r\n", ""));
    assert_eq!((seen.all("range"), seen.all("if-range")), (vec!["bytes=2-4"], vec!["\"e\""]));
    let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/9\r\nContent-Length: 3\r\n\r\nabc";
    upstream.send(answer).await.unwrap();
    let reply = soon(client.reply(false)).await.unwrap();
    assert_eq!((reply.status, reply.header("content-range")), (206, Some("bytes 2-4/9")));
    assert_eq!(reply.body, b"abc");
}

#[tokio::test]
async fn h06_interim_answers_are_passed_over() {
    begun!(a, s, client, upstream, seen, anonymous("GET /public/x", "", ""));
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    upstream.send(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).await.unwrap();
    let reply = soon(client.reply(false)).await.unwrap();
    assert_eq!((reply.status, reply.header("link"), reply.body.as_slice()), (200, None, b"ok".as_slice()));
}

#[tokio::test]
async fn h06_continue_is_said_once_the_request_is_allowed() {
    let expects = "Expect: 100-continue\r\nContent-Length: 4\r\n";
    begun!(a, s, client, upstream, seen, anonymous("POST /public/x", expects, ""));
    assert_eq!(seen.all("expect"), Vec::<&str>::new());
    assert_eq!(soon(client.head()).await.unwrap().status, 100);
    client.send("data").await.unwrap();
    assert_eq!(soon(upstream.bytes()).await, b"data");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 204);
}

#[tokio::test]
async fn h06_a_denied_request_is_not_asked_for_its_body() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let expects = "Expect: 100-continue\r\nContent-Length: 4\r\n";
    for (request, status) in
        [(site.request("POST /admin/x", expects, ""), 403), (anonymous("POST /private", expects, ""), 401)]
    {
        assert_eq!(site.ask(request).await.status, status);
    }
    assert_eq!(application.seen().len(), 0);
}

#[tokio::test]
async fn h06_an_answer_that_ends_with_its_connection_is_chunked_for_new_clients_and_ends_so_for_old_ones() {
    for version in ["1.1", "1.0"] {
        let request = format!("GET /public/x HTTP/{version}\r\nHost: app.localhost\r\n\r\n");
        begun!(a, s, client, upstream, seen, request);
        upstream.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold").await.unwrap();
        drop(upstream);
        let reply = soon(client.reply(false)).await.unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"old".as_slice()));
        assert_eq!(reply.header("transfer-encoding"), (version == "1.1").then_some("chunked"));
        // The version on the client's connection is the gateway's word (RFC 9110 section 2.5).
        assert!(version == "1.0" || reply.head.starts_with("HTTP/1.1 "), "{}", reply.head);
    }
}

#[tokio::test]
async fn h06_an_answer_that_breaks_off_breaks_off_for_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        begun!(a, site, client, upstream, seen, anonymous("GET /public/x", "", ""));
        upstream.send(answer).await.unwrap();
        assert_eq!(soon(client.head()).await.unwrap().status, 200);
        drop(upstream);
        let rest = soon(client.rest()).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a broken answer looks whole");
        let log = site.log().await;
        assert_eq!((&log[0]["complete"], &log[0]["reason"]), (&false.into(), &"upstream_broke_off".into()));
    }
}
