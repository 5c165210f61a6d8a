//! `lychgate test`: runs the policies' own tests.

#![expect(clippy::print_stdout, reason = "this is the command line")]

use std::process::ExitCode;

use super::super::USAGE;
use super::super::arguments::Files;
use super::plan;

pub(super) fn run(files: &Files) -> ExitCode {
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
