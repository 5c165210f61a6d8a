//! HTTP/2 clients that keep the gateway busy with nothing: each such connection ends, and others are served meanwhile (D02).

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{IDENTITY, Plan, Site, anonymous};
use crate::harness::application::Application;
use crate::harness::frames::{
    CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, Flooded, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, flood, frame, head, opening, request,
};
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::{RawApplication, Wire};

const LISTENERS: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
    tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
    [[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
/// More frames than anybody may send: a flood that is not ended by then is not bounded.
const MOST: u32 = 200_000;

/// A gateway with TLS, and a way to it.
pub(super) struct Door {
    pub(super) site: Site,
    pub(super) authority: Authority,
}

impl Door {
    pub(super) async fn open(upstream: &str, settings: &str) -> Self {
        Self::to(upstream, settings, "").await
    }

    /// With further lines of `[app]`, and tables below it.
    pub(super) async fn to(upstream: &str, settings: &str, app: &str) -> Self {
        let authority = Authority::new();
        let certified = authority.certify(HOST);
        let files = [("cert.pem", certified.certificate.as_str()), ("key.pem", certified.key.as_str())];
        let upstream = format!("\"{upstream}\"");
        let plan = Plan { upstream: &upstream, settings, app, listeners: LISTENERS, files: &files };
        Self { site: plan.start().await, authority }
    }

    pub(super) async fn connect(&self) -> TlsStream<TcpStream> {
        self.authority.connect(self.site.gateway.address(), HOST, &["h2"]).await
    }

    /// Floods one connection, and asks on others until it has ended.
    async fn flood(&self, first: Vec<u8>, next: impl FnMut(u32) -> Vec<u8>) -> Flooded {
        let stream = self.connect().await;
        let mut flooding = std::pin::pin!(flood(stream, first, MOST, next));
        loop {
            let asking = async {
                let mut other = Wire::over(self.authority.connect(self.site.gateway.address(), HOST, &[]).await);
                other.send(anonymous("GET /.lychgate/jwks", "", "")).await.unwrap();
                assert_eq!(other.reply(false).await.unwrap().status, 200);
            };
            tokio::select! {
                flooded = soon(&mut flooding) => return flooded,
                () = soon(asking) => {}
            }
        }
    }
}

/// An odd number for the client's stream of this turn.
fn stream(turn: u32) -> u32 {
    2 * turn + 1
}

#[tokio::test]
async fn d02_frames_that_ask_for_nothing_end_their_connection() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let settings = [0, 4, 0, 1, 0, 0];
    let floods: [(&str, Vec<u8>); 6] = [
        ("http2_flood_ping", frame(PING, 0, 0, &[7; 8])),
        ("http2_flood_settings", frame(SETTINGS, 0, 0, &settings)),
        ("http2_flood_settings", frame(SETTINGS, 0, 0, &[])),
        ("http2_flood_priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])),
        ("http2_flood_window_update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("http2_flood_other", frame(0xbe, 0, 0, &[0; 30])),
    ];
    for (reason, bytes) in &floods {
        let flooded = door.flood(opening(), |_| bytes.clone()).await;
        assert!(flooded.ended, "{reason} after {}", flooded.sent);
        assert_eq!(flooded.reason(), Some(CALM), "{reason}: {:?}", flooded.received.last());
    }
    let log = door.site.refused(&[
        ("http2_flood_ping", 1),
        ("http2_flood_settings", 2),
        ("http2_flood_priority", 1),
        ("http2_flood_window_update", 1),
        ("http2_flood_other", 1),
    ]);
    let log = log.await;
    let told = log.iter().find(|line| line["reason"] == "http2_flood_ping").unwrap();
    assert_eq!(
        (&told["protocol"], &told["status"], &told["client"]),
        (&"HTTP/2".into(), &400.into(), &"127.0.0.1".into())
    );
}

#[tokio::test]
async fn d02_empty_pieces_of_a_body_end_their_connection() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let first = [opening(), request(1, "POST", "/public/x")].concat();
    let flooded = door.flood(first, |_| frame(DATA, 0, 1, &[])).await;
    assert!(flooded.ended, "after {}", flooded.sent);
    assert_eq!(flooded.reason(), Some(CALM), "{:?}", flooded.received.last());
    door.site.refused(&[("http2_flood_data", 1)]).await;
}

#[tokio::test]
async fn d02_requests_that_are_taken_back_at_once_end_their_connection() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let flooded = door
        .flood(opening(), |turn| {
            let begun = frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &head("GET", "/public/x"));
            [begun, frame(RST_STREAM, 0, stream(turn), &[0, 0, 0, 8])].concat()
        })
        .await;
    assert!(flooded.ended, "after {}", flooded.sent);
    assert_eq!(flooded.reason(), Some(CALM), "{:?}", flooded.received.last());
    assert!(application.seen().len() < 3000, "{} requests reached the application", application.seen().len());
    door.site.refused(&[("http2_flood_reset", 1)]).await;
}

