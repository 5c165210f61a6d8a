//! Which policies are in use, and how the last attempt to replace them went.
//!
//! The composition root writes it, the listener shows it as JSON under `/policies`. File names and findings are for operators; findings
//! are the text that `check` prints, in which secrets are masked. Bound: one set and one attempt.
//! Trust boundary: whoever reaches the operators' listener may read this.

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Serialize, Serializer};
use tokio::sync::{mpsc, oneshot};

use crate::observe::Reloaded;

/// Asks for everything to be read anew; the answer is how that went.
pub type ReloadRequests = mpsc::Sender<oneshot::Sender<Attempt>>;

/// The set of policies in use.
#[derive(Clone, Debug, Serialize)]
pub struct InUse {
    /// Its number, which is in every line of the access log.
    pub version: u64,
    /// When it was put in use.
    pub since: String,
    /// The applications' names, in order.
    pub applications: Vec<String>,
    /// Every file that was read for it, in order.
    pub files: Vec<String>,
}

/// One attempt to read everything anew.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// When it ended.
    pub at: String,
    /// How it ended.
    #[serde(serialize_with = "word")]
    pub outcome: Reloaded,
    /// The version that is in use after it.
    pub version: u64,
    /// What was found in the files, as `check` prints it; empty when there is nothing to say.
    pub findings: String,
}

fn word<S: Serializer>(outcome: &Reloaded, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.as_str())
}

/// What `/policies` shows.
pub struct Board {
    in_use: ArcSwap<InUse>,
    last_attempt: ArcSwapOption<Attempt>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    in_use: &'a InUse,
    last_attempt: Option<&'a Attempt>,
}

impl Board {
    /// A board for the set that the gateway starts with.
    pub fn new(in_use: InUse) -> Self {
        Self { in_use: ArcSwap::from_pointee(in_use), last_attempt: ArcSwapOption::empty() }
    }

    /// Notes how an attempt ended, and the set that it put in use.
    pub fn note(&self, attempt: Attempt, in_use: Option<InUse>) {
        if let Some(in_use) = in_use {
            self.in_use.store(in_use.into());
        }
        self.last_attempt.store(Some(attempt.into()));
    }

    /// The number of the set in use.
    pub fn version(&self) -> u64 {
        self.in_use.load().version
    }

    /// The JSON text.
    pub(super) fn show(&self) -> String {
        let (in_use, last_attempt) = (self.in_use.load(), self.last_attempt.load());
        json(&Shown { in_use: &in_use, last_attempt: last_attempt.as_deref() })
    }
}

/// A value as JSON for people.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
