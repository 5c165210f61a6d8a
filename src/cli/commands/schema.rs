//! `lychgate schema`: the JSON Schema of a kind of file, for editors.

use std::process::ExitCode;

use super::super::USAGE;
use super::super::streams;
use crate::reference::{FILES, schema};

pub(super) fn run(kind: &str) -> ExitCode {
    let Some(file) = FILES.iter().find(|file| file.name == kind) else { return ExitCode::from(USAGE) };
    streams::result(&format!("{:#}\n", schema(file)), ExitCode::SUCCESS)
}
