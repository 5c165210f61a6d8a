//! Requests on HTTP/2, sound and not: what is refused on HTTP/1.1 reaches nobody here either (H02, H03, H05, H06, P01, S01, C06, D01).

use std::time::Duration;

use super::IDENTITY;
use super::floods::Door;
use super::front::{get, http2, nothing, request, secure, text};
use super::limits::timeouts;
use super::scrubbing::forged;
use crate::harness::application::Application;
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, fields, frame, frames, head, opening,
};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};

/// What HPACK has for `:status: 200` and `:status: 400` (RFC 7541 appendix A).
const OK: u8 = 0x88;
const BAD: u8 = 0x8c;

/// Sends one request on a connection of its own; the first frame that says what becomes of it.
async fn ask(door: &Door, block: &[u8]) -> Frame {
    let mut client = Wire::over(door.connect().await);
    client.send([opening(), frame(HEADERS, END_HEADERS | END_STREAM, 1, block)].concat()).await.unwrap();
    let mut read = Vec::new();
    loop {
        let more = soon(client.bytes()).await;
        let ended = more.is_empty();
        read.extend(more);
        let told = frames(&read).into_iter().find(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        match told {
            Some(told) => return told,
            None => assert!(!ended, "the connection ended without a word"),
        }
    }
}

fn asked(method: &str, path: &str, authority: &str) -> Vec<u8> {
    fields(&[
        (":method", method.as_bytes()),
        (":scheme", b"https"),
        (":path", path.as_bytes()),
        (":authority", authority.as_bytes()),
    ])
}

#[tokio::test]
async fn h02_what_asks_for_a_tunnel_or_names_no_host_soundly_is_refused_over_http2() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let mut refused = vec![
        fields(&[(":method", b"CONNECT"), (":authority", b"app.localhost:443")]),
        fields(&[
            (":method", b"CONNECT"),
            (":protocol", b"websocket"),
            (":scheme", b"https"),
            (":path", b"/public/x"),
            (":authority", HOST.as_bytes()),
        ]),
        asked("TRACE", "/public/x", HOST),
        asked("GET", "*", HOST),
        asked("GET", "public/x", HOST),
        asked("GET", "https://app.localhost/public/x", HOST),
        asked("GET", "", HOST),
    ];
    let doubtful =
        ["user@app.localhost", "user:word@app.localhost", "", "app.localhost, app.localhost", "app.localhost:x"];
    refused.extend(doubtful.map(|authority| asked("GET", "/public/x", authority)));
    for block in refused {
        let told = ask(&door, &block).await;
        let is_bad = told.kind == HEADERS && told.payload[0] == BAD;
        assert!(is_bad || told.kind != HEADERS, "{}: {told:?}", String::from_utf8_lossy(&block));
    }
    assert_eq!(ask(&door, &asked("GET", "/public/x", HOST)).await.payload[0], OK);
    assert_eq!(application.only().target, "/public/x");
}

#[tokio::test]
async fn h02_a_tunnel_that_is_asked_for_with_a_length_takes_nothing_else_along_over_http2() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let mut client = Wire::over(door.connect().await);
    let request = |stream, block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, stream, block);
    client.send([opening(), request(1, &head("GET", "/public/x"))].concat()).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    let tunnel = |length: &[u8]| {
        fields(&[(":method", b"CONNECT"), (":authority", b"app.localhost:443"), ("content-length", length)])
    };
    let tunnels = [3, 5, 7].map(|stream| frame(HEADERS, END_HEADERS, stream, &tunnel(b"5")));
    client.send(tunnels.concat()).await.unwrap();
    let mut read = Vec::new();
    let mut until = async |enough: &dyn Fn(&[Frame]) -> bool| {
        while !enough(&frames(&read)) {
            let more = soon(client.bytes()).await;
            assert!(!more.is_empty(), "the connection ended");
            read.extend(more);
        }
    };
    until(&|all| [3, 5, 7].iter().all(|of| all.iter().any(|frame| frame.kind == RST_STREAM && frame.stream == *of)))
        .await;
    upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    until(&|all| all.iter().any(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0)).await;
    // A client that says goodbye is let go all the same.
    client.send(frame(GOAWAY, 0, 0, &[0; 8])).await.unwrap();
    soon(client.rest()).await;
    let log = door.site.log().await;
    let tunnels: Vec<_> = log.iter().filter(|line| line["reason"] == "method_unsupported").collect();
    assert_eq!((log.len(), tunnels.len()), (4, 3), "{log:#?}");
    assert!(tunnels.iter().all(|line| line["protocol"] == "HTTP/2" && line["status"] == 400));
}

