//! Applications that answer before they have taken the request: what is still sent belongs to that request alone, and it counts as one for as
//! long as it is under way (H05, D01, D03, L04).

use std::time::{Duration, Instant};

use super::floods::Door;
use super::{Plan, Site, anonymous, site};
use crate::harness::frames::{DATA, RST_STREAM, frame, opening, request};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// What a read of the gateway may bring at the most.
const PIECE: usize = 128 << 10;

/// An application that reads little ahead of what it takes, so that an upload waits for it soon.
async fn slow() -> RawApplication {
    RawApplication::start_with_room(4 << 10).await
}

fn one_chunk(byte: &str, length: usize) -> String {
    format!("{length:x}\r\n{}\r\n0\r\n\r\n", byte.repeat(length))
}

/// Begins an upload that is answered at once: the client's side and the application's, which has read the head alone.
async fn begun(site: &Site, application: &RawApplication) -> (Wire, Wire) {
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/first", CHUNKED, "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    upstream.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    (client, upstream)
}

/// Begins an upload of which the application sends the answer's head at once, and no more.
async fn headed(site: &Site, application: &RawApplication, sent: &str) -> (Wire, Wire) {
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", CHUNKED, sent)).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    soon(client.head()).await.unwrap();
    (client, upstream)
}

/// Lengths of bodies of which about the last piece is more than the sockets on the way to an application take that reads nothing.
async fn lengths(site: &Site, application: &RawApplication) -> impl Iterator<Item = usize> + use<> {
    let (mut client, upstream) = begun(site, application).await;
    client.send(format!("{:x}\r\n", 1usize << 30)).await.unwrap();
    let much = vec![b'x'; 1 << 20];
    while let Ok(moved) = tokio::time::timeout(Duration::from_millis(500), client.send_some(&much)).await {
        moved.unwrap();
    }
    let room = upstream.waiting();
    (0..12).map(move |step| (room + step * PIECE / 8).saturating_sub(PIECE / 2))
}

/// Reads the rest of the upload.
async fn body(upstream: &mut Wire) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(chunk) = soon(upstream.chunk()).await {
        body.extend(chunk);
    }
    body
}

#[tokio::test]
async fn h05_what_an_application_takes_late_is_of_its_own_request_alone() {
    let application = slow().await;
    let site = site(&application.url()).await;
    for length in lengths(&site, &application).await {
        let (mut client, mut upstream) = begun(&site, &application).await;
        client.send(one_chunk("a", length)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.send(anonymous("POST /public/second", CHUNKED, "")).await.unwrap();
        // Either it waits for the first, or that has gone.
        let mut other = tokio::time::timeout(Duration::from_millis(100), application.accept()).await.ok();
        let later = async {
            // The application has taken the first meanwhile, as far as it goes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.send(one_chunk("b", 1000)).await.unwrap();
        };
        let (first, ()) = soon(async { tokio::join!(body(&mut upstream), later) }).await;
        assert!(first.len() == length && first.iter().all(|byte| *byte == b'a'), "{} of {length}", first.len());
        let second = soon(async {
            match &mut other {
                Some(other) => other.request().await.unwrap(),
                None => tokio::select! {
                    second = upstream.request() => second.unwrap(),
                    mut new = application.accept() => {
                        let second = new.request().await.unwrap();
                        upstream = new;
                        second
                    }
                },
            }
        })
        .await;
        assert_eq!((second.line(), second.body.len()), ("POST /public/second HTTP/1.1", 1000), "{length}");
        assert!(second.body.iter().all(|byte| *byte == b'b'));
        other.as_mut().unwrap_or(&mut upstream).send(OK).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn h05_a_connection_whose_upload_is_not_taken_yet_serves_the_next_request_later() {
    let application = slow().await;
    let site = site(&application.url()).await;
    for length in lengths(&site, &application).await.step_by(3) {
        let (mut client, mut upstream) = begun(&site, &application).await;
        client.send(one_chunk("a", length)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // A connection that is idle from now on is parked when the watchman has looked at all of them.
        let mut marker = site.connect().await;
        marker.send(anonymous("GET /.lychgate/me", "Accept: application/json\r\n", "")).await.unwrap();
        assert_eq!(soon(marker.reply(false)).await.unwrap().status, 401);
        soon(async {
            while site.gauge("lychgate_connections_parked").await == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(body(&mut upstream).await.len(), length);
        client.send(anonymous("GET /public/second", "", "")).await.unwrap();
        let second = soon(upstream.request()).await.unwrap();
        assert_eq!(second.line(), "GET /public/second HTTP/1.1");
        upstream.send(OK).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200, "{length}");
        drop(marker);
    }
}

#[tokio::test]
async fn d03_an_upload_that_was_answered_early_keeps_its_place_to_its_end() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "[limits]\nconcurrency = 1\n");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let (mut client, mut upstream) = begun(&site, &application).await;
    let busy = anonymous("GET /public/other", "Accept: application/json\r\n", "");
    for _ in 0..3 {
        client.send("1\r\nx\r\n").await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), b"x");
        assert_eq!(site.ask(&busy).await.status, 503);
    }
    client.send("0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await, None);
    // The place is free a moment after the upload has ended.
    soon(async {
        loop {
            let mut other = site.connect().await;
            other.send(&busy).await.unwrap();
            let seen = tokio::select! {
                seen = upstream.request() => seen,
                // Another worker has a connection of its own.
                mut own = application.accept() => own.request().await,
                reply = other.reply(false) => {
                    assert_eq!(reply.unwrap().status, 503);
                    continue;
                }
            };
            return assert_eq!(seen.unwrap().line(), "GET /public/other HTTP/1.1");
        }
    })
    .await;
}

#[tokio::test]
async fn l04_an_upload_that_was_answered_early_ends_with_its_session() {
    let application = RawApplication::start().await;
    let (upstream, settings) = (format!("\"{}\"", application.url()), "[timeouts]\nbody_stall = \"1h\"\n");
    let site = Plan { upstream: &upstream, settings, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(site.request("POST /mine", CHUNKED, "1\r\nx\r\n")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"x");
    upstream.send(OK).await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    let form = format!("Origin: http://{HOST}:{}\r\nContent-Length: 0\r\n", site.gateway.address().port());
    let head = format!(
        "POST /.lychgate/logout HTTP/1.1\r\nHost: {HOST}:{}\r\nCookie: {}\r\n{form}\r\n",
        site.gateway.address().port(),
        site.cookie
    );
    let reply = site.ask(head).await;
    assert!(matches!(reply.status, 302 | 303), "{}", reply.head);
    // Nothing is sent meanwhile, and both sides would wait for long.
    assert_eq!(soon(upstream.rest()).await, b"");
    let _ = soon(client.rest()).await;
}

#[tokio::test]
async fn h05_an_upload_that_was_answered_early_and_is_taken_back_is_not_whole_over_http2() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let mut client = Wire::over(door.connect().await);
    client.send([opening(), request(1, "POST", "/public/x"), frame(DATA, 0, 1, b"half")].concat()).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"half");
    upstream.send(OK).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        read.extend(soon(client.bytes()).await);
    }
    client.send(frame(RST_STREAM, 0, 1, &[0; 4])).await.unwrap();
    assert_eq!(soon(upstream.rest()).await, b"");
}

