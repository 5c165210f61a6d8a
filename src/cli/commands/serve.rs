//! `lychgate run`: starts the gateway and waits for signals.

#![expect(clippy::print_stderr, reason = "this is the command line")]

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::super::USAGE;
use super::super::arguments::Files;
use super::{plan, refuse};
use crate::app::{Options, Running};
use crate::lifecycle::StopSignals;

pub(super) fn run(files: &Files) -> ExitCode {
    let Some(plan) = plan(files) else { return ExitCode::from(USAGE) };
    start_log(&plan.config().log.level);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _inside = runtime.enter();
    let mut signals = match StopSignals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let running = match plan.start(Options::default()) {
        Ok(running) => running,
        Err(error) => return refuse(&error),
    };
    announce(&running);
    let signal = runtime.block_on(signals.next());
    tracing::info!(signal, "draining");
    // A second signal does not wait.
    let stopping = std::thread::spawn(move || running.stop());
    runtime.block_on(async {
        let drained = tokio::task::spawn_blocking(move || stopping.join());
        tokio::select! {
            _ = drained => {}
            signal = signals.next() => {
                eprintln!("{signal} again: ending at once");
                std::process::exit(1);
            }
        }
    });
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

fn announce(running: &Running) {
    eprint!("{}", running.notices().render());
    for address in running.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = running.admin_address() {
        tracing::info!(%address, "admin listener: /livez /readyz /metrics");
    }
}

/// The program's own log, on standard error. Other crates speak only of what goes wrong: their lower levels show what is on the wire (R17).
fn start_log(level: &str) {
    let filter =
        EnvFilter::try_new(format!("warn,lychgate={level}")).unwrap_or_else(|_| EnvFilter::new("warn,lychgate=info"));
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).try_init();
}
