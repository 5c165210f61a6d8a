//! When a connection that was asked to end is dropped.

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
fn d05_a_connection_that_is_asked_to_end_and_does_nothing_is_dropped_soon() {
    let (mut watchman, watch) = watched(Timeouts::default());
    assert_eq!(after(1, &mut watchman, &watch, |_| {}), (Order::Finish, vec![]));
    assert_eq!(after(2, &mut watchman, &watch, |_| {}), (Order::Drop, vec![]));
    // What it asks for is not answered any more.
    let (mut watchman, watch) = watched(Timeouts::default());
    assert_eq!(after(3, &mut watchman, &watch, Watch::read), (Order::Drop, vec![]));
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
