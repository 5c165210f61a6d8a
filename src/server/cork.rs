//! Answers of many streams leave in one write.
//!
//! h2 flushes its buffer after every larger data frame, which over TLS means a record, an authentication tag and a system call for each answer. A
//! [`Corked`] stream takes what is written and lets it wait; whoever drives the connection lets it out ([`Outlet::poll`]) when
//! everything that was ready has been said. So a flush here promises nothing, and only the driver's does.
//!
//! What h2 refuses by itself it tells only the client; it is read off here, whether the client takes it or not ([`FrameRefusals`]).
//!
//! May touch: the stream it is given. Bound: [`MOST`] bytes a connection, held only while something waits; a client that does not take
//! them stops the writing, as a full socket does. Trust boundary: bytes are h2's own.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::frame_refusals::{FrameRefusals, Refused, Streams};

/// Bytes that may wait; then they leave at once.
const MOST: usize = 32 * 1024;

thread_local! {
    /// Room for what waits: one connection after the other uses it, so it is made once.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(MOST));
}

/// A stream whose writes wait.
pub(super) struct Corked<S>(Arc<Mutex<Cork<S>>>);

/// Lets out what waits.
pub(super) struct Outlet<S>(Arc<Mutex<Cork<S>>>);

struct Cork<S> {
    stream: S,
    waiting: Vec<u8>,
    /// How much of it has left.
    gone: usize,
    /// Whether the stream itself may still hold something.
    unflushed: bool,
    refusals: FrameRefusals,
    /// Whether the client has left, or h2 is done with the stream.
    over: bool,
}

/// Corks a stream. Both ends belong to one task, so the lock is never contended.
pub(super) fn cork<S>(stream: S) -> (Corked<S>, Outlet<S>) {
    let cork = Arc::new(Mutex::new(Cork {
        stream,
        waiting: Vec::new(),
        gone: 0,
        unflushed: false,
        refusals: FrameRefusals::default(),
        over: false,
    }));
    (Corked(Arc::clone(&cork)), Outlet(cork))
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    /// Writes what waits; pending while the client does not take it.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        open(&self.0).poll_out(context)
    }
}

impl<S> Outlet<S> {
    /// The streams that h2 refused since this was last asked, and why it ends the connection, if it does.
    pub(super) fn refusals(&self) -> Option<(Streams, Option<Refused>)> {
        let mut cork = open(&self.0);
        cork.refusals.has_some().then(|| cork.refusals.take())
    }

    /// Whether there is a reason for the connection to be over: nothing more comes, or h2 has ended it.
    pub(super) fn is_over(&self) -> bool {
        open(&self.0).over
    }

    /// The stream, when the other end is gone.
    pub(super) fn into_inner(self) -> Option<S> {
        let cork = Arc::into_inner(self.0)?;
        Some(cork.into_inner().unwrap_or_else(PoisonError::into_inner).stream)
    }
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.gone..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.gone += written,
            }
        }
        // An idle connection holds no buffer.
        self.gone = 0;
        let mut room = std::mem::take(&mut self.waiting);
        if room.capacity() == MOST {
            room.clear();
            ROOM.set(room);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.waiting.capacity() == 0 {
            self.waiting = ROOM.take();
            self.waiting.reserve_exact(MOST);
        }
        self.waiting.extend_from_slice(bytes);
        self.unflushed = true;
    }
}

fn open<S>(cork: &Mutex<Cork<S>>) -> MutexGuard<'_, Cork<S>> {
    cork.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (mut cork, before) = (open(&self.0), into.filled().len());
        let read = Pin::new(&mut cork.stream).poll_read(context, into);
        cork.over |= read.is_ready() && into.filled().len() == before;
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut cork = open(&self.0);
        if cork.waiting.len() >= MOST {
            ready!(cork.poll_out(context))?;
        }
        let room = MOST - cork.waiting.len();
        let part = bytes.get(..room).unwrap_or(bytes);
        cork.add(part);
        cork.refusals.inspect(part);
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cork = open(&self.0);
        cork.over = true;
        ready!(cork.poll_out(context))?;
        Pin::new(&mut cork.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// A client that takes so many bytes, and what it got write by write.
    #[derive(Default)]
    struct Client {
        takes: usize,
        got: Vec<Vec<u8>>,
        flushed: usize,
        ended: bool,
    }

    impl AsyncWrite for Client {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = self.takes.min(bytes.len());
            if taken == 0 {
                return Poll::Pending;
            }
            self.takes -= taken;
            self.got.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushed += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.ended = true;
            Poll::Ready(Ok(()))
        }
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn what_was_written_in_pieces_leaves_in_one_write() {
        let (mut corked, outlet) = cork(Client { takes: 1000, ..Client::default() });
        for piece in [b"head".as_slice(), b"body", b"next"] {
            assert!(matches!(Pin::new(&mut corked).poll_write(&mut context(), piece), Poll::Ready(Ok(4))));
            assert!(Pin::new(&mut corked).poll_flush(&mut context()).is_ready());
        }
        assert!(open(&outlet.0).stream.got.is_empty());
        assert!(outlet.poll(&mut context()).is_ready() && outlet.poll(&mut context()).is_ready());
        let cork = open(&outlet.0);
        assert_eq!(
            (cork.stream.got.concat(), cork.stream.got.len(), cork.stream.flushed),
            (b"headbodynext".to_vec(), 1, 1)
        );
        assert_eq!(cork.waiting.capacity(), 0);
    }

    #[test]
    fn d01_a_client_that_takes_nothing_stops_the_writing() {
        let (mut corked, outlet) = cork(Client::default());
        let piece = [7; 1024];
        let write = |corked: &mut Corked<Client>| Pin::new(corked).poll_write(&mut context(), &piece).is_ready();
        let taken = (0..1000).take_while(|_| write(&mut corked)).count();
        assert_eq!(taken, MOST / piece.len());
        assert!(outlet.poll(&mut context()).is_pending());
        open(&outlet.0).stream.takes = 100;
        assert!(outlet.poll(&mut context()).is_pending() && !write(&mut corked));
        open(&outlet.0).stream.takes = usize::MAX;
        assert!(write(&mut corked) && outlet.poll(&mut context()).is_ready());
        assert_eq!(open(&outlet.0).stream.got.concat(), [7; 1024].repeat(taken + 1));
    }

    #[test]
    fn what_waits_leaves_before_the_end() {
        let (mut corked, outlet) = cork(Client::default());
        assert!(Pin::new(&mut corked).poll_write(&mut context(), b"goodbye").is_ready());
        assert!(Pin::new(&mut corked).poll_shutdown(&mut context()).is_pending() && !open(&outlet.0).stream.ended);
        open(&outlet.0).stream.takes = 7;
        assert!(Pin::new(&mut corked).poll_shutdown(&mut context()).is_ready());
        let cork = open(&outlet.0);
        assert!(cork.over && cork.stream.ended && cork.stream.got.concat() == b"goodbye");
    }
}
