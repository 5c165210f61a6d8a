//! The rest of a request that was answered before its end.
//!
//! An application may answer and go on reading, so what the client still sends goes on by itself. Bound: it ends when the application takes
//! nothing for as long as an answer may be silent, or the client sends nothing for as long as a body may be.
//! Trust boundary: both ends are strangers.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;

use super::pool::Lease;
use super::sending::Sending;

/// Sends on in a task of its own; the connection is used again when all was sent.
pub(super) fn send(mut sending: Box<Sending>, mut lease: Lease, stall: Duration) {
    tokio::spawn(async move {
        loop {
            let sent = sending.sent();
            let Some(connection) = lease.connection() else { return };
            match timeout(stall, poll_fn(|context| sending.poll(&mut connection.socket, context))).await {
                Ok(Ok(())) => return lease.give_back(),
                Ok(Err(_)) => return,
                Err(_) if sending.sent() == sent => return,
                Err(_) => {}
            }
        }
    });
}
