//! One connection to the application: its socket, and what was read and is not used yet.
//!
//! What is read belongs to the answer under way and to nothing else: a connection on which anything came unasked, or after an answer's
//! end, is not used again (H08). Bounds: [`MOST`] bytes are read ahead. An idle connection keeps its socket alone.
//!
//! May touch: the socket. Trust boundary: the application may be hostile. Specification: RFC 9112 section 9.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::socket::Socket;

/// Room for the first piece that is read.
const FIRST: usize = 8 << 10;
/// Bytes of an answer that are read at once; a client that does not take its answer makes the gateway keep a few times as much.
const MOST: usize = 128 << 10;

/// A connection.
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// What came and was not used yet.
    pub(super) read: BytesMut,
    /// How much to read at once; more where there was more.
    room: usize,
    /// Whether a byte came since the request was sent.
    heard: bool,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, read: BytesMut::new(), room: FIRST, heard: false }
    }

    /// Begins anew: a request is about to be sent.
    pub(super) fn begin(&mut self) {
        self.heard = false;
    }

    /// Whether a byte of an answer came (H07).
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// Expects so many bytes more, to read them in few pieces.
    pub(super) fn expect(&mut self, bytes: u64) {
        let left = usize::try_from(bytes).unwrap_or(MOST).saturating_sub(self.read.len());
        self.room = left.clamp(FIRST, MOST);
    }

    /// Reads something more; zero: the application says no more.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < self.room / 2 {
            self.read.reserve(self.room);
        }
        let room = self.read.capacity() - self.read.len();
        let more = ready!(pin!(self.socket.read_buf(&mut self.read)).poll(context))?;
        if more == room && self.room < MOST {
            self.room *= 2;
        }
        self.heard |= more > 0;
        Poll::Ready(Ok(more))
    }

    /// Ends an answer: lets go of the room for reading. Whether the connection can be used again: nothing came that nobody asked for.
    pub(super) fn rest(&mut self) -> bool {
        let clean = self.read.is_empty();
        self.read = BytesMut::new();
        clean
    }

    /// Whether an idle connection is still there: the application has neither ended it nor said anything on it.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        // A readiness that the runtime has not heard of is told by the next request.
        Pin::new(&mut self.socket).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}

/// A connection that speaks another protocol after 101, with what came behind the answer's head.
pub struct Upgraded {
    socket: Socket,
    read: BytesMut,
}

impl From<Connection> for Upgraded {
    fn from(connection: Connection) -> Self {
        Self { socket: connection.socket, read: connection.read }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, into);
        }
        let length = self.read.len().min(into.remaining());
        into.put_slice(&self.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
