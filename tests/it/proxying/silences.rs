//! Each silence that ends a connection is counted as what it is (D01).

use std::time::Duration;

use super::floods::Door;
use super::limits::timeouts;
use super::{IDENTITY, Plan, Site, anonymous, site};
use crate::harness::application::Application;
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, frames,
    head, opening,
};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const REASONS: [&str; 7] = ["proxy_header", "tls_handshake", "first_byte", "header", "idle", "write", "answer"];

/// Waits until one silence is counted; it must be this one alone.
async fn is_counted(site: &Site, reason: &str) {
    let counts = soon(async {
        loop {
            let text = site.metrics().await;
            let counts = REASONS.map(|reason| {
                let sample = format!("lychgate_connections_timed_out_total{{reason=\"{reason}\"}} ");
                let count = text.lines().find_map(|line| line.strip_prefix(&sample)).unwrap_or("0");
                (reason, count.parse::<u64>().unwrap())
            });
            if counts.iter().any(|(_, count)| *count > 0) {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let expected = REASONS.map(|known| (known, u64::from(known == reason)));
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn d01_each_silence_on_http_1_is_counted_as_what_it_is() {
    let application = Application::start(IDENTITY).await;
    for (which, bytes) in [
        ("first_byte", String::new()),
        ("header", "GET /public/x HTTP/1.1\r\nHost: app.loc".to_owned()),
        ("idle", anonymous("GET /public/x", "", "")),
        // An empty line behind a request begins no other one (RFC 9112 section 2.2).
        ("idle", anonymous("GET /public/x", "", "\r\n")),
        ("first_byte", "\r\n\r\n\r".to_owned()),
    ] {
        let upstream = format!("\"{}\"", application.url());
        let site = Plan { upstream: &upstream, settings: &timeouts(which), ..Plan::default() }.start().await;
        let mut client = site.connect().await;
        client.send(bytes).await.unwrap();
        is_counted(&site, which).await;
    }
}

#[tokio::test]
async fn d01_a_client_that_takes_nothing_is_counted() {
    let application = RawApplication::start().await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: &timeouts("body_stall"), ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    let piece = vec![7u8; 1 << 20];
    soon(async { while upstream.send(&piece).await.is_ok() {} }).await;
    is_counted(&site, "write").await;
}

#[tokio::test]
async fn d01_little_waits_in_the_kernel_for_a_client_that_reads_nothing() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = Wire::connect_with_room(site.gateway.address(), 64 << 10).await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    let piece = vec![7u8; 64 << 10];
    // Until all sockets on the way are full.
    while tokio::time::timeout(Duration::from_millis(500), upstream.send_some(&piece)).await.is_ok() {}
    // What the client's own socket has, and not more than a piece and what the kernel was allowed: it is told that there is room
    // again when half of that has left, however slowly.
    let waiting = client.waiting();
    assert!((1..768 << 10).contains(&waiting), "{waiting} bytes");
}

#[tokio::test]
async fn h06_an_answer_whose_last_piece_was_not_taken_is_not_complete() {
    let application = RawApplication::start().await;
    let upstream = format!("\"{}\"", application.url());
    let site = Plan { upstream: &upstream, settings: &timeouts("body_stall"), ..Plan::default() }.start().await;
    let mut clients = Vec::new();
    // Much, to find out how much the sockets on the way to a client take that reads nothing; then about as much.
    let (mut room, mut length) = (0, 1 << 30);
    for number in 1..14 {
        let mut client = site.connect().await;
        client.send(anonymous("GET /public/x", "", "")).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request()).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        upstream.send(head).await.unwrap();
        let (piece, mut sent) = (vec![7u8; 64 << 10], 0);
        soon(async {
            while sent < length && upstream.send(&piece[..piece.len().min(length - sent)]).await.is_ok() {
                sent += piece.len();
            }
        })
        .await;
        soon(upstream.rest()).await;
        if number == 1 {
            room = client.waiting();
        }
        length = room + number * (16 << 10) - (48 << 10);
        clients.push(client);
    }
    // Each is cut, or has nothing to do any more.
    soon(async {
        while site.gauge("lychgate_connections").await != site.gauge("lychgate_connections_parked").await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let left = site.gauge("lychgate_connections").await;
    let log = site.log().await;
    let whole = log.iter().filter(|line| line["complete"] == true).count();
    assert_eq!((log.len(), whole), (13, left), "{log:#?}");
}

#[tokio::test]
async fn d01_an_answer_on_http_2_that_is_not_taken_is_counted() {
    let application = Application::answering(IDENTITY, |_| http::Response::new(vec![b'x'; 1 << 20].into())).await;
    let door = Door::open(&application.url(), &timeouts("body_stall")).await;
    let mut client = Wire::over(door.connect().await);
    // The stream's window is shut from the beginning.
    let shut = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    client.send([opening(), shut, request].concat()).await.unwrap();
    is_counted(&door.site, "answer").await;
}

/// Settings by which a client takes one byte of each answer.
fn one_byte() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])
}

#[tokio::test]
async fn d01_an_answer_that_lies_with_h2_to_its_end_does_not_lie_there_for_ever() {
    let application = Application::answering(IDENTITY, |_| http::Response::new(vec![b'x'; 4 << 10].into())).await;
    let door = Door::open(&application.url(), &timeouts("body_stall")).await;
    let mut client = Wire::over(door.connect().await);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    client.send([opening(), one_byte(), request].concat()).await.unwrap();
    // Whoever asks now and then is not idle.
    let mut read = Vec::new();
    let ended = async {
        for stream in (3..).step_by(2) {
            let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("HEAD", "/public/x"));
            if client.send(asked).await.is_err() {
                return;
            }
            match tokio::time::timeout(Duration::from_millis(100), client.bytes()).await {
                Ok(bytes) if bytes.is_empty() => return,
                Ok(bytes) => read.extend(bytes),
                Err(_) => {}
            }
        }
    };
    soon(ended).await;
    let told = frames(&read).iter().find_map(Frame::goes_away);
    assert_eq!(told, Some(0), "others went on, and no more began");
    is_counted(&door.site, "answer").await;
}

#[tokio::test]
async fn d01_a_connection_where_many_answers_lie_ends_though_one_request_goes_on() {
    let application = RawApplication::start().await;
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    // A proxy of ours carries many clients, and some of them must not end what others are given.
    for (settings, lying, ends) in [("", 16, false), ("", 17, true), (trusted, 40, false)] {
        let door = Door::open(&application.url(), &format!("{settings}{}", timeouts("body_stall"))).await;
        let mut client = Wire::over(door.connect().await);
        let ask = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head("GET", "/public/x"));
        client.send([opening(), one_byte(), (0..=lying).flat_map(ask).collect()].concat()).await.unwrap();
        let mut upstreams = Vec::new();
        for number in 0..=lying {
            let mut upstream = soon(application.accept()).await;
            soon(upstream.request()).await.unwrap();
            // One is not answered yet.
            if number < lying {
                upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nanswer").await.unwrap();
            }
            upstreams.push(upstream);
        }
        let mut last = upstreams.pop().unwrap();
        let mut read = Vec::new();
        while !frames(&read).iter().any(|frame| frame.kind == GOAWAY) {
            let more = soon(client.bytes()).await;
            if more.is_empty() {
                break;
            }
            read.extend(more);
        }
        if ends {
            soon(client.rest()).await;
            assert_eq!(soon(last.rest()).await, b"", "what is under way ends with the connection");
            continue;
        }
        let open = frame(WINDOW_UPDATE, 0, 2 * lying + 1, &[0, 0, 1, 0]);
        client.send(open).await.unwrap();
        last.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nanswer").await.unwrap();
        let of_last = |frame: &Frame| frame.stream == 2 * lying + 1 && frame.flags & END_STREAM != 0;
        while !frames(&read).iter().any(of_last) {
            let more = soon(client.bytes()).await;
            assert!(!more.is_empty(), "what is under way goes on");
            read.extend(more);
        }
        soon(client.rest()).await;
    }
}

