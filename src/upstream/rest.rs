//! The rest of a request that was answered before its end.
//!
//! An application may answer and go on reading, so what the client still sends goes on by itself. Bound: it ends when the application takes
//! nothing for as long as an answer may be silent, the client sends nothing for as long as a body may be, or whoever asked may not go on.
//! Trust boundary: both ends are strangers.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;

use super::leash::Held;
use super::pool::Lease;
use super::sending::Sending;
use super::silence::Silence;

/// Sends on in a task of its own; the connection is used again when all was sent.
pub(super) fn send(mut sending: Box<Sending>, mut lease: Lease, stall: Duration, mut held: Option<Held>) {
    // An answer may be dropped because everything is.
    let Ok(runtime) = Handle::try_current() else { return };
    runtime.spawn(async move {
        let mut silence = Silence::new(stall);
        let sent = poll_fn(|context| {
            let Some(connection) = lease.connection() else { return Poll::Ready(false) };
            let before = sending.sent();
            match sending.poll(&mut connection.socket, context) {
                Poll::Ready(sent) => return Poll::Ready(sent.is_ok()),
                Poll::Pending if sending.sent() != before || sending.waits_for_client() => silence.broken(),
                Poll::Pending => {}
            }
            silence.poll_over(context, held.as_mut()).map(|_| false)
        });
        if sent.await {
            lease.give_back();
        }
    });
}
