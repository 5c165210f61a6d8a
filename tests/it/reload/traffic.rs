//! Reloads under traffic: no request is lost, no connection is dropped, every answer is of exactly one version.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::asked_site;
use crate::harness::application::Application;
use crate::harness::browser::Browser;
use crate::harness::gateway::{HOST, Setup};
use crate::harness::site::{Site, policy};
use crate::harness::soon;
use crate::harness::tls::Authority;
use crate::harness::wire::{RawApplication, Wire};

const ROUNDS: usize = 200;
/// A TLS listener for HTTP/2, and one of clear text as a load balancer uses it.
const LISTENERS: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
    tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
    [[listeners]]\naddress = \"127.0.0.1:0\"\nscheme = \"https\"\n";

/// Where clear text is spoken.
fn clear(site: &Site) -> SocketAddr {
    site.gateway.running().addresses()[1]
}

/// Signs Ada in over the clear listener: her cookies.
async fn sign_in(site: &Site) -> String {
    let mut browser = Browser::new();
    let mut next = format!("http://{HOST}:{}/", clear(site).port());
    for _ in 0..3 {
        next = browser.get(&next).await.location().unwrap();
    }
    browser.cookies[HOST].iter().map(|(name, one)| format!("{name}={}", one.value)).collect::<Vec<_>>().join("; ")
}

/// The policy of one round: the header, and the rule that tells its name to the application, are of the same round.
fn round(upstream: &str, number: usize) -> String {
    policy(upstream).replace(
        "[[rules]]\npaths = [\"/public/**\"]",
        &format!("X-Remote-Round = \"{number}\"\nX-Remote-Again = \"r-{number}\"\n[[rules]]\npaths = [\"/public/**\"]"),
    )
}

/// An application that answers with what it was told.
async fn telling() -> Application {
    Application::answering(&["x-remote-user", "x-remote-groups", "x-remote-round", "x-remote-again"], |seen| {
        let told = |name: &str| seen.header(name).unwrap_or_default();
        http::Response::new(Bytes::from(format!("{}/{}", told("x-remote-round"), told("x-remote-again"))))
    })
    .await
}

/// The round that an answer is of; it must be one round all through.
fn round_of(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    let (round, again) = text.split_once("/r-").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(round, again);
    round.parse().unwrap()
}

