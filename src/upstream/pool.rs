//! A worker's idle connections to the applications.
//!
//! One pool a worker, never shared, so the lock is never contended. What was used last is used first, so that surplus connections grow
//! old and are closed. Bounds: idle and open connections for each target; beyond the second a request is refused as busy.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::heard::Heard;
use super::{RequestBody, Target, UpstreamError};

/// How long an idle connection is kept; below the idle limits that servers usually have.
const KEEP_IDLE: Duration = Duration::from_secs(50);
const MAX_IDLE: usize = 1024;
const MAX_OPEN: usize = 2048;
/// How many settling connections one request looks at.
const LOOKS: usize = 4;

/// Idle connections by target.
pub struct Pool {
    targets: Mutex<HashMap<usize, Connections, RandomState>>,
}

#[derive(Default)]
struct Connections {
    /// Ready to send, in the order in which they became idle.
    idle: Vec<Idle>,
    /// Given back, but hyper has still to notice that the exchange is over.
    settling: VecDeque<Idle>,
    /// All that are open: in use, settling or idle.
    open: usize,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    heard: Heard,
    since: Instant,
}

/// A connection in use; dropping it closes the connection.
pub(super) struct Lease {
    sender: Option<SendRequest<RequestBody>>,
    pub(super) heard: Heard,
    pub(super) reused: bool,
    target: usize,
    /// Whether dropping this counts a connection off; false once it is among the idle ones.
    counted: bool,
    pool: Arc<Pool>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { targets: Mutex::new(HashMap::default()) }
    }
}

impl Pool {
    /// An idle connection that is ready to send, if there is one.
    pub(super) fn take(self: &Arc<Self>, target: &Target, now: Instant) -> Option<Lease> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = targets.entry(target.id).or_default();
        connections.settle(now);
        connections.drop_stale(now);
        let Idle { sender, heard, .. } = connections.newest()?;
        let pool = Arc::clone(self);
        Some(Lease { sender: Some(sender), heard, reused: true, target: target.id, counted: true, pool })
    }

    /// Opens a new connection.
    pub(super) async fn open(self: &Arc<Self>, target: &Target) -> Result<Lease, UpstreamError> {
        self.count_open(target)?;
        // Made before the connection is, so that a request given up meanwhile is counted off again.
        let (heard, pool) = (Heard::default(), Arc::clone(self));
        let mut lease = Lease { sender: None, heard, reused: false, target: target.id, counted: true, pool };
        let (sender, heard) = target.open().await?;
        lease.sender = Some(sender);
        lease.heard = heard;
        Ok(lease)
    }

    /// Closes what has been idle for too long at every target, and forgets targets without connections: those of applications that are gone.
    pub fn tidy(&self) {
        let now = Instant::now();
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|_, connections| {
            connections.settle(now);
            connections.drop_stale(now);
            connections.open > 0
        });
    }

    fn count_open(&self, target: &Target) -> Result<(), UpstreamError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = targets.entry(target.id).or_default();
        if connections.open >= MAX_OPEN {
            return Err(UpstreamError::Busy);
        }
        connections.open += 1;
        Ok(())
    }
}

impl Connections {
    fn give_back(&mut self, idle: Idle) {
        if idle.sender.is_ready() { self.idle.push(idle) } else { self.settling.push_back(idle) }
    }

    /// Moves what has become ready since to the idle ones. A few at a time: one that never settles must not be looked at by every request.
    fn settle(&mut self, now: Instant) {
        for _ in 0..self.settling.len().min(LOOKS) {
            let Some(first) = self.settling.pop_front() else { return };
            if first.sender.is_ready() {
                self.idle.push(first);
            } else if first.sender.is_closed() || now.duration_since(first.since) > KEEP_IDLE {
                self.open = self.open.saturating_sub(1);
            } else {
                self.settling.push_back(first);
            }
        }
    }

    /// Closes what has been idle for too long, oldest first.
    fn drop_stale(&mut self, now: Instant) {
        let stale = self.idle.iter().take_while(|idle| now.duration_since(idle.since) > KEEP_IDLE).count();
        self.idle.drain(..stale);
        self.open = self.open.saturating_sub(stale);
    }

    /// The one that was used last, of those that the application has not closed.
    fn newest(&mut self) -> Option<Idle> {
        while let Some(last) = self.idle.pop() {
            if last.sender.is_ready() {
                return Some(last);
            }
            self.open = self.open.saturating_sub(1);
        }
        None
    }
}

impl Lease {
    /// The connection; none when it was given back, which only [`Lease::give_back`] does.
    pub(super) fn sender(&mut self) -> Option<&mut SendRequest<RequestBody>> {
        self.sender.as_mut()
    }

    /// Puts the connection back among the idle ones.
    pub(super) fn give_back(mut self) {
        let Some(sender) = self.sender.take() else { return };
        let mut targets = self.pool.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = targets.entry(self.target).or_default();
        if sender.is_closed() || connections.idle.len() + connections.settling.len() >= MAX_IDLE {
            drop(targets);
            return;
        }
        connections.give_back(Idle { sender, heard: self.heard.clone(), since: Instant::now() });
        drop(targets);
        self.counted = false;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let mut targets = self.pool.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = targets.get_mut(&self.target) {
            connections.open = connections.open.saturating_sub(1);
        }
    }
}
