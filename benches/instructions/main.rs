//! How many instructions a built program spends on a request: `cargo run --example instructions -- target/release/lychgate`.
//!
//! The program runs with one worker under callgrind, once with a number of requests and once with three times as many;
//! the difference is what requests cost, without the start. Only the worker's thread counts.
//! The figures are compared with `figures.toml`: more than 5 % above one of them is a failure, and `UPDATE_INSTRUCTIONS=1` writes them anew.
//!
//! Processors and C libraries differ in how they copy memory and encrypt, and callgrind sees which way they went. So what is compared is the program's
//! own code; the C library's and the cipher's instructions are shown beside it and compared with nothing.
//!
//! Specification: docs/performance.md. Needs valgrind; traffic stays on loopback.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

mod application;
mod callgrind;
mod client;
mod gateway;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use callgrind::Cost;
use client::Kind;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How far a figure may be above the one that was checked in, in per cent.
const TOLERANCE: u64 = 5;
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
    println!("{:>9}  {:>9}  of {}", "own", "with calls", "a request");
    for (own, inclusive, function) in cost.functions() {
        println!("{own:9}  {inclusive:9}  {function}");
    }
    println!("{}", line(kind.name(), &cost));
    Ok(true)
}

/// Measures everything and compares it with what was checked in.
fn compare(program: &Path) -> Result<bool> {
    let update = std::env::var_os("UPDATE_INSTRUCTIONS").is_some();
    let known: BTreeMap<String, u64> = match std::fs::read_to_string(FIGURES) {
        Ok(text) => toml::from_str(&text)?,
        Err(error) if update && error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(format!("{FIGURES}: {error}").into()),
    };
    let (mut found, mut good) = (BTreeMap::new(), true);
    for kind in Kind::ALL {
        let cost = callgrind::measure(program, kind)?;
        let verdict = match known.get(kind.name()) {
            _ if update => "",
            None => "FAILED: no figure in figures.toml to compare with",
            Some(before) if cost.program > before + before * TOLERANCE / 100 => {
                "FAILED: more than 5 % above figures.toml"
            }
            Some(before) if cost.program < before - before * TOLERANCE / 100 => {
                "better: write it down with UPDATE_INSTRUCTIONS=1"
            }
            Some(_) => "ok",
        };
        good &= !verdict.starts_with("FAILED");
        println!("{}  {verdict}", line(kind.name(), &cost));
        found.insert(kind.name().to_owned(), cost.program);
    }
    if update {
        write(Path::new(FIGURES), &found)?;
    } else if !good {
        println!(
            "look at `cargo run --example instructions -- target/release/lychgate NAME`; where the rise is worth it, write the figures \
             anew with UPDATE_INSTRUCTIONS=1 and say why in the commit"
        );
    }
    Ok(good)
}

fn line(name: &str, cost: &Cost) -> String {
    format!(
        "{name:10} {:6} instructions a request, {:6} more in the C library, {:6} in the cipher",
        cost.program, cost.library, cost.cipher
    )
}

fn write(path: &Path, found: &BTreeMap<String, u64>) -> Result<()> {
    let mut text =
        "# Instructions of a worker for each request, without the C library's and the cipher's (main.rs tells more).\n\
                    # Written by: UPDATE_INSTRUCTIONS=1 cargo run --example instructions -- target/release/lychgate\n"
            .to_owned();
    for (name, figure) in found {
        text.push_str(&format!("{name} = {figure}\n"));
    }
    Ok(std::fs::write(path, text)?)
}
