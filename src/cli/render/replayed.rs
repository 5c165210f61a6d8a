//! What came of a replay: groups for people, one JSON object for programs.
//!
//! The JSON form is a contract that `docs/commands.md` documents: members may be added, none changes its meaning without
//! another version.

use std::fmt::Write as _;

use serde::Serialize;

use crate::app::{Changed, Replay};

/// The version of the JSON form.
const VERSION: u32 = 1;
/// How many people and groups are named to people; programs get all that are told apart.
const NAMED: usize = 20;

#[derive(Serialize)]
struct Whole<'r> {
    version: u32,
    #[serde(flatten)]
    replay: &'r Replay,
}

/// For programs: one JSON object on one line.
pub(in crate::cli) fn json(replay: &Replay) -> String {
    serde_json::to_string(&Whole { version: VERSION, replay }).unwrap_or_default()
}

/// For people.
pub(in crate::cli) fn text(replay: &Replay) -> String {
    let mut out = String::new();
    for change in replay.changes.iter().take(NAMED) {
        changed(change, &mut out);
    }
    rest(replay.changes.len(), "more kinds of change", &mut out);
    if !replay.people.is_empty() {
        let _ = writeln!(out, "changed requests by person\n  {}\n", people(&replay.people));
    }
    for unknown in replay.missing.iter().take(NAMED) {
        let rule = unknown.rule.as_ref().map(|rule| format!(" rule `{rule}`")).unwrap_or_default();
        let _ = writeln!(
            out,
            "not known: {}:{rule} needs {}: {}",
            unknown.app,
            unknown.missing,
            requests(unknown.requests)
        );
    }
    rest(replay.missing.len(), "more things that are missing", &mut out);
    if !replay.missing.is_empty() {
        let _ = writeln!(out, "  = help: with `log.replay = true` the access log keeps what rules decide by\n");
    }
    let _ = writeln!(
        out,
        "{} decided differently, {} the same ({} by another rule), {} not known",
        replay.changed, replay.same, replay.by_another_rule, replay.unknown
    );
    let _ = writeln!(
        out,
        "{} lines, {} that no policy decides, {} that cannot be read",
        replay.lines, replay.undecided, replay.broken
    );
    out
}

fn changed(change: &Changed, out: &mut String) {
    let Changed { app, from, from_rule, to, to_rule, reason, .. } = change;
    let _ = writeln!(
        out,
        "{app}: {from}{} -> {to}{}{}: {}",
        by(from_rule.as_deref()),
        by(to_rule.as_deref()),
        reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default(),
        requests(change.requests)
    );
    let _ = writeln!(out, "  by {}", people(&change.people));
    for example in &change.examples {
        let _ = writeln!(out, "  {example}");
    }
    out.push('\n');
}

fn by(rule: Option<&str>) -> String {
    rule.map(|rule| format!(" by `{rule}`")).unwrap_or_default()
}

fn people(people: &[(String, u64)]) -> String {
    let mut named: Vec<_> = people.iter().take(NAMED).map(|(name, count)| format!("{name} ({count})")).collect();
    if people.len() > NAMED {
        named.push(format!("{} more", people.len() - NAMED));
    }
    named.join(", ")
}

fn rest(all: usize, of: &str, out: &mut String) {
    if all > NAMED {
        let _ = writeln!(out, "{} {of}\n", all - NAMED);
    }
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}
