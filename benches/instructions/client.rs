//! The client: asks the gateway so and so often, each kind of request always in the same order, and checks every answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Result;
use crate::gateway::Measured;

/// Streams that are open at once on HTTP/2.
const STREAMS: usize = 100;

/// A kind of requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A known session, over HTTP/1.1 in clear.
    Http1,
    /// The same over TLS.
    Tls,
    /// The same over HTTP/2, a hundred at once.
    Http2,
    /// HTTP/1.1 in clear, each request with a session that the worker has not seen.
    Strangers,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Http1, Self::Tls, Self::Http2, Self::Strangers];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Strangers => "strangers",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Sends `requests` requests.
pub(crate) fn ask(gateway: &Measured, kind: Kind, requests: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = gateway.address(matches!(kind, Kind::Tls | Kind::Http2));
    runtime.block_on(async {
        match kind {
            Kind::Http1 => one_by_one(TcpStream::connect(address).await?, &[gateway.cookie(false, 0)?], requests).await,
            Kind::Strangers => {
                let cookies: Vec<String> =
                    (0..requests).map(|number| gateway.cookie(false, number)).collect::<Result<_>>()?;
                one_by_one(TcpStream::connect(address).await?, &cookies, requests).await
            }
            Kind::Tls => {
                one_by_one(secured(gateway, address, "http/1.1").await?, &[gateway.cookie(true, 0)?], requests).await
            }
            Kind::Http2 => at_once(secured(gateway, address, "h2").await?, &gateway.cookie(true, 0)?, requests).await,
        }
    })
}

async fn secured(
    gateway: &Measured,
    address: SocketAddr,
    protocol: &str,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(gateway.certificate.clone()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?)
}

/// One request after the other, as a browser sends them.
async fn one_by_one(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    cookies: &[String],
    requests: usize,
) -> Result<()> {
    let mut answer = Vec::with_capacity(8192);
    for cookie in cookies.iter().cycle().take(requests) {
        let request = format!(
            "GET /k1?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nUser-Agent: measured\r\nCookie: {cookie}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(format!("the gateway closed after: {}", String::from_utf8_lossy(&answer)).into());
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(format!("not an answer of the application: {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    Ok(())
}

/// Whether a head and the application's body, which ends in an `x` after at least 1000 bytes, are there.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    head.is_some_and(|end| answer.len() >= end + 4 + 1000 || !answer.starts_with(b"HTTP/1.1 200 "))
}

/// So many at once, then the next ones.
async fn at_once(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    cookie: &str,
    requests: usize,
) -> Result<()> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    for _ in 0..requests.div_ceil(STREAMS) {
        let mut answers = Vec::new();
        for _ in 0..STREAMS {
            let request = Request::get("https://localhost/k1?x=1").version(Version::HTTP_2);
            let request =
                request.header("accept", "text/html").header("user-agent", "measured").header("cookie", cookie);
            sender.ready().await?;
            answers.push(tokio::spawn(sender.send_request(request.body(Empty::<Bytes>::new())?)));
        }
        for answer in answers {
            let answer = answer.await??;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            if status != StatusCode::OK || body.len() != 1000 {
                return Err(format!("not an answer of the application: {status}, {} bytes", body.len()).into());
            }
        }
    }
    Ok(())
}
