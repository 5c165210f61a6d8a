//! `lychgate test`: runs the policies' own tests, all or some, and says what none of them reaches.

use std::process::ExitCode;

use super::super::USAGE;
use super::super::arguments::{TestFormat, TestOptions};
use super::super::render::junit;
use super::super::render::tested::{self, Tested};
use super::super::streams;
use super::plan;
use crate::app::Plan;
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Report, nearest};

pub(super) fn run(options: &TestOptions) -> ExitCode {
    let Some(plan) = plan(&options.files) else { return ExitCode::from(USAGE) };
    let all = match select(&plan, options) {
        Ok(all) => all,
        Err(finding) => {
            let mut report = Report::default();
            report.push(finding);
            streams::complain(&report.render());
            return ExitCode::from(USAGE);
        }
    };
    let text = match options.format {
        TestFormat::Human => tested::text(&all),
        TestFormat::Json => format!("{}\n", tested::json(&all)),
        TestFormat::Junit => junit::document(&all, Clock::system().now()),
    };
    let enough = options.min_coverage.is_none_or(|least| tested::percent(&all) >= usize::from(least));
    if !enough {
        streams::complain(&format!(
            "error: {}% of rules and headers are reached, and {}% are asked for\n",
            tested::percent(&all),
            options.min_coverage.unwrap_or_default()
        ));
    }
    let passed = enough && tested::counts(&all).1 == 0;
    streams::result(&text, if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The policies and tests that were asked for, run.
fn select(plan: &Plan, options: &TestOptions) -> Result<Vec<Tested>, Diagnostic> {
    for name in &options.policies {
        if !plan.policies().iter().any(|policy| **policy.name() == **name) {
            return Err(unknown(plan, name));
        }
    }
    let wanted = |name: &str| options.policies.is_empty() || options.policies.iter().any(|wanted| wanted == name);
    let filter = options.filter.as_ref().map(|filter| filter.to_lowercase());
    let named = |name: &str| filter.as_ref().is_none_or(|filter| name.to_lowercase().contains(filter));
    let covers = options.coverage || options.min_coverage.is_some();
    let run = plan.policies().iter().filter(|policy| wanted(policy.name())).map(|policy| Tested {
        policy: policy.name().to_string(),
        file: plan.source(policy.name()).map(|source| source.path().display().to_string()).unwrap_or_default(),
        outcomes: policy.run_tests().into_iter().filter(|outcome| named(&outcome.name)).collect(),
        coverage: covers.then(|| policy.coverage()),
    });
    let all: Vec<Tested> = run.collect();
    match &options.filter {
        Some(filter) if all.iter().all(|one| one.outcomes.is_empty()) => {
            Err(Diagnostic::error(format!("no test's name contains `{filter}`"))
                .help("a test without a name is called as its request"))
        }
        _ => Ok(all),
    }
}

fn unknown(plan: &Plan, name: &str) -> Diagnostic {
    let known: Vec<&str> = plan.policies().iter().map(|policy| &**policy.name()).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    Diagnostic::error(format!("there is no policy `{name}`")).help(help)
}
