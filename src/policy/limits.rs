//! Reads `[limits]` and the `limits` of rules: how many requests in which time, and how many at once.
//!
//! What is counted stands in [`limit`](crate::limit); here it is only said. May touch: nothing. Trust boundary: the file is an
//! administrator's; a limit that nothing could pass is an error, one that could never hold anybody a warning.

use std::fmt;
use std::ops::Range;

use super::reader::{Reading, Section, Value};
use super::rule::RuleEntry;
use crate::diagnostic::Diagnostic;
use crate::limit::{Rate, RateError};
use crate::reference;

/// The most rates of one application or rule.
const MAX_RATES: usize = 8;

/// The limits of an application, or of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many requests in which time; all of them hold.
    pub rates: Vec<RateLimit>,
    /// How many requests may be in the application at once.
    pub concurrency: Option<u32>,
    /// How many of one person, or of one address where nobody is known.
    pub concurrency_per_person: Option<u32>,
    /// Whether what they would refuse is only logged.
    pub observes: bool,
}

/// All limits of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Those of the application.
    pub whole: Option<Limits>,
    /// Those of rules, by label.
    pub rules: Vec<(Box<str>, Limits)>,
}

impl PolicyLimits {
    /// Those of the rule with this label.
    pub fn of_rule(&self, label: &str) -> Option<&Limits> {
        self.rules.iter().find(|(rule, _)| **rule == *label).map(|(_, limits)| limits)
    }
}

/// A rate, and whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Whose.
    pub per: Per,
    /// How many in which time.
    pub rate: Rate,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Those of one address.
    Address,
    /// Those of one person; of one address where nobody is known.
    Person,
}

const PER: [(&str, Per); 2] = [("address", Per::Address), ("person", Per::Person)];

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Address => "address",
            Per::Person => "person",
        };
        write!(f, "{}, per {per}", self.rate)
    }
}

impl Limits {
    /// Each limit in words.
    pub fn in_words(&self) -> Vec<String> {
        let rates = self.rates.iter().map(RateLimit::to_string);
        let concurrency = self.concurrency.map(|most| format!("{most} at once in the application"));
        let of_one = self.concurrency_per_person.map(|most| format!("{most} at once in the application, per person"));
        rates.chain(concurrency).chain(of_one).collect()
    }
}

/// Limits as read, and where they stand.
pub(super) struct LimitsRead {
    pub(super) limits: Limits,
    /// Where each rate stands.
    rates_at: Vec<Range<usize>>,
    concurrency_at: Range<usize>,
    per_person_at: Range<usize>,
}

/// Reads a table of limits.
pub(super) fn read(mut section: Section<'_>, reading: &mut Reading<'_>) -> Option<LimitsRead> {
    let span = section.span();
    let rates = section.value("rate").map_or(Some(Vec::new()), |value| read_rates(value, reading));
    let place = |value: Option<&Value<'_>>| value.map_or_else(|| span.clone(), |value| value.span());
    let (concurrency_at, per_person_at) =
        (place(section.value("concurrency")), place(section.value("concurrency_per_person")));
    let concurrency = section.number("concurrency", reading);
    let concurrency_per_person = section.number("concurrency_per_person", reading);
    let mode = section.word("mode", &[("observe", true), ("enforce", false)], reading);
    if ["rate", "concurrency", "concurrency_per_person"].iter().all(|key| section.lacks(key)) {
        let help = "limits = { rate = { per = \"address\", requests = 100, every = \"1m\" } }";
        reading.error("`limits` limits nothing", span.clone(), help);
    }
    section.finish(reading);
    if let (Some(all), Some(one)) = (concurrency, concurrency_per_person)
        && one >= all
    {
        let message = format!("{one} of one person are never refused: no more than {all} are let in at all");
        let help = "`concurrency_per_person` must be less than `concurrency`, or go";
        reading.push(Diagnostic::warning(message).help(help), per_person_at.clone());
    }
    let (rates, rates_at): (Vec<_>, Vec<_>) = rates?.into_iter().unzip();
    warn_within(&rates, &rates_at, reading);
    let limits = Limits { rates, concurrency, concurrency_per_person, observes: mode.unwrap_or(false) };
    Some(LimitsRead { limits, rates_at, concurrency_at, per_person_at })
}

/// A rate beside one that lets no more pass never refuses anything.
fn warn_within(rates: &[RateLimit], at: &[Range<usize>], reading: &mut Reading<'_>) {
    for (index, (limit, span)) in rates.iter().zip(at).enumerate() {
        let tighter = |(other, tight): (usize, &RateLimit)| {
            let first = tight.rate != limit.rate || other < index;
            other != index && tight.per == limit.per && tight.rate.is_within(limit.rate) && first
        };
        if let Some((_, tight)) = rates.iter().enumerate().find(|(other, tight)| tighter((*other, tight))) {
            let message = format!("this rate never refuses anything: {} lets no more pass", tight.rate);
            reading.push(Diagnostic::warning(message).help("remove it"), span.clone());
        }
    }
}

