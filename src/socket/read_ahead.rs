//! Reading ahead of what is used.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Room for the first piece that is read.
const FIRST: usize = 8 << 10;
/// Bytes that are read at once; whoever does not take what was read makes the gateway keep a few times as much.
const MOST: usize = 128 << 10;

/// What was read from a stream and is not used yet.
pub struct ReadAhead {
    /// It.
    pub bytes: BytesMut,
    /// How much to read at once; more where there was more.
    room: usize,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), room: FIRST }
    }
}

impl ReadAhead {
    /// Expects so many bytes, to read them in few pieces, where that is known.
    pub fn expect(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            let left = usize::try_from(bytes).unwrap_or(MOST).saturating_sub(self.bytes.len());
            self.room = left.clamp(FIRST, MOST);
        }
    }

    /// Makes room for a first piece: the room of what was used, where nobody holds a part of that.
    pub fn make_room(&mut self) {
        self.room = FIRST;
        self.bytes.reserve(FIRST);
    }

    /// Reads something more; zero: nothing more will come.
    pub fn poll_more(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < self.room / 2 {
            self.bytes.reserve(self.room);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let polled = pin!(stream.read_buf(&mut self.bytes)).poll(context);
        if let Poll::Ready(Ok(more)) = polled
            && more == room
            && self.room < MOST
        {
            self.room *= 2;
        }
        polled
    }
}

/// A stream, and what was read of it before.
pub struct Prefixed<S> {
    read: BytesMut,
    stream: S,
}

impl<S> Prefixed<S> {
    /// `stream`, of which `read` was read already.
    pub fn new(read: BytesMut, stream: S) -> Self {
        Self { read, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let length = self.read.len().min(into.remaining());
        into.put_slice(&self.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