#[tokio::test]
async fn h03_s08_blanks_around_a_value_are_no_part_of_it_over_http2() {
    let guarded = "[[rules]]\npaths = [\"/public/guarded\"]\ndeny = \"request.headers['x-action'] == 'delete'\"\n\
        allow = \"'staff' in user.groups\"\n";
    let application = Application::start(&[IDENTITY, &["x-action"]].concat()).await;
    let door = Door::to(&application.url(), "", guarded).await;
    let of = |path: &str, value: &str| {
        fields(&[
            (":method", b"GET"),
            (":scheme", b"https"),
            (":path", path.as_bytes()),
            (":authority", HOST.as_bytes()),
            ("cookie", door.site.cookie.as_bytes()),
            ("x-action", value.as_bytes()),
        ])
    };
    for value in ["delete", " delete", "delete ", "\tdelete", "delete\t", " \t delete\t \t"] {
        let told = ask(&door, &of("/public/guarded", value)).await;
        assert!(told.kind == HEADERS && ![OK, BAD].contains(&told.payload[0]), "{value:?}: {told:?}");
    }
    assert_eq!(application.seen().len(), 0);
    for (sent, seen) in [(" read", "read"), ("a b\t", "a b"), (" ", ""), ("", "")] {
        assert_eq!(ask(&door, &of("/public/guarded", sent)).await.payload[0], OK, "{sent:?}");
        assert_eq!(application.last().header("x-action").as_deref(), Some(seen), "{sent:?}");
    }
}

#[tokio::test]
async fn h03_s01_a_name_that_is_no_token_is_refused_over_http2() {
    let good = "!#$%&'*+-.^_`|~0a";
    let application = Application::start(&[IDENTITY, &[good]].concat()).await;
    let door = Door::open(&application.url(), "").await;
    let of = |name: &str| {
        fields(&[
            (":method", b"GET"),
            (":scheme", b"https"),
            (":path", b"/public/x"),
            (":authority", HOST.as_bytes()),
            (name, b"root"),
        ])
    };
    let others = [" ", "(", ")", ",", "/", ";", "<", "=", ">", "?", "@", "[", "\\", "]", "{", "}", "\u{7f}", "X"];
    for sign in ["\""].into_iter().chain(others) {
        for name in [format!("x-remote{sign}user"), format!("x{sign}"), format!("{sign}x")] {
            let told = ask(&door, &of(&name)).await;
            assert!(told.kind != HEADERS || told.payload[0] == BAD, "{name:?}: {told:?}");
        }
    }
    assert_eq!(application.seen().len(), 0);
    assert_eq!(ask(&door, &of(good)).await.payload[0], OK);
    let log = door.site.log().await;
    assert!(log.iter().any(|line| line["reason"] == "head_unreadable"), "{log:#?}");
}

#[tokio::test]
async fn h02_a_foreign_scheme_is_refused_over_http2() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let of = |scheme: &str| {
        fields(&[
            (":method", b"GET"),
            (":scheme", scheme.as_bytes()),
            (":path", b"/public/x"),
            (":authority", HOST.as_bytes()),
        ])
    };
    for scheme in ["ftp", "javascript"] {
        let told = ask(&door, &of(scheme)).await;
        assert!(told.kind != HEADERS || told.payload[0] == BAD, "{scheme}: {told:?}");
    }
    assert_eq!(application.seen().len(), 0);
    for scheme in ["https", "http"] {
        assert_eq!(ask(&door, &of(scheme)).await.payload[0], OK, "{scheme}");
    }
}

