//! `lychgate check`: reads everything, binds nothing, and says all that is wrong.

#![expect(clippy::print_stdout, reason = "this is the command line")]

use std::process::ExitCode;

use super::super::USAGE;
use super::super::arguments::Files;
use super::{plan, refuse};

pub(super) fn run(files: &Files) -> ExitCode {
    let Some(plan) = plan(files) else { return ExitCode::from(USAGE) };
    let count = plan.policies().len();
    if let Err(error) = plan.rehearse() {
        return refuse(&error);
    }
    println!("{} and {count} {} can be used", files.config.display(), if count == 1 { "policy" } else { "policies" });
    ExitCode::SUCCESS
}
