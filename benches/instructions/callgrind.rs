//! Reading what callgrind wrote.
//!
//! Callgrind writes a file for each thread; the worker's is the one in which the worker's own function stands. Files are read as the format is documented
//! in valgrind's manual, section "Callgrind Format Specification": names are numbered, a line after `calls=` is what the call cost.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::client::{self, Kind};
use crate::gateway::Measured;
use crate::{Result, application};

/// What is called once in a worker's thread and nowhere else.
const WORKER: &str = "lychgate::server::worker::run";

/// The allocator's entries that Rust's go through.
const ALLOCATE: [&str; 3] = ["mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned"];

/// What one request costs.
pub(crate) struct Cost {
    /// How often memory is asked for.
    pub(crate) allocations: u64,
    /// Instructions of the program's own code.
    pub(crate) program: u64,
    /// Of the C library and the loader.
    pub(crate) library: u64,
    /// Of aws-lc.
    pub(crate) cipher: u64,
    functions: Vec<(u64, u64, String)>,
}

impl Cost {
    /// Own and inclusive cost of the functions that cost most.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &(u64, u64, String)> {
        self.functions.iter().take(200)
    }
}

/// What one thread did.
#[derive(Default)]
struct Profile {
    /// Instructions by function: own, and with what it calls.
    functions: BTreeMap<Function, (u64, u64)>,
    allocations: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    object: String,
    name: String,
}

impl Function {
    fn is_cipher(&self) -> bool {
        self.name.starts_with("aws_lc_")
    }
}

/// What a request of this kind costs `program`. The worker's file of the longer run is left for callgrind_annotate: in the folder for temporary
/// files, as `lychgate-NAME.callgrind`.
pub(crate) fn measure(program: &Path, kind: Kind) -> Result<Cost> {
    let few = if kind == Kind::Http2 { 1000 } else { 500 };
    let (before, after) = (run(program, kind, few)?, run(program, kind, 3 * few)?);
    let kept = std::env::temp_dir().join(format!("lychgate-{}.callgrind", kind.name()));
    std::fs::write(kept, &after)?;
    let (before, after) = (read(&before), read(&after));
    let (requests, object) = (2 * few as u64, program.display().to_string());
    let mut cost = Cost { allocations: 0, program: 0, library: 0, cipher: 0, functions: Vec::new() };
    for (function, (own, inclusive)) in &after.functions {
        let (own_before, inclusive_before) = before.functions.get(function).copied().unwrap_or_default();
        let own = own.saturating_sub(own_before);
        if function.is_cipher() {
            cost.cipher += own;
        } else if function.object == object {
            cost.program += own;
        } else {
            cost.library += own;
        }
        let inclusive = inclusive.saturating_sub(inclusive_before);
        cost.functions.push((own / requests, inclusive / requests, function.name.clone()));
    }
    cost.functions.sort_by(|a, b| b.cmp(a));
    // To the nearest: a buffer that grows once in a while is not one for every request.
    cost.allocations = (after.allocations.saturating_sub(before.allocations) + requests / 2) / requests;
    (cost.program, cost.library, cost.cipher) =
        (cost.program / requests, cost.library / requests, cost.cipher / requests);
    Ok(cost)
}

/// What callgrind wrote of the worker.
fn run(program: &Path, kind: Kind, requests: usize) -> Result<String> {
    let gateway = Measured::start(program, application::start()?)?;
    client::ask(&gateway, kind, requests)?;
    let threads = gateway.stop()?;
    let worker = threads.into_iter().find(|thread| thread.contains(WORKER));
    worker.ok_or_else(|| format!("no thread called {WORKER}").into())
}

/// Names by number, as the format abbreviates them.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// `(3) name` or `(3)`.
    fn resolve(&mut self, text: &str) -> String {
        let Some((number, name)) = text.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
            return text.to_owned();
        };
        let name = name.trim();
        if !name.is_empty() {
            self.0.insert(number.to_owned(), name.to_owned());
        }
        self.0.get(number).cloned().unwrap_or_default()
    }
}

fn read(text: &str) -> Profile {
    let (mut profile, mut objects, mut functions) = (Profile::default(), Names::default(), Names::default());
    let mut at = Function { object: String::new(), name: String::new() };
    let (mut called, mut is_call) = (String::new(), false);
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match key {
            "ob" => at.object = objects.resolve(value),
            "fn" => at.name = functions.resolve(value),
            // The called function's names are numbered along.
            "cob" => drop(objects.resolve(value)),
            "cfn" => called = functions.resolve(value),
            "calls" => {
                is_call = true;
                if ALLOCATE.contains(&called.as_str()) {
                    profile.allocations += value.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
                }
            }
            _ if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*')) => {
                let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
                let entry = profile.functions.entry(at.clone()).or_default();
                entry.0 += if is_call { 0 } else { cost };
                entry.1 += cost;
                is_call = false;
            }
            _ => {}
        }
    }
    profile
}
