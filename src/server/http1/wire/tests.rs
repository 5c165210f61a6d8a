//! A connection between its task, the body under way and an answer that is written, on a client that does what the test says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use http_body::Body as _;
use tokio::io::ReadBuf;

use super::*;
use crate::config::Timeouts;
use crate::server::silence::Silence;
use crate::server::watch::Order;
use crate::server::watched::Watched;
use crate::server::watchman::Watchman;
use crate::server::worker::Slot;

/// Says nothing, and counts how often it is flushed.
#[derive(Default)]
struct Silent(Arc<AtomicUsize>);

impl AsyncRead for Silent {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn d01_what_a_tls_session_has_to_say_does_not_wait_for_an_answer() {
    let (watch, flushed) = (Watchman::new(Timeouts::default()).watch(Slot::alone()), Arc::<AtomicUsize>::default());
    let wire = Shared::new(Silent(Arc::clone(&flushed)), watch, &Limits::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(wire.lock().poll_head(&mut context).is_pending());
    assert_eq!(flushed.load(Ordering::Relaxed), 1);
    assert!(wire.lock().poll_left(&mut context).is_pending());
    assert_eq!(flushed.load(Ordering::Relaxed), 2);
}

/// A client that sends these pieces and takes so many bytes; who is woken when it does more.
#[derive(Default)]
struct Client {
    pieces: VecDeque<&'static [u8]>,
    takes: usize,
    took: Vec<u8>,
    writer: Option<Waker>,
}

/// The same, while the connection has it.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Client>>);

impl Held {
    fn get(&self) -> MutexGuard<'_, Client> {
        self.0.lock().unwrap()
    }

