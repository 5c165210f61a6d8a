//! Requests at once in an application: in all, of one person, and for how long a request counts.

use serde_json::json;

use super::{log, with_reason};
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire, WireReply};

/// A gateway in front of an application of which the test writes every byte.
async fn gateway(application: &RawApplication, limits: &str) -> TestGateway {
    let clock = clock();
    let provider = provider(&clock).await;
    let policy = super::limited(&application.url(), limits);
    Setup::new(&clock).provider(&provider).settings(super::BEHIND_A_PROXY).policy("app", &policy).start().await
}

fn request(path: &str, client: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {client}\r\n{fields}\r\n")
}

/// Sends a request and takes it as the application, without an answer yet.
async fn begin(gateway: &TestGateway, application: &RawApplication, request: &str) -> (Wire, Wire) {
    let mut client = Wire::connect(gateway.address()).await;
    client.send(request).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    (client, upstream)
}

/// The same once there is room: a place comes back a moment after its request has ended.
async fn begin_when_free(gateway: &TestGateway, application: &RawApplication, request: &str) -> (Wire, Wire) {
    let begun = async {
        loop {
            let mut client = Wire::connect(gateway.address()).await;
            client.send(request).await.unwrap();
            tokio::select! {
                upstream = application.accept() => return (client, upstream),
                reply = client.reply(false) => assert_eq!(reply.unwrap().status, 503),
            }
        }
    };
    let (client, mut upstream) = soon(begun).await;
    soon(upstream.request()).await.unwrap();
    (client, upstream)
}

/// The answer to a request that is not let in.
async fn refused(gateway: &TestGateway, request: &str) -> WireReply {
    let mut client = Wire::connect(gateway.address()).await;
    client.send(request).await.unwrap();
    soon(client.reply(false)).await.unwrap()
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn d03_an_application_that_is_full_gets_no_more_and_everybody_else_503() {
    let application = RawApplication::start().await;
    let gateway = gateway(&application, "[limits]\nconcurrency = 2").await;
    let ask = |client: &str| request("/public/x", client, "");
    let (mut first, mut first_upstream) = begin(&gateway, &application, &ask("192.0.2.1")).await;
    let (second, second_upstream) = begin(&gateway, &application, &ask("192.0.2.2")).await;
    let reply = refused(&gateway, &ask("192.0.2.3")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    // Half an answer is still in the application.
    first_upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await.unwrap();
    assert_eq!(soon(first.head()).await.unwrap().status, 200);
    assert_eq!(soon(first.bytes()).await, b"hello");
    assert_eq!(refused(&gateway, &ask("192.0.2.3")).await.status, 503);
    first_upstream.send("world").await.unwrap();
    assert_eq!(soon(first.bytes()).await, b"world");
    // The first one's place is free.
    drop(first_upstream);
    let (mut third, mut third_upstream) = begin_when_free(&gateway, &application, &ask("192.0.2.3")).await;
    third_upstream.send(ANSWER).await.unwrap();
    assert_eq!(soon(third.reply(false)).await.unwrap().status, 200);
    drop((second, second_upstream));
    let log = log(gateway).await;
    let full = with_reason(&log, "too_many_in_flight");
    assert!(full.len() >= 2, "{log:#?}");
    assert!(full.iter().all(|line| line["decision"] == "refused" && line["upstream"].is_null()));
}

#[tokio::test]
async fn d03_a_client_that_leaves_gives_its_place_back() {
    let application = RawApplication::start().await;
    let gateway = gateway(&application, "[limits]\nconcurrency = 1").await;
    for _ in 0..5 {
        let ask = request("/public/x", "192.0.2.1", "");
        let (client, mut upstream) = begin_when_free(&gateway, &application, &ask).await;
        drop(client);
        assert_eq!(soon(upstream.rest()).await, b"", "the application is let go");
    }
}

#[tokio::test]
async fn d03_one_client_cannot_take_all_places() {
    let application = RawApplication::start().await;
    let gateway = gateway(&application, "[limits]\nconcurrency = 3\nconcurrency_per_person = 2").await;
    let ask = |client: &str| request("/public/x", client, "Accept: application/json\r\n");
    let mut greedy = Vec::new();
    for _ in 0..2 {
        greedy.push(begin(&gateway, &application, &ask("192.0.2.1")).await);
    }
    let reply = refused(&gateway, &ask("192.0.2.1")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")));
    let (mut other, mut upstream) = begin(&gateway, &application, &ask("192.0.2.2")).await;
    upstream.send(ANSWER).await.unwrap();
    assert_eq!(soon(other.reply(false)).await.unwrap().status, 200);
    drop((greedy, upstream));
    let log = log(gateway).await;
    assert_eq!(with_reason(&log, "too_many_of_one").len(), 1);
}

#[tokio::test]
async fn d03_a_websocket_is_in_the_application_for_as_long_as_it_is_open() {
    let application = RawApplication::start().await;
    let rule = "[[rules]]\nname = \"sockets\"\npaths = [\"/public/socket\"]\naccess = \"public\"\nlimits = { concurrency = 1 }";
    let gateway = gateway(&application, rule).await;
    let asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let socket = request("/public/socket", "192.0.2.1", asked);
    let (mut client, mut upstream) = begin(&gateway, &application, &socket).await;
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi";
    upstream.send(switched).await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 101);
    assert_eq!(soon(client.bytes()).await, b"hi");
    assert_eq!(refused(&gateway, &socket).await.status, 503);
    let (mut page, mut page_upstream) = begin(&gateway, &application, &request("/public/x", "192.0.2.1", "")).await;
    page_upstream.send(ANSWER).await.unwrap();
    assert_eq!(soon(page.reply(false)).await.unwrap().status, 200, "another rule");
    drop(client);
    assert_eq!(soon(upstream.rest()).await, b"");
    drop((upstream, page_upstream));
    drop(begin_when_free(&gateway, &application, &socket).await);
}

#[tokio::test]
async fn d03_limits_of_a_reload_count_what_is_under_way() {
    let application = RawApplication::start().await;
    let gateway = gateway(&application, "[limits]\nconcurrency = 5").await;
    let ask = request("/public/x", "192.0.2.1", "");
    let (client, upstream) = begin(&gateway, &application, &ask).await;
    gateway.write("policies/app.toml", &super::limited(&application.url(), "[limits]\nconcurrency = 1"));
    let address = format!("http://127.0.0.1:{}/reload", gateway.admin().port());
    assert_eq!(Browser::new().fetch(http::Method::POST, &address).await.json()["outcome"], json!("applied"));
    assert_eq!(refused(&gateway, &ask).await.status, 503);
    drop((client, upstream));
}
