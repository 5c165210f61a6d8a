//! `lychgate keygen`: a fresh key for `[keys]`.

use std::process::ExitCode;

use super::super::streams;
use crate::crypto::KeyRing;

pub(super) fn run() -> ExitCode {
    streams::result(&format!("{}\n", KeyRing::generate_key().expose()), ExitCode::SUCCESS)
}
