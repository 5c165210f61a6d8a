//! What an application may do to its own request, and to no other (H07, H08).

use super::{anonymous, kept, site};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn h07_a_kept_connection_is_used_again() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let mut upstream = kept(&application, &mut client).await;
    client.send(anonymous("POST /public/second", "Content-Length: 4\r\n", "data")).await.unwrap();
    assert_eq!(soon(upstream.request()).await.unwrap().body, b"data");
}

#[tokio::test]
async fn h07_an_idempotent_request_is_sent_again_when_a_kept_connection_closes_unanswered() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let application = RawApplication::start().await;
        let site = site(&application.url()).await;
        let mut client = site.connect().await;
        let mut first = kept(&application, &mut client).await;
        client.send(anonymous(&format!("{method} /public/again"), "", "")).await.unwrap();
        assert!(soon(first.request()).await.unwrap().line().starts_with(method));
        drop(first);
        let mut second = soon(application.accept()).await;
        assert!(soon(second.request()).await.unwrap().line().starts_with(method));
        second.send(if method == "HEAD" { "HTTP/1.1 200 OK\r\n\r\n" } else { OK }).await.unwrap();
        assert_eq!(soon(client.reply(method == "HEAD")).await.unwrap().status, 200, "{method}");
    }
}

#[tokio::test]
async fn h07_what_may_have_been_done_is_not_done_twice() {
    let body = "Content-Length: 4\r\n";
    for (request, partial) in [
        (anonymous("POST /public/pay", body, "data"), ""),
        (anonymous("POST /public/pay", "", ""), ""),
        (anonymous("PATCH /public/pay", "", ""), ""),
        (anonymous("PUT /public/pay", body, "data"), ""),
        (anonymous("GET /public/pay", "", ""), "HTTP/1.1 200"),
    ] {
        let application = RawApplication::start().await;
        let site = site(&application.url()).await;
        let mut client = site.connect().await;
        let mut first = kept(&application, &mut client).await;
        client.send(request.clone()).await.unwrap();
        soon(first.request()).await.unwrap();
        first.send(partial).await.unwrap();
        drop(first);
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 502, "{request}");
        // The next request on this worker finds a connection of its own, and nothing came before it.
        client.send(anonymous("GET /public/next", "", "")).await.unwrap();
        let mut second = soon(application.accept()).await;
        assert_eq!(soon(second.request()).await.unwrap().line(), "GET /public/next HTTP/1.1", "{request}");
    }
}

#[tokio::test]
async fn h07_a_request_that_a_new_connection_leaves_unanswered_is_not_sent_again() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "Accept: application/json\r\n", "")).await.unwrap();
    let mut first = soon(application.accept()).await;
    soon(first.request()).await.unwrap();
    drop(first);
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 502);
    assert_eq!(site.log().await[0]["reason"], "upstream_closed");
}

#[tokio::test]
async fn h07_a_connection_is_not_used_again_after_a_body_that_broke_off() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", "Content-Length: 10\r\n", "half")).await.unwrap();
    let mut first = soon(application.accept()).await;
    soon(first.request_head()).await.unwrap();
    drop(client);
    assert_eq!(soon(first.rest()).await, b"half", "the application's connection ends with the client's");
    let log = site.log().await;
    assert_eq!((log[0]["reason"].as_str(), log[0]["bytes_in"].as_u64()), (Some("request_broken"), Some(4)));
}

