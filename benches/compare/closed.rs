//! A closed loop of our own, for what no load generator does: each worker does one thing after the other until time is up.

use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{self, Load};

/// What a worker does over and over.
pub(crate) trait Worker: Send + 'static {
    /// Does it once.
    fn once(&mut self) -> impl Future<Output = Result<()>>;
}

/// Lets workers do their thing for a number of seconds; a request of the result is one time that it was done.
pub(crate) fn run<W: Worker>(seconds: u64, start: impl AsyncFn() -> Result<W>, workers: usize) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut ready = Vec::new();
        for _ in 0..workers {
            ready.push(start().await?);
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        let tasks: Vec<_> = ready.into_iter().map(|worker| tokio::task::spawn_local(until(worker, end))).collect();
        let mut delays = Vec::new();
        for task in tasks {
            delays.extend(task.await??);
        }
        load::of(delays, Duration::from_secs(seconds))
    })
}

async fn until<W: Worker>(mut worker: W, end: Instant) -> std::result::Result<Vec<Duration>, String> {
    let mut delays = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        worker.once().await.map_err(|error| error.to_string())?;
        delays.push(began.elapsed());
    }
    Ok(delays)
}
