//! The command line: the only place that prints or decides how the process ends.
//!
//! Layer 5. Exit codes: 0 fine, 1 failed, 64 usage or configuration. What is wrong with files goes to standard error in full, all of it at once.

mod arguments;
mod commands;
mod render;
mod streams;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;

/// Exit code of wrong usage and of a configuration that cannot be used (`EX_USAGE` of sysexits).
const USAGE: u8 = 64;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => commands::run(arguments),
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { streams::printed(printed, ExitCode::SUCCESS) }
        }
    }
}
