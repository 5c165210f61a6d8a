//! An answer on its way to the client: head and small body in one write, then the body piece by piece, framed as its head says.
//!
//! A piece is asked for when the one before it has left, so a client that takes nothing stops the application too. The application is let go of when
//! the last piece is there, the request's account when that has left. Specification: RFC 9112 sections 6 and 7.1.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::head::Framing;
use super::wire::Shared;
use crate::gateway::Body;
use crate::socket::Outbox;

/// An answer could not be given whole.
pub(super) enum Unfinished {
    /// The client takes no more.
    ClientLeft,
    /// The body broke off, or is not as long as was said.
    Broken,
}

/// An answer whose head is in the outbox.
pub(super) struct Answer<'a> {
    outbox: &'a mut Outbox,
    body: Body,
    /// Whether more of it comes.
    more: bool,
    framing: Framing,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fresh,
    Body,
    Flush,
}

impl<'a> Answer<'a> {
    pub(super) fn new(outbox: &'a mut Outbox, mut body: Body, framing: Framing) -> Self {
        let more = framing != Framing::Nothing;
        if !more {
            body.taken();
        }
        Self { outbox, body, more, framing, stage: Stage::Fresh }
    }

    /// Gives the answer; ready when all of it has left.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &Shared<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unfinished>> {
        if self.stage == Stage::Fresh {
            self.stage = Stage::Body;
            // What is there of the body already leaves together with the head; if nothing is, the head does not wait for it.
            if let Poll::Ready(pulled) = self.poll_body(context) {
                pulled?;
            }
        }
        loop {
            let written = wire.lock().poll_write(self.outbox, context);
            ready!(written).map_err(|_| Unfinished::ClientLeft)?;
            let polled = if self.stage == Stage::Flush { Poll::Pending } else { self.poll_body(context) };
            if let Poll::Ready(pulled) = polled {
                pulled?;
                continue;
            }
            let flushed = wire.lock().poll_flush(context);
            ready!(flushed).map_err(|_| Unfinished::ClientLeft)?;
            if self.stage == Stage::Flush {
                self.body.has_left();
                return Poll::Ready(Ok(()));
            }
            return wire.lock().poll_left(context).map(|()| Err(Unfinished::ClientLeft));
        }
    }

    /// Puts the body's next piece, or its end, into the outbox.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unfinished>> {
        if !self.more {
            self.stage = Stage::Flush;
            return Poll::Ready(Ok(()));
        }
        let data = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => return Poll::Ready(self.end()),
            Some(Err(_)) => return Poll::Ready(Err(Unfinished::Broken)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let over = self.body.is_end_stream();
        if !data.is_empty() {
            match &mut self.framing {
                Framing::Chunked => self.outbox.put_chunk(data),
                Framing::UntilClose | Framing::Nothing => self.outbox.put(data),
                Framing::Length(left) => {
                    let Some(rest) = left.checked_sub(data.len() as u64) else {
                        return Poll::Ready(Err(Unfinished::Broken));
                    };
                    *left = rest;
                    self.outbox.put(data);
                }
            }
        }
        Poll::Ready(if over { self.end() } else { Ok(()) })
    }

    fn end(&mut self) -> Result<(), Unfinished> {
        self.more = false;
        self.body.taken();
        self.stage = Stage::Flush;
        match self.framing {
            Framing::Length(1..) => return Err(Unfinished::Broken),
            Framing::Chunked => self.outbox.put_end_of_chunks(),
            Framing::Length(0) | Framing::UntilClose | Framing::Nothing => {}
        }
        Ok(())
    }
}
