//! Streams begin in turns, so that answers that are ready are not kept waiting by requests that are not begun.
//!
//! One read of an HTTP/2 connection may bring a hundred requests, and eight connections eight hundred. Were they all begun at once, each
//! would have left the processor's caches when its answer comes, and the first answer would wait for the last request to begin. So at
//! most [`MOST`] begin before the worker's loop has looked what is ready; the others wait for that and for nothing else: an application that
//! takes its time delays nobody.
//!
//! May touch: nothing. Cost: an atomic subtraction for a stream, a task's turn for each [`MOST`] of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// Streams that begin in one turn.
const MOST: usize = 32;

/// The turns of one worker.
pub(super) struct Turns {
    /// How many may still begin in this turn; who waits is let in in order.
    places: Semaphore,
    /// Whether the next turn is awaited.
    turning: AtomicBool,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { places: Semaphore::new(MOST), turning: AtomicBool::new(false) }
    }

    /// Waits until one stream more may begin.
    pub(super) async fn begin(self: &Arc<Self>) {
        if let Ok(place) = self.places.try_acquire() {
            return place.forget();
        }
        if !self.turning.swap(true, Ordering::Relaxed) {
            tokio::spawn(Arc::clone(self).turn());
        }
        if let Ok(place) = self.places.acquire().await {
            place.forget();
        }
    }

    /// Lets others begin each time the loop has looked what is ready, until nobody waits.
    async fn turn(self: Arc<Self>) {
        while self.places.available_permits() == 0 {
            // Goes on after the worker's loop has asked the kernel, and behind what that woke.
            yield_now().await;
            self.places.add_permits(MOST);
        }
        self.turning.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Starts `count` tasks that begin in turn, and the list in which each puts its number when it did.
    fn beginners(turns: &Arc<Turns>, count: usize) -> (Vec<tokio::task::JoinHandle<()>>, Arc<Mutex<Vec<usize>>>) {
        let begun = Arc::new(Mutex::default());
        let tasks = (0..count).map(|number| {
            let (turns, begun) = (Arc::clone(turns), Arc::<Mutex<Vec<usize>>>::clone(&begun));
            tokio::spawn(async move {
                turns.begin().await;
                begun.lock().unwrap().push(number);
            })
        });
        (tasks.collect(), begun)
    }

    #[tokio::test]
    async fn at_most_so_many_begin_before_the_loop_has_looked_again() {
        let turns = Arc::new(Turns::new());
        for _ in 0..3 {
            let (_, begun) = beginners(&turns, 10 * MOST + 5);
            let mut before = 0;
            for _ in 0..40 {
                yield_now().await;
                let now = begun.lock().unwrap().len();
                assert!(now - before <= 2 * MOST, "{before} and then {now}");
                before = now;
            }
            // In order, and though none of them has ended.
            assert_eq!(*begun.lock().unwrap(), (0..10 * MOST + 5).collect::<Vec<_>>());
            assert!(!turns.turning.load(Ordering::Relaxed), "nobody waits for a turn any more");
        }
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_takes_no_place() {
        let turns = Arc::new(Turns::new());
        let (tasks, begun) = beginners(&turns, 4 * MOST);
        yield_now().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(begun.lock().unwrap().len() < 4 * MOST);
        assert!(!turns.turning.load(Ordering::Relaxed));
        let (_, begun) = beginners(&turns, MOST);
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!(begun.lock().unwrap().len(), MOST);
    }
}
