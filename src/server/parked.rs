//! Client connections that have nothing to do and keep little more than their socket.
//!
//! HTTP/1.1 needs a buffer and room for a request's whole future for every connection, about 11 KiB. So it is set up when a byte comes and
//! not before; when a connection has been idle for a while, the socket is taken back, and everything else is let go
//! of. What is kept is the task, the [`Watch`], the socket and, over TLS, the session with its keys. All limits and orders of the watchman
//! hold for parked connections as for others.
//!
//! May touch: the stream, to ask whether something came; what came stays where it is. Trust boundary: none; what comes is read by a reader
//! that begins anew, which is right because a connection is only taken back between two messages.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::watch::{Order, Watch};
use super::watched::Watched;
use super::worker::Slot;

/// A stream that can be waited on without reading.
pub(super) trait Readable {
    /// Ready when there is something to read; false when nothing more will come.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool>;
}

impl Readable for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool> {
        // The kernel is asked: the runtime takes a connection that was just accepted for readable.
        let mut byte = [0; 1];
        self.poll_peek(context, &mut ReadBuf::new(&mut byte)).map(|peeked| peeked.is_ok_and(|count| count > 0))
    }
}

impl Readable for TlsStream<Watched<TcpStream>> {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool> {
        let (socket, session) = self.get_ref();
        // A request may have come together with the end of the handshake.
        if session.wants_read() { socket.stream().poll_readable(context) } else { Poll::Ready(true) }
    }
}

impl<S: Readable> Readable for Box<S> {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool> {
        (**self).poll_readable(context)
    }
}

/// Waits with nothing but `stream` until there is something for HTTP to do: to read, or to say goodbye. False when the connection ends now.
pub(super) async fn until_needed(stream: &impl Readable, watch: &Watch) -> bool {
    let _parked = watch.park();
    poll_fn(|context| match watch.order(context.waker()) {
        Order::Drop => Poll::Ready(false),
        Order::Finish if !watch.awaits_first_byte() => Poll::Ready(true),
        Order::GoOn | Order::Park | Order::Finish => stream.poll_readable(context),
    })
    .await
}

/// Counts one parked connection while it lives.
pub(super) struct Parked<'a>(&'a Slot);

impl<'a> Parked<'a> {
    pub(super) fn new(slot: &'a Slot) -> Self {
        slot.metrics().parked.inc();
        Self(slot)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.metrics().parked.dec();
    }
}
