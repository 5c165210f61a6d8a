//! Reading ahead of what is used.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Room for the first piece that is read.
const FIRST: usize = 8 << 10;
/// Bytes that are read at once; whoever does not take what was read makes the gateway keep a few times as much.
pub const MOST: usize = 128 << 10;

/// What was read from a stream and is not used yet.
pub struct ReadAhead {
    /// It.
    pub bytes: BytesMut,
    /// How much to read at once; more where there was more.
    room: usize,
    /// What may be read at once before as many bytes have come.
    untried: usize,
    /// Bytes that came since this was begun.
    came: usize,
    /// How much to read at first: the next answer is often as long as the last one.
    usual: usize,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), room: FIRST, untried: MOST, came: 0, usual: FIRST }
    }
}

impl ReadAhead {
    /// Begins anew: what comes now has nothing to do with what came before. No more is read at once than `untried` bytes, or as many as have
    /// come: whoever takes what was read may get more at once than somebody who has taken nothing yet.
    pub fn begin(&mut self, untried: usize) {
        (self.untried, self.came) = (untried, 0);
        self.room = self.usual.min(self.most());
    }

    /// Ends what was begun, and lets go of the room.
    pub fn end(&mut self) {
        self.bytes = BytesMut::new();
        // With room for a little more than the last time, to see that nothing is left.
        self.usual = if self.came < FIRST { FIRST } else { (self.came + self.came / 8).min(MOST) };
    }

    /// Expects so many bytes, to read them in few pieces, where that is known.
    pub fn expect(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            let left = usize::try_from(bytes).unwrap_or(MOST).saturating_sub(self.bytes.len());
            self.room = left.max(FIRST).min(self.most());
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
        let left = self.bytes.capacity() - self.bytes.len();
        // Where there is little to be read, what is left of the room is enough.
        if left < self.room / 2 || (left < self.room && self.room > FIRST && self.bytes.is_empty()) {
            self.bytes.reserve(self.room);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let more = ready!(pin!(stream.read_buf(&mut self.bytes)).poll(context))?;
        self.came = self.came.saturating_add(more);
        if more == room {
            self.room = (self.room * 2).min(self.most());
        }
        Poll::Ready(Ok(more))
    }

    /// Bytes that may be read at once now.
    fn most(&self) -> usize {
        self.came.max(self.untried).min(MOST)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Reads until nothing is there; how often it was read.
    fn read_all(ahead: &mut ReadAhead, mut stream: &[u8]) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut reads = 0;
        while !stream.is_empty() {
            assert!(matches!(ahead.poll_more(&mut stream, &mut context), Poll::Ready(Ok(1..))));
            reads += 1;
        }
        reads
    }

    #[test]
    fn what_is_as_long_as_the_last_time_is_read_at_once() {
        let mut ahead = ReadAhead::default();
        let long = vec![7; 64 << 10];
        assert_eq!(ahead.room, FIRST);
        ahead.begin(MOST);
        assert!(read_all(&mut ahead, &long) > 1);
        ahead.end();
        ahead.begin(MOST);
        assert!(ahead.room > FIRST);
        assert_eq!(read_all(&mut ahead, &long), 1);
        assert_eq!(ahead.bytes, long);
        ahead.end();
        assert_eq!(ahead.bytes.capacity(), 0);
        // One short answer, and no more room than that is made.
        ahead.begin(MOST);
        assert_eq!(read_all(&mut ahead, &long[..100]), 1);
        ahead.end();
        ahead.begin(MOST);
        assert_eq!(ahead.room, FIRST);
    }

    #[test]
    fn no_more_is_read_at_once_than_the_most() {
        let mut ahead = ReadAhead::default();
        let endless = vec![7; 1 << 20];
        read_all(&mut ahead, &endless);
        ahead.end();
        ahead.begin(MOST);
        ahead.expect(Some(u64::MAX));
        let (mut stream, mut context) = (&endless[..], Context::from_waker(Waker::noop()));
        assert!(matches!(ahead.poll_more(&mut stream, &mut context), Poll::Ready(Ok(1..))));
        assert!(ahead.bytes.len() <= MOST, "{}", ahead.bytes.len());
    }

    #[test]
    fn d01_no_more_is_held_than_was_taken_and_a_first_piece() {
        let untried = 16 << 10;
        let endless = vec![7; 1 << 20];
        let mut ahead = ReadAhead::default();
        ahead.begin(MOST);
        read_all(&mut ahead, &endless);
        ahead.end();
        // The answer before was long, and this one says that it is.
        ahead.begin(untried);
        let (mut stream, mut context) = (&endless[..], Context::from_waker(Waker::noop()));
        let (mut taken, mut pieces) = (0, Vec::new());
        while !stream.is_empty() {
            assert!(matches!(ahead.poll_more(&mut stream, &mut context), Poll::Ready(Ok(1..))));
            let most = untried.max(taken).min(MOST);
            assert!(ahead.bytes.capacity() <= most, "{} after {taken}", ahead.bytes.capacity());
            taken += ahead.bytes.len();
            pieces.push(ahead.bytes.split().freeze());
            ahead.expect(Some(1 << 20));
        }
        let lengths: Vec<_> = pieces.iter().map(|piece| piece.len() >> 10).collect();
        assert_eq!(lengths, [16, 16, 32, 64, 128, 128, 128, 128, 128, 128, 128]);
    }
}
