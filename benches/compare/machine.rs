//! The facts about this machine and its programs that a figure means nothing without.
//!
//! May touch: `/proc`, and the version switch of the programs that take part.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::LOAD_CORE;

/// Puts this program on the load generator's core, and allows it and all that it starts as many open files as the system does.
pub(crate) fn prepare() -> Result<()> {
    let own = std::process::id().to_string();
    let files = format!("--nofile={0}:{0}", limits().1);
    let quiet = |program: &str| {
        let mut command = Command::new(program);
        command.stdout(std::process::Stdio::null());
        command
    };
    quiet("taskset").args(["-pc", LOAD_CORE, &own]).status()?;
    quiet("prlimit").args(["--pid", &own, &files]).status()?;
    Ok(())
}

/// How many files one process may have open.
pub(crate) fn open_files() -> usize {
    limits().0
}

/// The limit of open files that holds, and how far it can be raised.
fn limits() -> (usize, usize) {
    let text = read("/proc/self/limits");
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap_or(1 << 20));
    (numbers.next().unwrap_or(1024), numbers.next().unwrap_or(1024))
}

/// Prints processor, cores, kernel and the version of each program that takes part.
pub(crate) fn describe() -> String {
    let mut lines = vec![
        format!("processor  {} x {}", cores(), processor()),
        format!("kernel     {}", read("/proc/sys/kernel/osrelease")),
        format!("busy       {} (other work on the machine; above 0.5 the figures wander)", load_average()),
        format!("lychgate   {}", env!("CARGO_PKG_VERSION")),
    ];
    for (name, switch) in
        [("nginx", "-v"), ("haproxy", "-v"), ("apache2", "-v"), ("wrk", "-v"), ("h2load", "--version")]
    {
        let version = version(name, switch).unwrap_or_else(|| "not installed".into());
        lines.push(format!("{name:<10} {version}"));
    }
    lines.join("\n")
}

/// Whether a program can be found on the search path or in the system's own folders.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.into_iter().any(|folder| Path::new(folder).join(program).is_file())
}

fn version(program: &str, switch: &str) -> Option<String> {
    let output = Command::new(program).arg(switch).output().ok()?;
    let bytes = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().next()?;
    Some(line.split(" - ").next()?.trim().to_owned())
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    model.unwrap_or("unknown processor").to_owned()
}

/// The load of the last minute, before the measurement adds its own.
fn load_average() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().into()
}
