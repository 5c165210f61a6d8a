//! What a connection costs that is open and asks for nothing.
//!
//! Each proxy is started anew for each kind of connection and serves some requests first. Then some ten thousand connections are opened;
//! each is answered once, or, where the table says `silent`, never asks. The memory that came with them, two seconds after the last one,
//! is divided by their number. What the kernel keeps for sockets is not counted; it is the same for all.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Client};
use crate::peers::{self, Running};
use crate::{Bench, Result, cpu, machine, table};

const MOST: usize = 10_000;
/// Fewer over HTTP/2, whose client needs much memory itself.
const MOST_HTTP2: usize = 2_000;
/// How many are opened at the same time.
const AT_ONCE: usize = 64;
/// Longer than any of the proxies takes to see that a connection is idle.
const SETTLE: Duration = Duration::from_secs(2);

const KINDS: [(&str, Kind); 5] = [
    ("clear", Kind::Clear { asks: true }),
    ("clear silent", Kind::Clear { asks: false }),
    ("TLS", Kind::Tls { asks: true }),
    ("TLS silent", Kind::Tls { asks: false }),
    ("HTTP/2", Kind::Http2),
];

#[derive(Clone, Copy)]
enum Kind {
    Clear { asks: bool },
    Tls { asks: bool },
    Http2,
}

/// An open connection, of whatever kind.
enum Open {
    Clear(#[expect(dead_code, reason = "held open")] Client<TcpStream>),
    Tls(#[expect(dead_code, reason = "held open")] Box<Client<TlsStream<TcpStream>>>),
    Http2(#[expect(dead_code, reason = "held open")] SendRequest<Empty<Bytes>>),
}

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let most = connections();
    let title = format!("Idle connections, {most} of them ({MOST_HTTP2} over HTTP/2): KiB for each");
    let columns: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    let mut rows = Vec::new();
    for peer in [peers::nginx::PEER, peers::haproxy::PEER, peers::lychgate::PEER] {
        if !bench.includes(peer.name) || (peer.missing)().is_some() {
            continue;
        }
        let mut figures = Vec::new();
        for (_, kind) in KINDS {
            let running = (peer.start)(&bench.site, &bench.provider)?;
            figures.push(match cost(bench, &running, kind, most) {
                Ok(kib) => format!("{kib:.2}"),
                Err(error) => error.to_string(),
            });
        }
        rows.push((peer.name.to_owned(), figures));
    }
    print!("{}", table::plain(&title, &columns, &rows));
    Ok(())
}

/// As many as the limit of open files allows a proxy that counts two for each.
fn connections() -> usize {
    MOST.min(machine::open_files().saturating_sub(200) / 2)
}

fn cost(bench: &Bench, proxy: &Running, kind: Kind, most: usize) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let family = proxy.process.family();
        let connector = client::connector(&bench.site, if matches!(kind, Kind::Http2) { "h2" } else { "http/1.1" })?;
        // Whatever the first connections bring with them once for all is there afterwards.
        drop(open(proxy, kind, &connector, 4 * AT_ONCE).await?);
        tokio::time::sleep(SETTLE).await;
        let before = cpu::memory_kib(&family);
        let count = if matches!(kind, Kind::Http2) { MOST_HTTP2 } else { most };
        let held = open(proxy, kind, &connector, count).await?;
        tokio::time::sleep(SETTLE).await;
        let after = cpu::memory_kib(&family);
        drop(held);
        Ok(after.saturating_sub(before) as f64 / count as f64)
    })
}

async fn open(proxy: &Running, kind: Kind, connector: &TlsConnector, count: usize) -> Result<Vec<Open>> {
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        let some = (0..AT_ONCE.min(count - held.len())).map(|_| one(proxy, kind, connector));
        for opened in join(some.collect()).await {
            held.push(opened?);
        }
    }
    Ok(held)
}

/// Drives all futures to their ends; there are few of them.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(context)
            {
                *output = Some(done);
            }
        }
        if outputs.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

async fn one(proxy: &Running, kind: Kind, connector: &TlsConnector) -> Result<Open> {
    match kind {
        Kind::Clear { asks } => {
            let mut client = client::clear(proxy.clear).await?;
            if asks {
                client.ask(&client::get("/1k", "localhost", &proxy.clear_cookie)).await?.must_be(200)?;
                client.rest();
            }
            Ok(Open::Clear(client))
        }
        Kind::Tls { asks } => {
            let mut client = Client::over(client::tls(connector, proxy.tls).await?);
            if asks {
                client.ask(&client::get("/1k", "localhost", &proxy.tls_cookie)).await?.must_be(200)?;
                client.rest();
            }
            Ok(Open::Tls(Box::new(client)))
        }
        Kind::Http2 => {
            let stream = client::tls(connector, proxy.tls).await?;
            let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            let request = http::Request::get(format!("https://localhost:{}/1k", proxy.tls));
            let request = request.header(http::header::COOKIE, &proxy.tls_cookie).body(Empty::new())?;
            let response = sender.send_request(request).await?;
            if response.status() != http::StatusCode::OK {
                return Err(format!("expected 200 over HTTP/2, and was answered {}", response.status()).into());
            }
            response.into_body().collect().await?;
            Ok(Open::Http2(sender))
        }
    }
}