#[tokio::test]
async fn h03_fields_of_a_connection_and_control_bytes_reach_nobody_over_http2() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let cases: [(&str, &[u8]); 18] = [
        ("connection", b"close"),
        ("connection", b"x-a"),
        ("keep-alive", b"timeout=5"),
        ("proxy-connection", b"close"),
        ("transfer-encoding", b"chunked"),
        ("upgrade", b"websocket"),
        ("te", b"gzip"),
        ("x-a", b"b\r\nx-remote-user: root"),
        ("x-a", b"b\nc"),
        ("x-a", b"b\rc"),
        ("x-a", b"b\0c"),
        ("x-a", b"b\x01c"),
        ("x-a", b"b\x7fc"),
        ("X-A", b"b"),
        ("x a", b"b"),
        ("x-a\r\nx-b", b"b"),
        ("", b"b"),
        (":path", b"/admin/x"),
    ];
    let (mut resets, mut ends) = (0, 0);
    for (name, value) in cases {
        let block = [head("GET", "/public/x"), fields(&[(name, value)])].concat();
        let told = ask(&door, &block).await;
        match told.kind {
            RST_STREAM => resets += 1,
            GOAWAY => ends += 1,
            _ => panic!("{name:?}: {value:?}: {told:?}"),
        }
    }
    door.site.refused(&[("head_unreadable", resets), ("http2_malformed", ends)]).await;
    // What is in doubt there alone is no more than text here.
    let block = [head("GET", "/public/x"), fields(&[("te", b"trailers"), ("x-a", b"b\tc")])].concat();
    let refused = application.seen().len();
    assert_eq!(refused, 0);
    let raw = RawApplication::start().await;
    let door = Door::open(&raw.url(), "").await;
    let (told, seen) = soon(async {
        tokio::join!(ask(&door, &block), async {
            let mut upstream = raw.accept().await;
            let seen = upstream.request().await.unwrap();
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            seen
        })
    })
    .await;
    assert_eq!((told.kind, told.payload[0], seen.all("te").len(), seen.all("x-a")), (HEADERS, OK, 0, vec!["b\tc"]));
}

#[tokio::test]
async fn p01_h02_what_is_decided_on_over_http2_is_what_is_forwarded() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    // A fragment is cut before anything is decided, and is told nobody.
    for (path, target) in [
        ("/public/x#y", "/public/x"),
        ("/public/x#/../../admin", "/public/x"),
        ("/public/x?a#?b", "/public/x?a"),
        ("/public/#", "/public/"),
        ("/public/%23x", "/public/%23x"),
    ] {
        assert_eq!(ask(&door, &asked("GET", path, HOST)).await.payload[0], OK, "{path}");
        assert_eq!(application.last().target, target, "{path}");
    }
    for path in ["/admin#/../public/x", "/x#/public/x", "#/public/x"] {
        let told = ask(&door, &asked("GET", path, HOST)).await;
        assert!(told.kind != HEADERS || told.payload[0] != OK, "{path}: {told:?}");
    }
    assert_eq!(application.seen().len(), 5);
}

#[tokio::test]
async fn p01_a_target_without_a_path_is_forwarded_with_one_over_http2() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    for path in ["?x", "?x=/public/y", "?"] {
        let block = [asked("GET", path, HOST), fields(&[("cookie", door.site.cookie.as_bytes())])].concat();
        let told = ask(&door, &block).await;
        assert_eq!((told.kind, told.payload[0]), (HEADERS, OK), "{path}");
        assert_eq!(application.last().target, format!("/{path}"));
    }
}

#[tokio::test]
async fn s01_s03_no_spelling_of_an_identity_field_reaches_the_application_over_http2() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), "[limits]\nheader_count = 500\n").await;
    let mut sender = http2(&site, &authority).await;
    let mut once: Vec<_> = forged().map(|name| (name, "root")).collect();
    once.push(("cookie", &site.cookie));
    let twice: Vec<_> = forged().flat_map(|name| [(name, "root"); 2]).collect();
    let mut told: Vec<_> = forged().map(|name| vec![(name, "root"), ("cookie", site.cookie.as_str())]).collect();
    told.push(once);
    for fields in &told {
        assert_eq!(get(&mut sender, "/mine", fields).await.status(), 200, "{:?}", fields[0]);
        let seen = application.last();
        let identity = ["x-remote-user", "x-remote-groups", "x-remote-email"].map(|name| seen.header(name));
        assert_eq!(identity, [Some("ada".to_owned()), Some("staff;artists".to_owned()), None], "{:?}", fields[0]);
        assert!(seen.headers.values().all(|value| value != "root"), "{:?}", seen.headers);
    }
    assert_eq!(get(&mut sender, "/public/x", &twice).await.status(), 200);
    let seen = application.last();
    assert!(seen.headers.values().all(|value| value != "root"), "{:?}", seen.headers);
    assert!(IDENTITY.iter().all(|name| !seen.headers.contains_key(*name)));
}

