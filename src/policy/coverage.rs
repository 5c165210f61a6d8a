//! Rules that can never do anything: covered by an earlier one, or redirecting to themselves.
//!
//! Only plain cases are recognised, and what is recognised is certain: an earlier rule covers a later one when it decides,
//! selects no less, and has every method and path of it.
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

/// An earlier rule that covers every method and path of `later` leaves nothing for it.
fn report_unreachable(later: &RuleEntry, earlier: &[RuleEntry], reading: &mut Reading<'_>) {
    let blocking = |pattern: &Pattern| {
        // Every pair of rules is looked at, and hardly any two have paths in common: that is asked first.
        earlier.iter().find(|rule| rule.patterns.iter().any(|earlier| earlier.covers(pattern)) && blocks(rule, later))
    };
    let blockers: Option<Vec<_>> = later.patterns.iter().map(blocking).collect();
    if let Some(blocker) = blockers.as_ref().and_then(|all| all.first()) {
        let line = reading.line(blocker.span.start);
        let message = format!("this rule can never match: rule `{}` on line {line} comes first", blocker.rule.label);
        reading.error(message, later.span.clone(), "the first rule that matches decides; move the narrower rule up");
    }
}

/// Whether `earlier` leaves nothing for `later` where its paths match. Of rules that observe, only the first is noted.
fn blocks(earlier: &RuleEntry, later: &RuleEntry) -> bool {
    (!earlier.rule.observes || later.rule.observes)
        && earlier.methods.covers(&later.methods)
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
