//! `lychgate schema`: the JSON Schema of a kind of file, for editors.

#![expect(clippy::print_stdout, reason = "this is the command line")]

use std::process::ExitCode;

use super::super::USAGE;
use crate::reference::{FILES, schema};

pub(super) fn run(kind: &str) -> ExitCode {
    let Some(file) = FILES.iter().find(|file| file.name == kind) else { return ExitCode::from(USAGE) };
    println!("{:#}", schema(file));
    ExitCode::SUCCESS
}