#[tokio::test]
async fn h06_head_gets_no_body_over_http2_whoever_answers() {
    let application = Application::start(IDENTITY).await;
    let settings = "[limits]\nbody = \"1KiB\"\n";
    let (site, authority) = secure(&application.url(), settings).await;
    let mut sender = http2(&site, &authority).await;
    let cookie = ("cookie", site.cookie.as_str());
    let json = ("accept", "application/json");
    for (target, fields, status) in [
        ("/mine", vec![json], 401),
        ("/admin/x", vec![cookie, json], 403),
        ("/admin/x", vec![cookie, ("accept", "text/html")], 403),
        ("/.lychgate/nothing", vec![json], 404),
        ("/.lychgate/me", vec![cookie, json], 200),
        ("/.lychgate/jwks", vec![], 200),
        ("/public/%00", vec![], 400),
        ("/public/x", vec![], 200),
    ] {
        let length = |response: &http::Response<_>| {
            response.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned())
        };
        let got = get(&mut sender, target, &fields).await;
        let of_get = (got.status().as_u16(), length(&got));
        let body = text(got).await;
        let asked = request(Method::HEAD, target, &fields).body(nothing()).unwrap();
        let headed = soon(sender.send_request(asked)).await.unwrap();
        assert_eq!(headed.status().as_u16(), status, "{target}");
        assert_eq!((headed.status().as_u16(), length(&headed)), of_get, "{target}");
        assert_eq!(length(&headed), Some(body.len().to_string()), "{target}");
        // Whoever gets DATA for an answer to HEAD takes it for an error.
        assert_eq!(text(headed).await, "", "{target}");
    }
    drop(sender);
    let log = site.log().await;
    assert!(log.iter().filter(|line| line["method"] == "HEAD").all(|line| line["complete"] == true), "{log:#?}");
}

#[tokio::test]
async fn h06_head_over_http2_gets_the_length_that_the_application_says_and_none_that_it_does_not() {
    let application = RawApplication::start().await;
    let (site, authority) = secure(&application.url(), "").await;
    let mut sender = http2(&site, &authority).await;
    for (answer, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", Some("1234")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", None),
        ("", Some("page")),
    ] {
        let asking = sender.send_request(request(Method::HEAD, "/public/x", &[]).body(nothing()).unwrap());
        let answering = async {
            loop {
                let mut upstream = application.accept().await;
                if upstream.request().await.is_some() {
                    let _ = upstream.send(answer).await;
                    return;
                }
            }
        };
        let (response, ()) = soon(async { tokio::join!(asking, answering) }).await;
        let response = response.unwrap();
        let said = response.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        match length {
            Some("page") => assert!(response.status() == 502 && said.is_some(), "{response:?}"),
            _ => assert_eq!((response.status().as_u16(), said.as_deref()), (200, length), "{answer:?}"),
        }
        assert_eq!(text(response).await, "", "{answer:?}");
    }
}

#[tokio::test]
async fn c06_cookies_in_crumbs_count_as_the_one_field_that_they_are() {
    let application = Application::start(IDENTITY).await;
    let (site, authority) = secure(&application.url(), "[limits]\nheader_count = 20\n").await;
    let mut sender = http2(&site, &authority).await;
    let crumbs: Vec<_> = (0..150).map(|number| format!("c{number}=1")).collect();
    let fields: Vec<_> = crumbs.iter().map(|crumb| ("cookie", crumb.as_str())).collect();
    assert_eq!(get(&mut sender, "/public/x", &fields).await.status(), 200);
    assert_eq!(application.last().header("cookie"), Some(crumbs.join("; ")));
    // Other fields count one by one, as before.
    let mut many: Vec<_> = (0..21).map(|_| ("accept", "a")).collect();
    assert_eq!(get(&mut sender, "/public/x", &many).await.status(), 431);
    many.truncate(20);
    many.extend(&fields);
    assert_eq!(get(&mut sender, "/public/x", &many).await.status(), 431);
    many.remove(0);
    assert_eq!(get(&mut sender, "/public/x", &many).await.status(), 200);
}

#[tokio::test]
async fn d01_half_a_head_on_an_idle_http2_connection_is_waited_for_only_so_long() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), &timeouts("idle")).await;
    let mut client = Wire::over(door.connect().await);
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    let half = frame(HEADERS, END_STREAM, 3, &head("GET", "/public/y"));
    client.send([opening(), whole].concat()).await.unwrap();
    let mut read = Vec::new();
    while !frames(&read).iter().any(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0) {
        read.extend(soon(client.bytes()).await);
    }
    client.send(half).await.unwrap();
    soon(client.rest()).await;
    assert_eq!(application.only().target, "/public/x");
}

