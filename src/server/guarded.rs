//! The client's stream as hyper sees it on HTTP/2: lets no flood of frames through.
//!
//! May touch: the stream and its watch. Trust boundary: what a client sends passes the guard before hyper sees it.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Guard;
use super::watch::Watch;
use crate::socket::poll_write_joined;

/// A stream of which what is read passes the guard.
pub(super) struct Guarded<S> {
    stream: S,
    watch: Arc<Watch>,
    guard: Guard,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>, guard: Guard) -> Self {
        Self { stream, watch, guard }
    }

    /// The stream, with nothing read that was not passed on.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Nothing more is read: to hyper the client says what makes it unreadable, and has ended.
    #[cold]
    fn end(&mut self, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Guard::Ended(last) = &mut self.guard {
            let part = last.len().min(into.remaining());
            into.put_slice(&last.drain(..part).collect::<Vec<_>>());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Guard::Ended(_) = self.guard {
            return self.end(into);
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if let Some(bytes) = into.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            let Self { guard, watch, .. } = &mut *self;
            guard.inspect(bytes, watch);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        poll_write_joined(Pin::new(&mut self.stream), context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::Waker;

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;
    use crate::config::Timeouts;
    use crate::http::frame_guard::FrameGuard;
    use crate::server::watchman::Watchman;
    use crate::server::worker::Slot;

    const LONGEST_HEAD: usize = 32 << 10;

    /// A client whose bytes come in these pieces, a read each, and then none; what it is told.
    struct Client {
        pieces: VecDeque<Vec<u8>>,
        told: Arc<Mutex<Vec<u8>>>,
    }

    impl AsyncRead for Client {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let Some(piece) = self.pieces.front_mut() else { return Poll::Pending };
            into.put_slice(&piece.drain(..piece.len().min(into.remaining())).collect::<Vec<_>>());
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Client {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            self.told.lock().unwrap().extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What a client reads that sends these pieces and waits; no request of it may get through.
    fn told(pieces: VecDeque<Vec<u8>>, guard: Guard) -> Vec<u8> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let watch = Watchman::new(Timeouts::default()).watch(Slot::alone());
        watch.opened(true);
        let io = TokioIo::new(Guarded::new(Client { pieces, told: Arc::clone(&told) }, watch, guard));
        let service = service_fn(|_| async { Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new())) });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut connection = pin!(builder.max_header_list_size(LONGEST_HEAD as u32).serve_connection(io, service));
        let mut context = Context::from_waker(Waker::noop());
        // hyper lets others go first now and then.
        let served = (0..10_000).any(|_| connection.as_mut().poll(&mut context).is_ready());
        assert!(served, "the connection goes on");
        std::mem::take(&mut *told.lock().unwrap())
    }

    #[test]
    fn d02_a_flood_is_told_to_be_calm_wherever_it_is_cut() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for frame in [
            &b"\0\0\0\x04\0\0\0\0\0"[..],
            b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\x7f\xff",
            b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
        ] {
            let flood = [&preface[..], &frame.repeat(5000)].concat();
            for piece in (1..40).chain([4096]) {
                let pieces = flood.chunks(piece).map(<[u8]>::to_vec).collect();
                let said = told(pieces, Guard::Http2(FrameGuard::new(0), LONGEST_HEAD));
                let goodbye = said.windows(9).rposition(|head| head[3..] == [7, 0, 0, 0, 0, 0]).expect("a GOAWAY");
                assert_eq!(said[goodbye + 13..goodbye + 17], [0, 0, 0, 11], "{frame:?} in {piece}");
            }
        }
    }
}
