//! Connections that have nothing to do keep little more than their socket, and nobody can tell from outside (D01, D05, H01).

use super::{IDENTITY, Plan, Site, anonymous, site};
use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::HOST;
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::{RawApplication, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Site {
    pub(super) async fn metrics(&self) -> String {
        let address = format!("http://127.0.0.1:{}/metrics", self.gateway.admin().port());
        Browser::new().get(&address).await.text()
    }

    pub(super) async fn gauge(&self, name: &str) -> usize {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until `parked` of `open` connections are parked.
    async fn until(&self, open: usize, parked: usize) {
        soon(async {
            while self.gauge("lychgate_connections").await != open
                || self.gauge("lychgate_connections_parked").await != parked
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Answers every request on every connection with `ok`, as soon as its head is there.
async fn answering() -> RawAnswers {
    let application = RawApplication::start().await;
    let url = application.url();
    let task = tokio::spawn(async move {
        loop {
            let mut upstream = application.accept().await;
            tokio::spawn(async move {
                while upstream.request().await.is_some() {
                    upstream.send(OK).await.unwrap();
                }
            });
        }
    });
    RawAnswers { url, task }
}

struct RawAnswers {
    url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for RawAnswers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn served(client: &mut Wire) {
    let reply = soon(client.reply(false)).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"ok".as_slice()), "{}", reply.head);
}

#[tokio::test]
async fn d01_connections_are_parked_from_the_start_and_again_after_each_answer() {
    let application = answering().await;
    let site = site(&application.url).await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(site.connect().await);
    }
    site.until(30, 30).await;
    for _ in 0..2 {
        for client in &mut clients {
            client.send(anonymous("GET /public/x", "", "")).await.unwrap();
            served(client).await;
        }
        site.until(30, 30).await;
    }
    drop(clients);
    site.until(0, 0).await;
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_after_parking_is_served_whole() {
    let application = Application::start(IDENTITY).await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    for number in 0..2 {
        site.until(1, 1).await;
        let request = site.request(&format!("POST /mine?{number}"), "Content-Length: 5\r\n", "hello");
        for byte in request.as_bytes() {
            client.send([*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
        let seen = application.last();
        assert_eq!((seen.header("x-remote-user").as_deref(), &seen.body[..]), (Some("ada"), &b"hello"[..]));
    }
}

#[tokio::test]
async fn h05_pipelined_requests_are_all_answered_before_and_after_parking() {
    let application = answering().await;
    let site = site(&application.url).await;
    let mut client = site.connect().await;
    for _ in 0..3 {
        let three = anonymous("GET /public/x", "", "").repeat(3);
        let upload = anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n");
        client.send(three.clone() + &upload + &three).await.unwrap();
        for _ in 0..7 {
            served(&mut client).await;
        }
        site.until(1, 1).await;
    }
}

#[tokio::test]
async fn a_connection_in_use_is_not_parked_however_long_it_takes() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let (mut waiting, mut downloading, mut half) = (site.connect().await, site.connect().await, site.connect().await);
    let idle = site.connect().await;
    waiting.send(anonymous("GET /public/waiting", "", "")).await.unwrap();
    let mut for_waiting = soon(application.accept()).await;
    soon(for_waiting.request()).await.unwrap();
    downloading.send(anonymous("GET /public/down", "", "")).await.unwrap();
    let mut for_download = soon(application.accept()).await;
    soon(for_download.request()).await.unwrap();
    for_download.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
    assert_eq!(soon(downloading.head()).await.unwrap().status, 200);
    half.send("GET /public/half HTTP/1.1\r\nHost: app.loc").await.unwrap();
    // A connection that becomes idle now is parked when the watchman has looked at all of them.
    let mut marker = site.connect().await;
    marker.send(anonymous("GET /.lychgate/me", "Accept: application/json\r\n", "")).await.unwrap();
    assert_eq!(soon(marker.reply(false)).await.unwrap().status, 401);
    site.until(5, 2).await;
    for_waiting.send(OK).await.unwrap();
    served(&mut waiting).await;
    for_download.send("after").await.unwrap();
    half.send("alhost\r\n\r\n").await.unwrap();
    let mut body = Vec::new();
    while body.len() < 10 {
        body.extend(soon(downloading.bytes()).await);
    }
    assert_eq!(body, b"firstafter");
    let mut for_half = soon(async {
        tokio::select! {
            Some(_) = for_waiting.request() => for_waiting,
            Some(_) = for_download.request() => for_download,
            mut new = application.accept() => { new.request().await.unwrap(); new }
        }
    })
    .await;
    for_half.send(OK).await.unwrap();
    served(&mut half).await;
    site.until(5, 5).await;
    drop(idle);
}

#[tokio::test]
async fn h05_an_upload_that_the_application_reads_after_its_answer_gets_there_whole() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    let body = "x".repeat(100_000);
    client
        .send(anonymous("POST /public/x", "Transfer-Encoding: chunked\r\n", &format!("186a0\r\n{body}\r\n0\r\n\r\n")))
        .await
        .unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request_head()).await.unwrap();
    upstream.send(OK).await.unwrap();
    served(&mut client).await;
    site.until(1, 1).await;
    let mut read = 0;
    while let Some(chunk) = soon(upstream.chunk()).await {
        read += chunk.len();
    }
    assert_eq!(read, body.len());
}

#[tokio::test]
async fn h01_after_parking_framing_is_read_as_strictly_as_before() {
    let application = answering().await;
    let site = site(&application.url).await;
    for bad in [
        "GET /public/x HTTP/1.1\nHost: app.localhost\n\n".to_owned(),
        anonymous("POST /public/x", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        let mut client = site.connect().await;
        client.send(anonymous("POST /public/x", "Content-Length: 5\r\n", "hello")).await.unwrap();
        served(&mut client).await;
        site.until(1, 1).await;
        client.send(bad).await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 400);
        assert_eq!(soon(client.rest()).await, b"", "the connection ends");
        site.until(0, 0).await;
    }
}

#[tokio::test]
async fn h06_a_parked_connection_can_be_upgraded() {
    let application = RawApplication::start().await;
    let site = site(&application.url()).await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    upstream.send(OK).await.unwrap();
    served(&mut client).await;
    site.until(1, 1).await;
    let asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.send(anonymous("GET /public/socket", asked, "early")).await.unwrap();
    soon(upstream.request()).await.unwrap();
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi";
    upstream.send(switched).await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 101);
    assert_eq!(soon(client.bytes()).await, b"hi");
    assert_eq!(soon(upstream.bytes()).await, b"early");
    // A tunnel is not parked: a second connection is, and it alone.
    let _other = site.connect().await;
    site.until(2, 1).await;
    client.send("GET / not http").await.unwrap();
    assert_eq!(soon(upstream.bytes()).await, b"GET / not http");
}

#[tokio::test]
async fn d01_a_parked_connection_ends_with_its_client_at_once() {
    let application = answering().await;
    let settings = "[timeouts]\nfirst_byte = \"1h\"\nidle = \"1h\"\n";
    let site = Plan { upstream: &format!("\"{}\"", application.url), settings, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    served(&mut client).await;
    let silent = site.connect().await;
    site.until(2, 2).await;
    drop((client, silent));
    site.until(0, 0).await;
}

#[tokio::test]
async fn d01_a_parked_connection_that_is_idle_for_too_long_is_closed() {
    let application = answering().await;
    let settings = "[timeouts]\nfirst_byte = \"1h\"\nheader = \"1h\"\nidle = \"2s\"\n";
    let site = Plan { upstream: &format!("\"{}\"", application.url), settings, ..Plan::default() }.start().await;
    let mut client = site.connect().await;
    client.send(anonymous("GET /public/x", "", "")).await.unwrap();
    served(&mut client).await;
    site.until(1, 1).await;
    assert_eq!(soon(client.rest()).await, b"");
    site.until(0, 0).await;
}

#[tokio::test]
async fn d05_a_stop_closes_parked_connections_at_once() {
    let application = answering().await;
    let settings = "[timeouts]\ndrain = \"1h\"\n";
    let site = Plan { upstream: &format!("\"{}\"", application.url), settings, ..Plan::default() }.start().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = site.connect().await;
        client.send(anonymous("GET /public/x", "", "")).await.unwrap();
        served(&mut client).await;
        clients.push(client);
    }
    site.until(10, 10).await;
    let stopping = site.gateway.begin_stop();
    for client in &mut clients {
        assert_eq!(soon(client.rest()).await, b"");
    }
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn over_tls_a_parked_connection_keeps_its_session_and_says_goodbye() {
    let application = answering().await;
    let authority = Authority::new();
    let certified = authority.certify(HOST);
    let files = [("cert.pem", certified.certificate.as_str()), ("key.pem", certified.key.as_str())];
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
        tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";
    let upstream = format!("\"{}\"", application.url);
    let settings = "[timeouts]\nidle = \"3s\"\n";
    let site = Plan { upstream: &upstream, listeners, files: &files, settings, ..Plan::default() }.start().await;
    let mut client = Wire::over(authority.connect(site.gateway.address(), HOST, &["http/1.1"]).await);
    for _ in 0..2 {
        site.until(1, 1).await;
        client.send(anonymous("GET /public/x", "", "").repeat(2)).await.unwrap();
        served(&mut client).await;
        served(&mut client).await;
    }
    site.until(1, 1).await;
    // A client that checks for close_notify takes a connection cut off for an attack.
    let ended = soon(client.end()).await;
    assert!(ended.is_ok(), "{ended:?}");
}
