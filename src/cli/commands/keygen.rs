//! `lychgate keygen`: a fresh key for `[keys]`.

#![expect(clippy::print_stdout, reason = "this is the command line")]

use std::process::ExitCode;

use crate::crypto::KeyRing;

pub(super) fn run() -> ExitCode {
    println!("{}", KeyRing::generate_key().expose());
    ExitCode::SUCCESS
}
