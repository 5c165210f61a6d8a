//! A worker's idle connections to the applications.
//!
//! One pool a worker, never shared, so the lock is never contended. Applications that run on one server in clear text share its connections.
//! What was used last is used first, so that surplus connections grow old and are closed. Bounds: idle and open connections for each
//! target; beyond the second an idle one makes room, or a request is refused as busy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::connection::Connection;
use super::socket::Socket;
use super::{Target, UpstreamError};

/// How long an idle connection is kept; below the idle limits that servers usually have.
const KEEP_IDLE: Duration = Duration::from_secs(50);
const MAX_IDLE: usize = 1024;
const MAX_OPEN: usize = 2048;

/// Idle connections by target.
pub struct Pool {
    targets: Mutex<HashMap<usize, Connections, RandomState>>,
}

#[derive(Default)]
struct Connections {
    /// In the order in which they became idle.
    idle: Vec<Idle>,
    /// All that are open: in use or idle.
    open: usize,
    /// When one was last asked for: what is given back is idle since then at the latest, which spares reading the clock again.
    asked: Option<Instant>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// A connection in use; dropping it closes the connection.
pub(super) struct Lease {
    /// None once it was taken for something else.
    connection: Option<Box<Connection>>,
    pub(super) reused: bool,
    target: usize,
    /// Whether dropping this counts a connection off; false once it is among the idle ones.
    counted: bool,
    /// Whether nobody gets the connection afterwards.
    last: bool,
    pool: Arc<Pool>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { targets: Mutex::new(HashMap::default()) }
    }
}

impl Pool {
    /// An idle connection, if there is one.
    pub(super) fn take(self: &Arc<Self>, target: &Target, now: Instant) -> Option<Lease> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = targets.get_mut(&target.id)?;
        connections.drop_stale(now);
        connections.asked = Some(now);
        let connection = Some(connections.newest()?);
        Some(Lease { connection, reused: true, target: target.id, counted: true, last: false, pool: Arc::clone(self) })
    }

    /// Opens a new connection.
    pub(super) async fn open(self: &Arc<Self>, target: &Target) -> Result<Lease, UpstreamError> {
        self.count_open(target)?;
        // Made before the connection is, so that a request given up meanwhile is counted off again.
        let mut lease = Lease {
            connection: None,
            reused: false,
            target: target.id,
            counted: true,
            last: false,
            pool: Arc::clone(self),
        };
        lease.connection = Some(Box::new(target.open().await?));
        Ok(lease)
    }

    /// Closes what has been idle for too long, or was closed by the application, at every target, and forgets targets without connections:
    /// those of applications that are gone.
    pub fn tidy(&self) {
        let now = Instant::now();
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|_, connections| {
            connections.drop_stale(now);
            connections.drop_closed();
            connections.open > 0
        });
    }

    fn count_open(&self, target: &Target) -> Result<(), UpstreamError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = targets.entry(target.id).or_default();
        if connections.open >= MAX_OPEN && !connections.drop_oldest() {
            return Err(UpstreamError::Busy);
        }
        connections.open += 1;
        Ok(())
    }
}

impl Connections {
    /// Closes what has been idle for too long, oldest first.
    fn drop_stale(&mut self, now: Instant) {
        let stale = self.idle.iter().take_while(|idle| now.duration_since(idle.since) > KEEP_IDLE).count();
        self.idle.drain(..stale);
        self.open = self.open.saturating_sub(stale);
    }

    /// Closes an idle one; false where there is none.
    fn drop_oldest(&mut self) -> bool {
        let any = !self.idle.is_empty();
        self.idle.drain(..usize::from(any));
        self.open = self.open.saturating_sub(usize::from(any));
        any
    }

    fn drop_closed(&mut self) {
        let before = self.idle.len();
        self.idle.retain_mut(|idle| idle.connection.is_idle());
        self.open = self.open.saturating_sub(before - self.idle.len());
    }

    /// The one that was used last, of those that the application has not closed.
    fn newest(&mut self) -> Option<Box<Connection>> {
        while let Some(Idle { mut connection, .. }) = self.idle.pop() {
            if connection.is_idle() {
                return Some(connection);
            }
            self.open = self.open.saturating_sub(1);
        }
        None
    }
}

impl Lease {
    /// The connection; none when it was taken.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_deref_mut()
    }

    /// Whether a write that failed left nothing on the wire: a TLS session may have sent a part of what it says it did not take.
    pub(super) fn is_exact(&self) -> bool {
        self.connection.as_deref().is_some_and(|connection| matches!(connection.socket, Socket::Clear(_)))
    }

    /// Whether a byte of an answer came on it.
    pub(super) fn heard(&self) -> bool {
        self.connection.as_deref().is_some_and(Connection::heard)
    }

    /// From here on nobody gets the connection afterwards.
    pub(super) fn end_with_this(&mut self) {
        self.last = true;
    }

    /// Takes the connection for something else than requests; it counts no more.
    pub(super) fn into_connection(mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }

    /// Puts the connection back among the idle ones, unless something came on it that nobody asked for, or there are enough.
    pub(super) fn give_back(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.last || !connection.rest() {
            return;
        }
        let mut targets = self.pool.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = targets.get_mut(&self.target).filter(|known| known.idle.len() < MAX_IDLE) {
            let since = connections.asked.unwrap_or_else(Instant::now);
            connections.idle.push(Idle { connection, since });
            self.counted = false;
        }
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

#[cfg(test)]
mod tests;
