//! One worker: a thread, its runtime, its sockets, its connections.
//!
//! A worker shares nothing with others that is written on a request's path. It ends when it is told to drain: it takes what the kernel
//! already accepted, lets every request finish, and stops when no connection is left or the drain limit has passed (D05).

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::accept;
use super::addresses::Addresses;
use super::admission::{Admission, Admitted, Told, TurnedAway};
use super::connection::Serving;
use super::watch::{TICK, Watchman};
use crate::config::{Admits, Limits, Timeouts};
use crate::gateway::{ClientConnection, Gateway};
use crate::http::{Scheme, Seen};
use crate::observe::Metrics;

/// How often a worker lets go of what is out of date.
const TIDY: std::time::Duration = std::time::Duration::from_secs(2);

/// What all workers of a process share.
pub struct Shared {
    /// How much is accepted.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Connections open at all workers.
    pub connections: AtomicUsize,
    /// Connections of each client address.
    pub addresses: Arc<Addresses>,
    /// Peers that may say whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// What was said of connections that were turned away.
    pub told: Told,
}

/// A worker could not be started.
pub type WorkerError = io::Error;

/// A running worker.
pub struct Worker {
    thread: Option<JoinHandle<()>>,
}

/// One of a worker's sockets, with what is true for all its connections.
pub(crate) struct Socket {
    pub(crate) listener: StdListener,
    pub(crate) scheme: Scheme,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) admits: Admits,
}

impl Worker {
    /// Starts a worker on its sockets; `stop` tells it to drain.
    pub(crate) fn start(
        index: usize,
        sockets: Vec<Socket>,
        gateway: Arc<Gateway>,
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, WorkerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(run(sockets, gateway, shared, stop));
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?;
        Ok(Self { thread: Some(thread) })
    }

    /// Waits until the worker has drained.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(sockets: Vec<Socket>, gateway: Arc<Gateway>, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let watchman = Arc::new(Watchman::new(shared.timeouts));
    let looking = tokio::spawn(look(Arc::clone(&watchman), Arc::clone(&gateway), Arc::clone(&shared)));
    let accepting: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            let accepting = Accepting {
                gateway: Arc::clone(&gateway),
                admission: Arc::new(Admission { shared: Arc::clone(&shared), admits: socket.admits }),
                watchman: Arc::clone(&watchman),
                scheme: socket.scheme,
                tls: socket.tls.map(TlsAcceptor::from),
            };
            tokio::spawn(accepting.run(socket.listener, stop.clone()))
        })
        .collect();
    let _ = stop.wait_for(|stopped| *stopped).await;
    for task in accepting {
        let _ = task.await;
    }
    watchman.drain();
    let _ = tokio::time::timeout(shared.timeouts.drain, emptied(&watchman)).await;
    looking.abort();
    gateway.flush_log();
}

/// The worker's ticker: time limits, and the access log's lines of the last moments.
async fn look(watchman: Arc<Watchman>, gateway: Arc<Gateway>, shared: Arc<Shared>) {
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tidying = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            _ = ticker.tick() => {
                let ended = watchman.look();
                shared.metrics.timed_out.inc_by(ended as u64);
                gateway.flush_log();
            }
            _ = tidying.tick() => gateway.tidy(),
        }
    }
}

async fn emptied(watchman: &Watchman) {
    let mut ticker = tokio::time::interval(std::time::Duration::from_millis(5));
    while watchman.count() > 0 {
        ticker.tick().await;
    }
}

struct Accepting {
    gateway: Arc<Gateway>,
    admission: Arc<Admission>,
    watchman: Arc<Watchman>,
    scheme: Scheme,
    tls: Option<TlsAcceptor>,
}

impl Accepting {
    async fn run(self, listener: StdListener, mut stop: watch::Receiver<bool>) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a listener cannot be used"),
        };
        let mut troubled = None;
        loop {
            tokio::select! {
                biased;
                (stream, peer) = accept::next(&listener, &mut troubled) => self.serve(stream, peer),
                _ = stop.wait_for(|stopped| *stopped) => break,
            }
        }
        // What the kernel accepted before the stop is served like everything else.
        for (stream, peer) in accept::queued(listener) {
            self.serve(stream, peer);
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let shared = &self.admission.shared;
        let open = shared.connections.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(shared));
        shared.metrics.accepted.inc();
        shared.metrics.connections.inc();
        let admitted = match self.admit(open, peer) {
            Ok(admitted) => admitted,
            Err(why) => return self.admission.note(why, peer),
        };
        let _ = stream.set_nodelay(true);
        let facts = ClientConnection { peer, may_forward: true, scheme: self.scheme, tls: None, seen: Seen::default() };
        let watch = self.watchman.watch(slot);
        let announced_to = admitted.is_none().then(|| Arc::clone(&self.admission));
        admitted.and_then(|admitted| admitted.place).into_iter().for_each(|place| watch.keep(place));
        let (gateway, limits, facts) = (Arc::clone(&self.gateway), shared.limits, Arc::new(facts));
        let serving = Serving { gateway, limits, facts, watch, announced_to };
        let tls = self.tls.clone();
        tokio::spawn(serving.run(stream, tls));
    }

    /// Lets a peer in; none when it has to say first whom it speaks for.
    fn admit(&self, open: usize, peer: SocketAddr) -> Result<Option<Admitted>, TurnedAway> {
        if open >= self.admission.shared.limits.connections {
            return Err(TurnedAway::Connections);
        }
        if self.admission.announces() {
            return self.admission.check_proxy(peer).map(|()| None);
        }
        self.admission.admit(peer, true).map(Some)
    }
}

/// One counted connection.
pub(super) struct Slot(Arc<Shared>);

impl Slot {
    /// Where connections are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.connections.dec();
    }
}
