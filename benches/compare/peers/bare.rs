//! A proxy that does nothing but pass requests on, made of the same libraries: hyper, h2, rustls and tokio.
//!
//! It shows how much of what a request costs belongs to them and to the kernel. It is this program, started once more (`--pass-on`). It keeps
//! connections to the application, copies each request's and each answer's fields, and knows neither sessions nor logs nor limits.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Peer, Running, Under, padded};
use crate::process::{PROXY_CORE, Process};
use crate::provider::Provider;
use crate::site::Site;
use crate::{Result, ports};

/// The libraries alone.
pub(crate) const PEER: Peer = Peer { name: "hyper alone", under: Under::Small, missing: || None, start };

thread_local! {
    /// Connections to the application that nobody uses; there is one thread.
    static IDLE: RefCell<Vec<TcpStream>> = const { RefCell::new(Vec::new()) };
}

fn start(site: &Site, _: &Provider) -> Result<Running> {
    let (clear, tls) = (ports::free()?, ports::free()?);
    let program = std::env::current_exe()?.display().to_string();
    let what = format!("{clear},{tls},{},{}", site.upstream, site.path("both.pem"));
    let command = [&program, "--pass-on", &what];
    let mut process = Process::start(PEER.name, PROXY_CORE, &site.folder.join("bare.log"), command)?;
    process.wait_until(|| ports::open(clear) && ports::open(tls))?;
    Ok(Running { name: PEER.name, process, clear, tls, clear_cookie: padded(""), tls_cookie: padded("") })
}

/// The program itself; `what`: the ports in clear and over TLS, the application's, and the file of certificate and key.
pub(crate) fn run(what: &str) -> Result<()> {
    let [clear, tls, upstream, pem] = what.split(',').collect::<Vec<_>>()[..] else {
        return Err("--pass-on wants CLEAR,TLS,UPSTREAM,PEM".into());
    };
    let certificates = CertificateDer::pem_file_iter(pem)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(pem)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (clear, tls, upstream): (u16, u16, u16) = (clear.parse()?, tls.parse()?, upstream.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let (clear, tls) =
            (TcpListener::bind(("127.0.0.1", clear)).await?, TcpListener::bind(("127.0.0.1", tls)).await?);
        loop {
            let (stream, acceptor) = tokio::select! {
                accepted = clear.accept() => (accepted?.0, None),
                accepted = tls.accept() => (accepted?.0, Some(acceptor.clone())),
            };
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                match acceptor {
                    None => serve(stream, false, upstream).await,
                    Some(acceptor) => {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        serve(stream, http2, upstream).await;
                    }
                }
            });
        }
    })
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool, upstream: u16) {
    let service = service_fn(move |request| async move {
        let answer = pass_on(&request, upstream).await;
        let failed = || Response::builder().status(502).body(Full::default());
        Ok::<_, Infallible>(answer.or_else(|_| failed()).unwrap_or_default())
    });
    // How a connection ends is nothing to a measurement.
    let _ = if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(128).serve_connection(TokioIo::new(stream), service).await
    } else {
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    };
}

/// Asks the application and reads its answer, whose length its head tells.
async fn pass_on(request: &Request<Incoming>, upstream: u16) -> Result<Response<Full<Bytes>>> {
    let mut stream = match IDLE.with_borrow_mut(Vec::pop) {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(("127.0.0.1", upstream)).await?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    stream.write_all(&head(request)).await?;
    let mut read = Vec::with_capacity(8 << 10);
    let (end, length, builder) = loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err("the application has closed".into());
        }
        if let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") {
            let (length, builder) = answer(read.get(..end).unwrap_or_default())?;
            break (end + 4, length, builder);
        }
    };
    while read.len() < end + length {
        stream.read_buf(&mut read).await?;
    }
    IDLE.with_borrow_mut(|idle| idle.push(stream));
    Ok(builder.body(Full::new(Bytes::from(read).slice(end..)))?)
}

fn head(request: &Request<Incoming>) -> Vec<u8> {
    let mut head = Vec::with_capacity(2 << 10);
    for part in [request.method().as_str(), " ", request.uri().path(), " HTTP/1.1\r\nhost: localhost\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "host") {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The length of the body that a head announces, and the answer with its fields.
fn answer(head: &[u8]) -> Result<(usize, http::response::Builder)> {
    let mut lines = std::str::from_utf8(head)?.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).ok_or("no status")?;
    let (mut length, mut builder) = (0, Response::builder().status(status));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        if name == "content-length" {
            length = value.parse()?;
        }
        if name != "connection" {
            builder = builder.header(name, HeaderValue::from_str(value)?);
        }
    }
    Ok((length, builder))
}
