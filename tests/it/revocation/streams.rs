//! What is open when its session ends is closed: WebSockets and answers that are still coming.

use std::time::Duration;

use super::listening;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup, TestGateway, clock, provider};
use crate::harness::provider::{Answer, FakeProvider, Mutation};
use crate::harness::site::{ada, policy};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};
use lychgate::clock::ManualClock;
use tokio::net::TcpStream;
use url::form_urlencoded;

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ASKED: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A gateway before an application of which the test writes every byte, and Ada's cookie.
struct Live {
    clock: ManualClock,
    provider: FakeProvider,
    application: RawApplication,
    gateway: TestGateway,
    cookie: String,
}

impl Live {
    async fn new() -> Self {
        Self::with(|text| text).await
    }

    /// With another policy.
    async fn with(change: impl FnOnce(String) -> String) -> Self {
        let clock = clock();
        let provider = provider(&clock).await;
        provider.script().person = ada();
        let application = RawApplication::start().await;
        provider.script().refresh_tokens = true;
        let setup = Setup::new(&clock).provider(&provider).policy("app", &change(policy(&application.url())));
        let gateway = listening(setup).start().await;
        let mut browser = Browser::new();
        let asked = browser.get(&gateway.url("/")).await.location().unwrap();
        let back = browser.get(&asked).await.location().unwrap();
        browser.get(&back).await;
        let pairs = browser.cookies[HOST].iter().map(|(name, cookie)| format!("{name}={}", cookie.value));
        let cookie = pairs.collect::<Vec<_>>().join("; ");
        Self { clock, provider, application, gateway, cookie }
    }

    async fn ask(&self, more: &str) -> Wire {
        self.ask_by("GET", more).await
    }

    async fn ask_by(&self, method: &str, more: &str) -> Wire {
        let mut wire = Wire::connect(self.gateway.address()).await;
        let head = format!("{method} /x HTTP/1.1\r\nHost: {HOST}\r\nCookie: {}\r\n{more}\r\n", self.cookie);
        wire.send(head).await.unwrap();
        wire
    }

    /// A request for which the application lets wait, and the application's side of it.
    async fn waiting(&self, method: &str, more: &str) -> (Wire, Wire) {
        let client = self.ask_by(method, more).await;
        let mut application = soon(self.application.accept()).await;
        soon(application.request_head()).await.unwrap();
        (client, application)
    }

    /// An open WebSocket: the client's side and the application's.
    async fn websocket(&self) -> (Wire, Wire) {
        let mut client = self.ask(ASKED).await;
        let mut application = soon(self.application.accept()).await;
        soon(application.request_head()).await.unwrap();
        application.send([SWITCHED.as_bytes(), b"hello"].concat()).await.unwrap();
        assert_eq!(soon(client.head()).await.unwrap().status, 101);
        assert_eq!(soon(client.bytes()).await, b"hello");
        (client, application)
    }

    /// An answer that has begun and goes on.
    async fn stream(&self) -> (Wire, Wire) {
        let mut client = self.ask("").await;
        let mut application = soon(self.application.accept()).await;
        soon(application.request_head()).await.unwrap();
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        application.send(head).await.unwrap();
        assert_eq!(soon(client.head()).await.unwrap().status, 200);
        assert_eq!(soon(client.chunk()).await.unwrap(), b"hello");
        (client, application)
    }

    async fn logout(&self) {
        let token = self.provider.logout_token(&Mutation::default());
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
        let reply = Browser::new().post(&self.gateway.url("/.lychgate/backchannel-logout"), &form, &[]).await;
        assert_eq!(reply.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn l04_a_websocket_and_a_stream_of_an_ended_session_are_closed_on_both_sides() {
    let live = Live::new().await;
    let (mut socket, mut socket_app) = live.websocket().await;
    let (mut stream, mut stream_app) = live.stream().await;
    live.logout().await;
    assert_eq!(soon(socket.rest()).await, b"");
    assert_eq!(soon(socket_app.rest()).await, b"");
    // The answer breaks off: there is no last chunk.
    assert_eq!(soon(stream.rest()).await, b"");
    assert_eq!(soon(stream_app.rest()).await, b"");
    let log = live.gateway.stop().await;
    let line = log.iter().find(|line| line["reason"] == "session_over").unwrap();
    assert_eq!((line["status"].as_u64(), line["complete"].as_bool()), (Some(200), Some(false)));
}

/// That a request was told that its session is over, and the application that nobody waits for it any more.
async fn assert_over((mut client, mut application): (Wire, Wire), case: &str) {
    let reply = soon(client.head()).await.unwrap_or_else(|| panic!("{case}: no answer"));
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer realm=\"app\"")), "{case}");
    soon(application.rest()).await;
}

