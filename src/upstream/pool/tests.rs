//! What is open is counted, what is idle is kept for a while, and nothing is counted for ever.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that accepts, and its target.
async fn server() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port(), None).unwrap();
    (listener, target)
}

/// A lease on a new connection, and the server's end of it.
async fn opened(pool: &Arc<Pool>, listener: &TcpListener, target: &Target) -> (Lease, TcpStream) {
    let (lease, accepted) = tokio::join!(pool.open(target), listener.accept());
    (lease.ok().unwrap(), accepted.unwrap().0)
}

/// How many are open and how many idle; none for a target that is not known.
fn counts(pool: &Pool, target: &Target) -> Option<(usize, usize)> {
    let targets = pool.targets.lock().unwrap();
    targets.get(&target.id).map(|connections| (connections.open, connections.idle.len()))
}

/// Waits until what the server did is seen at this end.
async fn is_told(lease: &mut Lease) {
    let connection = lease.connection().unwrap();
    std::future::poll_fn(|context| connection.socket.poll_readable(context)).await.unwrap();
}

#[tokio::test]
async fn d03_what_is_dropped_fails_or_goes_elsewhere_is_counted_off() {
    let pool = Arc::new(Pool::default());
    let (listener, target) = server().await;
    let (lease, _server) = opened(&pool, &listener, &target).await;
    assert_eq!(counts(&pool, &target), Some((1, 0)));
    drop(lease);
    assert_eq!(counts(&pool, &target), Some((0, 0)));

    let (lease, _server) = opened(&pool, &listener, &target).await;
    lease.give_back();
    assert_eq!(counts(&pool, &target), Some((1, 1)), "open still");
    let lease = pool.take(&target, Instant::now()).unwrap();
    assert!(lease.reused);
    assert_eq!(counts(&pool, &target), Some((1, 0)));
    assert!(lease.into_connection().is_some());
    assert_eq!(counts(&pool, &target), Some((0, 0)), "a tunnel is no connection of the pool");

    // A request that is given up while its connection is made.
    let mut open = Box::pin(pool.open(&target));
    std::future::poll_fn(|context| {
        assert!(open.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(counts(&pool, &target), Some((1, 0)));
    drop(open);
    assert_eq!(counts(&pool, &target), Some((0, 0)));

    drop(listener);
    assert_eq!(pool.open(&target).await.err(), Some(UpstreamError::Connect));
    assert_eq!(counts(&pool, &target), Some((0, 0)));
}

#[tokio::test]
async fn d03_a_target_has_so_many_connections_and_one_more_is_busy() {
    let pool = Arc::new(Pool::default());
    let (listener, target) = server().await;
    for _ in 0..MAX_OPEN {
        pool.count_open(&target).unwrap();
    }
    assert_eq!(pool.open(&target).await.err(), Some(UpstreamError::Busy));
    assert_eq!(counts(&pool, &target), Some((MAX_OPEN, 0)), "what is refused is not counted");
    // Who must have a new one takes the place of an idle one.
    pool.targets.lock().unwrap().get_mut(&target.id).unwrap().open -= 1;
    let (lease, _first) = opened(&pool, &listener, &target).await;
    lease.give_back();
    assert_eq!(counts(&pool, &target), Some((MAX_OPEN, 1)));
    let (_lease, _second) = opened(&pool, &listener, &target).await;
    assert_eq!(counts(&pool, &target), Some((MAX_OPEN, 0)));
    assert_eq!(pool.open(&target).await.err(), Some(UpstreamError::Busy));
    let (other_listener, other) = server().await;
    let (_lease, _server) = opened(&pool, &other_listener, &other).await;
    assert_eq!(counts(&pool, &other), Some((1, 0)), "each target by itself");
    drop(listener);
}

#[tokio::test]
async fn h07_what_has_been_idle_for_too_long_or_was_closed_is_not_used_again() {
    let pool = Arc::new(Pool::default());
    let (listener, target) = server().await;
    let idle = async |asked| {
        let (lease, server) = opened(&pool, &listener, &target).await;
        lease.give_back();
        // It is idle since somebody last asked.
        let lease = pool.take(&target, asked).unwrap();
        lease.give_back();
        server
    };
    let now = Instant::now();
    let _server = idle(now).await;
    let lease = pool.take(&target, now + KEEP_IDLE).unwrap();
    drop(lease);
    let _server = idle(now).await;
    assert!(pool.take(&target, now + KEEP_IDLE + Duration::from_millis(1)).is_none());
    assert_eq!(counts(&pool, &target), Some((0, 0)));

    // Closed, or spoken on, by the application.
    for says in [&b""[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
        let (mut lease, mut server) = opened(&pool, &listener, &target).await;
        server.write_all(says).await.unwrap();
        drop(server);
        is_told(&mut lease).await;
        lease.give_back();
        assert_eq!(counts(&pool, &target), Some((1, 1)));
        assert!(pool.take(&target, Instant::now()).is_none(), "{says:?}");
        assert_eq!(counts(&pool, &target), Some((0, 0)));
    }
}

#[tokio::test]
async fn d06_what_is_over_is_tidied_away_with_its_target() {
    let pool = Arc::new(Pool::default());
    let (listener, target) = server().await;
    let (lease, mut kept) = opened(&pool, &listener, &target).await;
    let (mut other, server) = opened(&pool, &listener, &target).await;
    drop(server);
    is_told(&mut other).await;
    other.give_back();
    lease.give_back();
    pool.tidy();
    assert_eq!(counts(&pool, &target), Some((1, 1)), "the one that was closed is gone, the other is not");
    let lease = pool.take(&target, Instant::now()).unwrap();
    pool.tidy();
    assert_eq!(counts(&pool, &target), Some((1, 0)), "in use");
    drop(lease);
    pool.tidy();
    assert_eq!(counts(&pool, &target), None);
    assert_eq!(kept.read(&mut [0; 8]).await.unwrap(), 0, "closed");
}

#[tokio::test]
async fn h07_what_a_tls_session_did_not_take_may_be_on_the_wire() {
    let pool = Arc::new(Pool::default());
    let (listener, target) = server().await;
    let (lease, _server) = opened(&pool, &listener, &target).await;
    assert!(lease.is_exact());
    let gone = Lease {
        connection: None,
        reused: true,
        target: target.id,
        counted: false,
        last: false,
        pool: Arc::clone(&pool),
    };
    assert!(!gone.is_exact());
}
