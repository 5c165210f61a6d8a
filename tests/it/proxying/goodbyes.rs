//! The last answer of a connection arrives: what the client is still sending when the gateway has had enough does not take it away, and
//! an HTTP/2 client is told why (H05, D02; RFC 9112 section 9.6, RFC 9113 section 6.8).

use super::floods::Door;
use super::{IDENTITY, Plan, anonymous};
use crate::harness::application::Application;
use crate::harness::frames::{
    CALM, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, frames, opening, request,
};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::wire::Wire;

const SMALL_BODIES: &str = "[limits]\nbody = \"1KiB\"\n";
/// More than a gateway that closes at once has read by then, less than it takes to throw away.
const BEHIND: usize = 200 << 10;

/// What ends a connection while there is more to read: its bytes and the answer.
fn endings() -> Vec<(&'static str, String, u16)> {
    let more = "x".repeat(BEHIND);
    let endless = "Accept: ".to_owned() + &more;
    vec![
        ("two lengths", anonymous("POST /public/x", "Content-Length: 4\r\nContent-Length: 4\r\n", &more), 400),
        ("bare line feeds", format!("GET /public/x HTTP/1.1\nHost: {HOST}\n\n{more}"), 400),
        ("no version", format!("GET /public/x HTTP/7.1\r\nHost: {HOST}\r\n\r\n{more}"), 400),
        ("an endless head", format!("GET /public/x HTTP/1.1\r\nHost: {HOST}\r\n{endless}"), 431),
        ("a large body", anonymous("POST /public/x", &format!("Content-Length: {BEHIND}\r\n"), &more), 413),
        (
            "a large chunk",
            anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", &format!("{BEHIND:x}\r\n{more}")),
            413,
        ),
        (
            "a broken chunk",
            anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", &format!("zz\r\n{more}")),
            400,
        ),
    ]
}

/// Sends everything before it reads anything; the answer must be there, and a proper end behind it.
async fn is_told(mut client: Wire, what: &str, bytes: &str, status: u16) {
    let (first, last) = bytes.split_at(bytes.len() - 5);
    client.send(first).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let reply = client.reply(false).await.unwrap_or_else(|| panic!("{what}: no answer"));
    assert_eq!(reply.status, status, "{what}");
    // The client goes on for a moment before it looks.
    client.send(last).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    client.end().await.unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[tokio::test]
async fn h05_the_last_answer_is_not_lost_to_what_is_still_sent() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: SMALL_BODIES, ..Plan::default() }.start().await;
    for (what, bytes, status) in endings() {
        soon(is_told(site.connect().await, what, &bytes, status)).await;
    }
}

#[tokio::test]
async fn h05_the_last_answer_is_not_lost_over_tls_either() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), SMALL_BODIES).await;
    for (what, bytes, status) in endings() {
        let stream = door.authority.connect(door.site.gateway.address(), HOST, &["http/1.1"]).await;
        soon(is_told(Wire::over(stream), what, &bytes, status)).await;
    }
}

/// How much a client gets rid of on a connection that is over.
async fn goes_on_sending(client: &mut Wire) -> usize {
    let mut sent = 0;
    while let Ok(some) = client.send_some(&[0; 1 << 10]).await {
        sent += some;
    }
    sent
}

#[tokio::test]
async fn d01_a_client_that_does_not_leave_is_left() {
    let application = Application::start(IDENTITY).await;
    let site = super::site(&application.url()).await;
    let refused = anonymous("POST /public/x", "Content-Length: 4\r\nContent-Length: 4\r\n", "");
    let (mut silent, mut busy) = (site.connect().await, site.connect().await);
    for client in [&mut silent, &mut busy] {
        client.send(&refused).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 400);
    }
    // One says nothing more and keeps its socket, the other says more than is thrown away.
    let sent = soon(goes_on_sending(&mut busy)).await;
    assert!(sent < 80 << 20, "{sent} bytes");
    soon(async {
        while site.gauge("lychgate_connections").await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(soon(silent.rest()).await, b"");
}

#[tokio::test]
async fn d02_a_flood_is_told_why_it_ends_while_answers_are_on_their_way() {
    // An answer that is larger than what a client takes at first, so frames of it are under way all the time.
    let application = Application::answering(IDENTITY, |_| http::Response::new(vec![b'x'; 32 << 20].into())).await;
    let door = Door::open(&application.url(), "").await;
    let window = |stream, more: u32| frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    let first = [
        opening(),
        window(0, 1 << 30),
        request(1, "GET", "/public/x"),
        frame(DATA, END_STREAM, 1, b""),
        window(1, 1 << 30),
    ];
    let mut client = Wire::over(door.connect().await);
    client.send(first.concat()).await.unwrap();
    let mut received = Vec::new();
    while !frames(&received).iter().any(|frame| frame.kind == DATA) {
        received.extend(soon(client.bytes()).await);
    }
    client.send(frame(SETTINGS, 0, 0, &[]).repeat(600)).await.unwrap();
    received.extend(soon(client.rest()).await);
    let all = frames(&received);
    assert_eq!(all.iter().map(|frame| 9 + frame.payload.len()).sum::<usize>(), received.len(), "all frames are whole");
    assert_eq!(all.last().unwrap().goes_away(), Some(CALM), "{:?}", all.last());
    let known = |kind| [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE].contains(&kind);
    assert!(all.iter().all(|frame| known(frame.kind)), "each frame begins where one ends");
    assert!(all.iter().map(|frame| frame.payload.len()).sum::<usize>() < 32 << 20, "the answer was under way");
}
