//! The end of a connection that the gateway closes while its client may still be sending.
//!
//! A socket that is closed with bytes in it, or that gets some afterwards, answers with a reset, and a reset can take away the last answer before
//! the client has read it. So our side says that it is done, and what still comes is thrown away until the client has closed too. Where the end of the
//! connection would say that an answer is whole which is not, a reset is what is wanted.
//!
//! May touch: the stream. Bounds: [`LONGEST`] and [`MOST`]; the connection keeps its places among all and among those of its address meanwhile.
//! Trust boundary: nothing that comes is looked at. Specification: RFC 9112 section 9.6.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::watched::Watched;

/// How long what comes is thrown away, and how long last words may take to leave.
const LONGEST: Duration = Duration::from_secs(1);
/// Bytes that are thrown away: a client that sends a large body looks for the answer when all of it has left.
const MOST: usize = 64 << 20;
/// Bytes of one read.
const WINDOW: usize = 64 << 10;

/// A stream whose end can be told from a proper one.
pub(super) trait Breakable {
    /// Resets the connection when the stream is dropped; over TLS nothing is said of an end either.
    fn breaks(&self);
}

impl Breakable for TcpStream {
    fn breaks(&self) {
        // A connection that is gone is reset already.
        let _ = self.set_zero_linger();
    }
}

impl Breakable for TlsStream<Watched<TcpStream>> {
    fn breaks(&self) {
        self.get_ref().0.stream().breaks();
    }
}

impl<S: Breakable> Breakable for Box<S> {
    fn breaks(&self) {
        (**self).breaks();
    }
}

/// What `words` gives, if that is soon.
pub(super) async fn within<T>(words: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LONGEST, words).await.ok()
}

/// Closes a connection without a reset, as far as the bounds allow.
pub(super) async fn linger(stream: impl AsyncRead + AsyncWrite + Unpin) {
    // Whatever happens here, the connection is over.
    let _ = within(read_away(stream)).await;
}

async fn read_away(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    let mut window = vec![0; WINDOW];
    let mut left = MOST;
    while left > 0 {
        match stream.read(&mut window).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}
