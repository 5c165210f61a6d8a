//! HTTP/1.1 with a client: one request after the other, each answered before the next one is read
//! ([decision 69](../../../docs/decisions/0069-http-1-1-towards-clients-of-our-own.md)).
//!
//! One future drives it all, the gateway's work on the request included; no task is started for a request. A client that leaves ends
//! it. What is refused before it is a request is answered here and has its line in the access log.
//!
//! Trust boundary: the wire. Specification: RFC 9112 sections 3, 6, 9 and RFC 9110 sections 7.8 and 10.1.1.

mod answer;
mod head;
mod wire;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use http::{Response, StatusCode, Version};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::connection::Serving;
use super::goodbye::{self, Breakable};
use super::watch::Order;
use crate::gateway::Body;
use crate::http::request::{Arrived, UnreadableHead};
use crate::socket::{Outbox, Prefixed};
use crate::upstream::{ClientBody, ClientStream};
use answer::{Answer, Unfinished};
use head::{Asked, Framing};
use wire::Shared;

/// How serving a connection came to an end.
enum End {
    /// It is to be parked.
    Idle,
    /// Nobody is to be told anything any more, or all was said.
    Over,
    /// The last words were said; the client may still be sending.
    LastWords,
    /// It speaks another protocol now.
    Switched(oneshot::Sender<ClientStream>),
    /// An answer broke off that has no other end than the connection's.
    Broken,
    /// A time limit was over.
    Dropped,
}

impl Serving {
    /// Serves requests; the stream comes back when it is to be parked.
    pub(super) async fn http1_awake<S: Breakable + AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
    ) -> Option<S> {
        let wire = Shared::new(stream, self.watch.clone(), &self.shared.limits);
        let end = {
            let mut talk = pin!(self.talk(&wire));
            poll_fn(|context| {
                let order = self.watch.order(context.waker());
                if order == Order::Drop {
                    return Poll::Ready(End::Dropped);
                }
                match talk.as_mut().poll(context) {
                    Poll::Pending if order == Order::Park => self.parks(),
                    polled => polled,
                }
            })
            .await
        };
        let (mut stream, read) = wire.into_parts()?;
        match end {
            // Should anything be left between two messages, it is not guessed what it belongs to.
            End::Idle => return read.is_empty().then_some(stream),
            End::Switched(to) => {
                let stream = Box::new(Prefixed::new(read, stream));
                // When nobody takes it, it closes.
                let _ = to.send(ClientStream { stream, kept: Box::new(self.watch.clone()) });
            }
            End::Broken => stream.breaks(),
            End::Dropped => {}
            // Over TLS an end without one could be an attacker's.
            End::Over if read.is_empty() => drop(self.obeying(Box::pin(goodbye::within(stream.shutdown()))).await),
            End::Over | End::LastWords => {
                self.watch.lingers();
                self.obeying(Box::pin(goodbye::linger(stream))).await;
            }
        }
        None
    }

    /// Follows the order to park, unless there is something to do again.
    fn parks(&self) -> Poll<End> {
        if self.watch.may_park() {
            return Poll::Ready(End::Idle);
        }
        self.watch.go_on();
        Poll::Pending
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, wire: &Shared<S>) -> End {
        let mut outbox = Outbox::default();
        loop {
            let end = match poll_fn(|context| wire.lock().poll_head(context)).await {
                Ok(Some(arrived)) => self.exchange(wire, arrived, &mut outbox).await,
                Ok(None) => Some(End::Over),
                Err(why) => Some(self.refuse(wire, why, &mut outbox).await),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Answers a head that cannot be read; the log tells of it too.
    async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &Shared<S>,
        why: UnreadableHead,
        outbox: &mut Outbox,
    ) -> End {
        let status = match why {
            UnreadableHead::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            UnreadableHead::Framing(_) | UnreadableHead::Malformed => StatusCode::BAD_REQUEST,
        };
        self.gateway.note_unreadable(&self.facts, Version::HTTP_11, status.as_u16(), why.code());
        head::write_refusal(status, self.watch.now(), outbox.head());
        let said = poll_fn(|context| {
            let mut wire = wire.lock();
            match wire.poll_write(outbox, context) {
                Poll::Ready(Ok(())) => wire.poll_flush(context),
                other => other,
            }
        });
        if said.await.is_ok() { End::LastWords } else { End::Over }
    }

    /// Answers one request; none when the next one may come.
    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        wire: &Shared<S>,
        arrived: Arrived,
        outbox: &mut Outbox,
    ) -> Option<End> {
        let _in_flight = self.watch.begin_request();
        let Arrived { request, body, keeps, expects_continue, upgrades } = arrived;
        let asked = Asked::by(request.method(), request.version(), keeps);
        let mut sent = ClientBody::default();
        if !body.is_done() {
            sent = ClientBody::new(wire.body(body, expects_continue));
        }
        let (switch, switched) = if upgrades { Some(oneshot::channel()).unzip() } else { (None, None) };
        if let Some(switched) = switched {
            sent = sent.upgrading(switched);
        }
        let response = {
            let mut answering = pin!(self.gateway.handle(request.map(|()| sent), &self.facts));
            let answered = poll_fn(|context| match answering.as_mut().poll(context) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => wire.lock().poll_left(context).map(|()| None),
            });
            answered.await
        };
        // Who has left is told nothing.
        let Some(response) = response else { return Some(End::Over) };
        let (switches, (framing, keeps), body) = self.begin_answer(wire, response, asked, outbox).await;
        let mut answer = Answer::new(outbox, body, framing);
        let given = poll_fn(|context| answer.poll(wire, context)).await;
        // What the answer holds of the request's body is let go of before that is waited for.
        drop(answer);
        match given {
            Ok(()) => {}
            Err(Unfinished::ClientLeft) => return Some(End::Over),
            // On HTTP/1.0 a broken answer without a length would look whole (RFC 9112 section 8).
            Err(Unfinished::Broken) if framing == Framing::UntilClose => return Some(End::Broken),
            Err(Unfinished::Broken) => return Some(End::LastWords),
        }
        let whole = poll_fn(|context| wire.lock().poll_body_over(context)).await;
        match switch {
            _ if !whole => Some(End::LastWords),
            Some(switch) if switches => Some(End::Switched(switch)),
            _ if !keeps => Some(End::Over),
            _ => None,
        }
    }

    /// Writes the head of an answer; whether it is 101, how its body is framed, whether the connection is kept, and the body.
    async fn begin_answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: &Shared<S>,
        response: Response<Body>,
        mut asked: Asked,
        outbox: &mut Outbox,
    ) -> (bool, (Framing, bool), Body) {
        let (parts, body) = response.into_parts();
        let goes_on = poll_fn(|context| Poll::Ready(wire.lock().may_go_on(context))).await;
        asked.keeps &= goes_on && !self.watch.is_finishing();
        let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        let written = head::write(&parts, body.size_hint().exact(), &asked, self.watch.now(), outbox.head());
        (switches, written, body)
    }
}
