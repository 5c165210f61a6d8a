//! What came of a replay: groups for people, one JSON object for programs.
//!
//! The JSON form is a contract that `docs/commands.md` documents: members may be added, none changes its meaning without
//! another version.
//!
//! Trust boundary: the log is text of any origin, and people choose their names themselves. What people read shows it by [`Shown`] alone.

use std::fmt::{self, Write as _};

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

/// A text of the log for the screen: what moves the cursor, ends a line or turns the order of letters is shown and not done.
struct Shown<'t>(&'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                    write!(f, "{}", character.escape_unicode())?;
                }
                other if other.is_control() => write!(f, "{}", other.escape_debug())?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
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
        let rule = unknown.rule.as_ref().map(|rule| format!(" rule `{}`", Shown(rule))).unwrap_or_default();
        let _ = writeln!(
            out,
            "not known: {}:{rule} needs {}: {}",
            Shown(&unknown.app),
            Shown(&unknown.missing),
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
        "{}: {}{} -> {}{}{}: {}",
        Shown(app),
        Shown(from),
        by(from_rule.as_deref()),
        Shown(to),
        by(to_rule.as_deref()),
        reason.as_ref().map(|reason| format!(" ({})", Shown(reason))).unwrap_or_default(),
        requests(change.requests)
    );
    let _ = writeln!(out, "  by {}", people(&change.people));
    for example in &change.examples {
        let _ = writeln!(out, "  {}", Shown(example));
    }
    out.push('\n');
}

fn by(rule: Option<&str>) -> String {
    rule.map(|rule| format!(" by `{}`", Shown(rule))).unwrap_or_default()
}

fn people(people: &[(String, u64)]) -> String {
    let mut named: Vec<_> =
        people.iter().take(NAMED).map(|(name, count)| format!("{} ({count})", Shown(name))).collect();
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
