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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::accept;
use super::addresses::Addresses;
use super::admission::{Admission, Admitted, Told, TurnedAway};
use super::connection::Serving;
use super::give_back::{self, give_back};
use super::ticks::TICK;
use super::tls::{Failures, Front};
use super::turns::Turns;
use super::watchman::Watchman;
use crate::config::{Admits, Limits, Timeouts};
use crate::gateway::{ClientConnection, Gateway};
use crate::http::Seen;
use crate::observe::Metrics;

/// How often a worker lets go of what is out of date.
const TIDY: std::time::Duration = std::time::Duration::from_secs(2);

/// Bytes that the kernel takes for a client before it has sent them. It says that there is room again when half of them have left; else it does when a
/// third of its buffer is free, which grows to megabytes, so that a client that reads slowly seems to take nothing for a minute.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

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
    pub(super) addresses: Arc<Addresses>,
    /// For how many connections there are descriptors.
    room: usize,
    /// Peers that may say whom they speak for.
    pub(super) trusted_proxies: Vec<IpNet>,
    /// What was said of connections that were turned away.
    pub(super) told: Told,
    /// What was said of handshakes that failed.
    pub(super) handshakes: Failures,
}

impl Shared {
    /// With no connection open, and room for this many.
    pub fn new(
        limits: Limits,
        room: usize,
        timeouts: Timeouts,
        trusted_proxies: Vec<IpNet>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            room,
            limits,
            timeouts,
            metrics,
            connections: AtomicUsize::new(0),
            addresses: Addresses::new(limits.connections_per_address),
            trusted_proxies,
            told: Told::default(),
            handshakes: Failures::default(),
        }
    }
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
    pub(crate) front: Arc<Front>,
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
        let run = move || {
            runtime.block_on(run(sockets, gateway, shared, stop));
            // Nobody wants to know any more which names are being looked up; the system may take long over one.
            runtime.shutdown_background();
        };
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
    let turns = Arc::new(Turns::new());
    let looking = tokio::spawn(look(Arc::clone(&watchman), Arc::clone(&gateway), Arc::clone(&shared)));
    let accepting: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            let accepting = Accepting {
                gateway: Arc::clone(&gateway),
                admission: Arc::new(Admission { shared: Arc::clone(&shared), admits: socket.admits }),
                watchman: Arc::clone(&watchman),
                turns: Arc::clone(&turns),
                front: socket.front,
            };
            tokio::spawn(accepting.run(socket.listener, stop.clone()))
        })
        .collect();
    let _ = stop.wait_for(|stopped| *stopped).await;
    let drained_by = Instant::now() + shared.timeouts.drain;
    for task in accepting {
        let _ = task.await;
    }
    watchman.drain();
    if tokio::time::timeout_at(drained_by, emptied(&watchman)).await.is_err() {
        let (connections, limit) = (watchman.count(), shared.timeouts.drain);
        tracing::warn!(connections, ?limit, "timeouts.drain is over: connections that were not done are cut off");
    }
    looking.abort();
    gateway.flush_log();
}

/// The worker's ticker: time limits, the access log's lines of the last moments, memory that is free.
async fn look(watchman: Arc<Watchman>, gateway: Arc<Gateway>, shared: Arc<Shared>) {
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tidying = tokio::time::interval(TIDY);
    let mut giving = tokio::time::interval(give_back::EVERY);
    giving.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticker.tick() => {
                watchman.look(|silence| shared.metrics.timed_out(silence.as_str()));
                gateway.flush_log();
            }
            _ = tidying.tick() => gateway.tidy(),
            _ = giving.tick() => give_back(),
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
    turns: Arc<Turns>,
    front: Arc<Front>,
}

impl Accepting {
    async fn run(self, listener: StdListener, mut stop: watch::Receiver<bool>) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a listener cannot be used"),
        };
        let mut trouble = accept::Trouble::default();
        loop {
            tokio::select! {
                // The stop first: connections that never cease to come must not put it off.
                biased;
                _ = stop.wait_for(|stopped| *stopped) => break,
                (stream, peer) = accept::next(&listener, &mut trouble) => self.serve(stream, peer),
            }
        }
        // What the kernel accepted before the stop is served like everything else. Where there is no descriptor for it, idle connections end first.
        let drained_by = Instant::now() + self.admission.shared.timeouts.drain;
        let free = || self.watchman.drain();
        accept::queued(listener, drained_by, free, |(stream, peer)| self.serve(stream, peer)).await;
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
        prepare(&stream);
        let shown = self.front.shown();
        let (rules, seen) = (Arc::clone(&shown.rules), Seen::default());
        let facts = ClientConnection { peer, may_forward: true, scheme: rules.scheme, rules, tls: None, seen };
        let facts = Arc::new(facts);
        let watch = self.watchman.watch(slot);
        let announced_to = admitted.is_none().then(|| Arc::clone(&self.admission));
        admitted.and_then(|admitted| admitted.place).into_iter().for_each(|place| watch.keep(place));
        let (gateway, shared) = (Arc::clone(&self.gateway), Arc::clone(shared));
        let turns = Arc::clone(&self.turns);
        let serving = Serving { gateway, shared, facts, watch, turns, announced_to };
        tokio::spawn(serving.run(stream, shown));
    }

    /// Lets a peer in; none when it has to say first whom it speaks for.
    fn admit(&self, open: usize, peer: SocketAddr) -> Result<Option<Admitted>, TurnedAway> {
        if open >= self.admission.shared.limits.connections {
            return Err(TurnedAway::Connections);
        }
        if open >= self.admission.shared.room {
            return Err(TurnedAway::Descriptors);
        }
        if self.admission.announces() {
            return self.admission.check_proxy(peer).map(|()| None);
        }
        self.admission.admit(peer, true).map(Some)
    }
}

/// A connection whose options cannot be set is gone already.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// One counted connection.
pub(super) struct Slot(Arc<Shared>);

impl Slot {
    /// A place among none.
    #[cfg(test)]
    pub(super) fn alone() -> Self {
        let metrics = Arc::new(Metrics::new());
        Self(Arc::new(Shared::new(Limits::default(), usize::MAX, Timeouts::default(), Vec::new(), metrics)))
    }

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
