//! How many instructions a built program spends on a request: `cargo run --example instructions -- target/release/lychgate`.
//!
//! The program runs with one worker under callgrind, once with a number of requests and once with three times as many; the difference is what
//! requests cost, without the start. Only the worker's thread counts. The figures are compared with `figures.toml`: more than 5 % above one
//! of them, or one allocation more, is a failure, and `UPDATE_INSTRUCTIONS=1` writes them anew.
//!
//! Instructions do not depend on how busy a machine is, but on its processor and libraries: callgrind sees which way a copy or a cipher
//! went. So what is compared is the program's own code, and the C library's and the cipher's instructions are only shown. Another compiler
//! than the one of `figures.toml` is given 15 %.
//!
//! Specification: docs/performance.md. Needs valgrind; traffic stays on loopback.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

mod application;
mod callgrind;
mod client;
mod gateway;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use callgrind::Cost;
use client::Kind;
use serde::{Deserialize, Serialize};

const HEAD: &str = "# What a worker spends on each request; instructions without the C library's and the cipher's (main.rs tells more).\n\
    # Written by: UPDATE_INSTRUCTIONS=1 cargo run --example instructions -- target/release/lychgate\n";
const HELP: &str = "help: see where they go with `cargo run --example instructions -- target/release/lychgate NAME`; where the rise is worth \
    it, write the figures anew with UPDATE_INSTRUCTIONS=1 and say why in the commit";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How far a figure may be above the one that was checked in, in per cent.
const TOLERANCE: u64 = 5;
/// The same where another compiler built the program.
const OTHER_COMPILER: u64 = 15;
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/figures.toml");

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [program] => found(program).and_then(|program| compare(&program)),
        [program, kind] => found(program).and_then(|program| profile(&program, kind)),
        _ => Err("usage: PROGRAM [http1|tls|http2|strangers]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn found(program: &str) -> Result<PathBuf> {
    std::fs::canonicalize(program).map_err(|error| format!("{program}: {error}: build it first").into())
}

/// Where the instructions go, by function.
fn profile(program: &Path, kind: &str) -> Result<bool> {
    let kind = Kind::named(kind).ok_or("no such kind of requests")?;
    let cost = callgrind::measure(program, kind)?;
    println!("{:>9}  {:>9}  of a request", "own", "with calls");
    for (own, inclusive, function) in cost.functions() {
        println!("{own:9}  {inclusive:9}  {function}");
    }
    println!("{}", line(kind.name(), &cost));
    Ok(true)
}

/// What was checked in.
#[derive(Default, Serialize, Deserialize)]
struct Figures {
    /// With which compiler.
    compiler: String,
    /// By kind of request.
    #[serde(flatten)]
    requests: BTreeMap<String, Figure>,
}

/// What one request may cost.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Figure {
    /// Of the program's own code.
    instructions: u64,
    /// How often memory is asked for.
    allocations: u64,
}

impl Figure {
    /// What is to be said of what was measured, and whether it is good.
    fn judge(self, found: Self, tolerance: u64) -> (bool, String) {
        let Self { instructions, allocations } = self;
        let room = instructions * tolerance / 100;
        if found.instructions > instructions + room {
            (false, format!("FAILED: {instructions} instructions and {tolerance} % more are allowed"))
        } else if found.allocations > allocations {
            (false, format!("FAILED: {allocations} allocations are allowed"))
        } else if found.instructions + room < instructions || found.allocations < allocations {
            (true, format!("better than {instructions} and {allocations}: write it down with UPDATE_INSTRUCTIONS=1"))
        } else {
            (true, format!("ok, {instructions} and {allocations} are written down"))
        }
    }
}

/// Measures everything and compares it with what was checked in.
fn compare(program: &Path) -> Result<bool> {
    let update = std::env::var_os("UPDATE_INSTRUCTIONS").is_some();
    let compiler = compiler()?;
    let known: Figures = if update { Figures::default() } else { toml::from_str(&std::fs::read_to_string(FIGURES)?)? };
    let tolerance = if known.compiler == compiler { TOLERANCE } else { OTHER_COMPILER };
    let (mut requests, mut all_good) = (BTreeMap::new(), true);
    for kind in Kind::ALL {
        let cost = callgrind::measure(program, kind)?;
        let found = Figure { instructions: cost.program, allocations: cost.allocations };
        let (good, verdict) = match known.requests.get(kind.name()) {
            _ if update => (true, "written down".to_owned()),
            None => (false, "FAILED: no figure to compare with".to_owned()),
            Some(known) => known.judge(found, tolerance),
        };
        all_good &= good;
        println!("{}: {verdict}", line(kind.name(), &cost));
        requests.insert(kind.name().to_owned(), found);
    }
    if update {
        std::fs::write(FIGURES, format!("{HEAD}{}", toml::to_string(&Figures { compiler, requests })?))?;
    } else if !all_good {
        println!("{HELP}");
    }
    Ok(all_good)
}

fn line(name: &str, cost: &Cost) -> String {
    let Cost { allocations, program, library, cipher, .. } = cost;
    format!(
        "{name:10} {program:6} instructions and {allocations:3} allocations a request, {library:6} instructions more in the C library, \
         {cipher:6} in the cipher"
    )
}

/// The version of the compiler, which is the one that built the program where nobody took care to have it otherwise.
fn compiler() -> Result<String> {
    let said = Command::new("rustc").arg("--version").output()?.stdout;
    Ok(String::from_utf8(said)?.split_whitespace().nth(1).unwrap_or_default().to_owned())
}
