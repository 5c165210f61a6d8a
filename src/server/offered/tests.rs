//! Which answers on HTTP/2 are taken back: those whose clients do not take them, and none that waits for others.

use std::time::Duration;

use super::*;
use crate::config::Timeouts;
use crate::server::silence::Silence;
use crate::server::watchman::Watchman;
use crate::server::worker::Slot;

/// How long an answer may stand still.
const STALL: u64 = 10;
/// A frame, as large as clients let them be.
const FRAME: usize = 16 << 10;

struct Connection {
    watchman: Watchman,
    watch: Arc<Watch>,
}

impl Connection {
    fn new() -> Self {
        let limits = Timeouts { body_stall: Duration::from_secs(STALL), ..Timeouts::default() };
        let watchman = Watchman::new(limits);
        let watch = watchman.watch(Slot::alone());
        watch.opened(true);
        Self { watchman, watch }
    }

    /// An answer of which a piece waits.
    fn answer(&self) -> Piece {
        let held = Held { body: None, in_flight: Some(self.watch.begin_request()) };
        let offer = Arc::new(Offer {
            watch: Arc::clone(&self.watch),
            held: Mutex::new(held),
            waiting: AtomicU32::new(0),
            moved: AtomicU64::new(0),
            since: AtomicU64::new(0),
            gone: AtomicU64::new(0),
        });
        self.watch.offered(Arc::downgrade(&offer));
        Piece::new(Bytes::from(vec![b'x'; 8 * FRAME]), &offer)
    }

    /// How many answers are taken back in so many seconds, in each of which `each` happens.
    fn taken_back(&mut self, seconds: u64, mut each: impl FnMut(&Watch)) -> usize {
        let mut taken = 0;
        for _ in 0..seconds {
            each(&self.watch);
            self.watchman.grow_older(Duration::from_secs(1));
            self.watchman.look(|silence| taken += usize::from(silence == Silence::Answer));
        }
        taken
    }
}

/// A frame of another answer leaves.
fn another(watch: &Watch) {
    watch.way().leave(FRAME);
}

#[test]
fn d01_an_answer_that_is_not_taken_is_taken_back_though_others_are() {
    let mut connection = Connection::new();
    let _answer = connection.answer();
    connection.watch.way().opens(1 << 30, 0);
    assert_eq!(connection.taken_back(STALL, another), 0);
    assert_eq!(connection.taken_back(2, another), 1);
}

#[test]
fn d01_answers_that_wait_for_each_other_at_a_full_socket_are_not_taken_back() {
    let mut connection = Connection::new();
    let answers = [connection.answer(), connection.answer()];
    connection.watch.way().opens(1 << 30, 0);
    let slowly = |watch: &Watch| {
        watch.write_blocked();
        watch.write_moved();
        another(watch);
        watch.write_blocked();
    };
    assert_eq!(connection.taken_back(5 * STALL, slowly), 0);
    // The socket has room, and still nothing of them leaves.
    connection.watch.write_moved();
    assert_eq!(connection.taken_back(STALL, |_| {}), 0);
    assert_eq!(connection.taken_back(2, |_| {}), 2);
    drop(answers);
}

#[test]
fn d01_answers_that_wait_for_each_other_at_the_connections_window_are_not_taken_back() {
    let mut connection = Connection::new();
    let _answer = connection.answer();
    connection.watch.way().leave(65_535);
    let frame = u32::try_from(FRAME).unwrap();
    let mut seconds = 0;
    let slowly = |watch: &Watch| {
        seconds += 1;
        if seconds % 4 == 0 {
            watch.way().opens(frame, watch.now());
            another(watch);
        }
    };
    assert_eq!(connection.taken_back(5 * STALL, slowly), 0);
    // Nobody but the client can open it.
    assert_eq!(connection.taken_back(STALL, |_| {}), 1);
}

#[test]
fn d01_a_byte_of_the_connections_window_now_and_then_holds_nothing_up() {
    for (step, kept) in [(1, false), (FRAME / STALL as usize - 20, false), (FRAME / STALL as usize + 20, true)] {
        let mut connection = Connection::new();
        let _answer = connection.answer();
        connection.watch.way().leave(65_535);
        let slowly = |watch: &Watch| {
            watch.way().opens(u32::try_from(step).unwrap(), watch.now());
            watch.way().leave(step);
        };
        assert_eq!(connection.taken_back(3 * STALL, slowly), usize::from(!kept), "{step}");
    }
}

#[test]
fn d01_a_window_that_was_not_shut_holds_nothing_up() {
    let mut connection = Connection::new();
    let _answer = connection.answer();
    let slowly = |watch: &Watch| watch.way().opens(1, watch.now());
    assert_eq!(connection.taken_back(STALL + 2, slowly), 1);
}

#[test]
fn d01_an_answer_that_is_passed_by_again_and_again_is_taken_back_however_full_the_socket_is() {
    let mut connection = Connection::new();
    let mut answers = [connection.answer(), connection.answer()];
    let mut busily = |watch: &Watch| {
        watch.write_blocked();
        watch.write_moved();
        (0..1000).for_each(|_| another(watch));
        watch.write_blocked();
        answers[0].advance(1 << 10);
    };
    assert_eq!(connection.taken_back(STALL, &mut busily), 0);
    assert_eq!(connection.taken_back(2, &mut busily), 1);
}

#[test]
fn d01_a_byte_now_and_then_is_no_progress_and_a_kilobyte_is() {
    for (step, kept) in
        [(1, false), (STEP as usize / 20, false), (STEP as usize / STALL as usize + 1, true), (STEP as usize, true)]
    {
        let mut connection = Connection::new();
        let mut answer = connection.answer();
        connection.watch.way().opens(1 << 30, 0);
        let taken = connection.taken_back(3 * STALL, |_| answer.advance(step));
        assert_eq!(taken, usize::from(!kept), "{step}");
    }
    // The end of a piece is progress however short it is.
    let mut connection = Connection::new();
    let mut answer = connection.answer();
    connection.watch.way().opens(1 << 30, 0);
    answer.advance(8 * FRAME - 1);
    assert_eq!(connection.taken_back(STALL, |_| {}), 0);
    answer.advance(1);
    assert_eq!(connection.taken_back(STALL, |_| {}), 0);
    assert_eq!(connection.taken_back(2, |_| {}), 1);
}
