//! The socket as hyper sees it: notes activity for the time limits, and writes head and small body at once.
//!
//! hyper hands a head and a body over as two slices. For a small answer one `write` of a copy costs measurably less than one `writev` of
//! two slices (`docs/performance.md`), so slices that fit into [`SMALL`] are joined on the stack; large ones go as they are.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::watch::Watch;

/// Slices that together are no longer than this are joined.
const SMALL: usize = 4096;

/// A watched stream.
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.watch.write_blocked(),
            Poll::Ready(_) => self.watch.write_moved(),
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.watch.read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let mut joined = [0u8; SMALL];
        let written = match join(slices, &mut joined) {
            Some(bytes) => Pin::new(&mut self.stream).poll_write(context, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_pending() {
            self.watch.write_blocked();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Copies the slices one after the other, when there are several and they fit.
fn join<'a>(slices: &[IoSlice<'_>], into: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    if slices.len() < 2 {
        return None;
    }
    let mut length = 0;
    for slice in slices {
        let end = length + slice.len();
        into.get_mut(length..end)?.copy_from_slice(slice);
        length = end;
    }
    into.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_slices_are_joined_and_large_ones_are_not() {
        let mut into = [0u8; SMALL];
        let large = vec![7u8; SMALL];
        assert_eq!(join(&[IoSlice::new(b"head"), IoSlice::new(b"body")], &mut into), Some(&b"headbody"[..]));
        assert_eq!(join(&[IoSlice::new(b"head")], &mut into), None);
        assert_eq!(join(&[IoSlice::new(b"h"), IoSlice::new(&large)], &mut into), None);
        assert_eq!(join(&[IoSlice::new(b""), IoSlice::new(&large)], &mut into).map(<[u8]>::len), Some(SMALL));
    }
}
