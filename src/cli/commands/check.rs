//! `lychgate check`: reads everything, binds nothing, and says all that is wrong, to people or to programs.
//!
//! The JSON form is a contract that `docs/commands.md` documents: members may be added, none changes its meaning without
//! another version.

use std::process::ExitCode;

use serde::Serialize;

use super::super::USAGE;
use super::super::arguments::{Files, Format};
use super::super::streams;
use crate::app::Plan;
use crate::config::Environment;
use crate::diagnostic::{Diagnostic, Report, Severity};

/// The version of the JSON form.
const VERSION: u32 = 1;

pub(super) fn run(files: &Files, format: Format, deny_warnings: bool) -> ExitCode {
    let (plan, mut report) = Plan::read(&files.config, &Environment::of_process(), &files.overrides());
    let count = plan.as_ref().map_or(0, |plan| plan.policies().len());
    let mut code = if plan.is_some() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
    if let Some(Err(error)) = plan.map(Plan::rehearse) {
        code = if error.is_configuration() { ExitCode::from(USAGE) } else { ExitCode::FAILURE };
        report.append(error.into_report());
    }
    if deny_warnings && !report.has_errors() && !report.findings().is_empty() {
        code = ExitCode::FAILURE;
    }
    match format {
        Format::Json => streams::result(&format!("{}\n", json(&report)), code),
        Format::Human => {
            streams::complain(&report.render());
            if report.has_errors() {
                return code;
            }
            let policies = if count == 1 { "policy" } else { "policies" };
            streams::result(&format!("{} and {count} {policies} can be used\n", files.config.display()), code)
        }
    }
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Findings<'r> {
    version: u32,
    findings: Vec<Finding<'r>>,
}

/// One finding; lines and columns are from 1, columns in characters.
#[derive(Serialize)]
struct Finding<'r> {
    severity: &'static str,
    message: &'r str,
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
    label: Option<&'r str>,
    help: Option<&'r str>,
    docs: Option<&'static str>,
}

fn json(report: &Report) -> String {
    let findings = report.findings().iter().map(finding).collect();
    serde_json::to_string(&Findings { version: VERSION, findings }).unwrap_or_default()
}

fn finding(found: &Diagnostic) -> Finding<'_> {
    let place = found.place.as_ref();
    let start = place.map(|(file, span)| file.line_column(span.start));
    let end = place.map(|(file, span)| file.line_column(span.end));
    Finding {
        severity: match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &found.message,
        file: place.map(|(file, _)| file.path().display().to_string()),
        line: start.map(|(line, _)| line),
        column: start.map(|(_, column)| column),
        end_line: end.map(|(line, _)| line),
        end_column: end.map(|(_, column)| column),
        label: found.label.as_deref(),
        help: found.help.as_deref(),
        docs: found.docs,
    }
}