#[tokio::test]
async fn d02_a_head_in_endless_pieces_ends_its_connection() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    for piece in [&[][..], &[0x00, 0x01, b'a', 0x01, b'b'], &[0; 9000]] {
        let piece_of_head = |turn| {
            let begun = if turn == 0 { frame(HEADERS, 0, 1, &head("GET", "/public/x")) } else { Vec::new() };
            [begun, frame(CONTINUATION, 0, 1, piece)].concat()
        };
        let flooded = door.flood(opening(), piece_of_head).await;
        // What is still sent is thrown away for a moment, so how much that was says nothing.
        assert!(flooded.ended, "{} bytes, after {}", piece.len(), flooded.sent);
        assert_eq!(flooded.reason(), Some(CALM), "{} bytes: {:?}", piece.len(), flooded.received.last());
    }
    assert!(application.seen().is_empty());
    door.site.refused(&[("http2_flood_continuation", 3)]).await;
}

#[tokio::test]
async fn d02_a_small_head_that_unpacks_to_a_large_one_is_refused() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    // A field of 4000 bytes is kept in the table, and then named again with one byte each time.
    let field = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000]].concat();
    let bomb = [head("GET", "/public/x"), field, vec![0xbe; 10_000]].concat();
    let flooded = door.flood(opening(), |turn| frame(HEADERS, END_HEADERS | END_STREAM, stream(turn), &bomb)).await;
    assert!(flooded.ended, "after {}", flooded.sent);
    assert_eq!(flooded.reason(), Some(CALM), "{:?}", flooded.received.last());
    assert!(application.seen().is_empty());
    door.site.refused(&[("http2_flood_head", 1)]).await;
}

#[tokio::test]
async fn d02_more_streams_than_there_may_be_end_their_connection() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    // Requests whose bodies never come.
    let flooded = door.flood(opening(), |turn| request(stream(turn), "POST", "/public/x")).await;
    assert!(flooded.ended, "after {}", flooded.sent);
    assert_eq!(flooded.reason(), Some(CALM), "{:?}", flooded.received.last());
    door.site.refused(&[("too_many_streams", 1024), ("http2_flood_refused", 1)]).await;
}

#[tokio::test]
async fn d02_streams_that_are_opened_and_left_are_answered_and_let_go() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "[timeouts]\nbody_stall = \"300ms\"\nidle = \"300ms\"\n").await;
    let first = (0..100).map(|turn| request(stream(turn), "POST", "/public/x")).collect::<Vec<_>>().concat();
    let mut client = Wire::over(door.connect().await);
    client.send([opening(), first].concat()).await.unwrap();
    // Each gets its answer, and the connection ends as every idle one does.
    let received = crate::harness::frames::frames(&soon(client.rest()).await);
    let answered = received.iter().filter(|frame| frame.kind == HEADERS).count();
    assert_eq!(answered, 100);
    let log = door.site.log().await;
    assert_eq!(log.iter().filter(|line| line["status"] == 408).count(), 100);
}

#[tokio::test]
async fn d02_an_upload_in_single_bytes_ends_its_connection_and_is_not_kept() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let first = [opening(), request(1, "POST", "/public/x")].concat();
    // The application takes nothing, so all of it would have to be kept.
    let flooded = door.flood(first, |_| frame(DATA, 0, 1, b"x")).await;
    assert!(flooded.ended, "after {}", flooded.sent);
    assert_eq!(flooded.reason(), Some(CALM), "{:?}", flooded.received.last());
    let log = door.site.refused(&[("http2_flood_data", 1)]).await;
    let taken = log.iter().map(|line| line["bytes_in"].as_u64().unwrap()).max();
    assert!(taken < Some(20_000), "{taken:?} bytes");
}

#[tokio::test]
async fn d02_a_busy_client_is_far_from_all_this() {
    let application = Application::start(IDENTITY).await;
    let door = Door::open(&application.url(), "").await;
    let mut client = Wire::over(door.connect().await);
    client.send(opening()).await.unwrap();
    // As browsers do: a request, its priority, windows for what came; some requests are taken back.
    for turn in 0..3000 {
        let number = stream(turn);
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, number, &head("GET", "/public/x"));
        bytes.extend(frame(PRIORITY, 0, number, &[0, 0, 0, 0, 7]));
        bytes.extend(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 5]));
        client.send(bytes).await.unwrap();
        let end = soon(async {
            loop {
                let bytes = client.bytes().await;
                if bytes.is_empty() || bytes.windows(5).any(|window| window == b"hello") {
                    break bytes.is_empty();
                }
            }
        })
        .await;
        assert!(!end, "ended after {turn} requests");
    }
    assert_eq!(application.seen().len(), 3000);
}
