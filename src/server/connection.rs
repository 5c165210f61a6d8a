//! One client connection from TLS, or the PROXY header before it, to its last answer.
//!
//! HTTP/1.1 or HTTP/2 is chosen by ALPN; clear-text listeners speak HTTP/1.1. HTTP/1.1 is ours (`http1`), HTTP/2 is hyper's, driven inside one future
//! that also obeys the watchman. Trust boundary: the wire, through rustls and, for HTTP/2, hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Version};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::admission::Admission;
use super::cork::{Outlet, cork};
use super::goodbye::{self, Breakable};
use super::guard::Guard;
use super::guarded::Guarded;
use super::offered::Offered;
use super::parked::{self, Readable};
use super::tls::{self, Accepted, Shown, TlsShown};
use super::turns::Turns;
use super::upload::Upload;
use super::watch::{Order, Watch};
use super::watched::Watched;
use super::worker::Shared;
use crate::gateway::{ClientConnection, Gateway};
use crate::http::frame_guard::{FrameGuard, WORTH_OF_REQUEST};
use crate::http::frame_refusals::Streams;
use crate::http::{HeadError, Seen};
use crate::upstream::ClientBody;

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// Bytes of an answer that h2 has, until it takes no further piece: a small one is enough.
const MAX_SEND_BUFFER: usize = 16 << 10;
/// Bytes of one upload on HTTP/2 that wait for its application.
const UPLOAD_WINDOW: u32 = 512 << 10;
/// Bytes of all uploads of a connection: with fewer than sixteen of which their applications take nothing, others go on.
const UPLOADS_WINDOW: u32 = 16 * UPLOAD_WINDOW;
/// Streams that a client took back before they were begun, until the connection is ended.
const MAX_TAKEN_BACK: usize = 64;
/// Streams that were refused in the life of a connection, until it is ended. Pieces of an upload that was answered early count too.
const MAX_REFUSED: usize = 1024;

/// A large future, on the heap and made by a function that is none: while a connection is parked the future of its task is most of what it
/// costs, and a future that is made within another one may leave its room there.
type Apart<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How serving a connection on HTTP/2 came to an end.
enum End {
    /// The last answer was given; `sound` when all that was read could be.
    Served { sound: bool },
    /// A time limit was over.
    Dropped,
}

/// What a connection needs to be served.
pub(super) struct Serving {
    pub(super) gateway: Arc<Gateway>,
    pub(super) shared: Arc<Shared>,
    pub(super) facts: Arc<ClientConnection>,
    pub(super) watch: Arc<Watch>,
    pub(super) turns: Arc<Turns>,
    /// On a listener where connections begin with a PROXY header.
    pub(super) announced_to: Option<Arc<Admission>>,
}

impl Serving {
    /// Serves the connection to its end.
    pub(super) async fn run(mut self, stream: TcpStream, shown: Arc<Shown>) {
        self.serve(stream, shown).await;
        self.watch.closed();
    }

    async fn serve(&mut self, mut stream: TcpStream, shown: Arc<Shown>) {
        if let Some(admission) = self.announced_to.take() {
            let Some(()) = self.announce(&mut stream, &admission).await else { return };
        }
        let Some(tls) = &shown.tls else {
            self.watch.opened(false);
            return self.http1(stream).await;
        };
        let handshake = self.handshake(tls, stream).await.unwrap_or(Err(tls::Failure::TimedOut));
        let Accepted { stream, http2, facts } = match handshake {
            Ok(accepted) => accepted,
            Err(failure) => {
                return self.shared.handshakes.note(failure, self.facts.peer.ip(), &self.shared.metrics);
            }
        };
        let ClientConnection { peer, may_forward, scheme, ref rules, .. } = *self.facts;
        let (rules, seen) = (Arc::clone(rules), Seen::default());
        self.facts = Arc::new(ClientConnection { peer, may_forward, scheme, rules, tls: Some(facts), seen });
        drop(shown);
        self.watch.opened(http2);
        if http2 { self.http2(stream).await } else { self.http1(stream).await }
    }

