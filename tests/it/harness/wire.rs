//! A client that sends exactly these bytes and reads what comes back, and an application that does the same.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// TCP, or TLS on it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// The ports of this end and the other, where that is TCP.
    ports: Option<(u16, u16)>,
}

/// An application of which the test writes every byte.
pub(crate) struct RawApplication {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl RawApplication {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None }
    }

    /// Of which the kernel reads about so many bytes ahead.
    pub(crate) async fn start_with_room(bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { listener: socket.listen(128).unwrap(), tls: None }
    }

    /// Speaks TLS.
    pub(crate) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self { tls: Some(acceptor), ..Self::start().await }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// `http://127.0.0.1:PORT`, for a policy's `upstream`.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The gateway's next connection; handshakes that fail are passed over.
    pub(crate) async fn accept(&self) -> Wire {
        loop {
            let (stream, peer) = self.listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let ports = Some((self.address().port(), peer.port()));
            match &self.tls {
                None => return Wire { ports, ..Wire::over(stream) },
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => return Wire::over(stream),
                    Err(_) => continue,
                },
            }
        }
    }
}

/// One request as it stood on the wire, its body read as its framing says.
#[derive(Clone, Debug)]
pub(crate) struct WireRequest {
    /// Request line and fields as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl WireRequest {
    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// The values of all lines of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        fields(&self.head).filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The names of all fields in lower case, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fields(&self.head).map(|(name, _)| name.to_lowercase()).collect();
        names.sort_unstable();
        names
    }
}

fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}

/// One answer, its body read as its framing says.
#[derive(Clone, Debug)]
pub(crate) struct WireReply {
    pub(crate) status: u16,
    /// Status line and fields as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl WireReply {
    /// The first value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        fields(&self.head).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connected(TcpStream::connect(address).await.unwrap(), address)
    }

    /// The same, for which the kernel reads about so many bytes ahead, however busy the machine is.
    pub(crate) async fn connect_with_room(address: SocketAddr, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        Self::connected(socket.connect(address).await.unwrap(), address)
    }

    fn connected(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_nodelay(true).unwrap();
        let ports = Some((stream.local_addr().unwrap().port(), address.port()));
        Self { ports, ..Self::over(stream) }
    }

    /// Speaks over a stream that is there already.
    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), ports: None }
    }

    /// Bytes that the other end has sent and this one has not read, as Linux tells (proc_net_tcp(5)); zero where nobody does.
    pub(crate) fn waiting(&self) -> usize {
        let Some((here, there)) = self.ports else { return 0 };
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let hex = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let port = |address: &str| u16::try_from(hex(&address[9..])).unwrap();
        let queued = table.lines().skip(1).map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let (sent, received) = columns[4].split_once(':').unwrap();
            match (port(columns[1]), port(columns[2])) {
                ends if ends == (there, here) => hex(sent),
                ends if ends == (here, there) => hex(received),
                _ => 0,
            }
        });
        queued.sum()
    }

    /// The next request's head, for an application. None when the connection was closed before one.
    pub(crate) async fn request_head(&mut self) -> Option<WireRequest> {
        Some(WireRequest { head: self.head_text().await?, body: Vec::new() })
    }

    /// The next request whole, for an application.
    pub(crate) async fn request(&mut self) -> Option<WireRequest> {
        let mut request = self.request_head().await?;
        if let Some(length) = request.all("content-length").first().map(|length| length.parse::<usize>().unwrap()) {
            while self.buffer.len() < length && self.fill().await > 0 {}
            request.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else if !request.all("transfer-encoding").is_empty() {
            while let Some(chunk) = self.chunk().await {
                request.body.extend(chunk);
            }
        }
        Some(request)
    }

    /// Sends these bytes; an error means that the other side has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends as much of these bytes as the other side takes now, at least one; safe to give up waiting for.
    pub(crate) async fn send_some(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes).await
    }

    /// Reads up to and including the head of the next answer.
    pub(crate) async fn head(&mut self) -> Option<WireReply> {
        let head = self.head_text().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Some(WireReply { status, head, body: Vec::new() })
    }

    async fn head_text(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if self.fill().await == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        Some(head)
    }

    /// Reads the next answer whole. `bodiless` for answers to HEAD. None when the connection was closed before one.
    pub(crate) async fn reply(&mut self, bodiless: bool) -> Option<WireReply> {
        let mut reply = self.head().await?;
        if bodiless || matches!(reply.status, 100..=199 | 204 | 304) {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            while let Some(chunk) = self.chunk().await {
                reply.body.extend(chunk);
            }
        } else if let Some(length) = reply.header("content-length").map(|length| length.parse::<usize>().unwrap()) {
            while self.buffer.len() < length && self.fill().await > 0 {}
            reply.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while self.fill().await > 0 {}
            reply.body = std::mem::take(&mut self.buffer);
        }
        Some(reply)
    }

    /// The next chunk of a chunked body; none after the last.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            if self.fill().await == 0 {
                return None;
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[..line_end]).unwrap(), 16).unwrap();
        let whole = line_end + 2 + size + 2;
        while self.buffer.len() < whole {
            if self.fill().await == 0 {
                return None;
            }
        }
        let chunk = self.buffer[line_end + 2..line_end + 2 + size].to_vec();
        self.buffer.drain(..whole);
        (size > 0).then_some(chunk)
    }

    /// Some bytes as they come, for what is no HTTP; empty at the end.
    pub(crate) async fn bytes(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.fill().await;
        }
        std::mem::take(&mut self.buffer)
    }

    /// Reads to the end of the connection; what came before it.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits for the end of the connection; an error when it was not said properly.
    pub(crate) async fn end(&mut self) -> std::io::Result<()> {
        while self.stream.read_buf(&mut self.buffer).await? > 0 {}
        Ok(())
    }

    async fn fill(&mut self) -> usize {
        // A reset is an end like any other.
        self.stream.read_buf(&mut self.buffer).await.unwrap_or(0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