#[tokio::test]
async fn h08_what_is_no_answer_is_a_502_for_this_request_alone() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-Huge: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(1000));
    let cases = [
        ("SSH-2.0-OpenSSH_9.9\r\n", "upstream_invalid"),
        ("HTTP/1.1 ok\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "upstream_invalid"),
        ("", "upstream_closed"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "upstream_closed"),
        (&huge, "upstream_invalid"),
        (&many, "upstream_invalid"),
    ];
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    for (answer, _) in cases {
        client.send(anonymous("GET /public/bad", "Accept: application/json\r\n", "")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request()).await.unwrap();
        // The gateway may have heard enough before everything is said.
        let _ = upstream.send(answer).await;
        drop(upstream);
        let reply = soon(client.reply(false)).await.unwrap();
        let short: String = answer.chars().take(60).collect();
        assert_eq!(reply.status, 502, "{short:?}: {}", String::from_utf8_lossy(&reply.body));
        assert_eq!(reply.header("content-type"), Some("application/json"), "{short:?}");
    }
    client.send(anonymous("GET /public/good", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    drop(client);
    let log = site.log().await;
    let found: Vec<_> = log.iter().map(|line| line["reason"].as_str()).collect();
    let expected: Vec<_> = cases.iter().map(|(_, reason)| Some(*reason)).chain([None]).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn h08_an_answer_too_many_is_nobodys() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/first", "", "")).await.unwrap();
    let mut first = soon(application.accept()).await;
    soon(first.request()).await.unwrap();
    first.send([OK, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat()).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().body, b"ok");
    assert_eq!(soon(first.rest()).await, b"", "a connection with an answer too many is closed");
    client.send(anonymous("GET /public/second", "", "")).await.unwrap();
    let mut second = soon(application.accept()).await;
    soon(second.request()).await.unwrap();
    second.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().body, b"ok");
}

/// Asks for `line` with these fields, and is answered on a connection that the gateway must not use again.
async fn answered_and_ended(application: &RawApplication, client: &mut Wire, line: &str, fields: &str, answer: &str) {
    client.send(anonymous(line, fields, "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send(answer).await.unwrap();
    let reply = soon(client.reply(line.starts_with("HEAD "))).await.unwrap();
    assert!(answer.contains(&reply.status.to_string()), "{answer:?}: {}", reply.head);
    assert_eq!(soon(upstream.rest()).await, b"", "{line}: {fields}: {answer:?}");
}

#[tokio::test]
async fn h08_a_body_that_an_answer_must_not_have_is_nobodys_answer() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let long = "Content-Length: 42\r\n\r\n";
    let chunks = "Transfer-Encoding: chunked\r\n\r\n";
    for (line, status, rest) in [
        ("HEAD /public/x", "200 OK", long),
        ("HEAD /public/x", "200 OK", chunks),
        // The body of such an answer ends with its connection.
        ("HEAD /public/x", "200 OK", "\r\n"),
        ("HEAD /public/x", "404 Not Found", long),
        ("HEAD /public/x", "304 Not Modified", long),
        ("GET /public/x", "204 No Content", long),
        ("GET /public/x", "204 No Content", chunks),
        ("GET /public/x", "304 Not Modified", long),
        ("GET /public/x", "304 Not Modified", chunks),
    ] {
        // It may come a moment later, when the connection is idle or somebody else's.
        let answer = format!("HTTP/1.1 {status}\r\n{rest}");
        answered_and_ended(&application, &mut client, line, "", &answer).await;
    }
}

#[tokio::test]
async fn h07_an_answer_that_is_empty_by_its_head_too_keeps_its_connection() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let mut upstream = kept(&application, &mut client).await;
    for (line, answer) in [
        ("HEAD /public/x", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("HEAD /public/x", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET /public/x", "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n"),
        ("GET /public/x", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET /public/x", "HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        client.send(anonymous(line, "", "")).await.unwrap();
        assert!(soon(upstream.request()).await.unwrap().line().starts_with(line));
        upstream.send(answer).await.unwrap();
        soon(client.reply(true)).await.unwrap();
    }
}

#[tokio::test]
async fn h07_a_connection_that_a_person_signs_in_on_is_nobody_elses() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    for value in ["NTLM TlRMTVNTUAAB", "Negotiate YII=", "negotiate\tYII=", "ntlm", "Nego2 x", "Kerberos x"] {
        let field = format!("Authorization: {value}\r\n");
        answered_and_ended(&application, &mut client, "GET /public/x", &field, OK).await;
    }
    // Schemes that say with each request who asks leave the connection as it was.
    let mut upstream = kept(&application, &mut client).await;
    for value in ["Basic eDp5", "Bearer x", "NTLMv9 x", "Negotiated x", ""] {
        client.send(anonymous("GET /public/x", &format!("Authorization: {value}\r\n"), "")).await.unwrap();
        soon(upstream.request()).await.unwrap();
        upstream.send(OK).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{value}");
    }
}