#[tokio::test]
async fn d01_an_answer_that_is_taken_by_single_kilobytes_is_not_silent() {
    let application = Application::answering(IDENTITY, |_| http::Response::new(vec![b'x'; 12 << 10].into())).await;
    let door = Door::open(&application.url(), &timeouts("body_stall")).await;
    let mut client = Wire::over(door.connect().await);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    let kilobyte = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 4, 0]);
    client.send([opening(), kilobyte, request].concat()).await.unwrap();
    let mut read = Vec::new();
    // Four times as long as it may stand still.
    while !frames(&read).iter().any(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 4, 0])).await.unwrap();
        let more = soon(client.bytes()).await;
        assert!(!more.is_empty());
        read.extend(more);
    }
    assert!(!frames(&read).iter().any(|frame| matches!(frame.kind, GOAWAY | RST_STREAM)));
    assert!(!door.site.metrics().await.contains("lychgate_connections_timed_out_total{"));
}

#[tokio::test]
async fn d01_an_answer_that_is_taken_byte_by_byte_is_taken_back() {
    let application = Application::answering(IDENTITY, |_| http::Response::new(vec![b'x'; 4 << 10].into())).await;
    let door = Door::open(&application.url(), &timeouts("body_stall")).await;
    let mut client = Wire::over(door.connect().await);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    client.send([opening(), one_byte(), request].concat()).await.unwrap();
    let (mut read, mut bytes) = (Vec::new(), 0);
    let is_over = |frame: &Frame| matches!(frame.kind, GOAWAY | RST_STREAM);
    while !frames(&read).iter().any(is_over) && bytes < 4 << 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if client.send(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).await.is_err() {
            break;
        }
        let more = soon(client.bytes()).await;
        if more.is_empty() {
            break;
        }
        read.extend(more);
        bytes += 1;
    }
    assert!(bytes < 1 << 10, "it went on for {bytes} bytes");
}

