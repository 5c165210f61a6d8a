//! The client's socket as hyper sees it: notes activity for the time limits, lets no doubtfully framed request and no flood of frames
//! through, and writes head and small body at once.
//!
//! May touch: the stream and its watch. Trust boundary: what a client sends passes the guard before hyper sees it;
//! what a tunnel carries is not looked at.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Guard;
use super::watch::Watch;
use crate::socket::poll_write_joined;

/// A watched stream.
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
    /// None in a tunnel.
    guard: Option<Guard>,
    /// Whether our side says no more.
    ended: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>, guard: Guard) -> Self {
        Self { stream, watch, guard: Some(guard), ended: false }
    }

    /// The stream, with nothing read that was not passed on.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Notes that bytes came; a request among them that can be framed in two ways is spoiled.
    fn came(&mut self, bytes: &mut [u8]) {
        if self.watch.is_tunnel() {
            self.guard = None;
            return;
        }
        self.watch.read();
        if let Some(guard) = &mut self.guard {
            guard.inspect(bytes, &self.watch);
        }
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
        if self.guard.is_some() && self.watch.refused().is_some() {
            // Nothing more is read: to hyper the client has ended.
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if let Some(bytes) = into.filled_mut().get_mut(before..).filter(|bytes| !bytes.is_empty()) {
            self.came(bytes);
        }
        // Whoever reads on while nothing is there has used up all that came.
        let waits = read.is_pending() && !self.ended;
        self.watch.is_between(waits && self.guard.as_ref().is_some_and(Guard::is_between));
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
        let written = poll_write_joined(Pin::new(&mut self.stream), context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.ended = true;
        self.watch.is_between(false);
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