struct Traffic {
    running: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Traffic {
    /// Two clients on HTTP/1.1 and two on HTTP/2, each on one connection that it keeps.
    async fn begin(site: &Site, cookie: &str, authority: &Authority) -> Self {
        let mut traffic =
            Self { running: Arc::new(AtomicBool::new(true)), answered: Arc::default(), clients: Vec::new() };
        for _ in 0..2 {
            let (running, answered) = (Arc::clone(&traffic.running), Arc::clone(&traffic.answered));
            let mut wire = Wire::connect(clear(site)).await;
            let request = format!("GET /page HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n");
            traffic.clients.push(tokio::spawn(async move {
                let mut last = 0;
                while running.load(Ordering::Relaxed) {
                    wire.send(&request).await.unwrap();
                    let reply = wire.reply(false).await.unwrap();
                    assert_eq!(reply.status, 200);
                    let round = round_of(&reply.body);
                    assert!(round >= last, "{round} after {last}");
                    last = round;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
            let (running, answered) = (Arc::clone(&traffic.running), Arc::clone(&traffic.answered));
            let stream = authority.connect(site.gateway.address(), HOST, &["h2"]).await;
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let request = Request::get(format!("https://{HOST}/page")).header("cookie", cookie);
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            traffic.clients.push(tokio::spawn(async move {
                while running.load(Ordering::Relaxed) {
                    let reply = sender.send_request(request.clone()).await.unwrap();
                    assert_eq!(reply.status(), 200);
                    round_of(&reply.into_body().collect().await.unwrap().to_bytes());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        traffic
    }

    /// Waits until so many more answers have come.
    async fn more(&self, count: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(!self.clients.iter().any(|client| client.is_finished()), "a client failed");
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) -> usize {
        self.running.store(false, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_two_hundred_reloads_under_traffic_lose_no_request_and_mix_no_versions() {
    let application = telling().await;
    let socket = RawApplication::start().await;
    let upstream = application.url();
    let sockets = policy(&socket.url()).replace(HOST, "socket.localhost");
    let authority = Authority::new();
    let certified = authority.certify(HOST);
    let change = |setup: Setup| {
        let setup = setup.settings("reload = \"signal\"").listeners(LISTENERS).policy("socket", &sockets);
        setup.file("cert.pem", &certified.certificate).file("key.pem", &certified.key)
    };
    let site = Site::with(|_| round(&upstream, 0), change).await;
    let cookie = sign_in(&site).await;
    // A WebSocket of a public page stays open through all of it.
    let mut client = Wire::connect(clear(&site)).await;
    let asked = "GET /public/socket HTTP/1.1\r\nHost: socket.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(asked).await.unwrap();
    let mut tunnel = soon(socket.accept()).await;
    soon(tunnel.request_head()).await.unwrap();
    tunnel.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
    assert_eq!(soon(client.head()).await.unwrap().status, 101);

    let traffic = Traffic::begin(&site, &cookie, &authority).await;
    for number in 1..=ROUNDS {
        site.gateway.write("policies/app.toml", &round(&upstream, number));
        let attempt = soon(site.gateway.running().reload().unwrap()).await.unwrap();
        assert_eq!(attempt.version, number as u64 + 1, "{}", attempt.findings);
        soon(traffic.more(4)).await;
        if number % 20 == 0 {
            client.send([number as u8; 10]).await.unwrap();
            assert_eq!(soon(tunnel.bytes()).await, [number as u8; 10]);
        }
    }
    let answered = soon(traffic.end()).await;
    assert!(answered >= 4 * ROUNDS);
    drop((client, tunnel));
    let log = soon(site.gateway.stop()).await;
    let pages: Vec<_> = log.iter().filter(|line| line["path"] == "/page").collect();
    assert_eq!(pages.len(), answered);
    assert!(pages.iter().all(|line| line["status"] == 200 && line["decision"] == "allow"));
    // Each line's version is the one of the policy that told the application its round.
    let rounds: HashMap<String, usize> = application
        .seen()
        .iter()
        .filter_map(|seen| Some((seen.header("x-request-id")?, seen.header("x-remote-round")?.parse().ok()?)))
        .collect();
    for line in &pages {
        let round = rounds[line["request_id"].as_str().unwrap()];
        assert_eq!(line["policy_version"], round + 1);
    }
    assert!(rounds.values().any(|round| *round == ROUNDS));
}

#[tokio::test]
async fn d05_the_open_connections_to_an_application_go_on_being_used() {
    let application = RawApplication::start().await;
    let site = Site::with(|_| policy(&application.url()), |setup| setup.settings("reload = \"signal\"")).await;
    let mut client = Wire::connect(site.gateway.address()).await;
    let request = format!("GET /public/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.send(&request).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    for number in 0..5 {
        soon(upstream.request()).await.unwrap();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        assert_eq!(soon(client.reply(false)).await.unwrap().status, 200);
        let text = policy(&application.url()).replace("'admins' in", &format!("'admins-{number}' in"));
        site.gateway.write("policies/app.toml", &text);
        assert_eq!(site.reload().await.1["outcome"], "applied");
        client.send(&request).await.unwrap();
    }
    soon(upstream.request()).await.unwrap();
    // An application that moved is asked where it is now.
    let elsewhere = RawApplication::start().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    soon(client.reply(false)).await.unwrap();
    site.gateway.write("policies/app.toml", &policy(&elsewhere.url()));
    assert_eq!(site.reload().await.1["outcome"], "applied");
    client.send(&request).await.unwrap();
    let mut moved = soon(elsewhere.accept()).await;
    assert_eq!(soon(moved.request()).await.unwrap().line(), "GET /public/x HTTP/1.1");
}

#[tokio::test]
async fn d05_a_request_that_is_under_way_ends_with_the_policies_that_it_began_with() {
    let site = asked_site().await;
    let application = RawApplication::start().await;
    site.gateway.write("policies/app.toml", &policy(&application.url()));
    assert_eq!(site.reload().await.1["version"], 2);
    let mut client = Wire::connect(site.gateway.address()).await;
    client.send(format!("GET /public/slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.unwrap();
    let mut upstream = soon(application.accept()).await;
    soon(upstream.request()).await.unwrap();
    site.gateway.write("policies/app.toml", &policy("http://127.0.0.1:9"));
    assert_eq!(site.reload().await.1["version"], 3);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await.unwrap();
    assert_eq!(soon(client.reply(false)).await.unwrap().body, b"slow");
    let log = soon(site.gateway.stop()).await;
    assert_eq!((&log[0]["policy_version"], &log[0]["status"]), (&2.into(), &200.into()));
}
