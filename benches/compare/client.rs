//! A plain HTTP/1.1 client for what load generators cannot do: keep thousands of connections open, follow a schedule, speak after an
//! upgrade.
//!
//! It sends bytes as they are given and reads one answer framed by `Content-Length` or by chunks. It is no model for a client: it trusts
//! what it talks to, which this program has started itself.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Result;
use crate::site::Site;

/// One connection; what was read and not yet asked for is kept.
pub(crate) struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// One answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and fields.
    pub(crate) head: String,
}

/// Opens a connection in clear.
pub(crate) async fn clear(port: u16) -> Result<Client<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(Client::over(stream))
}

/// Opens a connection over TLS that offers one protocol.
pub(crate) async fn tls(connector: &TlsConnector, port: u16) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
}

/// Connects with trust in the site's certificate and in no other.
pub(crate) fn connector(site: &Site, protocol: &str) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&site.certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each connection is to cost what a first one costs.
    client.resumption = rustls::client::Resumption::disabled();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(TlsConnector::from(Arc::new(client)))
}

/// The bytes of a GET request.
pub(crate) fn get(path: &str, host: &str, cookie: &str) -> Vec<u8> {
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n{cookie}\r\n").into_bytes()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        // Over TLS some of it may wait in the session.
        self.stream.flush().await?;
        let answer = self.head().await?;
        if answer.field("transfer-encoding").is_some() {
            while self.chunk().await? > 0 {}
        } else if let Some(length) = answer.field("content-length") {
            self.pass(length.parse()?).await?;
        }
        Ok(answer)
    }

    /// Sends bytes, and reads as many as are expected back.
    pub(crate) async fn echo(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        // Over TLS some of it may wait in the session.
        self.stream.flush().await?;
        self.pass(bytes.len()).await
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Result<Answer> {
        let end = self.find(b"\r\n\r\n").await? + 4;
        let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).into_owned();
        self.pass(end).await?;
        let status = head.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
        Ok(Answer { status, head })
    }

    /// Sends bytes and reads nothing.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    async fn chunk(&mut self) -> Result<usize> {
        let end = self.find(b"\r\n").await?;
        let line = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).into_owned();
        let size = usize::from_str_radix(line.trim(), 16)?;
        self.pass(end + 2 + size + 2).await?;
        Ok(size)
    }

    async fn find(&mut self, wanted: &[u8]) -> Result<usize> {
        loop {
            match self.buffer.windows(wanted.len()).position(|found| found == wanted) {
                Some(at) => return Ok(at),
                None => self.fill().await?,
            }
        }
    }

    /// Reads and forgets so many bytes.
    async fn pass(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        loop {
            let have = left.min(self.buffer.len());
            self.buffer.drain(..have);
            left -= have;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("a connection was closed before its answer".into()),
            _ => Ok(()),
        }
    }

    /// Frees the room that answers were read into.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }
}

impl Answer {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &'static str) -> Option<&str> {
        self.fields(name).next()
    }

    /// All values of a field.
    pub(crate) fn fields(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// An error unless the status is this one.
    pub(crate) fn must_be(self, status: u16) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!("expected {status}, and was answered: {}", self.head.lines().next().unwrap_or_default()).into())
    }
}
