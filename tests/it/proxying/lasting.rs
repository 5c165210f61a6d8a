//! What moves lasts longer than any limit of silence, and what stands still does not (D01, H06).

use std::time::Duration;

use tokio::net::TcpSocket;

use super::{IDENTITY, Plan, Site, anonymous};
use crate::harness::application::Application;
use crate::harness::soon;
use crate::harness::wire::{RawApplication, Wire};

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn limited(application: &RawApplication, timeouts: &str, settings: &str) -> Site {
    let (upstream, app) = (format!("\"{}\"", application.url()), format!("timeouts = {{ {timeouts} }}\n"));
    Plan { upstream: &upstream, app: &app, settings, ..Plan::default() }.start().await
}

#[tokio::test]
async fn h06_d01_a_tunnel_in_which_one_side_speaks_goes_on_and_a_silent_one_ends() {
    let application = RawApplication::start().await;
    let site = limited(&application, "stall = \"1s\"", "").await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/socket", UPGRADE, "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    upstream.send(SWITCHED).await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 101);
    // Each way alone for longer than the limit.
    for number in 0..7u8 {
        pause(200).await;
        upstream.send([number]).await.unwrap();
        assert_eq!(soon(client.bytes()).await, [number]);
    }
    for number in 0..7u8 {
        pause(200).await;
        client.send([number]).await.unwrap();
        assert_eq!(soon(upstream.bytes()).await, [number]);
    }
    assert_eq!((soon(client.rest()).await, soon(upstream.rest()).await), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn d01_h06_pieces_that_keep_coming_are_waited_for_however_long_it_takes() {
    let application = RawApplication::start().await;
    let site = limited(&application, "stall = \"1s\"", "[timeouts]\nbody_stall = \"1s\"\n").await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", CHUNKED, "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    for _ in 0..7 {
        pause(200).await;
        client.send("2\r\nup\r\n").await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), b"up");
    }
    client.send("0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await, None);
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 200);
    for _ in 0..7 {
        pause(200).await;
        upstream.send("4\r\ndown\r\n").await.unwrap();
        assert_eq!(soon(client.chunk()).await.unwrap(), b"down");
    }
    upstream.send("0\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.chunk()).await, None);
}

#[tokio::test]
async fn d01_a_client_that_pauses_is_no_fault_of_the_application() {
    let application = RawApplication::start().await;
    let site = limited(&application, "first_byte = \"300ms\"", "").await;
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", CHUNKED, "4\r\nhalf\r\n")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"half");
    pause(1000).await;
    client.send("4\r\nrest\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.unwrap(), b"rest");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.reply(true)).await.unwrap().status, 204);
}

/// An upload that was answered at once: the client's side and the application's.
async fn answered_early(site: &Site, application: &RawApplication) -> (Wire, Wire) {
    let mut client = site.connect().await;
    client.send(anonymous("POST /public/x", CHUNKED, "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
    (client, upstream)
}

#[tokio::test]
async fn d01_an_upload_behind_its_answer_goes_on_while_it_moves() {
    let application = RawApplication::start().await;
    let site = limited(&application, "stall = \"1s\"", "[timeouts]\nbody_stall = \"1h\"\n").await;
    let (mut client, mut upstream) = answered_early(&site, &application).await;
    for _ in 0..7 {
        pause(200).await;
        client.send("1\r\nx\r\n").await.unwrap();
        assert_eq!(soon(upstream.chunk()).await.unwrap(), b"x");
    }
    // A client has the time that clients have.
    pause(2000).await;
    client.send("4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(soon(upstream.chunk()).await.as_deref(), Some(&b"last"[..]));
    assert_eq!(soon(upstream.chunk()).await, None);
}

#[tokio::test]
async fn d01_an_application_that_answers_early_and_reads_nothing_holds_nobody() {
    let application = RawApplication::start_with_room(4 << 10).await;
    let site = limited(&application, "stall = \"500ms\"", "[timeouts]\nbody_stall = \"1h\"\n").await;
    let (mut client, mut upstream) = answered_early(&site, &application).await;
    let much = format!("{:x}\r\n{}", 64 << 20, "x".repeat(1 << 20));
    let pours = async {
        client.send(&much).await?;
        loop {
            client.send(&much.as_bytes()[..1 << 16]).await?;
        }
    };
    let ended: std::io::Result<()> = soon(pours).await;
    assert!(ended.is_err(), "the client is told that nobody takes it");
    soon(upstream.rest()).await;
}

#[tokio::test]
async fn d01_a_server_that_accepts_nobody_is_a_504_or_another_one_answers() {
    // Two connections fill the queue of such a socket, and the next ones are not answered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
    }
    let timeouts = "timeouts = { connect = \"300ms\" }\n";
    let (upstream, application) = (format!("\"http://{address}\""), Application::start(IDENTITY).await);
    let site = Plan { upstream: &upstream, app: timeouts, ..Plan::default() }.start().await;
    assert_eq!(site.ask(anonymous("GET /public/x", "", "")).await.status, 504);
    assert_eq!(site.log().await[0]["reason"], "upstream_connect_timeout");

    let both = format!("[\"http://{address}\", \"{}\"]", application.url());
    let site = Plan { upstream: &both, app: timeouts, ..Plan::default() }.start().await;
    let before = application.seen().len();
    for _ in 0..8 {
        assert_eq!(site.ask(anonymous("GET /public/x", "", "")).await.status, 200);
    }
    assert_eq!(application.seen().len(), before + 8);
    drop(waiting);
}
