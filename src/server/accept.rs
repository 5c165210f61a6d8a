//! Binding addresses and accepting connections.
//!
//! Every worker binds every address for itself with `SO_REUSEPORT`; the kernel spreads connections. Running out of file descriptors makes
//! the loop wait and go on (D04). Trust boundary: none yet; nothing is read here.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant as Deadline;

/// How many connections the kernel keeps for a worker until it takes them.
const BACKLOG: usize = 4096;
/// How long to wait after an error that only time can heal.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing more is told of it.
const QUIET: Duration = Duration::from_secs(60);

/// One address, bound once for each worker.
pub struct Bound {
    /// The address as bound: a port of 0 is replaced by the port that the system chose.
    pub address: SocketAddr,
    sockets: Vec<StdListener>,
}

impl Bound {
    /// Takes the next worker's socket.
    pub fn take(&mut self) -> Option<StdListener> {
        self.sockets.pop()
    }
}

/// What was told of a listener that could not accept connections. It can come and go many times a second, so its beginning and its end are
/// told once in [`QUIET`] at the most.
#[derive(Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Trouble {
    fn begins(&mut self, error: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() > QUIET) {
            tracing::warn!(%error, "cannot accept connections, waiting");
            self.told = Some(Instant::now());
            self.since = self.told;
        }
    }

    fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            let seconds = since.elapsed().as_secs();
            tracing::warn!(seconds, "connections are accepted again");
        }
    }
}

/// Binds `address` for `workers` workers; nothing stays bound when one fails.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    probe(address)?;
    let first = socket(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < workers {
        sockets.push(socket(address)?);
    }
    Ok(Bound { address, sockets })
}

/// Fails when anybody listens there. Sockets that share a port would share it with another gateway too, and each of the two
/// would get a part of the connections.
fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Waits for the next connection, whatever happens to others.
pub(super) async fn next(listener: &TcpListener, trouble: &mut Trouble) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                trouble.is_over();
                return accepted;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                trouble.begins(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Takes the connections that wait already, until `until` at the latest; the listener is closed behind the last one. The kernel is asked, and not the
/// runtime: what arrived since the runtime last looked is unknown to it. As many as could wait, so that it ends though more come.
pub(super) async fn queued(
    listener: TcpListener,
    until: Deadline,
    free: impl Fn(),
    take: impl FnMut((TcpStream, SocketAddr)),
) {
    let listener = match listener.into_std() {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "what waits at a listener is lost"),
    };
    let accept = || {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok((TcpStream::from_std(stream)?, peer))
    };
    take_all(accept, until, free, take).await;
}

/// Errors that only time can heal are waited for, and `free` has descriptors given back meanwhile.
async fn take_all<T>(
    mut accept: impl FnMut() -> io::Result<T>,
    until: Deadline,
    free: impl Fn(),
    mut take: impl FnMut(T),
) {
    let mut taken = 0;
    while taken <= BACKLOG {
        match accept() {
            Ok(one) => {
                taken += 1;
                take(one);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) if Deadline::now() >= until => {
                return tracing::warn!(%error, "connections that waited for the end were not taken");
            }
            Err(_) => {
                // A connection whose next request has just come is not idle: the runtime hears of it in the pause.
                tokio::time::sleep(PAUSE).await;
                free();
            }
        }
    }
}

/// Errors of a connection that went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What is taken of these answers of the kernel, what is left of them, and how often descriptors were asked for.
    async fn taken(mut answers: Vec<io::Result<u8>>, within: Duration) -> (Vec<u8>, usize, u32) {
        answers.reverse();
        let (mut taken, freed) = (Vec::new(), Cell::new(0));
        let accept = || answers.pop().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()));
        take_all(accept, Deadline::now() + within, || freed.set(freed.get() + 1), |one| taken.push(one)).await;
        (taken, answers.len(), freed.get())
    }

    fn no_descriptors() -> io::Result<u8> {
        Err(io::Error::from_raw_os_error(24))
    }

    #[tokio::test]
    async fn d05_what_waits_is_taken_when_descriptors_are_free_again() {
        let reset = || Err(io::ErrorKind::ConnectionReset.into());
        let answers = vec![Ok(1), no_descriptors(), reset(), no_descriptors(), Ok(2), Ok(3)];
        assert_eq!(taken(answers, Duration::from_secs(60)).await, (vec![1, 2, 3], 0, 2));
        assert_eq!(taken(vec![Ok(1), reset(), Ok(2)], Duration::ZERO).await, (vec![1, 2], 0, 0));
    }

    #[tokio::test]
    async fn d05_what_never_becomes_free_is_waited_for_no_longer_than_the_drain() {
        let answers = vec![Ok(1), no_descriptors(), no_descriptors(), no_descriptors(), Ok(2)];
        assert_eq!(taken(answers, Duration::ZERO).await, (vec![1], 3, 0));
    }
}
