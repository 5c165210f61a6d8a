//! What is read from an expression's literals when it is compiled: patterns, networks, zones and moments.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's. A pattern runs in time that grows with the text that
//! it is asked about alone, and its compiled form is at most [`MAX_PATTERN`] large.

use std::any::Any;

use cel::common::types::{INT_TYPE, Type};
use cel::common::value::{StaticVal, Val};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};

use super::functions::{TimeText, time_of};
use super::re2;
use crate::policy::schedule::zone_named;
use crate::policy::selector::network;

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN: usize = 256 * 1024;
/// How deep the groups of a pattern may nest.
const MAX_PATTERN_NESTING: u32 = 32;

/// A literal in the form in which it is used.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    /// A regular expression.
    Pattern(Regex),
    /// Networks, any one of which is meant.
    Networks(Vec<IpNet>),
    /// A time zone.
    Zone(TimeZone),
    /// Seconds, since 1970 or of a length of time.
    Seconds(i64),
}

/// Why a literal cannot be used: what was found, and what to do.
pub(super) type Unusable = (String, String);

impl Constant {
    /// A regular expression.
    pub(super) fn pattern(text: &str) -> Result<Self, Unusable> {
        let spelled = re2::spelled_out(text, MAX_PATTERN_NESTING).map_err(|foreign| {
            let (message, help) = match foreign {
                re2::Foreign::ClassOperation => (
                    "patterns have no operations of classes",
                    "write the class without `&&`, `--` or `~~`; a `&` or `-` that is meant is written `\\&`, `\\-`",
                ),
                re2::Foreign::WordEdge => (
                    "patterns have no starts or ends of words",
                    "write `\\b` for an edge of a word; a `<`, `>` or `{` that is meant is written `<`, `>`, `\\{`",
                ),
            };
            (message.to_owned(), help.to_owned())
        })?;
        // What is spelled out lies deeper than what was written, which was not too deep.
        let deeper = if spelled == text { 0 } else { re2::NESTING };
        let nesting = MAX_PATTERN_NESTING + deeper;
        let built = RegexBuilder::new(&spelled).size_limit(MAX_PATTERN).nest_limit(nesting).build();
        built.map(Self::Pattern).map_err(|why| match why {
            regex::Error::CompiledTooBig(_) => {
                ("this pattern is too large".to_owned(), "repeat less, or compare with a list".to_owned())
            }
            why => {
                let why = why.to_string();
                let last = why.lines().last().unwrap_or_default();
                let said = last.strip_prefix("error: ").unwrap_or(last);
                (format!("this is no pattern: {said}"), "patterns are RE2's: no look-around, no back-references".into())
            }
        })
    }

    /// Networks or addresses.
    pub(super) fn networks<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, Unusable> {
        texts.into_iter().map(network).collect::<Result<_, _>>().map(Self::Networks)
    }

    /// A time zone.
    pub(super) fn zone(name: &str) -> Result<Self, Unusable> {
        zone_named(name).map(Self::Zone).map_err(|help| (format!("unknown time zone `{name}`"), help))
    }

    /// A date, a moment or a length of time.
    pub(super) fn time(kind: TimeText, text: &str, zone: &TimeZone) -> Result<Self, Unusable> {
        let help = match kind {
            TimeText::Date => "write date('2026-12-31', 'Europe/Vienna')",
            TimeText::Moment => "write timestamp('2026-12-31T18:00:00+01:00')",
            TimeText::Duration => "write duration('30m') or duration('1h 30m')",
        };
        time_of(kind, text, zone).map(Self::Seconds).map_err(|why| (why.to_owned(), help.to_owned()))
    }
}

impl Val for Constant {
    fn get_type(&self) -> &Type {
        &INT_TYPE
    }

    fn cel_type() -> &'static Type {
        &INT_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Constant {}