#[tokio::test]
async fn l04_a_request_whose_answer_has_not_begun_ends_with_its_session() {
    let live = Live::new().await;
    let asked = live.waiting("GET", "").await;
    let upgrading = live.waiting("GET", ASKED).await;
    let (mut client, mut application) = live.waiting("POST", "Transfer-Encoding: chunked\r\n").await;
    client.send("1\r\nx\r\n").await.unwrap();
    assert_eq!(soon(application.chunk()).await.unwrap(), b"x");
    live.logout().await;
    assert_over(asked, "a long poll").await;
    assert_over(upgrading, "an upgrade").await;
    // An upload that never pauses, and that the application takes.
    let mut taken = 0;
    let ended = async {
        while application.chunk().await.is_some() {
            taken += 1;
            if client.send("1\r\nx\r\n").await.is_err() {
                break;
            }
        }
    };
    soon(ended).await;
    assert_over((client, application), "an upload").await;
    let log = live.gateway.stop().await;
    let over = log.iter().filter(|line| line["reason"] == "session_over" && line["status"] == 401);
    assert_eq!(over.count(), 3, "{taken} pieces went on");
}

#[tokio::test]
async fn l04_an_answer_that_comes_late_and_after_the_end_of_its_session_is_not_handed_on() {
    let live = Live::new().await;
    let (mut client, mut application) = live.waiting("GET", "").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    live.logout().await;
    application.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 401);
    assert_eq!(soon(application.rest()).await, b"");
}

#[tokio::test]
async fn l04_a_stream_that_never_pauses_is_closed_too() {
    let live = Live::new().await;
    let (mut client, mut application) = live.stream().await;
    live.logout().await;
    let pouring = tokio::spawn(async move { while application.send("5\r\nhello\r\n").await.is_ok() {} });
    soon(client.rest()).await;
    soon(pouring).await.unwrap();
}

#[tokio::test]
async fn l04_a_stream_to_a_client_that_takes_it_slowly_ends_with_the_piece_under_way() {
    let live = Live::new().await;
    let (mut client, mut application) = live.stream().await;
    let pouring = tokio::spawn(async move {
        let piece = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
        while application.send(&piece).await.is_ok() {}
    });
    // Until the sockets take no more.
    let mut waiting = 0;
    soon(async {
        while waiting == 0 || client.waiting() > waiting {
            waiting = client.waiting();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    live.logout().await;
    let came = soon(client.rest()).await.len();
    // A piece and the one that was asked for before it had left, each with its framing.
    assert!(came < waiting + (256 << 10) + 1024, "{came} bytes, of which {waiting} were on their way");
    soon(pouring).await.unwrap();
}

#[tokio::test]
async fn l04_a_request_whose_connection_is_not_there_yet_ends_with_its_session() {
    // Two connections fill the queue of such a socket, and the next ones are not answered.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        filling.push(stream.unwrap());
    }
    let live = Live::with(|text| {
        let servers = text.lines().find(|line| line.starts_with("upstream = ")).unwrap().to_owned();
        let never = format!("upstream = \"http://{address}\"\ntimeouts = {{ connect = \"1h\" }}");
        text.replace(&servers, &never)
    })
    .await;
    let mut client = live.ask("").await;
    // It is on its way by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    live.logout().await;
    let reply = soon(client.head()).await.unwrap();
    assert_eq!(reply.status, 401, "{}", reply.head);
    let log = live.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_over").count(), 1);
    drop(filling);
}

#[tokio::test]
async fn c09_the_absolute_limit_closes_what_is_open_and_the_idle_limit_does_not() {
    let live = Live::new().await;
    let (mut socket, mut socket_app) = live.websocket().await;
    let (mut stream, mut stream_app) = live.stream().await;
    let (mut asked, mut asked_app) = live.waiting("GET", "").await;
    let late = live.waiting("GET", "").await;
    // Longer than the idle limit: something that is open counts as use. Longer than the gateway's looks, too.
    live.clock.advance(Duration::from_secs(3600));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        socket_app.send("more").await.unwrap();
        assert_eq!(soon(socket.bytes()).await, b"more");
        stream_app.send("4\r\nmore\r\n").await.unwrap();
        assert_eq!(soon(stream.chunk()).await.unwrap(), b"more");
    }
    asked_app.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(soon(asked.reply(false)).await.unwrap().status, 200);
    live.clock.advance(Duration::from_secs(7 * 3600));
    assert_over(late, "a request that still waits").await;
    assert_eq!(soon(socket.rest()).await, b"");
    assert_eq!(soon(stream.rest()).await, b"");
}

#[tokio::test]
async fn l04_sessions_that_are_not_meant_keep_what_is_open() {
    let live = Live::new().await;
    let (mut socket, mut socket_app) = live.websocket().await;
    live.provider.script().claims.clear();
    let token = live.provider.logout_token(&Mutation::set("sid", serde_json::json!("session-2")));
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    let reply = Browser::new().post(&live.gateway.url("/.lychgate/backchannel-logout"), &form, &[]).await;
    assert_eq!(reply.status.as_u16(), 200);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        socket_app.send("more").await.unwrap();
        assert_eq!(soon(socket.bytes()).await, b"more");
    }
}

