//! From starting the program to its first answer, and the memory of one that has nothing to do yet.
//!
//! nginx and HAProxy are ready when they accept a connection; Lychgate when `/readyz` says so, which waits for the provider's metadata
//! and keys. Each start goes through the same two small programs (`setpriv`, `taskset`).

use std::time::{Duration, Instant};

use crate::peers::{self, lychgate};
use crate::process::{PROXY_CORE, Process};
use crate::{Bench, Result, cpu, ports, table};

const REST: Duration = Duration::from_secs(1);

/// What one start took, and what it kept.
struct Start {
    ready: Duration,
    memory: u64,
}

pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let mut rows = Vec::new();
    for peer in [peers::nginx::PEER, peers::haproxy::PEER, lychgate::PEER] {
        if !bench.includes(peer.name) || (peer.missing)().is_some() {
            continue;
        }
        let mut starts = Vec::new();
        for _ in 0..bench.pace.rounds {
            let began = Instant::now();
            starts.push(if peer.name == lychgate::PEER.name {
                at_rest(&gateway(bench)?, began)
            } else {
                at_rest(&(peer.start)(&bench.site, &bench.provider)?.process, began)
            });
        }
        rows.push((peer.name.to_owned(), cells(&mut starts)));
    }
    let columns = ["ready ms", "(min-max)", "MiB at rest"];
    print!("{}", table::plain("From the start to the first answer, and memory a second later", &columns, &rows));
    Ok(())
}

fn at_rest(process: &Process, began: Instant) -> Start {
    let ready = began.elapsed();
    std::thread::sleep(REST);
    Start { ready, memory: cpu::memory_kib(&process.family()) }
}

fn gateway(bench: &Bench) -> Result<Process> {
    let numbers = [ports::free()?, ports::free()?, ports::free()?];
    let (file, _) = lychgate::prepare(&bench.site, &bench.provider, &lychgate::USUAL, numbers)?;
    let log = bench.site.folder.join("start.log");
    let command = [lychgate::PROGRAM, "run", "--config", &file];
    let mut process = Process::start(lychgate::PEER.name, PROXY_CORE, &log, command)?;
    process.wait_until(|| lychgate::is_ready(numbers[2]))?;
    Ok(process)
}

fn cells(starts: &mut [Start]) -> Vec<String> {
    starts.sort_by_key(|start| start.ready);
    let milliseconds = |start: &Start| start.ready.as_secs_f64() * 1e3;
    let (Some(least), Some(most)) = (starts.first(), starts.last()) else { return Vec::new() };
    let Some(median) = starts.get(starts.len() / 2) else { return Vec::new() };
    vec![
        format!("{:.1}", milliseconds(median)),
        format!("({:.1}-{:.1})", milliseconds(least), milliseconds(most)),
        format!("{:.1}", median.memory as f64 / 1024.0),
    ]
}
