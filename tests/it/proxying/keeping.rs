//! When a client's connection on HTTP/1.1 goes on, and when it ends (H05, H07).

use bytes::Bytes;
use http::Response;

use super::{IDENTITY, anonymous, site};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::RawApplication;

async fn echoing() -> Application {
    Application::answering(IDENTITY, |seen| Response::new(Bytes::from(seen.target.clone()))).await
}

#[tokio::test]
async fn h07_an_old_client_keeps_its_connection_where_it_asks_to_and_is_told_so() {
    let application = echoing().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let old = |target: &str, fields: &str| format!("GET {target} HTTP/1.0\r\nHost: app.localhost\r\n{fields}\r\n");
    for target in ["/public/1", "/public/2"] {
        client.send(old(target, "Connection: Keep-Alive\r\n")).await.unwrap();
        let reply = soon(client.reply(false)).await.unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (200, target.as_bytes()));
        assert!(reply.head.starts_with("HTTP/1.0 200 "), "{}", reply.head);
        assert_eq!(reply.header("connection"), Some("keep-alive"));
    }
    client.send(old("/public/3", "")).await.unwrap();
    let reply = soon(client.reply(false)).await.unwrap();
    assert_eq!((reply.body.as_slice(), reply.header("connection")), (b"/public/3".as_slice(), None));
    assert_eq!(soon(client.rest()).await, b"");
}

#[tokio::test]
async fn h05_a_body_that_nobody_wants_and_that_has_come_is_passed_over() {
    let application = echoing().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (fields, body) in
        [("Content-Length: 27\r\n", "GET /public/smuggled HTTP/1."), (chunked, "3\r\nabc\r\n0\r\n\r\n")]
    {
        let body = &body[..body.len().min(27)];
        // Both messages in one packet: the next request is the one behind the body.
        let packet = [anonymous("POST /private", fields, body), anonymous("GET /public/next", "", "")].concat();
        client.send(packet).await.unwrap();
        let refused = soon(client.reply(false)).await.unwrap();
        assert_eq!((refused.status, refused.header("connection")), (401, None));
        assert_eq!(soon(client.reply(false)).await.unwrap().body, b"/public/next");
    }
    assert_eq!(application.seen().len(), 2);
}

#[tokio::test]
async fn h05_an_answer_before_a_body_has_come_says_that_the_connection_ends_and_it_does() {
    let application = echoing().await;
    let site = site(&application.url()).await;
    for fields in
        ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\nContent-Length: 5\r\n"]
    {
        let mut client = site.connect().await;
        client.send(anonymous("POST /private", fields, "")).await.unwrap();
        let refused = soon(client.reply(false)).await.unwrap();
        assert_eq!((refused.status, refused.header("connection")), (401, Some("close")), "{fields}");
        // What comes now is no request.
        let _ = client.send(anonymous("GET /public/smuggled", "", "")).await;
        assert_eq!(soon(client.rest()).await, b"", "{fields}");
    }
    assert_eq!(application.seen().len(), 0);
}

#[tokio::test]
async fn h05_a_request_that_comes_byte_by_byte_or_with_half_of_the_next_one_is_one_request() {
    let application = echoing().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let (first, second) =
        (anonymous("POST /public/1", "Content-Length: 3\r\n", "a\nb"), anonymous("GET /public/2", "", ""));
    for byte in first.as_bytes() {
        client.send([*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(client.reply(false)).await.unwrap().body, b"/public/1");
    let both = [first, second].concat();
    for cut in [1, both.len() / 2, both.len() - 30, both.len() - 1] {
        client.send(&both[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        client.send(&both[cut..]).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().body, b"/public/1");
        assert_eq!(soon(client.reply(false)).await.unwrap().body, b"/public/2");
    }
    assert_eq!(application.seen().len(), 9);
}

#[tokio::test]
async fn h05_what_is_still_sent_after_an_early_answer_goes_on_and_the_next_request_comes_behind_it() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", "Content-Length: 8\r\n", "half")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    assert_eq!(soon(upstream.bytes()).await, b"half");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    let early = soon(client.reply(false)).await.unwrap();
    assert_eq!((early.status, early.header("connection")), (200, None));
    client.send("rest").await.unwrap();
    assert_eq!(soon(upstream.bytes()).await, b"rest");
    client.send(anonymous("GET /public/y", "", "")).await.unwrap();
    assert_eq!(soon(upstream.request()).await.unwrap().line(), "GET /public/y HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 204);
}

#[tokio::test]
async fn h07_a_client_that_leaves_takes_its_request_along() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    drop(client);
    assert_eq!(soon(upstream.rest()).await, b"");
    let log = site.log().await;
    assert_eq!((log.len(), &log[0]["status"], &log[0]["complete"]), (1, &499.into(), &false.into()));
}

#[tokio::test]
async fn h06_an_old_client_asks_for_no_other_protocol() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.send(anonymous("GET /public/x", asked, "").replace("HTTP/1.1", "HTTP/1.0")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    let seen = soon(upstream.request()).await.unwrap();
    assert_eq!((seen.all("upgrade").len(), seen.all("connection").len()), (0, 0), "{}", seen.head);
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 204);
}

#[tokio::test]
async fn h06_an_old_client_can_tell_a_broken_answer_from_a_whole_one() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    for (part, is_whole) in [("4\r\nhalf\r\n", false), ("4\r\nhalf\r\n0\r\n\r\n", true)] {
        let mut client = site.connect().await;
        client.send(anonymous("GET /public/x", "", "").replace("HTTP/1.1", "HTTP/1.0")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request()).await.unwrap();
        upstream.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{part}")).await.unwrap();
        // Without a length, the end of the connection is all that says that the answer is there.
        let reply = soon(client.head()).await.unwrap();
        assert_eq!((reply.status, reply.header("content-length")), (200, None));
        assert_eq!(soon(client.bytes()).await, b"half");
        drop(upstream);
        let ended = soon(client.end()).await;
        assert_eq!(ended.is_ok(), is_whole, "{ended:?}");
    }
}
