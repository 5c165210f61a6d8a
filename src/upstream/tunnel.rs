//! After a 101: bytes in both directions until one side ends, the tunnel is idle for too long, or the session is over.
//!
//! Knows nothing of the protocol inside. Trust boundary: the upgrade was authorised as a request; what flows here
//! afterwards is between the client and the application. Specification: RFC 9110 section 7.8, RFC 6455.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::connection::Upgraded;
use super::leash::{Held, Leash};

const PIECE: usize = 16 * 1024;

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A client's connection that speaks HTTP no more.
pub struct ClientStream {
    /// It, with what came behind the request.
    pub stream: Box<dyn Stream>,
    /// What is to stay for as long as it does.
    pub kept: Box<dyn Any + Send>,
}

/// The client's connection once 101 was written; an error when it was not.
pub type Upgrade = oneshot::Receiver<ClientStream>;

/// The tunnel broke, or was silent for too long.
struct Over;

/// Joins two upgraded connections until both directions have ended, one breaks, both are silent for `idle`, or `leash` does not hold any
/// more: at most a second later.
pub async fn tunnel(client: Upgrade, application: Upgraded, idle: Duration, leash: Option<Arc<dyn Leash>>) {
    let Ok(ClientStream { stream, kept: _kept }) = client.await else { return };
    let (mut client_read, mut client_write) = tokio::io::split(stream);
    let (mut app_read, mut app_write) = tokio::io::split(application);
    let activity = Activity::new(idle);
    let up = relay(&mut client_read, &mut app_write, &activity);
    let down = relay(&mut app_read, &mut client_write, &activity);
    // Dropping both halves closes both connections, whatever the reason.
    tokio::select! {
        _ = async { tokio::try_join!(up, down) } => {}
        () = recalled(leash) => {}
    }
}

async fn recalled(leash: Option<Arc<dyn Leash>>) {
    match leash {
        Some(leash) => Held::by(leash).broken().await,
        None => std::future::pending().await,
    }
}

/// One direction; its end is passed on, and the other direction goes on by itself.
async fn relay(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    activity: &Activity,
) -> Result<(), Over> {
    let mut piece = vec![0u8; PIECE];
    loop {
        let read = match timeout(activity.left(), from.read(&mut piece)).await {
            // Over TLS something may have to be written before the end.
            Ok(Ok(0)) => return timeout(activity.idle, to.shutdown()).await.map_err(|_| Over)?.map_err(|_| Over),
            Ok(Ok(read)) => read,
            Ok(Err(_)) => return Err(Over),
            Err(_) if activity.is_over() => return Err(Over),
            Err(_) => continue,
        };
        activity.seen();
        let written = timeout(activity.idle, pass_on(to, piece.get(..read).unwrap_or_default())).await;
        written.map_err(|_| Over)?.map_err(|_| Over)?;
    }
}

/// Writes all of it, and what waits in a TLS session: the next piece may come in an hour.
async fn pass_on(to: &mut (impl AsyncWriteExt + Unpin), piece: &[u8]) -> io::Result<()> {
    to.write_all(piece).await?;
    to.flush().await
}

/// When either direction last said something.
struct Activity {
    idle: Duration,
    began: Instant,
    last: AtomicU64,
}

impl Activity {
    fn new(idle: Duration) -> Self {
        Self { idle, began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn seen(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How much silence is left before the tunnel is over.
    fn left(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        (last + self.idle).saturating_sub(self.began.elapsed())
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufWriter;

    #[tokio::test]
    async fn d01_an_end_that_cannot_be_told_is_waited_for_only_so_long() {
        let (client, mut from) = tokio::io::duplex(64);
        let (to, _application) = tokio::io::duplex(4);
        // Holds more than the other side takes, so that it cannot end.
        let mut to = BufWriter::new(to);
        to.write_all(b"message").await.unwrap();
        drop(client);
        let activity = Activity::new(Duration::from_millis(50));
        let relaying = relay(&mut from, &mut to, &activity);
        assert!(matches!(timeout(Duration::from_secs(20), relaying).await, Ok(Err(Over))));
    }

    #[tokio::test]
    async fn h06_a_piece_is_passed_on_whole_before_the_next_one_comes() {
        let (mut client, mut from) = tokio::io::duplex(64);
        let (to, mut application) = tokio::io::duplex(64);
        // Keeps what it is given until it is flushed, as a TLS session does when its socket takes nothing.
        let mut to = BufWriter::new(to);
        let activity = Activity::new(Duration::from_secs(60));
        let relaying = relay(&mut from, &mut to, &activity);
        let talking = async {
            client.write_all(b"message").await.unwrap();
            let mut heard = [0; 7];
            application.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"message");
        };
        tokio::select! {
            _ = relaying => panic!("the tunnel ended"),
            () = talking => {}
        }
    }
}
