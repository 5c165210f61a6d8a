//! What waits to be written: a head or a chunk's first line, data, and what ends a chunk; in one write where it is small.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::joined::poll_write_joined;

/// What is to be written next. Data is not copied.
#[derive(Default)]
pub struct Outbox {
    /// The head, or a chunk's first line.
    front: Vec<u8>,
    data: Bytes,
    /// What ends a chunk, and a body of chunks.
    back: &'static [u8],
    /// How much of the three has left.
    gone: usize,
    /// Bytes that were taken in all.
    sent: u64,
}

impl Outbox {
    /// With a head to be written.
    pub fn new(head: Vec<u8>) -> Self {
        Self { front: head, ..Self::default() }
    }

    /// Room for a new head, in place of all that was there.
    pub fn head(&mut self) -> &mut Vec<u8> {
        self.front.clear();
        (self.data, self.back, self.gone) = (Bytes::new(), b"", 0);
        &mut self.front
    }

    /// Whether all of it has left.
    pub fn is_gone(&self) -> bool {
        self.gone == self.front.len() + self.data.len() + self.back.len()
    }

    /// Bytes that were taken in all.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Begins again with what is here, which was the first.
    pub fn again(&mut self) {
        (self.gone, self.sent) = (0, 0);
    }

    /// Adds a piece of a body; a head before it need not have left, another piece must have.
    pub fn put(&mut self, data: Bytes) {
        self.make_room();
        self.data = data;
    }

    /// Adds a piece of a body as a chunk (RFC 9112 section 7.1).
    pub fn put_chunk(&mut self, data: Bytes) {
        self.make_room();
        // Writing to memory does not fail.
        let _ = write!(self.front, "{:x}\r\n", data.len());
        (self.data, self.back) = (data, b"\r\n");
    }

    /// Adds the end of a body of chunks.
    pub fn put_end_of_chunks(&mut self) {
        self.make_room();
        self.back = if self.back.is_empty() { b"0\r\n\r\n" } else { b"\r\n0\r\n\r\n" };
    }

    /// Forgets what has left.
    fn make_room(&mut self) {
        if self.gone > 0 {
            self.head();
        }
    }

    /// Writes on; ready once all has left.
    pub fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut skip = self.gone;
            let mut left = |part| after(part, &mut skip);
            let slices = [left(&self.front), left(&self.data), left(self.back)];
            let written = match slices {
                [[], [], []] => {
                    // Whoever made the data can use its room again. What stays is a head, to be written once more perhaps.
                    self.gone -= self.data.len();
                    self.data = Bytes::new();
                    return Poll::Ready(Ok(()));
                }
                [only, [], []] | [[], only, []] => ready!(Pin::new(&mut *stream).poll_write(context, only))?,
                slices => ready!(poll_write_joined(Pin::new(&mut *stream), context, &slices.map(IoSlice::new)))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone += written;
            self.sent += written as u64;
        }
    }
}

/// What is left of `part` when so many bytes are gone, of which those of the part are taken off.
fn after<'a>(part: &'a [u8], gone: &mut usize) -> &'a [u8] {
    let skipped = part.len().min(*gone);
    *gone -= skipped;
    part.get(skipped..).unwrap_or_default()
}
