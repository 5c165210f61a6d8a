//! How long a request takes at half of the rate that nginx can do, on a schedule that waits for nobody.
//!
//! A closed loop sends less when answers are late, and so hides what is slow. Here requests fall due at a constant rate, some each
//! millisecond, whatever happened to those before; one that finds all connections in use waits, and its time counts from when it was due.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

use crate::load::{self, Load};
use crate::peers::{self, Running};
use crate::rounds::{Contender, in_turn};
use crate::{Bench, Result, client, table};

const CONNECTIONS: usize = 64;
const TICK: Duration = Duration::from_millis(1);
/// A tick that is later than this was held up, and what was due then counts from then.
const HELD_UP: Duration = Duration::from_millis(2);

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let mut running = Vec::new();
    for peer in [peers::nginx::PEER, peers::haproxy::PEER, peers::lychgate::PEER] {
        if peer.name == peers::nginx::PEER.name || (bench.includes(peer.name) && (peer.missing)().is_none()) {
            running.push((peer.start)(&bench.site, &bench.provider)?);
        }
    }
    let Some(nginx) = running.first() else { return Ok(()) };
    let url = format!("http://localhost:{}/1k", nginx.clear);
    let rate = load::wrk(&url, &nginx.clear_cookie, bench.pace.seconds.max(2))?.rate / 2.0;
    let contenders: Vec<Contender<'_>> = running
        .iter()
        .map(|proxy| Contender {
            name: proxy.name.to_owned(),
            process: &proxy.process,
            send: Box::new(move |seconds| on_schedule(proxy, rate, seconds)),
        })
        .collect();
    let title = format!("{rate:.0} requests a second, half of what nginx can do; HTTP/1.1 in clear, 1 kB answers");
    print!("{}", table::print(&title, &in_turn(bench.pace, &contenders)));
    Ok(())
}

/// Requests that are due, since when.
struct Queue {
    due: Mutex<VecDeque<Instant>>,
    waiting: Semaphore,
}

fn on_schedule(proxy: &Running, rate: f64, seconds: u64) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let queue = Arc::new(Queue { due: Mutex::default(), waiting: Semaphore::new(0) });
        let request = Arc::new(client::get("/1k", "localhost", &proxy.clear_cookie));
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let connection = client::clear(proxy.clear).await?;
            tasks.push(tokio::spawn(work(connection, Arc::clone(&queue), Arc::clone(&request))));
        }
        let asked = schedule(&queue, rate, Duration::from_secs(seconds)).await;
        let mut delays = Vec::with_capacity(asked);
        for task in tasks {
            delays.extend(task.await?.map_err(|error| format!("at {rate:.0} a second: {error}"))?);
        }
        if delays.len() * 100 < asked * 99 {
            return Err(format!("only {} of {asked} requests were answered in time", delays.len()).into());
        }
        load::of(delays, Duration::from_secs(seconds))
    })
}

/// Lets requests fall due; returns how many did.
async fn schedule(queue: &Queue, rate: f64, how_long: Duration) -> usize {
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    let (mut owed, mut asked) = (0.0, 0);
    loop {
        let planned = ticker.tick().await.into_std();
        if began.elapsed() > how_long {
            break;
        }
        owed += rate * TICK.as_secs_f64();
        let count = owed as usize;
        owed -= count as f64;
        asked += count;
        let now = Instant::now();
        let due = if now.duration_since(planned) > HELD_UP { planned } else { now };
        queue.due.lock().unwrap_or_else(PoisonError::into_inner).extend(std::iter::repeat_n(due, count));
        queue.waiting.add_permits(count);
    }
    // What is still due has a moment.
    tokio::time::sleep(Duration::from_millis(100)).await;
    queue.waiting.close();
    asked
}

async fn work(
    mut connection: client::Client<tokio::net::TcpStream>,
    queue: Arc<Queue>,
    request: Arc<Vec<u8>>,
) -> std::result::Result<Vec<Duration>, String> {
    let mut delays = Vec::new();
    while let Ok(permit) = queue.waiting.acquire().await {
        permit.forget();
        let due = queue.due.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(due) = due else { continue };
        let answer = connection.ask(&request).await.and_then(|answer| answer.must_be(200));
        answer.map_err(|error| error.to_string())?;
        delays.push(due.elapsed());
    }
    Ok(delays)
}
