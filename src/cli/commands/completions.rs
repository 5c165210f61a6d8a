//! `lychgate completions`: what a shell needs to complete the command line.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::super::arguments::Arguments;

pub(super) fn run(shell: Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Arguments::command(), "lychgate", &mut io::stdout());
    ExitCode::SUCCESS
}
