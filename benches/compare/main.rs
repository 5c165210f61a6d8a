//! Measures the gateway beside nginx, HAProxy and Apache with mod_auth_openidc, in one run on one machine.
//!
//! `cargo bench --bench compare -- [--rounds N] [--seconds N] [--quick] [--only NAME,…] [--workload NAME,…]`
//!
//! Every proxy has one worker on one core; the load generator and the one upstream share another. The proxies are
//! measured in turn, round after round, so that a busy machine hurts all of them alike, and medians are printed with
//! their ratio to nginx. nginx and HAProxy only pass requests on; the other two check a session, apply a rule, and tell
//! the application who the person is. What is not installed is named and left out.
//!
//! Traffic stays on loopback, every run is bounded, and every program that is started is ended.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

mod cpu;
mod load;
mod login;
mod machine;
mod peers;
mod ports;
mod process;
mod provider;
mod site;
mod table;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use peers::{Peer, Running};
use provider::Provider;
use site::Site;
use table::{Figures, Row};
use workload::Workload;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const QUICK_ROUNDS: usize = 3;
const QUICK_SECONDS: u64 = 2;

/// What can be chosen.
#[derive(Parser)]
struct Choice {
    /// Rounds of each kind of traffic, of which the median counts.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds that one round of one proxy lasts.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Fewer and shorter rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these proxies.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these kinds of traffic: clear, tls, h2, 64k, 1m.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match measure(&Choice::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(choice: &Choice) -> Result<()> {
    if let Some(missing) = needed().next() {
        println!("left out: everything, because {missing} is not installed");
        return Ok(());
    }
    println!("{}", machine::describe());
    let site = Site::prepare()?;
    let provider = Provider::start()?;
    let proxies = start(choice, &site, &provider)?;
    let chosen = |work: &Workload| chosen(&choice.workload, work.name);
    for work in workload::ALL.into_iter().filter(chosen) {
        let rows = rounds(choice, &site, &proxies, &work);
        print!("{}", table::print(work.title, &rows));
    }
    Ok(())
}

/// The programs without which nothing can be measured, if they are missing.
fn needed() -> impl Iterator<Item = &'static str> {
    let programs = ["nginx", "wrk", "h2load", "taskset", "setpriv"];
    programs.into_iter().filter(|program| !machine::installed(program))
}

fn start(choice: &Choice, site: &Site, provider: &Provider) -> Result<Vec<Running>> {
    let mut running = Vec::new();
    let chosen = |peer: &Peer| chosen(&choice.only, peer.name);
    for peer in peers::ALL.into_iter().filter(chosen) {
        match (peer.missing)() {
            Some(missing) => println!("left out: {}, for want of {missing}", peer.name),
            None => running.push((peer.start)(site, provider)?),
        }
    }
    Ok(running)
}

fn chosen(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|given| given.eq_ignore_ascii_case(name))
}

/// All rounds of one kind of traffic: in each, every proxy in turn.
fn rounds(choice: &Choice, site: &Site, proxies: &[Running], work: &Workload) -> Vec<Row> {
    let (rounds, seconds) = match choice.quick {
        true => (QUICK_ROUNDS, QUICK_SECONDS),
        false => (choice.rounds, choice.seconds),
    };
    let mut rows: Vec<Row> = proxies.iter().map(|proxy| warm(site, proxy, work)).collect();
    for _ in 0..rounds {
        for (row, proxy) in rows.iter_mut().zip(proxies) {
            add_round(row, site, proxy, work, seconds);
        }
    }
    rows
}

/// Sends a second of traffic that does not count.
fn warm(site: &Site, proxy: &Running, work: &Workload) -> Row {
    let rounds = work.send(site, proxy, 1);
    Row { name: proxy.name, rounds: rounds.map(|_| Vec::new()).map_err(|error| error.to_string()) }
}

fn add_round(row: &mut Row, site: &Site, proxy: &Running, work: &Workload, seconds: u64) {
    let Ok(rounds) = &mut row.rounds else {
        return;
    };
    match round(site, proxy, work, seconds) {
        Ok(figures) => rounds.push(figures),
        Err(error) => row.rounds = Err(error.to_string()),
    }
}

fn round(site: &Site, proxy: &Running, work: &Workload, seconds: u64) -> Result<Figures> {
    let family = proxy.process.family();
    let before = cpu::time(&family);
    let load = work.send(site, proxy, seconds)?;
    let used = cpu::time(&family).saturating_sub(before);
    Ok(Figures {
        cpu: used.as_secs_f64() * 1e6 / load.requests,
        rate: load.rate,
        p50: load.p50,
        p99: load.p99,
        memory: cpu::memory_kib(&family),
    })
}
