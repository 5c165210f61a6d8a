//! What each command does, one file for each.
//!
//! A command returns how the process ends; [`plan`] reads everything that most of them begin with. Results go to
//! standard output, what is wrong goes to standard error.

mod check;
mod completions;
mod doctor;
mod explain;
mod init;
mod keygen;
mod replay;
mod schema;
mod serve;
mod test;

use std::process::ExitCode;

use super::USAGE;
use super::arguments::{Arguments, Command, Files};
use super::streams;
use crate::app::{Plan, StartError};
use crate::config::Environment;

pub(super) fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Run { files, skip_tests } => serve::run(&files, skip_tests),
        Command::Check { files, format, deny_warnings } => check::run(&files, format, deny_warnings),
        Command::Doctor { files, format } => doctor::run(&files, format),
        Command::Test(options) => test::run(&options),
        Command::Explain(options) => explain::run(options),
        Command::Replay(options) => replay::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Keygen => keygen::run(),
        Command::Schema { kind } => schema::run(&kind),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// Reads everything and prints what is wrong; none when it cannot be used.
fn plan(files: &Files) -> Option<Plan> {
    let (plan, report) = Plan::read(&files.config, &Environment::of_process(), &files.overrides());
    streams::complain(&report.render());
    plan
}

/// Says why nothing was started. A supervisor may try again after 1, and need not after 64.
fn refuse(error: &StartError) -> ExitCode {
    streams::complain(&format!("{error}\n"));
    if error.is_configuration() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}
