//! One connection to the application: its socket, and what was read and is not used yet.
//!
//! What is read belongs to the answer under way and to nothing else: a connection on which anything came unasked, or after an answer's
//! end, is not used again (H08). Bounds: those of [`ReadAhead`]. An idle connection keeps its socket alone.
//!
//! May touch: the socket. Trust boundary: the application may be hostile. Specification: RFC 9112 section 9.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite as _;

use super::socket::Socket;
use super::tunnel::Stream;
use crate::http::decoder::{Broken, Decoder};
use crate::socket::{Prefixed, ReadAhead};

/// A connection.
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// What came and was not used yet.
    pub(super) read: ReadAhead,
    /// Whether a byte came since the request was sent.
    heard: bool,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, read: ReadAhead::default(), heard: false }
    }

    /// Begins anew: a request is about to be sent. Of its answer no more is read at once than `untried` bytes, or as many as have come.
    pub(super) fn begin(&mut self, untried: usize) {
        self.heard = false;
        self.read.begin(untried);
    }

    /// Whether a byte of an answer came (H07).
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// Reads something more; zero: the application says no more.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // What waits for the application holds no room yet; what comes is read into room that was used a moment ago.
        ready!(self.socket.poll_readable(context))?;
        let Poll::Ready(more) = self.read.poll_more(&mut self.socket, context) else {
            // A TLS session may have something to say to what it read, and waits with it until somebody writes.
            let _ = Pin::new(&mut self.socket).poll_flush(context)?;
            return Poll::Pending;
        };
        let more = more?;
        self.heard |= more > 0;
        Poll::Ready(Ok(more))
    }

    /// The body's next piece; none at its end.
    pub(super) fn poll_data(
        &mut self,
        decoder: &mut Decoder,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match decoder.take(&mut self.read.bytes) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if decoder.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
            self.read.expect(decoder.expected());
            match ready!(self.poll_more(context)) {
                Ok(0) if *decoder == Decoder::UntilClose => *decoder = Decoder::Done,
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(Broken))),
                Ok(_) => {}
            }
        }
    }

    /// Ends an answer: lets go of the room for reading. Whether the connection can be used again: nothing came that nobody asked for.
    pub(super) fn rest(&mut self) -> bool {
        let clean = self.read.bytes.is_empty();
        self.read.end();
        clean
    }

    /// Whether an idle connection is still there: the application has neither ended it nor said anything on it.
    pub(super) fn is_idle(&mut self) -> bool {
        // A readiness that the runtime has not heard of is told by the next request.
        self.socket.has_nothing()
    }
}

/// A connection that speaks another protocol after 101, with what came behind the answer's head.
pub type Upgraded = Box<dyn Stream>;

impl From<Connection> for Upgraded {
    fn from(connection: Connection) -> Self {
        Box::new(Prefixed::new(connection.read.bytes, connection.socket))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::coop::{has_budget_remaining, poll_proceed};

    use super::*;

    /// Uses up what the task may do before others have their turn.
    fn use_up_the_turn(context: &mut Context<'_>) {
        while let Poll::Ready(proceeded) = poll_proceed(context) {
            proceeded.made_progress();
        }
        assert!(!has_budget_remaining());
    }

    #[tokio::test]
    async fn h08_what_came_unasked_is_seen_by_a_task_whose_turn_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for says in [&b"HTTP/1.1 200 OK\r\n"[..], b""] {
            let (accepted, socket) =
                tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
            let (mut application, _) = accepted.unwrap();
            let mut connection = Connection::new(Socket::Clear(socket.unwrap()));
            poll_fn(|context| {
                use_up_the_turn(context);
                assert!(connection.is_idle());
                Poll::Ready(())
            })
            .await;
            // Says something, or goes.
            application.write_all(says).await.unwrap();
            drop(application);
            poll_fn(|context| connection.socket.poll_readable(context)).await.unwrap();
            let idle = tokio::spawn(poll_fn(move |context| {
                use_up_the_turn(context);
                Poll::Ready(connection.is_idle())
            }));
            assert!(!idle.await.unwrap(), "{says:?}");
        }
    }
}