#[tokio::test]
async fn h06_an_answer_that_waits_for_its_upload_is_not_silent() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { stall = \"1s\" }");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let (mut client, mut upstream) = headed(&site, &application, "").await;
    // Three times as long as the application may be silent.
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.send("1\r\nx\r\n").await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.as_deref(), Some(&b"x"[..]));
    }
    client.send("0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await, None);
    upstream.send("ok").await.unwrap();
    assert_eq!(soon(client.bytes()).await, b"ok");
}

#[tokio::test]
async fn h06_an_application_has_its_time_from_the_end_of_the_upload() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { stall = \"1500ms\" }");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let (mut client, mut upstream) = headed(&site, &application, "1\r\nx\r\n").await;
    // The one silence and the other are together longer than the limit.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    client.send("4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    while soon(upstream.chunk()).await.is_some() {}
    tokio::time::sleep(Duration::from_millis(1000)).await;
    upstream.send("ok").await.unwrap();
    assert_eq!(soon(client.bytes()).await, b"ok");
}

#[tokio::test]
async fn h06_an_answer_is_silent_when_its_upload_is_not_taken_any_more() {
    let application = slow().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { stall = \"300ms\" }");
    let settings = "[timeouts]\nbody_stall = \"1h\"\n";
    let site = Plan { upstream: &upstream, app, settings, ..Plan::default() }.start().await;
    let (mut client, _upstream) = headed(&site, &application, "").await;
    let much = vec![b'x'; 1 << 20];
    client.send(format!("{:x}\r\n", 1usize << 30)).await.unwrap();
    soon(async { while client.send(&much).await.is_ok() {} }).await;
    drop(client);
    assert_eq!(site.log().await[0]["reason"], "upstream_broke_off");
}

#[tokio::test]
async fn h06_an_upload_that_fails_behind_the_head_of_its_answer_ends_both() {
    let settings = "[timeouts]\nbody_stall = \"500ms\"\n[limits]\nbody = \"10KiB\"\n";
    let app = "timeouts = { stall = \"1h\" }";
    let large = format!("{:x}\r\n{}\r\n", 11 << 10, "x".repeat(11 << 10));
    for (sent, reason) in [
        (None, "request_broken"),
        (Some("no length of a chunk\r\n"), "request_broken"),
        (Some(&*large), "request_too_large"),
        (Some(""), "request_stalled"),
    ] {
        let application = RawApplication::start().await;
        let upstream = format!("\"{}\"", application.url());
        let site = Plan { upstream: &upstream, app, settings, ..Plan::default() }.start().await;
        let (mut client, mut upstream) = headed(&site, &application, "1\r\nx\r\n").await;
        let began = Instant::now();
        match sent {
            Some(sent) => client.send(sent).await.unwrap(),
            None => drop(client),
        }
        soon(upstream.rest()).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(if sent.is_none() { 1 } else { 5 }), "{reason}: {took:?}");
        let log = site.log().await;
        assert_eq!((&log[0]["reason"], &log[0]["complete"]), (&reason.into(), &false.into()), "{log:#?}");
    }
}

#[tokio::test]
async fn h06_an_error_page_that_comes_when_its_upload_has_failed_arrives() {
    let application = RawApplication::start().await;
    let (upstream, app) = (format!("\"{}\"", application.url()), "timeouts = { stall = \"1h\" }");
    let site = Plan { upstream: &upstream, app, ..Plan::default() }.start().await;
    let (mut client, mut upstream) = headed(&site, &application, "1\r\nx\r\n").await;
    client.send("no length of a chunk\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    upstream.send("no").await.unwrap();
    assert_eq!(soon(client.bytes()).await, b"no");
    // The connection had half a request.
    soon(upstream.rest()).await;
    let log = site.log().await;
    assert_eq!((&log[0]["reason"], &log[0]["complete"]), (&"request_broken".into(), &true.into()), "{log:#?}");
}