    fn handshake<'a>(
        &'a self,
        shown: &'a TlsShown,
        stream: TcpStream,
    ) -> Apart<'a, Option<Result<Accepted, tls::Failure>>> {
        let stream = Watched::new(stream, Arc::clone(&self.watch));
        Box::pin(self.obeying(tls::accept(shown, stream)))
    }

    fn announce<'a>(&'a mut self, stream: &'a mut TcpStream, admission: &'a Admission) -> Apart<'a, Option<()>> {
        Box::pin(self.announced(stream, admission))
    }

    /// Lets a trusted proxy say who the client is.
    async fn announced(&mut self, stream: &mut TcpStream, admission: &Admission) -> Option<()> {
        let peer = self.facts.peer;
        self.watch.awaits_proxy_header();
        match self.obeying(admission.announced(stream, peer)).await? {
            Ok(admitted) => {
                self.watch.announced();
                admitted.place.into_iter().for_each(|place| self.watch.keep(place));
                let (scheme, rules) = (self.facts.scheme, Arc::clone(&self.facts.rules));
                let (peer, may_forward) = (admitted.client, admitted.may_forward);
                // Nothing was asked yet, and what was is not to be told of another client.
                let seen = Seen::default();
                self.facts = Arc::new(ClientConnection { peer, may_forward, scheme, rules, tls: None, seen });
                Some(())
            }
            Err(why) => {
                admission.note(why, peer);
                None
            }
        }
    }

    /// Drives `handshake` until it is done or the watchman ends it.
    pub(super) async fn obeying<T>(&self, handshake: impl Future<Output = T>) -> Option<T> {
        let mut handshake = pin!(handshake);
        poll_fn(|context| match self.watch.order(context.waker()) {
            Order::Drop => Poll::Ready(None),
            Order::GoOn | Order::Park | Order::Finish => handshake.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// Serves HTTP/1.1, with nothing but the stream while there is nothing to do.
    async fn http1<S: Readable + Breakable + AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &mut self,
        mut stream: S,
    ) {
        while parked::until_needed(&stream, &self.watch).await {
            match self.http1_until_idle(stream).await {
                Some(idle) => stream = idle,
                None => return,
            }
            // What its requests have in common is worked out anew when another one comes.
            if let Some(facts) = Arc::get_mut(&mut self.facts) {
                facts.seen = Seen::default();
            }
        }
    }

    /// Serves requests; the stream comes back when it is to be parked.
    fn http1_until_idle<S: Breakable + AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
    ) -> Apart<'_, Option<S>> {
        Box::pin(self.http1_awake(stream))
    }

    fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S) -> Apart<'_, ()> {
        Box::pin(self.http2_to_its_end(stream))
    }

    async fn http2_to_its_end(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let guard = Guard::Http2(FrameGuard::new(self.watch.now()), self.shared.limits.header_bytes);
        let (io, outlet) = cork(Guarded::new(stream, Arc::clone(&self.watch), guard));
        let (gateway, facts, watch) = (Arc::clone(&self.gateway), Arc::clone(&self.facts), Arc::clone(&self.watch));
        let turns = Arc::clone(&self.turns);
        let service = service_fn(move |request: Request<Incoming>| {
            let in_flight = watch.begin_request();
            watch.earned(WORTH_OF_REQUEST);
            watch.unseen().seen();
            let (gateway, facts, watch) = (Arc::clone(&gateway), Arc::clone(&facts), Arc::clone(&watch));
            let turns = Arc::clone(&turns);
            async move {
                turns.begin().await;
                // In a box, and made no sooner than it is needed: it is large.
                let answering = Box::pin(async move {
                    let request = request.map(|body| match body.is_end_stream() {
                        true => ClientBody::default(),
                        // It may take longer than the answer.
                        false => ClientBody::new(Upload::new(body, watch.begin_request())),
                    });
                    let response = gateway.handle(request, &facts).await;
                    response.map(|body| Offered::new(body, in_flight, &watch))
                });
                Ok::<_, Infallible>(answering.await)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .initial_stream_window_size(UPLOAD_WINDOW)
            .initial_connection_window_size(UPLOADS_WINDOW)
            .max_local_error_reset_streams(MAX_REFUSED)
            .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
            .max_header_list_size(u32::try_from(self.shared.limits.header_bytes).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(io), service);
        let end = self.drive_http2(connection, |connection| connection.graceful_shutdown(), &outlet).await;
        if let Some(why) = self.watch.refused() {
            self.gateway.note_unreadable(&self.facts, Version::HTTP_2, 400, why.code());
        }
        if let (End::Served { sound: false }, Some(io)) = (end, outlet.into_inner()) {
            self.watch.lingers();
            Box::pin(goodbye::linger(io.into_inner())).await;
        }
    }

    /// Notes streams that h2 refused by itself, each as the request that it was to be. One that became a request has its line already, or will.
    #[cold]
    fn note_refused(&self, streams: Streams) {
        for (why, count) in streams.by_reason() {
            for _ in 0..self.watch.unseen().refused(count) {
                self.gateway.note_unreadable(&self.facts, Version::HTTP_2, why.status(), why.code());
            }
        }
    }

    /// Drives a connection on HTTP/2, which is gone afterwards.
    async fn drive_http2<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        finish: impl Fn(Pin<&mut C>),
        outlet: &Outlet<impl AsyncWrite + Unpin>,
    ) -> End {
        let mut connection = pin!(connection);
        let (mut finishing, mut tunnels) = (false, 0);
        let mut go_on = |mut connection: Pin<&mut C>, context: &mut Context<'_>| {
            let mut polled = connection.as_mut().poll(context);
            // A CONNECT with a length is where hyper stops, though nothing is over: it resets that stream, and asked again it goes on with the others.
            while matches!(polled, Poll::Ready(Ok(()))) && !outlet.is_over() && tunnels < MAX_REFUSED {
                tunnels += 1;
                self.watch.unseen().seen();
                let why = HeadError::Unsupported.code();
                self.gateway.note_unreadable(&self.facts, Version::HTTP_2, 400, why);
                polled = connection.as_mut().poll(context);
            }
            let served = polled.map(|served| End::Served { sound: served.is_ok() });
            if let Some((streams, ended)) = outlet.refusals() {
                self.note_refused(streams);
                ended.into_iter().for_each(|why| self.watch.refuse(why));
            }
            match outlet.poll(context) {
                // Nobody is there any more to be told anything.
                Poll::Ready(Err(_)) => Poll::Ready(End::Served { sound: true }),
                Poll::Ready(Ok(())) | Poll::Pending => served,
            }
        };
        let end = poll_fn(|context| {
            match self.watch.order(context.waker()) {
                Order::Drop => return Poll::Ready(End::Dropped),
                Order::Finish if !finishing => {
                    finishing = true;
                    finish(connection.as_mut());
                }
                _ => {}
            }
            go_on(connection.as_mut(), context)
        })
        .await;
        if matches!(end, End::Dropped) && self.watch.refused().is_some() {
            // h2 may not have come to the end that it was given to read, or have said all of what it says of it.
            let rest = poll_fn(|context| go_on(connection.as_mut(), context));
            return goodbye::within(rest).await.unwrap_or(End::Dropped);
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection's task keeps this future whatever the connection waits for.
    #[test]
    fn d01_a_connection_that_waits_has_a_small_future() {
        fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Serving::run);
        assert!(size <= 768, "{size}");
    }
}
