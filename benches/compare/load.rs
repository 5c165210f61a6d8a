//! The load generators and what they report: `wrk` for HTTP/1.1, `h2load` for HTTP/2.
//!
//! Each run lasts a set number of seconds with a set number of connections, on the core that the proxy does not use.
//! A run in which any answer was not a success is an error, not a figure: a proxy that refuses quickly must not look
//! fast.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use crate::Result;
use crate::process::LOAD_CORE;
use crate::site::Site;

/// What one run of a load generator saw.
pub(crate) struct Load {
    /// Requests answered.
    pub(crate) requests: f64,
    /// Requests answered a second.
    pub(crate) rate: f64,
    /// Half of the requests took no longer.
    pub(crate) p50: Duration,
    /// All but one of a hundred took no longer.
    pub(crate) p99: Duration,
}

/// Runs `wrk` with 64 connections.
pub(crate) fn wrk(url: &str, cookie: &str, seconds: u64) -> Result<Load> {
    wrk_with(&["-H", &format!("Cookie: {cookie}"), url], seconds)
}

/// Runs `wrk` with 64 connections, its requests made by a script.
pub(crate) fn wrk_script(url: &str, cookie: &str, script: &str, seconds: u64) -> Result<Load> {
    wrk_with(&["-H", &format!("Cookie: {cookie}"), "-s", script, url], seconds)
}

fn wrk_with(how: &[&str], seconds: u64) -> Result<Load> {
    let duration = format!("-d{seconds}s");
    let url = how.last().copied().unwrap_or_default();
    let fixed = ["wrk", "-t1", "-c64", "--timeout", "10s", "--latency", &duration];
    let text = run(fixed.into_iter().chain(how.iter().copied()))?;
    if let Some(trouble) = text.lines().find(|line| is_trouble(line)) {
        return Err(format!("wrk at {url}: {}", trouble.trim()).into());
    }
    let number = |label: &str, at| word(line_with(&text, label)?, at)?.parse::<f64>().ok();
    let delay = |share: &str| {
        let mut lines = text.lines().map(str::trim_start);
        duration_of(word(lines.find(|line| line.starts_with(share))?, 1)?)
    };
    let load = || {
        Some(Load {
            requests: number("requests in", 0)?,
            rate: number("Requests/sec:", 1)?,
            p50: delay("50%")?,
            p99: delay("99%")?,
        })
    };
    load().ok_or_else(|| format!("wrk printed something unknown: {text}").into())
}

/// Runs `h2load` with 8 connections of 100 streams each; percentiles come from its log of single requests.
pub(crate) fn h2load(site: &Site, url: &str, cookie: &str, seconds: u64) -> Result<Load> {
    let duration = seconds.to_string();
    let cookie = format!("cookie: {cookie}");
    let log = site.path("h2load.log");
    let _ = fs::remove_file(&log); // it appends
    let fixed = ["h2load", "-t1", "-c8", "-m100", "--log-file", &log, "-D"];
    let text = run(fixed.into_iter().chain([&*duration, "-H", &cookie, url]))?;
    let unknown = || format!("h2load printed something unknown: {text}");
    let count = |at| word(line_with(&text, "requests:")?, at)?.parse::<f64>().ok();
    let (done, succeeded) = count(5).zip(count(7)).ok_or_else(unknown)?;
    let failed = count(9).zip(count(11)).ok_or_else(unknown)?;
    if done < 1.0 || done > succeeded || failed != (0.0, 0.0) {
        return Err(format!("h2load at {url}: {text}").into());
    }
    let mut delays = delays(&fs::read_to_string(&log)?);
    delays.sort_unstable();
    let at = |hundredths: usize| delays.get(delays.len() * hundredths / 100).copied();
    let (p50, p99) = at(50).zip(at(99)).ok_or_else(unknown)?;
    Ok(Load {
        requests: done,
        rate: done / Duration::from_secs(seconds).as_secs_f64(),
        p50: Duration::from_micros(p50),
        p99: Duration::from_micros(p99),
    })
}

/// What all delays of a run of our own come to.
pub(crate) fn of(mut delays: Vec<Duration>, how_long: Duration) -> Result<Load> {
    delays.sort_unstable();
    let at = |hundredths: usize| delays.get(delays.len() * hundredths / 100).copied();
    let (p50, p99) = at(50).zip(at(99)).ok_or("nothing was answered")?;
    let requests = delays.len() as f64;
    Ok(Load { requests, rate: requests / how_long.as_secs_f64(), p50, p99 })
}

fn run<'a>(command: impl Iterator<Item = &'a str>) -> Result<String> {
    let Output { status, stdout, stderr } = Command::new("taskset").args(["-c", LOAD_CORE]).args(command).output()?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&stderr);
    Err(format!("the load generator ended with {status}: {text}{said}").into())
}

fn is_trouble(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("Socket errors") || line.starts_with("Non-2xx")
}

fn line_with<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.lines().find(|line| line.contains(label))
}

fn word(line: &str, position: usize) -> Option<&str> {
    Some(line.split_whitespace().nth(position)?.trim_end_matches(','))
}

/// Reads wrk's durations: `118.00us`, `2.05ms`, `1.10s`, `1.50m`.
fn duration_of(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * seconds))
}

/// The third column of h2load's log: microseconds until the end of the response.
fn delays(log: &str) -> Vec<u64> {
    let column = |line: &str| line.split_whitespace().nth(2)?.parse().ok();
    log.lines().filter_map(column).collect()
}
