//! A request on its way: head and small body in one write, then the body piece by piece, framed as its head says.
//!
//! Nothing is read ahead of what the application takes. The head stays until a body was begun, so that a request without one can be sent
//! again as it is. Trust boundary: the body is a stranger's; that it is as long as announced is checked here (H01).
//! Specification: RFC 9112 sections 6 and 7.1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::{BodyError, RequestBody};
use crate::forward::BodyLength;
use crate::socket::Outbox;

/// Why a request could not be sent to its end.
pub(super) enum SendError {
    /// The application does not take it.
    Socket,
    /// The client's body failed; its progress says how.
    Body(BodyError),
}

impl From<io::Error> for SendError {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

/// A request that is being sent.
pub(super) struct Sending {
    outbox: Outbox,
    body: RequestBody,
    length: BodyLength,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was tried.
    Fresh,
    /// There may be more of the body.
    Body,
    /// All was given to the socket, which may still hold some of it.
    Flush,
    Done,
}

impl Sending {
    /// A request with this head; `length` is what the head says of the body.
    pub(super) fn new(head: Vec<u8>, body: RequestBody, length: BodyLength) -> Self {
        Self { outbox: Outbox::new(head), body, length, stage: Stage::Fresh }
    }

    /// Whether everything was sent.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What is left to send, if anything is; nothing stays.
    pub(super) fn take_rest(&mut self) -> Option<Self> {
        let nothing = Self::new(Vec::new(), RequestBody::empty(), BodyLength::Nothing);
        if self.is_done() { None } else { Some(std::mem::replace(self, nothing)) }
    }

    /// Whether everything that the client has sent so far was taken, and there is more to come: its silence has a limit of its own.
    pub(super) fn waits_for_client(&self) -> bool {
        self.stage == Stage::Body && self.outbox.is_gone()
    }

    /// Bytes that the connection took so far.
    pub(super) fn sent(&self) -> u64 {
        self.outbox.sent()
    }

    /// Whether the request has no body.
    pub(super) fn is_without_body(&self) -> bool {
        self.length == BodyLength::Nothing
    }

    /// Whether the application cannot have taken a byte of it.
    pub(super) fn is_whole(&self) -> bool {
        self.sent() == 0
    }

    /// Begins again, on another connection: where there is no body, or nothing has gone.
    pub(super) fn again(&mut self) {
        if self.is_without_body() {
            self.outbox.again();
            self.stage = Stage::Fresh;
        }
    }

