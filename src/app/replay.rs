//! Recorded requests, decided again by other policies: `lychgate replay`.
//!
//! A line of the access log holds what every rule may look at but the query and the person's claims; with `log.replay` it
//! holds what rules ask of those, too. A request whose new decision would rest on something that its line does not have is
//! counted as not known, with what is missing, and never guessed.
//!
//! May touch: only the reader that it is given. Bounds: a line of [`MAX_LINE`] bytes, [`MAX_GROUPS`] groups of changes,
//! [`MAX_PEOPLE`] people in each; what is more is counted and not told apart. Trust boundary: a log is text of any origin.

mod again;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use serde::Serialize;

use again::{Line, Now, again, with_status};

use crate::snapshot::Snapshot;

/// The longest line, in bytes.
const MAX_LINE: u64 = 256 * 1024;
/// How many groups of changes are told apart.
const MAX_GROUPS: usize = 1000;
/// How many people are told apart, in a group and in all.
const MAX_PEOPLE: usize = 1000;
/// How many requests of a group are kept as examples.
const EXAMPLES: usize = 3;
/// In whose name requests are counted that nobody signed in sent.
const NOBODY: &str = "(nobody signed in)";
/// What is counted together when there is too much to tell apart.
const OTHERS: &str = "(others)";

/// What came of a log.
#[derive(Debug, Default, Serialize)]
pub struct Replay {
    /// Lines that were read.
    pub lines: u64,
    /// Lines that are no line of an access log.
    pub broken: u64,
    /// Requests that no policy decided: the gateway's own addresses, and what was refused before.
    pub undecided: u64,
    /// Requests that are decided as they were.
    pub same: u64,
    /// Among those, the ones that another rule decides.
    pub by_another_rule: u64,
    /// Requests that are decided differently.
    pub changed: u64,
    /// Requests of which that cannot be known.
    pub unknown: u64,
    /// The changes, the most frequent first.
    pub changes: Vec<Changed>,
    /// Who is affected, with the number of changed requests, the most first.
    pub people: Vec<(String, u64)>,
    /// What is missing, with the number of requests, the most first.
    pub missing: Vec<Unknown>,
}

/// Requests whose decision changes in the same way.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The application that decides now, or did.
    pub app: String,
    /// What was decided.
    pub from: String,
    /// The rule that decided.
    pub from_rule: Option<String>,
    /// What is decided now.
    pub to: String,
    /// The rule that decides now.
    pub to_rule: Option<String>,
    /// Why it is denied now, as a code.
    pub reason: Option<String>,
    /// How many requests.
    pub requests: u64,
    /// Who sent them, the most first.
    pub people: Vec<(String, u64)>,
    /// Some of them.
    pub examples: Vec<String>,
}

/// Something that was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// The application.
    pub app: String,
    /// The rule that would need it.
    pub rule: Option<String>,
    /// What is missing.
    pub missing: String,
    /// For how many requests.
    pub requests: u64,
}

type Group = (String, String, Option<String>, String, Option<String>, Option<String>);

/// The counts so far.
#[derive(Default)]
struct Tally {
    replay: Replay,
    groups: BTreeMap<Group, (u64, Counts, Vec<String>)>,
    people: Counts,
    missing: BTreeMap<(String, Option<String>, String), u64>,
}

#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, name: &str) {
        let room = self.0.len() < MAX_PEOPLE || self.0.contains_key(name);
        *self.0.entry(if room { name } else { OTHERS }.to_owned()).or_default() += 1;
    }

    fn sorted(self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}

impl Replay {
    /// Decides every request of all logs again; the first that cannot be read is named.
    pub fn read_all<'l>(
        logs: impl IntoIterator<Item = (String, io::Result<Box<dyn BufRead + 'l>>)>,
        snapshot: &Snapshot,
    ) -> Result<Self, String> {
        let mut tally = Tally::default();
        for (name, log) in logs {
            log.and_then(|mut log| tally.add(&mut *log, snapshot)).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(tally.finish())
    }
}

impl Tally {
    fn add(&mut self, log: &mut dyn BufRead, snapshot: &Snapshot) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            if (&mut *log).take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(());
            }
            let whole = bytes.last() == Some(&b'\n') || bytes.len() as u64 != MAX_LINE;
            if !whole {
                skip_line(log)?;
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            self.replay.lines += 1;
            match serde_json::from_slice::<Line<'_>>(&bytes).ok().filter(|_| whole) {
                Some(line) if self.line(&line, snapshot).is_some() => {}
                _ => self.replay.broken += 1,
            }
        }
    }

    /// Counts a line; none when it is broken.
    fn line(&mut self, line: &Line<'_>, snapshot: &Snapshot) -> Option<()> {
        let nowhere = matches!(line.reason.as_deref(), Some("host_unknown" | "path_unknown"));
        if line.decision == "reserved" || (line.decision == "refused" && !nowhere) {
            self.replay.undecided += 1;
            return Some(());
        }
        let found = again(line, snapshot)?;
        self.count(line, found);
        Some(())
    }

    fn count(&mut self, line: &Line<'_>, found: Now) {
        let who = line.who.as_deref().unwrap_or(NOBODY);
        let (app, word, rule, reason) = match found {
            Now::Decided { app, word, rule, reason } => (app, word, rule, reason),
            Now::Unknown { app, rule, missing } => {
                self.replay.unknown += 1;
                for missing in missing {
                    let key = (app.clone(), rule.clone(), missing);
                    if self.missing.len() < MAX_GROUPS || self.missing.contains_key(&key) {
                        *self.missing.entry(key).or_default() += 1;
                    }
                }
                return;
            }
        };
        let before = with_status(line.decision, line.status);
        if before == word {
            self.replay.same += 1;
            self.replay.by_another_rule += u64::from(line.rule != rule);
            return;
        }
        self.replay.changed += 1;
        self.people.add(who);
        let mut key: Group = (app, before, line.rule.clone(), word, rule, reason);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            key = (OTHERS.to_owned(), OTHERS.to_owned(), None, OTHERS.to_owned(), None, None);
        }
        let (count, people, examples) = self.groups.entry(key).or_default();
        *count += 1;
        people.add(who);
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let example = format!("{} {}{}", text(&line.method), text(&line.host), text(&line.path));
        if examples.len() < EXAMPLES && !examples.contains(&example) {
            examples.push(example);
        }
    }

    fn finish(self) -> Replay {
        let Self { mut replay, groups, people, missing } = self;
        replay.changes = groups
            .into_iter()
            .map(|((app, from, from_rule, to, to_rule, reason), (requests, people, examples))| Changed {
                app,
                from,
                from_rule,
                to,
                to_rule,
                reason,
                requests,
                people: people.sorted(),
                examples,
            })
            .collect();
        replay.changes.sort_by_key(|change| std::cmp::Reverse(change.requests));
        replay.people = people.sorted();
        let unknown = |((app, rule, missing), requests)| Unknown { app, rule, missing, requests };
        replay.missing = missing.into_iter().map(unknown).collect();
        replay.missing.sort_by_key(|unknown| std::cmp::Reverse(unknown.requests));
        replay
    }
}

/// Reads on to the end of the line.
fn skip_line(log: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = log.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (length, done) = (end.map_or(buffer.len(), |end| end + 1), end.is_some() || buffer.is_empty());
        log.consume(length);
        if done {
            return Ok(());
        }
    }
}
