//! Measures the gateway beside nginx, HAProxy, Apache with mod_auth_openidc and Envoy, in one run on one machine.
//!
//! `cargo bench --bench compare -- [WHAT…] [--rounds N] [--seconds N] [--quick] [--only NAME,…]`
//!
//! Every proxy has one worker on one core; the load generators and the one upstream share another. What is compared is measured
//! in turn, round after round, so that a busy machine hurts all alike, and medians are printed with
//! their ratio to nginx. nginx and HAProxy only pass requests on; the others check a session, apply a rule, and tell
//! the application who the person is. What is not installed is named and left out.
//!
//! Traffic stays on loopback, every run is bounded, and every program that is started is ended.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

mod client;
mod closed;
mod cores;
mod cpu;
mod farm;
mod idle;
mod latency;
mod load;
mod login;
mod logins;
mod machine;
mod peers;
mod ports;
mod process;
mod provider;
mod rounds;
mod sealed;
mod sessions;
mod site;
mod start;
mod table;
mod traffic;
mod websocket;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use provider::Provider;
use site::Site;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures something and prints its table.
type Measure = fn(&Bench) -> Result<()>;

/// What is measured beside the traffic of `workload`: name, and what measures it and prints its table.
const OTHERS: [(&str, Measure); 8] = [
    ("sessions", sessions::measure),
    ("farm", farm::measure),
    ("cores", cores::measure),
    ("latency", latency::measure),
    ("websocket", websocket::measure),
    ("logins", logins::measure),
    ("start", start::measure),
    ("idle", idle::measure),
];

const QUICK: Pace = Pace { rounds: 3, seconds: 1 };

/// What can be chosen.
#[derive(Parser)]
struct Choice {
    /// What to measure, and nothing else: a kind of traffic (clear, tls, h2, 64k, 1m, 64k-tls, 1m-tls, upload), sessions, farm, cores,
    /// latency, websocket, logins, start, idle.
    what: Vec<String>,
    /// Rounds of each measurement, of which the median counts.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds that one round of one contender lasts.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Fewer and shorter rounds, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these proxies.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// To be the proxy that only passes on (`peers::bare`), which this program starts itself.
    #[arg(long, hide = true)]
    pass_on: Option<String>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How often and how long is measured.
#[derive(Clone, Copy)]
struct Pace {
    rounds: usize,
    seconds: u64,
}

/// What all measurements share.
struct Bench {
    site: Site,
    provider: Provider,
    pace: Pace,
    only: Vec<String>,
}

impl Bench {
    /// Whether the proxy of this name is to be measured.
    fn includes(&self, name: &str) -> bool {
        chosen(&self.only, name)
    }
}

/// What the gateway has too, for the proxy that this program can be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let choice = Choice::parse();
    let done = match &choice.pass_on {
        Some(what) => peers::bare::run(what),
        None => measure(&choice),
    };
    match done {
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
    for what in &choice.what {
        let names = workload::ALL.iter().map(|work| work.name).chain(OTHERS.map(|(name, _)| name));
        let names: Vec<&str> = names.collect();
        if !names.contains(&what.as_str()) {
            return Err(format!("`{what}` is none of {}", names.join(", ")).into());
        }
    }
    println!("{}", machine::describe());
    machine::prepare()?;
    let pace = if choice.quick { QUICK } else { Pace { rounds: choice.rounds, seconds: choice.seconds } };
    let (site, provider) = (Site::prepare()?, Provider::start()?);
    let bench = Bench { site, provider, pace, only: choice.only.clone() };
    traffic::measure(&bench, |name| chosen(&choice.what, name))?;
    for (name, run) in OTHERS {
        if chosen(&choice.what, name) {
            run(&bench)?;
        }
    }
    Ok(())
}

/// The programs without which nothing can be measured, if they are missing.
fn needed() -> impl Iterator<Item = &'static str> {
    let programs = ["nginx", "wrk", "h2load", "taskset", "setpriv"];
    programs.into_iter().filter(|program| !machine::installed(program))
}

fn chosen(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|given| given.eq_ignore_ascii_case(name))
}
