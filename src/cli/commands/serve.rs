//! `lychgate run`: starts the gateway and waits for signals.

use std::process::ExitCode;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use super::super::USAGE;
use super::super::arguments::Files;
use super::super::streams;
use super::{plan, refuse};
use crate::app::{LevelSetter, Options, Running};
use crate::lifecycle::{Asked, Signals};

pub(super) fn run(files: &Files, skip_tests: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            streams::complain(&format!("error: the runtime cannot be started: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let _inside = runtime.enter();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            streams::complain(&format!("error: cannot listen for signals: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    // Signals first: a SIGHUP while the files are read is a reload that comes a moment early, and ends nothing.
    let Some(plan) = plan(files) else { return ExitCode::from(USAGE) };
    let set_level = start_log(&plan.config().log.level);
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
                streams::complain(&format!("{signal} again: ending at once\n"));
                std::process::exit(1);
            }
        }
    });
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

fn announce(running: &Running) {
    streams::complain(&running.notices().render());
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