#[tokio::test]
async fn l04_what_is_open_is_closed_when_the_provider_refuses_to_refresh_its_session() {
    let live = Live::with(|text| text.replace("max = \"8h\"", "max = \"8h\"\nrefresh = \"10m\"")).await;
    let (mut socket, mut socket_app) = live.websocket().await;
    let (mut stream, mut stream_app) = live.stream().await;
    let over = r#"{"error":"invalid_grant"}"#.to_owned();
    live.provider.script().refresh_answer = Answer::Says(400, "application/json", over);
    live.clock.advance(Duration::from_secs(600));
    for _ in 0..2 {
        assert_eq!(soon(live.ask("").await.reply(false)).await.unwrap().status, 401);
    }
    for end in [&mut socket, &mut socket_app, &mut stream, &mut stream_app] {
        assert_eq!(soon(end.rest()).await, b"");
    }
    let metrics = format!("http://localhost:{}/metrics", live.gateway.admin().port());
    let metrics = Browser::new().get(&metrics).await.text();
    assert!(metrics.contains("lychgate_revocations_total{cause=\"refresh_refused\"} 1"), "{metrics}");
    let log = live.gateway.stop().await;
    for reason in ["session_refresh_refused", "session_revoked"] {
        assert_eq!(log.iter().filter(|line| line["reason"] == reason).count(), 1, "{reason}");
    }
}

#[tokio::test]
async fn l04_c11_a_session_of_a_clock_that_was_an_hour_ahead_outlives_no_end_of_its_person() {
    let live = Live::new().await;
    let (mut stream, mut stream_app) = live.stream().await;
    // The clock was an hour ahead when the session began, and is set right.
    live.clock.set_back(Duration::from_secs(3600));
    assert_eq!(soon(stream.rest()).await, b"");
    assert_eq!(soon(stream_app.rest()).await, b"");
    assert_eq!(soon(live.ask("").await.reply(false)).await.unwrap().status, 401);
    // An end of all that the person has would not mean a session that seems to begin later.
    let address = format!("http://127.0.0.1:{}/revocations", live.gateway.admin().port());
    let headers = [("content-type", "application/json")];
    let body = bytes::Bytes::from_static(b"{\"who\": \"ada\"}");
    let reply = Browser::new().send(http::Method::POST, &address, &headers, body).await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(soon(live.ask("").await.reply(false)).await.unwrap().status, 401);
    let log = live.gateway.stop().await;
    assert_eq!(log.iter().filter(|line| line["reason"] == "session_from_future").count(), 2);
}
