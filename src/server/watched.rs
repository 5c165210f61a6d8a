//! The client's socket beneath TLS: notes what it takes and what it does not, for the time limits.
//!
//! A TLS session takes what is written while it has room, though nothing leaves. Noted above it, an answer to a PING, which goes to the others
//! that wait there, would be progress of a client that has not read for hours.
//!
//! May touch: the stream and its watch. Trust boundary: none; bytes are not looked at.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::watch::Watch;

/// A watched socket.
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.watch.write_blocked(),
            Poll::Ready(_) => self.watch.write_moved(),
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

    use super::*;
    use crate::config::Timeouts;
    use crate::server::silence::Silence;
    use crate::server::watchman::Watchman;
    use crate::server::worker::Slot;

    /// Seconds.
    const STALL: u64 = 10;
    /// What the way to the client holds.
    const WAY: usize = 16 << 10;

    async fn connected(
        watch: &Arc<Watch>,
    ) -> (server::TlsStream<Watched<DuplexStream>>, client::TlsStream<DuplexStream>) {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (mut roots, certificate) = (RootCertStore::empty(), made.cert.der().clone());
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
        let (ours, theirs) = tokio::io::duplex(WAY);
        let name = ServerName::try_from("a.example").unwrap();
        let accepting = TlsAcceptor::from(Arc::new(server)).accept(Watched::new(ours, Arc::clone(watch)));
        let (server, client) = tokio::join!(accepting, TlsConnector::from(Arc::new(client)).connect(name, theirs));
        (server.unwrap(), client.unwrap())
    }

    /// Says more than the way holds, in records that come whole.
    async fn fill(server: &mut server::TlsStream<Watched<DuplexStream>>) {
        for _ in 0..20 {
            server.write_all(&[b'x'; 1000]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn d01_what_waits_in_a_tls_session_was_not_taken() {
        let limits = Timeouts { body_stall: Duration::from_secs(STALL), ..Timeouts::default() };
        let mut watchman = Watchman::new(limits);
        let watch = watchman.watch(Slot::alone());
        watch.opened(true);
        let _answering = watch.begin_request();
        let (mut server, mut client) = connected(&watch).await;
        fill(&mut server).await;
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut silences = |server: &mut server::TlsStream<_>, context: &mut Context<'_>| {
            let said = Pin::new(&mut *server).poll_write(context, b"what answers a ping");
            assert!(matches!(said, Poll::Ready(Ok(19))), "the session has room");
            assert!(Pin::new(server).poll_flush(context).is_pending());
            watchman.grow_older(Duration::from_secs(1));
            let mut seen = Vec::new();
            watchman.look(|silence| seen.push(silence));
            seen
        };
        for second in 1..STALL {
            assert_eq!(silences(&mut server, &mut context), [], "{second}");
        }
        // It takes something: its time begins anew.
        client.read_exact(&mut [0; 1000]).await.unwrap();
        fill(&mut server).await;
        for second in 1..STALL {
            assert_eq!(silences(&mut server, &mut context), [], "{second}");
        }
        let last: Vec<_> = (0..3).flat_map(|_| silences(&mut server, &mut context)).collect();
        assert_eq!(last, [Silence::Write]);
    }
}
