//! Each refusal has a reason that stands in the access log and in the metrics, also where h2 refuses by itself (H03, D02, D03).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::floods::Door;
use super::{IDENTITY, Site, anonymous, site};
use crate::harness::application::Application;
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, fields, frame, frames, head, opening, request,
};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const PATIENCE: Duration = Duration::from_secs(10);

/// How often each reason of a refusal stands in the metrics, whatever the application.
fn counted(metrics: &str) -> BTreeMap<String, u64> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("lychgate_refused_total{"));
    lines.fold(BTreeMap::new(), |mut counts, line| {
        let (labels, count) = line.rsplit_once(' ').unwrap();
        let reason = labels.split("reason=\"").nth(1).unwrap().split('"').next().unwrap();
        *counts.entry(reason.to_owned()).or_default() += count.parse::<u64>().unwrap();
        counts
    })
}

/// The same in the access log.
fn logged(log: &[Value]) -> BTreeMap<String, u64> {
    let refused = log.iter().filter(|line| {
        line["decision"] == "refused" || line["status"].as_u64().is_some_and(|status| (400..499).contains(&status))
    });
    refused.filter_map(|line| line["reason"].as_str()).fold(BTreeMap::new(), |mut counts, reason| {
        *counts.entry(reason.to_owned()).or_default() += 1;
        counts
    })
}

/// These without uploads that broke off, unless they are expected.
fn but_ends(mut counts: BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counts.retain(|reason, _| reason != "request_broken" || expected.contains_key(reason));
    counts
}

impl Site {
    /// Waits until the metrics tell of these refusals and of no others, and stops: the log tells of the same, and is given. Uploads that the
    /// end of a connection breaks may be there or not.
    pub(super) async fn refused(self, expected: &[(&str, u64)]) -> Vec<Value> {
        let expected: BTreeMap<_, _> = expected.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        let mut told = BTreeMap::new();
        let waiting = async {
            while told != expected {
                told = but_ends(counted(&self.metrics().await), &expected);
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("counted: {told:?}, logged: {:?}, expected: {expected:?}", logged(&self.log().await));
        }
        let log = self.log().await;
        assert_eq!(but_ends(logged(&log), &expected), expected, "{log:#?}");
        log
    }
}

/// A head of one frame without a body.
fn asks(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A head that h2 resets.
fn malformed() -> Vec<u8> {
    [head("GET", "/public/x"), fields(&[("connection", b"close")])].concat()
}

/// Sends all of it at once on a connection of its own; what came back until it was so many frames of these kinds, or the connection ended.
async fn told(door: &Door, sent: &[Vec<u8>], kinds: &[u8], many: usize) -> Vec<Frame> {
    let mut client = Wire::over(door.connect().await);
    client.send([opening(), sent.concat()].concat()).await.unwrap();
    let mut read = Vec::new();
    loop {
        let told = frames(&read);
        let more = match told.iter().filter(|frame| kinds.contains(&frame.kind)).count() < many {
            true => soon(client.bytes()).await,
            false => Vec::new(),
        };
        if more.is_empty() {
            return told;
        }
        read.extend(more);
    }
}

/// Streams of which this was said.
fn streams(told: &[Frame], kind: u8) -> Vec<u32> {
    told.iter().filter(|frame| frame.kind == kind).map(|frame| frame.stream).collect()
}

#[tokio::test]
async fn h03_a_stream_that_is_reset_for_its_head_has_its_line_and_the_others_go_on() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let good = head("GET", "/public/x");
    let length = |length: &[u8]| [head("GET", "/public/x"), fields(&[("content-length", length)])].concat();
    let bad = [malformed(), length(b"1"), length(b"x"), fields(&[(":method", b"GET")])];
    let mut sent = Vec::new();
    for (number, block) in (0..).zip(&bad) {
        sent.extend([asks(4 * number + 1, block), asks(4 * number + 3, &good)]);
    }
    let said = told(&door, &sent, &[HEADERS, RST_STREAM], 8).await;
    let mut reset = streams(&said, RST_STREAM);
    reset.sort_unstable();
    assert_eq!(reset, [1, 5, 9, 13]);
    let log = door.site.refused(&[("head_unreadable", 4)]).await;
    assert_eq!((log.len(), application.seen().len()), (8, 4));
    let line = log.iter().find(|line| line["reason"] == "head_unreadable").unwrap();
    assert_eq!(
        (&line["protocol"], &line["status"], &line["client"]),
        (&"HTTP/2".into(), &400.into(), &"127.0.0.1".into())
    );
}

#[tokio::test]
async fn d03_a_head_that_is_too_large_has_its_line_over_http2_too() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "[limits]\nheader_bytes = \"8KiB\"\n").await;
    let field = ["x".repeat(3000), "y".repeat(3000), "z".repeat(3000)];
    let large = [head("GET", "/public/x"), fields(&field.each_ref().map(|value| ("x-a", value.as_bytes())))].concat();
    // With a body behind them they are reset as well; in between, answers of the gateway's without a body.
    let with_body = |stream| frame(HEADERS, END_HEADERS, stream, &large);
    let nothing = |stream| asks(stream, &head("HEAD", "/.lychgate/jwks"));
    let sent =
        [asks(1, &large), with_body(3), nothing(5), asks(7, &large), asks(9, &malformed()), with_body(11), nothing(13)];
    let said = told(&door, &sent, &[HEADERS, RST_STREAM], 9).await;
    assert_eq!(streams(&said, HEADERS).len(), 6, "{said:?}");
    let mut reset = streams(&said, RST_STREAM);
    reset.sort_unstable();
    assert_eq!(reset, [3, 9, 11]);
    let log = door.site.refused(&[("head_too_large", 4), ("head_unreadable", 1)]).await;
    assert_eq!((log.len(), application.seen().len()), (7, 0));
    let log: Vec<_> = log.into_iter().filter(|line| line["decision"] == "refused").collect();
    assert!(log.iter().all(|line| line["status"] == if line["reason"] == "head_too_large" { 431 } else { 400 }));
}

