//! A connection to the first of several addresses that answers: RFC 8305 section 5.
//!
//! A name has several addresses, and one of them may be dead without saying so. The next one is tried 250 ms after the one before it, or at once
//! when that one fails; families take turns, so that a dead family costs one step. Whoever connects first is taken and the others are dropped.
//!
//! May touch: the network. Bounds: one socket for each address; the caller limits the time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// RFC 8305 section 8: the Connection Attempt Delay that is RECOMMENDED.
const NEXT: Duration = Duration::from_millis(250);

/// Connects to one of the addresses that a host, a name or an address, has.
pub async fn connect_to(host: &str, port: u16) -> io::Result<TcpStream> {
    connect(lookup_host((host, port)).await?.collect()).await
}

/// Connects to one of these addresses; the error is that of the last that failed.
pub async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = *addresses {
        return TcpStream::connect(only).await;
    }
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut attempts = JoinSet::new();
    for address in taking_turns(addresses) {
        attempts.spawn(TcpStream::connect(address));
        // Until it is the next one's turn: what comes in this time decides.
        match timeout(NEXT, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(failed)))) => error = failed,
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(failed)) => error = failed,
            Err(_) => {}
        }
    }
    Err(error)
}

/// RFC 8305 section 4: the families in turn, beginning with that of the first address; within each the resolver's order.
fn taking_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return addresses };
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that takes packets and never answers: a listener whose queue is full.
    async fn silent() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        (listener, queued, address)
    }

    async fn answering() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn r16_an_address_that_never_answers_does_not_hide_those_that_do() {
        let ((_full, _queued, dead), (_listener, alive)) = (silent().await, answering().await);
        for addresses in [vec![alive], vec![dead, alive], vec![dead, dead, alive], vec![alive, dead]] {
            let connected = timeout(Duration::from_secs(10), connect(addresses.clone())).await;
            assert_eq!(connected.unwrap().unwrap().peer_addr().unwrap(), alive, "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn r16_addresses_that_refuse_are_passed_over_at_once_and_none_at_all_is_an_error() {
        let ((listener, refusing), (_other, alive)) = (answering().await, answering().await);
        drop(listener);
        let connected = connect(vec![refusing, refusing, alive]).await;
        assert_eq!(connected.unwrap().peer_addr().unwrap(), alive);
        for (addresses, kind) in [
            (vec![refusing], io::ErrorKind::ConnectionRefused),
            (vec![refusing, refusing], io::ErrorKind::ConnectionRefused),
            (Vec::new(), io::ErrorKind::AddrNotAvailable),
        ] {
            assert_eq!(connect(addresses).await.unwrap_err().kind(), kind);
        }
    }

    #[tokio::test]
    async fn a_late_answer_of_an_earlier_address_is_taken_too() {
        let ((full, mut queued, late), (gone, refusing)) = (silent().await, answering().await);
        drop(gone);
        let mut connecting = tokio::spawn(connect(vec![late, refusing]));
        assert!(timeout(2 * NEXT, &mut connecting).await.is_err(), "one has refused, and the other says nothing yet");
        // There is room again; the kernel asks anew after a second.
        queued.clear();
        let accepting = tokio::spawn(async move { while full.accept().await.is_ok() {} });
        let connected = timeout(Duration::from_secs(20), connecting).await.unwrap().unwrap();
        assert_eq!(connected.unwrap().peer_addr().unwrap(), late);
        accepting.abort();
    }

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_first() {
        let turns = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            taking_turns(addresses).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(turns(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]), "[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1");
        assert_eq!(turns(&["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"]), "1.1.1.1:1 [::1]:1 1.1.1.2:1");
        assert_eq!(turns(&[]), "");
    }
}
