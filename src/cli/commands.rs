//! What each command does.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use std::process::ExitCode;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use super::USAGE;
use super::arguments::{Arguments, Command, Files};
use crate::app::{LevelSetter, Options, Plan, Running, StartError};
use crate::config::Environment;
use crate::crypto::KeyRing;
use crate::lifecycle::{Asked, Signals};

pub(super) fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Run { files, skip_tests } => serve(&files, skip_tests),
        Command::Check(files) => check(&files),
        Command::Test(files) => test(&files),
        Command::Keygen => {
            println!("{}", KeyRing::generate_key().expose());
            ExitCode::SUCCESS
        }
    }
}

/// Reads everything and prints what is wrong; none when it cannot be used.
fn plan(files: &Files) -> Option<Plan> {
    let (plan, report) = Plan::read(&files.config, &Environment::of_process(), &files.overrides());
    eprint!("{}", report.render());
    plan
}

fn check(files: &Files) -> ExitCode {
    let Some(plan) = plan(files) else { return ExitCode::from(USAGE) };
    let count = plan.policies().len();
    if let Err(error) = plan.rehearse() {
        return refuse(&error);
    }
    println!("{} and {count} {} can be used", files.config.display(), if count == 1 { "policy" } else { "policies" });
    ExitCode::SUCCESS
}

fn test(files: &Files) -> ExitCode {
    let Some(plan) = plan(files) else { return ExitCode::from(USAGE) };
    let (mut passed, mut failed) = (0usize, 0usize);
    for policy in plan.policies() {
        for outcome in policy.run_tests() {
            if outcome.passed {
                passed += 1;
            } else {
                failed += 1;
                println!("failed: {}: {}\n{}", policy.name(), outcome.name, outcome.explanation.join("\n"));
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(files: &Files, skip_tests: bool) -> ExitCode {
    let Some(plan) = plan(files) else { return ExitCode::from(USAGE) };
    let set_level = start_log(&plan.config().log.level);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _inside = runtime.enter();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let running = match plan.start(Options { skip_tests, set_level, ..Options::default() }) {
        Ok(running) => running,
        Err(error) => return refuse(&error),
    };
    announce(&running);
    let signal = runtime.block_on(async {
        loop {
            match signals.next().await {
                Asked::Stop(signal) => return signal,
                // How it went is logged; a reload that waits already will see the same files.
                Asked::Reload => drop(running.reload()),
            }
        }
    });
    tracing::info!(signal, "draining");
    // A second signal does not wait.
    let stopping = std::thread::spawn(move || running.stop());
    runtime.block_on(async {
        let drained = tokio::task::spawn_blocking(move || stopping.join());
        tokio::select! {
            _ = drained => {}
            signal = signals.next_stop() => {
                eprintln!("{signal} again: ending at once");
                std::process::exit(1);
            }
        }
    });
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Says why nothing was started. A supervisor may try again after 1, and need not after 64.
fn refuse(error: &StartError) -> ExitCode {
    eprintln!("{error}");
    if error.is_configuration() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

fn announce(running: &Running) {
    eprint!("{}", running.notices().render());
    for address in running.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = running.admin_address() {
        tracing::info!(%address, "admin listener: /livez /readyz /metrics /policies /reload");
    }
}

/// The program's own log, on standard error; what is returned sets how much it says. Other crates speak only of what goes wrong: their lower
/// levels show what is on the wire (R17).
fn start_log(level: &str) -> Option<LevelSetter> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok()?;
    Some(Box::new(move |level| drop(handle.reload(self::filter(level)))))
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(format!("warn,lychgate={level}")).unwrap_or_else(|_| EnvFilter::new("warn,lychgate=info"))
}
