//! The outcome of policies' tests: a diff for people, one JSON object for programs.
//!
//! The JSON form is a contract that `docs/commands.md` documents: members may be added, none changes its meaning without
//! another version.

use std::fmt::Write as _;

use serde::Serialize;

use crate::policy::{Compare, Compared, Coverage, Reachable, TestOutcome};

/// The version of the JSON form.
const VERSION: u32 = 1;

/// One policy and how its tests went.
pub(in crate::cli) struct Tested {
    /// The policy's name.
    pub(in crate::cli) policy: String,
    /// Its file, as the configuration names it.
    pub(in crate::cli) file: String,
    /// The tests that were run.
    pub(in crate::cli) outcomes: Vec<TestOutcome>,
    /// What all its tests reach, where that was asked for.
    pub(in crate::cli) coverage: Option<Coverage>,
}

impl Tested {
    /// How many tests went as expected, and how many did not.
    pub(in crate::cli) fn counts(&self) -> (usize, usize) {
        let passed = self.outcomes.iter().filter(|outcome| outcome.passed).count();
        (passed, self.outcomes.len() - passed)
    }
}

/// How many tests of all policies went as expected, and how many did not.
pub(in crate::cli) fn counts(all: &[Tested]) -> (usize, usize) {
    all.iter().map(Tested::counts).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// How much of all policies is reached, in whole percent rounded down; 100 of nothing.
pub(in crate::cli) fn percent(all: &[Tested]) -> usize {
    let coverages = || all.iter().filter_map(|one| one.coverage.as_ref());
    let (whole, missed) = coverages().fold((0, 0), |sum, one| (sum.0 + one.all, sum.1 + one.missed.len()));
    (100 * (whole - missed)).checked_div(whole).unwrap_or(100)
}

/// For people.
pub(in crate::cli) fn text(all: &[Tested]) -> String {
    let mut out = String::new();
    for one in all {
        for outcome in one.outcomes.iter().filter(|outcome| !outcome.passed) {
            let _ = writeln!(out, "failed: {}: {}\n{}", one.policy, outcome.name, difference(outcome, &one.file));
        }
    }
    for one in all {
        one.coverage.iter().for_each(|coverage| missed(one, coverage, &mut out));
    }
    let (passed, failed) = counts(all);
    if all.iter().any(|one| one.coverage.is_some()) {
        let _ = writeln!(out, "{}% of rules and headers are reached", percent(all));
    }
    let _ = writeln!(out, "{passed} passed, {failed} failed");
    out
}

/// What differs, with what does not around it: `-` is expected, `+` was found.
pub(in crate::cli) fn difference(outcome: &TestOutcome, file: &str) -> String {
    let mut out = String::new();
    let who = outcome.who.as_ref().map_or("nobody", |who| who);
    let _ = writeln!(out, "  --> {file}:{}", outcome.line);
    let _ = writeln!(out, "    request: {} by {who}", outcome.request);
    let _ = match &outcome.rule {
        Some((label, line)) => writeln!(out, "    decided by: rule `{label}` ({file}:{line})"),
        None => writeln!(out, "    decided by: no rule"),
    };
    outcome.compared.iter().for_each(|one| compared(one, &mut out));
    out
}

fn compared(one: &Compared, out: &mut String) {
    let what = match &one.what {
        Compare::Header(name) => name.clone(),
        other => other.to_string(),
    };
    let _ = if one.same {
        writeln!(out, "    {what}: {}", one.found)
    } else {
        writeln!(out, "  - {what}: {}\n  + {what}: {}", one.expected, one.found)
    };
}

fn missed(one: &Tested, coverage: &Coverage, out: &mut String) {
    for what in &coverage.missed {
        let _ = match what {
            Reachable::Rule(_, line) => writeln!(out, "not reached: {}: {what} ({}:{line})", one.policy, one.file),
            Reachable::Header(_) => writeln!(out, "not reached: {}: {what} ({})", one.policy, one.file),
        };
    }
}

#[derive(Serialize)]
struct Whole<'t> {
    version: u32,
    passed: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage_percent: Option<usize>,
    policies: Vec<One<'t>>,
}

#[derive(Serialize)]
struct One<'t> {
    policy: &'t str,
    file: &'t str,
    tests: Vec<Test<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Reach>,
}

#[derive(Serialize)]
struct Test<'t> {
    name: &'t str,
    line: usize,
    passed: bool,
    request: &'t str,
    who: Option<&'t str>,
    rule: Option<&'t str>,
    rule_line: Option<usize>,
    reason: Option<&'t str>,
    compared: Vec<Pair<'t>>,
}

#[derive(Serialize)]
struct Pair<'t> {
    what: String,
    expected: &'t str,
    found: &'t str,
    same: bool,
}

#[derive(Serialize)]
struct Reach {
    all: usize,
    missed: Vec<Missed>,
}

#[derive(Serialize)]
struct Missed {
    kind: &'static str,
    name: String,
    line: Option<usize>,
}

/// For programs: one JSON object on one line.
pub(in crate::cli) fn json(all: &[Tested]) -> String {
    let (passed, failed) = counts(all);
    let asked = all.iter().any(|one| one.coverage.is_some());
    let policies = all.iter().map(one).collect();
    let whole = Whole { version: VERSION, passed, failed, coverage_percent: asked.then(|| percent(all)), policies };
    serde_json::to_string(&whole).unwrap_or_default()
}

fn one(one: &Tested) -> One<'_> {
    let coverage = one
        .coverage
        .as_ref()
        .map(|coverage| Reach { all: coverage.all, missed: coverage.missed.iter().map(missed_one).collect() });
    One { policy: &one.policy, file: &one.file, tests: one.outcomes.iter().map(test).collect(), coverage }
}

fn missed_one(what: &Reachable) -> Missed {
    match what {
        Reachable::Rule(label, line) => Missed { kind: "rule", name: label.clone(), line: Some(*line) },
        Reachable::Header(name) => Missed { kind: "header", name: name.clone(), line: None },
    }
}

fn pair(one: &Compared) -> Pair<'_> {
    let Compared { what, expected, found, same } = one;
    Pair { what: what.to_string(), expected, found, same: *same }
}

fn test(outcome: &TestOutcome) -> Test<'_> {
    Test {
        name: &outcome.name,
        line: outcome.line,
        passed: outcome.passed,
        request: &outcome.request,
        who: outcome.who.as_deref(),
        rule: outcome.rule.as_ref().map(|(label, _)| label.as_str()),
        rule_line: outcome.rule.as_ref().map(|(_, line)| *line),
        reason: outcome.reason.as_deref(),
        compared: outcome.compared.iter().map(pair).collect(),
    }
}
