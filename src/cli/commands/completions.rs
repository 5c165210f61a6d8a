//! `lychgate completions`: what a shell needs to complete the command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::super::arguments::Arguments;
use super::super::streams;

pub(super) fn run(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lychgate", &mut text);
    streams::result(&String::from_utf8_lossy(&text), ExitCode::SUCCESS)
}