#[tokio::test]
async fn d02_streams_that_are_too_many_at_once_have_their_lines() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let sent: Vec<_> = (0..140).map(|turn| request(2 * turn + 1, "POST", "/public/x")).collect();
    let said = told(&door, &sent, &[RST_STREAM], 12).await;
    assert!(streams(&said, RST_STREAM).iter().all(|stream| *stream > 256), "{said:?}");
    let log = door.site.refused(&[("too_many_streams", 12)]).await;
    let line = log.iter().find(|line| line["reason"] == "too_many_streams").unwrap();
    assert_eq!(
        (&line["protocol"], &line["status"], &line["decision"]),
        (&"HTTP/2".into(), &429.into(), &"refused".into())
    );
}

#[tokio::test]
async fn h05_a_stream_that_is_reset_for_its_body_has_one_line_and_it_is_the_requests() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let claims = |stream| {
        let block = [head("POST", "/public/x"), fields(&[("content-length", b"9")])].concat();
        [frame(HEADERS, END_HEADERS, stream, &block), frame(DATA, END_STREAM, stream, b"four")].concat()
    };
    // The request is made of the stream after it was reset already, and beside one that never was a request.
    let said = told(&door, &[claims(1), asks(3, &malformed()), claims(5), claims(7)], &[RST_STREAM], 4).await;
    let mut reset = streams(&said, RST_STREAM);
    reset.sort_unstable();
    assert_eq!(reset, [1, 3, 5, 7], "{said:?}");
    let log = door.site.refused(&[("head_unreadable", 1)]).await;
    assert_eq!((log.len(), application.seen().len()), (4, 0));
    assert_eq!(log.iter().filter(|line| line["path"] == "/public/x" && line["method"] == "POST").count(), 3);
}

#[tokio::test]
async fn d02_what_is_no_http2_at_all_has_one_line() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    for sent in [
        &b"GET /public/x HTTP/1.1\r\nHost: app.localhost\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\0\0\x04\x01",
    ] {
        let mut client = Wire::over(door.connect().await);
        client.send(sent).await.unwrap();
        soon(client.rest()).await;
    }
    let mut client = Wire::over(door.connect().await);
    // A frame that is too large; a head on a stream that is the server's.
    client.send([opening(), frame(DATA, 0, 1, &[0; 20_000])].concat()).await.unwrap();
    soon(client.rest()).await;
    let said = told(&door, &[asks(2, &head("GET", "/public/x"))], &[GOAWAY], 1).await;
    assert_eq!(streams(&said, GOAWAY).len(), 1, "{said:?}");
    let log = door.site.refused(&[("http2_malformed", 5)]).await;
    assert_eq!((log.len(), application.seen().len()), (5, 0));
}

#[tokio::test]
async fn d03_what_a_rule_or_the_gateway_itself_refuses_is_counted_by_reason_too() {
    let application = Application::answering(IDENTITY, |_| {
        http::Response::builder().status(403).body(bytes::Bytes::from_static(b"by the application")).unwrap()
    });
    let application = application.await;
    let site = site(&application.url()).await;
    for (request, status) in [
        // Neither of a person nor of nobody is what the application itself refuses a refusal of the gateway's.
        (anonymous("GET /public/x", "", ""), 403),
        (site.request("GET /mine", "", ""), 403),
        (site.request("GET /admin/x", "", ""), 403),
        (site.request("HEAD /admin/x", "", ""), 403),
        (anonymous("GET /mine", "", ""), 401),
        // Shown the way to the sign-in, which is none.
        (anonymous("GET /mine", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n", ""), 302),
        (anonymous("GET /.lychgate/nothing", "", ""), 404),
        (anonymous("DELETE /.lychgate/me", "", ""), 405),
        (anonymous("GET /.lychgate/callback/x", "", ""), 404),
        (site.request("POST /.lychgate/logout", "", ""), 400),
    ] {
        assert_eq!(site.ask(&request).await.status, status, "{request}");
    }
    let expected = [
        ("not_allowed", 2),
        ("session_absent", 1),
        ("reserved_unknown", 2),
        ("method_wrong", 1),
        ("sign_out_foreign", 1),
    ];
    let log = site.refused(&expected).await;
    assert_eq!(log.len(), 10);
}
