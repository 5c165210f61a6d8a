//! `lychgate doctor`: asks providers, applications and this machine for real, and says what to do about what it finds.
//!
//! The JSON form is a contract that `docs/commands.md` documents: members may be added, none changes its meaning without
//! another version.

use std::process::ExitCode;

use serde::Serialize;

use super::super::USAGE;
use super::super::arguments::{Files, Format};
use super::super::streams;
use super::refuse;
use crate::app::Plan;
use crate::config::Environment;
use crate::doctor::{self, Examined};
use crate::finding::{Finding, Verdict};

/// The version of the JSON form.
const VERSION: u32 = 1;

pub(super) fn run(files: &Files, format: Format) -> ExitCode {
    let (plan, report) = Plan::read(&files.config, &Environment::of_process(), &files.overrides());
    streams::complain(&report.render());
    let Some(plan) = plan else { return ExitCode::from(USAGE) };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            streams::complain(&format!("the examination cannot begin: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let all = runtime.block_on(plan.examine());
    // Names that are still looked up were given up.
    runtime.shutdown_background();
    let all = match all {
        Ok(all) => all,
        Err(error) => return refuse(&error),
    };
    let text = match format {
        Format::Human => text(&all),
        Format::Json => format!("{}\n", json(&all)),
    };
    streams::result(&text, if doctor::worst(&all) == Verdict::Problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// For people: a heading for each thing, a line for each finding, and below it what to do.
fn text(all: &[Examined]) -> String {
    let mut out = String::new();
    for one in all {
        let name = if one.name.is_empty() { String::new() } else { format!(" {}", one.name) };
        out.push_str(&format!("{}{name}\n", one.kind));
        for Finding { check, verdict, found, advice } in &one.findings {
            out.push_str(&format!("  {:<8} {check}: {found}\n", verdict.as_str()));
            if !advice.is_empty() {
                out.push_str(&format!("           -> {advice}\n"));
            }
        }
    }
    let count = |verdict| all.iter().flat_map(|one| &one.findings).filter(|one| one.verdict == verdict).count();
    let (problems, warnings) = (count(Verdict::Problem), count(Verdict::Warning));
    let many = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    out.push_str(&format!("{}, {}\n", many(problems, "problem"), many(warnings, "warning")));
    out
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Findings<'a> {
    version: u32,
    findings: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    kind: &'a str,
    name: Option<&'a str>,
    check: &'a str,
    verdict: &'a str,
    found: &'a str,
    advice: Option<&'a str>,
}

fn json(all: &[Examined]) -> String {
    let lines = all.iter().flat_map(|one| one.findings.iter().map(move |finding| line(one, finding)));
    serde_json::to_string(&Findings { version: VERSION, findings: lines.collect() }).unwrap_or_default()
}

fn line<'a>(one: &'a Examined, finding: &'a Finding) -> Line<'a> {
    let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
    Line {
        kind: one.kind,
        name: some(&one.name),
        check: finding.check,
        verdict: finding.verdict.as_str(),
        found: &finding.found,
        advice: some(&finding.advice),
    }
}
