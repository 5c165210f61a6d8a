//! Rules that can never do anything: covered by an earlier one, or redirecting to themselves.
//!
//! Only plain cases are recognised, and what is recognised is certain: earlier rules cover a pattern of a later one when each of them decides,
//! selects no less and has a pattern that covers it, and they have all its methods between them.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's.

use http::Method;

use super::answer::Answer;
use super::case::Case;
use super::pattern::{Pattern, parts_match, segments};
use super::reader::Reading;
use super::rule::RuleEntry;

/// Reports every rule that can never match, and every redirect that leads to itself.
pub(super) fn check(rules: &[RuleEntry], case: Case, reading: &mut Reading<'_>) {
    for (index, later) in rules.iter().enumerate() {
        report_unreachable(later, rules.get(..index).unwrap_or_default(), reading);
        report_circle(later, case, reading);
    }
}

/// Earlier rules that cover every method and path of `later` leave nothing for it.
fn report_unreachable(later: &RuleEntry, earlier: &[RuleEntry], reading: &mut Reading<'_>) {
    let blockers: Option<Vec<_>> = later.patterns.iter().map(|pattern| blockers(pattern, later, earlier)).collect();
    let Some(mut blockers) = blockers.map(|all| all.concat()).filter(|all| !all.is_empty()) else { return };
    blockers.sort_unstable_by_key(|rule| rule.span.start);
    blockers.dedup_by_key(|rule| rule.span.start);
    let names = blockers.iter().map(|rule| format!("`{}` on line {}", rule.rule.label, reading.line(rule.span.start)));
    let names = names.collect::<Vec<_>>().join(", ");
    let message = match blockers.len() {
        1 => format!("this rule can never match: rule {names} comes first"),
        _ => format!("this rule can never match: the rules {names} come first"),
    };
    reading.error(message, later.span.clone(), "the first rule that matches decides; move the narrower rule up");
}

/// The earlier rules that leave no method of `later` for the paths of one of its patterns; none where one is left.
fn blockers<'r>(pattern: &Pattern, later: &RuleEntry, earlier: &'r [RuleEntry]) -> Option<Vec<&'r RuleEntry>> {
    // Every pair of rules is looked at, and hardly any two have paths in common: that is asked first.
    let has_paths = |rule: &&RuleEntry| rule.patterns.iter().any(|earlier| earlier.covers(pattern));
    let mut found: Vec<&RuleEntry> = Vec::new();
    let mut left: Vec<&Method> = later.methods.iter().collect();
    for rule in earlier.iter().filter(has_paths).filter(|rule| decides_before(rule, later)) {
        let before = left.len();
        left.retain(|method| !rule.methods.contains(method));
        if left.len() < before {
            found.push(rule);
        }
        if left.is_empty() {
            return Some(found);
        }
    }
    None
}

/// Whether `earlier` decides where both rules match, whatever else the request is. Of rules that observe, only the first is noted.
fn decides_before(earlier: &RuleEntry, later: &RuleEntry) -> bool {
    (!earlier.rule.observes || later.rule.observes)
        && (earlier.rule.selector().is_everything() || earlier.rule.selector() == later.rule.selector())
}

/// A redirect to a path that the same rule redirects again.
fn report_circle(entry: &RuleEntry, case: Case, reading: &mut Reading<'_>) {
    let Some(Answer::Redirect(redirect)) = entry.rule.answer() else { return };
    let Some(path) = redirect.own_path() else { return };
    let matches = entry.patterns.iter().any(|pattern| parts_match(pattern.parts(), segments(path), case));
    if matches && entry.rule.selector().is_everything() && entry.methods.contains(&Method::GET) {
        let message = format!("the redirect to `{path}` leads to this rule again");
        reading.error(message, entry.span.clone(), "narrow `paths`, or redirect to a path that they do not match");
    }
}
