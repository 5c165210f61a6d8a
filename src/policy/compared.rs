//! What a test expects beside what was found: one line of a diff.
//!
//! May touch: nothing. Trust boundary: none; a value that must not be shown is not in here.

use std::fmt;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The decision, in one word.
    Decision,
    /// The rule that decided.
    Rule,
    /// The status of the gateway's own answer.
    Status,
    /// Where a redirect leads.
    Location,
    /// The identity header of this name.
    Header(String),
}

/// One expectation and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What is compared.
    pub what: Compare,
    /// What the test expects, as it is shown.
    pub expected: String,
    /// What was found, as it is shown.
    pub found: String,
    /// Whether the one satisfies the other: `allow` is satisfied by `public`, too.
    pub same: bool,
}

impl Compared {
    pub(super) fn new(what: Compare, expected: impl Into<String>, found: impl Into<String>, same: bool) -> Self {
        Self { what, expected: expected.into(), found: found.into(), same }
    }

    /// A comparison of texts.
    pub(super) fn equal(what: Compare, expected: String, found: String) -> Self {
        let same = expected == found;
        Self { what, expected, found, same }
    }
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision => f.write_str("decision"),
            Self::Rule => f.write_str("rule"),
            Self::Status => f.write_str("status"),
            Self::Location => f.write_str("location"),
            Self::Header(name) => write!(f, "header `{name}`"),
        }
    }
}

/// In one sentence.
impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, found, .. } = self;
        match what {
            Compare::Decision => write!(f, "expected {expected}, found {found}"),
            Compare::Header(_) => write!(f, "{what}: expected {expected}, found {found}"),
            _ => write!(f, "expected {what} {expected}, found {found}"),
        }
    }
}
