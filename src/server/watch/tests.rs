//! When a connection is asked to end, and when one that was is dropped.

use super::*;
use crate::server::watchman::Watchman;

fn watched(limits: Timeouts) -> (Watchman, Arc<Watch>) {
    let watchman = Watchman::new(limits);
    let watch = watchman.watch(Slot::alone());
    watch.opened(true);
    drop(watch.begin_request());
    watch.finish();
    (watchman, watch)
}

/// What is wanted of it after so many seconds, in each of which `each` happens.
fn after(seconds: u32, watchman: &mut Watchman, watch: &Watch, each: impl Fn(&Watch)) -> (Order, Vec<Silence>) {
    let mut silences = Vec::new();
    for _ in 0..seconds {
        each(watch);
        watchman.grow_older(Duration::from_secs(1));
        watchman.look(|silence| silences.push(silence));
    }
    (watch.order(Waker::noop()), silences)
}

#[test]
fn d05_a_connection_that_is_asked_to_end_again_and_again_has_no_more_time() {
    for said_something in [true, false] {
        let watchman = Watchman::new(Timeouts::default());
        let watch = watchman.watch(Slot::alone());
        watch.opened(true);
        if said_something {
            drop(watch.begin_request());
        }
        let (order, silences) = after(3, &mut { watchman }, &watch, Watch::finish);
        assert_eq!((order, silences), (Order::Drop, vec![]), "{said_something}");
    }
}

#[test]
fn d05_a_connection_that_is_asked_to_end_and_does_nothing_is_dropped_soon() {
    let (mut watchman, watch) = watched(Timeouts::default());
    assert_eq!(after(1, &mut watchman, &watch, |_| {}), (Order::Finish, vec![]));
    assert_eq!(after(2, &mut watchman, &watch, |_| {}), (Order::Drop, vec![]));
}

#[test]
fn d01_a_connection_on_http_2_without_a_request_is_asked_to_end_when_one_should_have_begun() {
    let (header, first_byte) = (Duration::from_secs(5), Duration::from_secs(10));
    let mut watchman = Watchman::new(Timeouts { header, first_byte, ..Timeouts::default() });
    let watch = watchman.watch(Slot::alone());
    watch.opened(true);
    // What it has said of itself, if anything, was no request.
    assert_eq!(after(10, &mut watchman, &watch, |_| {}), (Order::GoOn, vec![]));
    assert_eq!(after(1, &mut watchman, &watch, |_| {}), (Order::Finish, vec![Silence::FirstByte]));
    assert_eq!(after(1, &mut watchman, &watch, |_| {}), (Order::Finish, vec![]));
    assert_eq!(after(2, &mut watchman, &watch, |_| {}), (Order::Drop, vec![]));
}

#[test]
fn d05_what_waits_for_the_socket_has_the_limit_of_a_client_that_takes_nothing() {
    let (mut watchman, watch) = watched(Timeouts { body_stall: Duration::from_secs(10), ..Timeouts::default() });
    assert_eq!(after(9, &mut watchman, &watch, Watch::write_blocked), (Order::Finish, vec![]));
    assert_eq!(after(3, &mut watchman, &watch, Watch::write_blocked), (Order::Drop, vec![Silence::Write]));
}

#[test]
fn d05_a_client_that_still_takes_what_the_kernel_has_is_not_cut_and_cannot_stay_for_ever() {
    let (mut watchman, watch) = watched(Timeouts { idle: Duration::from_secs(20), ..Timeouts::default() });
    assert_eq!(after(15, &mut watchman, &watch, Watch::took), (Order::Finish, vec![]));
    assert_eq!(after(3, &mut watchman, &watch, |_| {}).0, Order::Drop, "it says no more");
    let (mut watchman, watch) = watched(Timeouts { idle: Duration::from_secs(20), ..Timeouts::default() });
    assert_eq!(after(22, &mut watchman, &watch, Watch::took).0, Order::Drop, "whatever it says");
}
