//! What a family of processes has used: processor time and memory.
//!
//! Processor time is what the scheduler accounts to each task in nanoseconds (`schedstat`), user and system together;
//! it is the time that the operator of a machine pays for, and it is far steadier than requests a second. Memory is the
//! proportional set size, so that pages shared between a master and its worker count once.
//!
//! May touch: `/proc`, reading only.

use std::fs;
use std::time::Duration;

/// Processor time used so far by all tasks of the given processes.
pub(crate) fn time(pids: &[u32]) -> Duration {
    let nanoseconds = pids.iter().flat_map(|pid| tasks(*pid)).sum();
    Duration::from_nanos(nanoseconds)
}

/// Memory held by the given processes, in KiB, shared pages counted once.
pub(crate) fn memory_kib(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| proportional(*pid)).sum()
}

fn tasks(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let paths = entries.into_iter().flatten().flatten();
    paths
        .filter_map(|entry| fs::read_to_string(entry.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse().ok())
        .collect()
}

fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
