//! A stop loses nothing that was accepted (D05).

use std::time::Duration;

use super::floods::Door;
use super::{Plan, Site, anonymous, site};
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, frame, frames, head, opening,
};
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Site {
    /// Begins to stop, and waits until new connections are refused.
    async fn begin_stop(self) -> tokio::task::JoinHandle<()> {
        let address = self.gateway.address();
        let stopping = self.gateway.begin_stop();
        soon(async {
            // While the listener is there a connection may be accepted and closed again.
            while let Ok(stream) = tokio::net::TcpStream::connect(address).await {
                drop(stream);
                tokio::task::yield_now().await;
            }
        })
        .await;
        stopping
    }
}

#[tokio::test]
async fn d05_a_slow_answer_and_a_slow_upload_are_finished_and_idle_connections_closed() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut idle = site.connect().await;
    idle.send(anonymous("GET /public/idle", "", "")).await.unwrap();
    let mut answering = soon(application.accept()).await;
    soon(answering.request()).await.unwrap();
    answering.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(soon(idle.reply(false)).await.unwrap().body, b"ok");

    let mut waiting = site.connect().await;
    waiting.send(anonymous("GET /public/waiting", "", "")).await.unwrap();
    let mut for_waiting = soon(application.accept()).await;
    soon(for_waiting.request()).await.unwrap();

    let mut downloading = site.connect().await;
    downloading.send(anonymous("GET /public/down", "", "")).await.unwrap();
    let mut for_download = soon(application.accept()).await;
    soon(for_download.request()).await.unwrap();
    for_download.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
    assert_eq!(soon(downloading.head()).await.unwrap().status, 200);

    let mut uploading = site.connect().await;
    uploading.send(anonymous("POST /public/up", "Content-Length: 10\r\n", "first")).await.unwrap();
    let mut for_upload = soon(application.accept()).await;
    soon(for_upload.request_head()).await.unwrap();

    let stopping = site.begin_stop().await;
    assert_eq!(soon(idle.rest()).await, b"");
    for_waiting.send(OK).await.unwrap();
    assert_eq!(soon(waiting.reply(false)).await.unwrap().body, b"ok");
    assert_eq!(soon(waiting.rest()).await, b"", "the connection ends with its answer");
    for_download.send("after").await.unwrap();
    assert_eq!(soon(downloading.rest()).await, b"firstafter");
    uploading.send("after").await.unwrap();
    let mut body = Vec::new();
    while body.len() < 10 {
        body.extend(soon(for_upload.bytes()).await);
    }
    assert_eq!(body, b"firstafter");
    for_upload.send(OK).await.unwrap();
    assert_eq!(soon(uploading.reply(false)).await.unwrap().body, b"ok");
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn d05_requests_that_came_before_the_stop_are_answered() {
    let application = crate::harness::application::Application::start(&[]).await;
    for round in 0..10 {
        let site = site(&application.url()).await;
        let mut clients = Vec::new();
        for number in 0..20 {
            let mut client = site.connect().await;
            // Half of the connections are kept ones, half are new; all have sent their request when the stop comes.
            if number % 2 == 0 {
                client.send(anonymous("GET /public/first", "", "")).await.unwrap();
                assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
            }
            clients.push(client);
        }
        for client in &mut clients {
            client.send(anonymous("GET /public/last", "", "")).await.unwrap();
        }
        let stopping = site.begin_stop().await;
        for (number, client) in clients.iter_mut().enumerate() {
            let reply = soon(client.reply(false)).await;
            assert_eq!(reply.map(|reply| reply.status), Some(200), "round {round}, connection {number}");
        }
        soon(stopping).await.unwrap();
    }
}

#[tokio::test]
async fn d05_a_connection_that_was_accepted_may_still_send_its_request() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let mut other = site.connect().await;
    other.send("GET /public/half HTTP/1.1\r\nHost: app.loc").await.unwrap();
    let stopping = site.begin_stop().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    other.send("alhost\r\n\r\n").await.unwrap();
    // They may come to the application in either order.
    for _ in 0..2 {
        let mut upstream = soon(application.accept()).await;
        soon(upstream.request()).await.unwrap();
        upstream.send(OK).await.unwrap();
    }
    for client in [&mut client, &mut other] {
        assert_eq!(soon(client.reply(false)).await.unwrap().body, b"ok");
    }
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn d05_the_drain_has_an_end() {
    let application = RawApplication::start().await;
    let upstream = format!("\"{}\"", application.url());
    let site =
        Plan { upstream: &upstream, settings: "[timeouts]\ndrain = \"300ms\"\n", ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    let log = site.log().await;
    assert_eq!(soon(client.rest()).await, b"");
    assert_eq!(soon(upstream.rest()).await, b"");
    assert_eq!((log[0]["status"].as_u64(), log[0]["complete"].as_bool()), (Some(499), Some(false)));
}

#[tokio::test]
async fn d05_an_answer_on_http_2_that_is_on_its_way_is_finished() {
    let application = RawApplication::start().await;
    let door = Door::open(&application.url(), "").await;
    let mut client = Wire::over(door.connect().await);
    let one_byte = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]);
    let asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/public/x"));
    client.send([opening(), one_byte, asked].concat()).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer").await.unwrap();
    let mut read = Vec::new();
    while !frames(&read).iter().any(|frame| frame.kind == DATA) {
        read.extend(soon(client.bytes()).await);
    }
    let stopping = door.site.begin_stop().await;
    // Longer than a connection has that nothing is on its way on.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    client.send(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5])).await.unwrap();
    read.extend(soon(client.rest()).await);
    let answer: Vec<u8> =
        frames(&read).into_iter().filter(|frame| frame.kind == DATA).flat_map(|frame| frame.payload).collect();
    assert_eq!(answer, b"answer");
    soon(stopping).await.unwrap();
}