    /// Sends on. Pending when the application takes no more, or the client has no more yet.
    pub(super) fn poll(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if self.stage == Stage::Fresh {
            self.stage = Stage::Body;
            // What is there of the body already leaves together with the head; if nothing is, the head does not wait for it.
            if let Poll::Ready(pulled) = self.poll_body(context) {
                pulled?;
            }
        }
        loop {
            ready!(self.outbox.poll_write(socket, context))?;
            match self.stage {
                Stage::Fresh | Stage::Body => match self.poll_body(context) {
                    Poll::Ready(pulled) => pulled?,
                    Poll::Pending => {
                        ready!(Pin::new(&mut *socket).poll_flush(context))?;
                        return Poll::Pending;
                    }
                },
                Stage::Flush => {
                    ready!(Pin::new(&mut *socket).poll_flush(context))?;
                    self.stage = Stage::Done;
                }
                Stage::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Takes the body's next piece, or its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.length == BodyLength::Nothing {
            self.stage = Stage::Flush;
            return Poll::Ready(Ok(()));
        }
        match ready!(self.body.poll_data(context)) {
            Some(Ok(data)) => Poll::Ready(self.add(data)),
            Some(Err(error)) => Poll::Ready(Err(SendError::Body(error))),
            None => Poll::Ready(self.end()),
        }
    }

    fn add(&mut self, data: Bytes) -> Result<(), SendError> {
        if data.is_empty() {
            return Ok(());
        }
        if let BodyLength::Known(left) = &mut self.length {
            *left = left.checked_sub(data.len() as u64).ok_or(SendError::Body(BodyError::Broken))?;
            if *left == 0 {
                self.stage = Stage::Flush;
            }
            self.outbox.put(data);
        } else {
            self.outbox.put_chunk(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), SendError> {
        match self.length {
            BodyLength::Known(1..) => return Err(SendError::Body(BodyError::Broken)),
            BodyLength::Chunked => self.outbox.put_end_of_chunks(),
            BodyLength::Known(0) | BodyLength::Nothing => {}
        }
        self.stage = Stage::Flush;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::task::Waker;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

    /// Takes so many bytes at each turn.
    struct Taker {
        at_once: usize,
        writes: Vec<usize>,
        got: Vec<u8>,
        /// Whether every other turn it takes nothing.
        hesitates: bool,
        turn: bool,
    }

    impl Taker {
        fn new(at_once: usize, hesitates: bool) -> Self {
            Self { at_once, writes: Vec::new(), got: Vec::new(), hesitates, turn: false }
        }
    }

    impl AsyncWrite for Taker {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.turn = !self.turn;
            if self.hesitates && self.turn {
                return Poll::Pending;
            }
            let taken = self.at_once.min(bytes.len());
            self.got.extend_from_slice(&bytes[..taken]);
            self.writes.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn sent(mut sending: Sending, taker: &mut Taker) -> Sending {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1_000_000 {
            if let Poll::Ready(done) = sending.poll(taker, &mut context) {
                assert!(done.is_ok() && sending.is_done());
                assert_eq!(sending.sent(), taker.got.len() as u64);
                return sending;
            }
        }
        panic!("it never ends");
    }

    fn whole(body: &'static [u8], length: BodyLength) -> Sending {
        Sending::new(HEAD.to_vec(), RequestBody::whole(Bytes::from_static(body)).0, length)
    }

    #[test]
    fn h06_a_small_body_leaves_with_its_head_in_one_write() {
        let mut taker = Taker::new(usize::MAX, false);
        sent(whole(b"data", BodyLength::Known(4)), &mut taker);
        assert_eq!(taker.got, [HEAD, b"data"].concat());
        assert_eq!(taker.writes.len(), 1);
        let mut taker = Taker::new(usize::MAX, false);
        sent(whole(b"data", BodyLength::Chunked), &mut taker);
        assert_eq!(taker.got, [HEAD, b"4\r\ndata\r\n0\r\n\r\n"].concat());
    }

    #[test]
    fn h01_a_body_is_as_long_as_its_head_says_or_is_not_sent_whole() {
        let mut context = Context::from_waker(Waker::noop());
        for (body, length) in [(&b"data"[..], 3), (b"data", 5)] {
            let mut taker = Taker::new(usize::MAX, false);
            let tried = whole(body, BodyLength::Known(length)).poll(&mut taker, &mut context);
            assert!(matches!(tried, Poll::Ready(Err(SendError::Body(BodyError::Broken)))), "{length}");
        }
    }

    #[test]
    fn h07_what_nothing_was_taken_of_is_whole_and_what_has_no_body_begins_again() {
        let (mut context, mut nobody) = (Context::from_waker(Waker::noop()), Taker::new(0, false));
        let mut sending = whole(b"data", BodyLength::Known(4));
        assert!(matches!(sending.poll(&mut nobody, &mut context), Poll::Ready(Err(SendError::Socket))));
        assert!(sending.is_whole());
        sending.again();
        let mut taker = Taker::new(3, true);
        sending = sent(sending, &mut taker);
        assert_eq!(taker.got, [HEAD, b"data"].concat());
        assert!(!sending.is_whole() && !sending.is_without_body());
        let mut sending = Sending::new(HEAD.to_vec(), RequestBody::empty(), BodyLength::Nothing);
        for _ in 0..2 {
            let mut taker = Taker::new(5, false);
            sending = sent(sending, &mut taker);
            assert_eq!(taker.got, HEAD);
            sending.again();
        }
    }

    proptest! {
        #[test]
        fn h06_however_little_is_taken_at_once_all_of_it_arrives(at_once in 1usize..9, hesitates: bool, chunked: bool) {
            let mut taker = Taker::new(at_once, hesitates);
            let length = if chunked { BodyLength::Chunked } else { BodyLength::Known(20) };
            sent(whole(b"twenty bytes of data", length), &mut taker);
            let body: &[u8] = if chunked { b"14\r\ntwenty bytes of data\r\n0\r\n\r\n" } else { b"twenty bytes of data" };
            prop_assert_eq!(taker.got, [HEAD, body].concat());
        }
    }
}