fn read_rates(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<Vec<(RateLimit, Range<usize>)>> {
    let tables = match value.get_ref().as_array() {
        Some(items) => items.iter().collect(),
        None => vec![value],
    };
    if tables.is_empty() {
        reading.error("`rate` is empty", value.span(), "leave `rate` away where no rate is to hold");
        return None;
    }
    if tables.len() > MAX_RATES {
        reading.error(
            format!("there are more than {MAX_RATES} rates"),
            value.span(),
            "each request is counted by each",
        );
        return None;
    }
    let read: Vec<_> = tables.iter().filter_map(|table| Some((read_rate(table, reading)?, table.span()))).collect();
    (read.len() == tables.len()).then_some(read)
}

fn read_rate(value: &Value<'_>, reading: &mut Reading<'_>) -> Option<RateLimit> {
    let mut section = reading.section(value, "rate", &reference::policy::RATE)?;
    let span = section.span();
    let example = "rate = { per = \"address\", requests = 100, every = \"1m\", burst = 20 }";
    for key in ["per", "requests", "every"] {
        if section.lacks(key) {
            reading.error(format!("`rate` has no `{key}`"), span.clone(), example);
        }
    }
    let per = section.word("per", &PER, reading);
    let requests = section.number("requests", reading);
    let every = section.duration("every", reading);
    let burst = section.number("burst", reading);
    let has_burst = !section.lacks("burst");
    section.finish(reading);
    let (per, requests, every) = (per?, requests?, every?);
    let burst = if has_burst { burst? } else { requests };
    match Rate::new(requests, every, burst) {
        Ok(rate) => Some(RateLimit { per, rate }),
        Err(why) => {
            let help = match why {
                RateError::TooSlow => "a smaller `burst`, or more requests in the time",
                _ => "a longer time, or fewer requests",
            };
            reading.error(format!("this is no rate: {why}"), span, help);
            None
        }
    }
}

/// Checks limits against each other and against what else the policy says; `knows_people`: somebody can be signed in.
pub(super) fn check(whole: Option<&LimitsRead>, rules: &[RuleEntry], knows_people: bool, reading: &mut Reading<'_>) {
    let all = whole.into_iter().chain(rules.iter().filter_map(|entry| entry.limits.as_ref()));
    for read in all.filter(|_| !knows_people) {
        let per_person = |(limit, _): &(&RateLimit, _)| limit.per == Per::Person;
        for (_, span) in read.limits.rates.iter().zip(&read.rates_at).filter(per_person) {
            let message = "nobody is known here, so each address counts by itself";
            let help = "write per = \"address\", or add [login] or [bearer]";
            reading.push(Diagnostic::warning(message).help(help), span.clone());
        }
    }
    for entry in rules {
        let Some(of_rule) = &entry.limits else { continue };
        if entry.rule.observes {
            let message = "a rule that observes decides nothing, so its limits count nothing";
            let help = "limits = { mode = \"observe\", … } on a rule that decides tries limits out";
            reading.error(message, entry.span.clone(), help);
        }
        if let Some(whole) = whole.filter(|whole| !whole.limits.observes) {
            check_rule(whole, of_rule, reading);
        }
        if entry.rule.answer().is_some()
            && (of_rule.limits.concurrency.or(of_rule.limits.concurrency_per_person)).is_some()
        {
            let message = "the gateway answers itself, so nothing is in the application";
            reading.error(message, of_rule.concurrency_at.clone(), "remove `concurrency`; a `rate` holds here too");
        }
    }
}

fn check_rule(whole: &LimitsRead, of_rule: &LimitsRead, reading: &mut Reading<'_>) {
    let (outer, inner) = (&whole.limits, &of_rule.limits);
    for (limit, span) in inner.rates.iter().zip(&of_rule.rates_at) {
        let tighter = |other: &&RateLimit| other.per == limit.per && other.rate.is_within(limit.rate);
        if let Some(tight) = outer.rates.iter().find(tighter) {
            let message =
                format!("this rate never refuses anything: the application's, {}, lets no more pass", tight.rate);
            reading
                .push(Diagnostic::warning(message).help("a rule's limits hold over those of `[limits]`"), span.clone());
        }
    }
    let pairs = [
        ("concurrency", outer.concurrency, inner.concurrency, &of_rule.concurrency_at),
        ("concurrency_per_person", outer.concurrency_per_person, inner.concurrency_per_person, &of_rule.per_person_at),
    ];
    for (key, outer, inner, span) in pairs {
        if let (Some(outer), Some(inner)) = (outer, inner)
            && inner >= outer
        {
            let message = format!("`{key}` never refuses anything here: the application's is {outer}");
            reading
                .push(Diagnostic::warning(message).help("a rule's limits hold over those of `[limits]`"), span.clone());
        }
    }
}