#[tokio::test]
async fn d01_an_upload_over_http2_that_was_answered_early_is_no_idle_connection() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), &timeouts("idle")).await;
    let mut client = Wire::over(door.connect().await);
    let begun = frame(HEADERS, END_HEADERS, 1, &head("POST", "/public/x"));
    client.send([opening(), begun, frame(DATA, 0, 1, b"some")].concat()).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"some");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !frames(&read).iter().any(|frame| frame.kind == HEADERS) {
        read.extend(soon(client.bytes()).await);
    }
    // A connection that is idle from now on is ended before this one would be.
    let mut other = Wire::over(door.connect().await);
    other
        .send([opening(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/.lychgate/jwks"))].concat())
        .await
        .unwrap();
    soon(other.rest()).await;
    let text = door.site.metrics().await;
    assert!(text.contains("lychgate_connections_timed_out_total{reason=\"idle\"} 1\n"), "{text}");
    client.send(frame(DATA, END_STREAM, 1, b"more")).await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"more");
    assert_eq!(soon(upstream.chunk()).await, None);
    // Then it is.
    soon(client.rest()).await;
}

/// NO_ERROR, INTERNAL_ERROR and CANCEL (RFC 9113 section 7).
const WHYS: [u32; 3] = [0, 2, 8];

#[tokio::test]
async fn h05_an_upload_that_is_taken_back_is_never_whole_whatever_the_reason_over_http2() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let length = fields(&[("content-length", b"8")]);
    for (why, more) in WHYS.into_iter().flat_map(|why| [(why, &[][..]), (why, &length)]) {
        let mut client = Wire::over(door.connect().await);
        let block = [head("POST", "/public/x"), more.to_vec()].concat();
        let begun = [opening(), frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, 0, 1, b"half")].concat();
        client.send(begun).await.unwrap();
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request_head()).await.unwrap();
        let mut sent = Vec::new();
        while !String::from_utf8_lossy(&sent).contains("half") {
            sent.extend(soon(upstream.bytes()).await);
        }
        client.send(frame(RST_STREAM, 0, 1, &why.to_be_bytes())).await.unwrap();
        // Where chunks are, nothing says that they are over; and the connection ends.
        sent.extend(soon(upstream.rest()).await);
        let chunks = String::from_utf8_lossy(&sent).into_owned();
        assert_eq!(chunks, if more.is_empty() { "4\r\nhalf\r\n" } else { "half" }, "{why}");
    }
    let log = door.site.log().await;
    assert_eq!(log.len(), 2 * WHYS.len());
    assert!(log.iter().all(|line| line["reason"] == "request_broken" && line["bytes_in"] == 4), "{log:#?}");
}

#[tokio::test]
async fn h05_an_upload_with_trailers_is_whole_over_http2() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let mut client = Wire::over(door.connect().await);
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[("x-sum", b"7")]));
    let whole =
        [opening(), frame(HEADERS, END_HEADERS, 1, &head("POST", "/public/x")), frame(DATA, 0, 1, b"whole"), trailers];
    client.send(whole.concat()).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    assert_eq!(soon(upstream.request()).await.unwrap().body, b"whole");
}

#[tokio::test]
async fn d01_an_upload_that_is_not_taken_leaves_room_for_others_over_http2() {
    let application = RawApplication::start_with_room(4 << 10).await;
    let (site, authority) = secure(&application.url(), "").await;
    let sender = http2(&site, &authority).await;
    let upload = || {
        let body = Full::new(Bytes::from(vec![b'x'; 8 << 20])).boxed();
        let mut sender = sender.clone();
        async move { sender.send_request(request(Method::POST, "/public/x", &[]).body(body).unwrap()).await }
    };
    let stuck = tokio::spawn(upload());
    let mut first = soon(application.accept()).await;
    soon(first.request_head()).await.unwrap();
    // As much of it has come as will.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let other = tokio::spawn(upload());
    let mut second = soon(application.accept()).await;
    assert_eq!(soon(second.request()).await.unwrap().body.len(), 8 << 20);
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(soon(other).await.unwrap().unwrap().status(), 200);
    stuck.abort();
}