/// A form that meets no session, in a stream of its own.
fn form(stream: u32) -> Vec<u8> {
    let block = fields(&[
        (":method", b"POST"),
        (":scheme", b"https"),
        (":path", b"/pay"),
        (":authority", HOST.as_bytes()),
        ("content-type", b"application/x-www-form-urlencoded"),
        ("accept", b"text/html"),
        ("sec-fetch-mode", b"navigate"),
        ("sec-fetch-site", b"same-origin"),
    ]);
    [frame(HEADERS, END_HEADERS, stream, &block), frame(DATA, END_STREAM, stream, &[b'x'; 8 << 10])].concat()
}

#[tokio::test]
async fn d01_c13_a_page_with_a_form_that_is_not_taken_gives_its_place_back() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), &timeouts("body_stall")).await;
    let mut client = Wire::over(door.connect().await);
    let slow = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    let forms = [3, 5, 7, 9].map(form).concat();
    client.send([opening(), one_byte(), slow, forms].concat()).await.unwrap();
    // It is not answered, and keeps the connection.
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    let mut read = Vec::new();
    let is_over = |frame: &Frame| frame.kind == GOAWAY;
    while !frames(&read).iter().any(is_over) {
        let more = soon(client.bytes()).await;
        assert!(!more.is_empty(), "the connection goes on");
        read.extend(more);
    }
    let mut other = Wire::over(door.connect().await);
    other.send([opening(), form(1)].concat()).await.unwrap();
    let mut read = Vec::new();
    let is_last = |frame: &Frame| frame.stream == 1 && frame.flags & END_STREAM != 0;
    while !frames(&read).iter().any(is_last) {
        let more = soon(other.bytes()).await;
        assert!(!more.is_empty());
        read.extend(more);
    }
    let page: Vec<u8> =
        frames(&read).into_iter().filter(|frame| frame.kind == DATA).flat_map(|frame| frame.payload).collect();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("name=\"token\""), "{page}");
    drop((client, upstream));
}

#[tokio::test]
async fn d01_answers_on_http_2_that_are_all_taken_slowly_are_whole() {
    const ANSWERS: u32 = 30;
    const LENGTH: usize = 32 << 10;
    let application = Application::answering(IDENTITY, |_| http::Response::new(vec![b'x'; LENGTH].into())).await;
    let door = Door::open(&application.url(), &timeouts("body_stall")).await;
    let mut client = Wire::over(door.connect().await);
    // No stream's window is ever shut; that of the connection is what RFC 9113 begins with.
    let wide = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let ask = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head("GET", "/public/x"));
    client.send([opening(), wide, (0..ANSWERS).flat_map(ask).collect()].concat()).await.unwrap();
    let (mut read, mut taken, mut allowed) = (Vec::new(), 0, 65_535);
    while taken < ANSWERS as usize * LENGTH {
        while taken < allowed.min(ANSWERS as usize * LENGTH) {
            let more = soon(client.bytes()).await;
            assert!(!more.is_empty(), "{taken} bytes of answers have come");
            read.extend(more);
            let all = frames(&read);
            assert!(!all.iter().any(|frame| matches!(frame.kind, GOAWAY | RST_STREAM)), "after {taken} bytes");
            taken = all.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum();
        }
        // The next piece of the same answer comes when all others have had theirs, which takes longer than an answer may stand still.
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.send(frame(WINDOW_UPDATE, 0, 0, &(16_u32 << 10).to_be_bytes())).await.unwrap();
        allowed += 16 << 10;
    }
    assert!(!door.site.metrics().await.contains("lychgate_connections_timed_out_total{"));
}

#[tokio::test]
async fn d01_a_handshake_that_does_not_end_is_counted() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), &timeouts("handshake")).await;
    let _client = Wire::connect(door.site.gateway.address()).await;
    is_counted(&door.site, "tls_handshake").await;
}

#[tokio::test]
async fn d01_a_proxy_header_that_does_not_come_is_counted() {
    let application = Application::start(IDENTITY).await;
    let upstream = format!("\"{}\"", application.url());
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let settings = format!("trusted_proxies = [\"127.0.0.0/8\"]\n{}", timeouts("handshake"));
    let site = Plan { upstream: &upstream, settings: &settings, listeners, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send("PROXY TCP4 192.0.2.1 ").await.unwrap();
    is_counted(&site, "proxy_header").await;
}

#[tokio::test]
async fn d01_what_ends_in_time_is_not_counted() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    assert_eq!(site.ask(anonymous("GET /public/x", "Connection: close\r\n", "")).await.status, 200);
    assert!(!site.metrics().await.contains("lychgate_connections_timed_out_total{"));
}