    /// Takes so many bytes more; the one who wants to write is woken.
    fn takes(&self, bytes: usize) {
        let mut client = self.get();
        client.takes += bytes;
        client.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for Held {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(piece) = self.get().pieces.pop_front() else { return Poll::Pending };
        into.put_slice(piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Held {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut client = self.get();
        let taken = bytes.len().min(client.takes);
        if taken == 0 {
            // As with a socket, the last one that had to wait is woken, and nobody else.
            client.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        client.takes -= taken;
        client.took.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut client = self.get();
        if client.takes == 0 {
            client.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Notes that it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn connected(client: &Held, watchman: &Watchman) -> (Shared<Watched<Held>>, Arc<Watch>) {
    let watch = watchman.watch(Slot::alone());
    watch.opened(false);
    let stream = Watched::new(client.clone(), Arc::clone(&watch));
    (Shared::new(stream, Arc::clone(&watch), &Limits::default()), watch)
}

/// The body of the next request.
fn next(wire: &Shared<Watched<Held>>, context: &mut Context<'_>) -> Body<Watched<Held>> {
    let Poll::Ready(Ok(Some(arrived))) = wire.lock().poll_head(context) else { panic!("no head") };
    wire.body(arrived.body, arrived.expects_continue)
}

fn piece(body: &mut Body<Watched<Held>>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
    Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())))
}

#[test]
fn h05_a_body_that_was_read_and_is_still_held_is_not_over() {
    let (client, woken) = (Held::default(), Arc::<Woken>::default());
    client.get().pieces.extend([POST, b"4\r\ndata\r\n0\r\n\r\n", POST, b"4\r\nmore\r\n0\r\n\r\n"]);
    let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
    let (waker, mut idle) = (Waker::from(Arc::clone(&woken)), Context::from_waker(Waker::noop()));
    let mut context = Context::from_waker(&waker);
    let mut first = next(&wire, &mut context);
    assert!(matches!(piece(&mut first, &mut idle), Poll::Ready(Some(Ok(data))) if data == "data"));
    assert!(first.is_end_stream());
    // It is in somebody's hands who may ask for more.
    assert!(wire.lock().poll_body_over(&mut context).is_pending());
    assert!(matches!(piece(&mut first, &mut idle), Poll::Ready(None)));
    assert!(!woken.0.load(Ordering::Relaxed));
    drop(first);
    assert!(woken.0.load(Ordering::Relaxed));
    assert_eq!(wire.lock().poll_body_over(&mut context), Poll::Ready(true));
    assert!(matches!(piece(&mut next(&wire, &mut context), &mut idle), Poll::Ready(Some(Ok(data))) if data == "more"));
}

#[test]
fn h05_a_body_of_an_older_request_reads_nothing_of_a_newer_ones_and_leaves_it_alone() {
    let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
    client.get().pieces.extend([POST, b"4\r\ndata\r\n0\r\n\r\n", POST, b"4\r\nmore\r\n", b"2\r\nof\r\n0\r\n\r\n"]);
    let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
    let mut old = next(&wire, &mut context);
    assert!(matches!(piece(&mut old, &mut context), Poll::Ready(Some(Ok(data))) if data == "data"));
    let mut new = next(&wire, &mut context);
    assert!(matches!(piece(&mut old, &mut context), Poll::Ready(Some(Err(BodyError::Broken)))));
    assert!(!old.is_end_stream() && old.size_hint().exact().is_none());
    assert!(matches!(piece(&mut new, &mut context), Poll::Ready(Some(Ok(data))) if data == "more"));
    drop(old);
    // The new one is still wanted: an early answer does not throw it away.
    assert!(wire.lock().may_go_on(&mut context));
    assert!(wire.lock().poll_body_over(&mut context).is_pending());
    assert!(matches!(piece(&mut new, &mut context), Poll::Ready(Some(Ok(data))) if data == "of"));
}

#[test]
fn d01_a_client_that_takes_an_answer_slowly_is_kept_and_one_that_takes_nothing_is_cut() {
    let limits = Timeouts { body_stall: Duration::from_secs(2), ..Timeouts::default() };
    for (steady, kept) in [(true, true), (false, false)] {
        let (client, mut watchman) = (Held::default(), Watchman::new(limits));
        let (wire, watch) = connected(&client, &watchman);
        let _in_flight = watch.begin_request();
        let (mut outbox, mut context) = (Outbox::default(), Context::from_waker(Waker::noop()));
        outbox.put(Bytes::from_static(&[7; 1000]));
        let mut silences = Vec::new();
        for _ in 0..10 {
            assert!(wire.lock().poll_write(&mut outbox, &mut context).is_pending());
            watchman.grow_older(Duration::from_secs(1));
            watchman.look(|silence| silences.push(silence));
            client.takes(usize::from(steady));
        }
        assert_eq!(watch.order(Waker::noop()) == Order::GoOn, kept);
        assert_eq!(silences.is_empty(), kept, "{silences:?}");
        assert_eq!(client.get().took.len(), if steady { 9 } else { 0 });
    }
}

#[test]
fn d01_whoever_reads_the_rest_of_a_body_does_not_take_the_writers_turn() {
    for expects in ["", "Expect: 100-continue\r\n"] {
        let (client, woken) = (Held::default(), Arc::<Woken>::default());
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{expects}Transfer-Encoding: chunked\r\n\r\n");
        client.get().pieces.push_back(head.leak().as_bytes());
        let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
        let (waker, mut reading) = (Waker::from(Arc::clone(&woken)), Context::from_waker(Waker::noop()));
        let mut writing = Context::from_waker(&waker);
        let mut body = next(&wire, &mut reading);
        if !expects.is_empty() {
            // A part of what the client waits for has left.
            client.takes(9);
            assert!(piece(&mut body, &mut reading).is_pending());
        }
        let mut outbox = Outbox::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        assert!(wire.lock().may_go_on(&mut writing));
        assert!(wire.lock().poll_write(&mut outbox, &mut writing).is_pending());
        assert!(piece(&mut body, &mut reading).is_pending());
        client.get().pieces.push_back(b"1\r\nx\r\n");
        assert!(piece(&mut body, &mut reading).is_ready());
        client.takes(1000);
        assert!(woken.0.load(Ordering::Relaxed), "{expects}");
        assert!(wire.lock().poll_write(&mut outbox, &mut writing).is_ready());
        let said = if expects.is_empty() { "" } else { "HTTP/1.1 100 Continue\r\n\r\n" };
        assert_eq!(client.get().took, format!("{said}HTTP/1.1 200 OK\r\n\r\n").as_bytes());
    }
}

#[test]
fn d01_no_more_of_a_next_request_is_read_than_what_comes_at_once() {
    let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
    client.get().pieces.extend([&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"x", b"y"]);
    let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
    let _body = next(&wire, &mut context);
    for _ in 0..3 {
        assert!(wire.lock().poll_left(&mut context).is_pending());
    }
    assert_eq!(client.get().pieces, [&b"y"[..]]);

    let client = Held::default();
    client.get().pieces.extend([POST, b"1\r\nx\r\n"]);
    let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
    let _body = next(&wire, &mut context);
    assert!(wire.lock().poll_left(&mut context).is_pending());
    assert_eq!(client.get().pieces.len(), 1, "what comes is the body's");
}

#[test]
fn d01_of_a_body_that_nobody_wants_only_so_much_is_read() {
    static PIECE: [u8; 4096] = [7; 4096];
    for (pieces, goes_on) in [(8, true), (64, true), (65, false), (80, false)] {
        let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", pieces * PIECE.len());
        client.get().pieces.push_back(head.leak().as_bytes());
        let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
        drop(next(&wire, &mut context));
        client.get().pieces.extend(std::iter::repeat_n(&PIECE[..], pieces));
        assert_eq!(wire.lock().may_go_on(&mut context), goes_on, "{pieces}");
    }
    // A part of it is not all of it.
    let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
    client.get().pieces.extend([POST, b"4\r\nda"]);
    let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
    drop(next(&wire, &mut context));
    assert!(!wire.lock().may_go_on(&mut context));
}

/// Whose time is over meanwhile is told by the socket beneath (`watched`).
#[test]
fn d01_what_waits_within_a_tls_session_is_no_answer_yet() {
    let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
    let (wire, _watch) = connected(&client, &Watchman::new(Timeouts::default()));
    assert!(wire.lock().poll_flush(&mut context).is_pending());
    client.takes(1);
    assert!(wire.lock().poll_flush(&mut context).is_ready());
}

#[test]
fn d01_empty_lines_behind_a_request_begin_no_other_one() {
    let idle = Duration::from_secs(10);
    for pieces in [&[&b"\r\n"[..]][..], &[b"\r", b"\n"], &[b"\r\n\r\n\r\n"], &[b"\r\n", b"\r\n\r"]] {
        let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
        let mut watchman = Watchman::new(Timeouts { idle, header: Duration::from_secs(2), ..Timeouts::default() });
        let (wire, watch) = connected(&client, &watchman);
        client.get().pieces.push_back(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let in_flight = watch.begin_request();
        drop(next(&wire, &mut context));
        drop(in_flight);
        client.get().pieces.extend(pieces);
        let mut silences = Vec::new();
        for second in 0..=idle.as_secs() {
            assert!(wire.lock().poll_head(&mut context).is_pending());
            assert_eq!(silences, [], "after {second} seconds");
            assert_eq!(watch.may_park(), !pieces.last().unwrap().ends_with(b"\r"), "nothing is there by halves");
            watchman.grow_older(Duration::from_secs(1));
            watchman.look(|silence| silences.push(silence));
            watch.go_on();
        }
        assert_eq!((silences, watch.order(Waker::noop())), (vec![Silence::Idle], Order::Finish));
    }
    // Something of a request does begin one.
    let (client, mut context) = (Held::default(), Context::from_waker(Waker::noop()));
    let mut watchman = Watchman::new(Timeouts { header: Duration::from_secs(2), ..Timeouts::default() });
    let (wire, _watch) = connected(&client, &watchman);
    client.get().pieces.extend([&b"\r\nG"[..], b"E"]);
    let mut silences = Vec::new();
    for _ in 0..3 {
        assert!(wire.lock().poll_head(&mut context).is_pending());
        watchman.grow_older(Duration::from_secs(1));
        watchman.look(|silence| silences.push(silence));
    }
    assert_eq!(silences, [Silence::Header]);
}
