//! A small HTTP/1.1 server loop: accepts, answers each connection with one handler, and stops when told.
//!
//! The development provider and the two demonstration applications are served by it. It knows no
//! application: it turns a listener, a handler and a shutdown signal into a running server.
//!
//! On shutdown the listener is closed first, answers that are under way get [`GRACE`] to finish, and what
//! is still open after that is dropped.
//!
//! It sets no limits on connections or headers beyond hyper's own and is meant for loopback only.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long answers that are under way may still take after shutdown was asked for.
const GRACE: Duration = Duration::from_secs(3);

/// How long to wait before accepting again when accepting failed, as it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves `handle` on `listener` until `shutdown` completes.
pub(crate) async fn listen<H, F, B>(listener: TcpListener, handle: H, shutdown: impl Future<Output = ()>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    connections.spawn(serve(stream, handle.clone(), stopping.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop((listener, stop));
    let drained = async { while connections.join_next().await.is_some() {} };
    // What outlives the grace is aborted when the set is dropped.
    let _elapsed = tokio::time::timeout(GRACE, drained).await;
}

/// Reads a request body of at most `limit` bytes; `None` when it is longer or breaks off.
pub(crate) async fn read_body(body: Incoming, limit: usize) -> Option<Bytes> {
    let collected = Limited::new(body, limit).collect().await.ok()?;
    Some(collected.to_bytes())
}

async fn serve<H, F, B>(stream: TcpStream, handle: H, mut stopping: watch::Receiver<()>)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // A connection that breaks is the peer's affair: there is nothing to undo and nobody to tell.
    tokio::select! {
        _ended = connection.as_mut() => return,
        _closed = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}
