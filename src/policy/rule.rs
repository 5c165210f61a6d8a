//! Reads `[[rules]]`: for which methods and paths, for whom, and what they must have proved.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's; a rule that could never match, or that says two
//! things at once, is an error here and not a surprise later (P03, P04, P06).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use http::Method;

use super::condition::Condition;
use super::expression::{Expression, Kind};
use super::header_table::report;
use super::method_set::MethodSet;
use super::pattern::Pattern;
use super::reader::{Reading, Section, Text};

/// Where the gateway's own pages are, on every host.
const RESERVED: &str = "/.lychgate";

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name, or `#3`.
    pub(super) label: Box<str>,
    /// For whom it is.
    pub(super) access: Access,
    /// What must be true of who is signed in.
    pub(super) allow: Option<Condition>,
    /// What the sign-in must be.
    pub(super) step_up: Option<StepUp>,
    /// The place of the header set that goes with its requests, among those of the policy.
    pub(super) header_set: usize,
}

/// For whom a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, without sign-in and without identity headers.
    Public,
    /// Whoever is signed in.
    Session,
}

/// What a sign-in must be for a rule.
#[derive(Debug)]
pub(super) struct StepUp {
    /// Any one of these; any at all when empty.
    pub(super) acr: Vec<String>,
    /// Not longer ago than this.
    pub(super) max_age: Option<Duration>,
}

/// A rule as read, with what the route table needs.
pub(super) struct RuleEntry {
    pub(super) rule: Rule,
    pub(super) methods: MethodSet,
    pub(super) patterns: Vec<Pattern>,
    pub(super) span: Range<usize>,
}

impl Rule {
    /// All conditions of the rule.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.allow.iter()
    }

    /// All conditions of the rule, to be placed.
    pub(super) fn conditions_mut(&mut self) -> impl Iterator<Item = &mut Condition> {
        self.allow.iter_mut()
    }
}

impl RuleEntry {
    /// Whether the rule is for everybody.
    pub(super) fn is_public(&self) -> bool {
        self.rule.access == Access::Public
    }
}

/// Reads all rules. `prefix` is the application's path.
pub(super) fn read(sections: Vec<Section<'_>>, prefix: &str, reading: &mut Reading<'_>) -> Vec<RuleEntry> {
    let mut rules = Vec::new();
    let mut names = BTreeMap::new();
    for (index, section) in sections.into_iter().enumerate() {
        rules.extend(read_rule(section, index, prefix, &mut names, reading));
    }
    for (index, later) in rules.iter().enumerate() {
        report_unreachable(later, rules.get(..index).unwrap_or_default(), reading);
    }
    rules
}

fn read_rule(
    mut section: Section<'_>,
    index: usize,
    prefix: &str,
    names: &mut BTreeMap<String, usize>,
    reading: &mut Reading<'_>,
) -> Option<RuleEntry> {
    let span = section.span();
    let name = section.text("name", reading);
    let label = read_label(name, index, names, reading);
    let patterns = read_patterns(&mut section, prefix, reading);
    let methods = read_methods(&mut section, reading);
    let access = read_access(&mut section, reading);
    let step_up = section.section("step_up", reading).map(|inner| (inner.span(), read_step_up(inner, reading)));
    section.finish(reading);
    if let (Some((Access::Public, _)), Some((span, _))) = (&access, &step_up) {
        reading.error(
            "a public rule asks nobody to sign in",
            span.clone(),
            "remove `step_up` or `access = \"public\"`",
        );
    }
    let step_up = step_up.and_then(|(_, step_up)| step_up);
    let (access, allow) = access?;
    let rule = Rule { label, access, allow, step_up, header_set: 0 };
    Some(RuleEntry { rule, methods: methods?, patterns: patterns?, span })
}

fn read_label(
    name: Option<Text<'_>>,
    index: usize,
    names: &mut BTreeMap<String, usize>,
    reading: &mut Reading<'_>,
) -> Box<str> {
    let Some(name) = name else { return format!("#{}", index + 1).into() };
    if name.text.is_empty()
        || name.text.len() > 100
        || name.text.starts_with('#')
        || name.text.contains(char::is_control)
    {
        let help = "1 to 100 bytes without control characters, not beginning with `#`";
        reading.error("this is no name for a rule", name.span.clone(), help);
    }
    if let Some(other) = names.insert(name.text.to_owned(), index) {
        let message = format!("rule {} already has the name `{}`", other + 1, name.text);
        reading.error(message, name.span, "logs tell rules apart by name; rename one");
    }
    name.text.into()
}

fn read_patterns(section: &mut Section<'_>, prefix: &str, reading: &mut Reading<'_>) -> Option<Vec<Pattern>> {
    let Some(value) = section.value("paths") else { return Some(vec![Pattern::everything()]) };
    let texts = reading.texts(value, "paths")?;
    if texts.is_empty() {
        reading.error("`paths` is empty: the rule could never match", value.span(), "leave `paths` away for all paths");
        return None;
    }
    let patterns: Vec<_> = texts.iter().filter_map(|text| read_pattern(text, prefix, reading)).collect();
    (patterns.len() == texts.len()).then_some(patterns)
}

fn read_pattern(text: &Text<'_>, prefix: &str, reading: &mut Reading<'_>) -> Option<Pattern> {
    match Pattern::parse(text.text) {
        Ok(pattern) if pattern.is_below(RESERVED) => {
            let message = format!("paths below `{RESERVED}` are the gateway's own, so this pattern could never match");
            reading.error(message, text.span.clone(), "remove it");
            None
        }
        Ok(pattern) if pattern.is_below(prefix) => Some(pattern),
        Ok(_) => {
            let message = format!("the application is at `{prefix}`, so this path pattern could never match");
            let help = format!("begin it with {prefix}/: patterns are matched against the whole path");
            reading.error(message, text.span.clone(), help);
            None
        }
        Err(why) => {
            reading.error(why.to_string(), text.span.clone(), why.help());
            None
        }
    }
}

fn read_methods(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<MethodSet> {
    let Some(value) = section.value("methods") else { return Some(MethodSet::usual()) };
    let texts = reading.texts(value, "methods")?;
    if texts.is_empty() {
        let help = "leave `methods` away for GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS";
        reading.error("`methods` is empty: the rule could never match", value.span(), help);
        return None;
    }
    let methods: Vec<_> = texts.iter().filter_map(|text| read_method(text, reading)).collect();
    (methods.len() == texts.len()).then(|| MethodSet::named(methods))
}

fn read_method(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Method> {
    let upper = text.text.to_ascii_uppercase();
    match Method::from_bytes(text.text.as_bytes()) {
        Ok(method) if upper == text.text => Some(method),
        Ok(_) => {
            let message = format!("`{}` is another method than `{upper}`: methods are case-sensitive", text.text);
            reading.error(message, text.span.clone(), format!("write \"{upper}\""));
            None
        }
        Err(_) => {
            reading.error(
                format!("`{}` is no method", text.text),
                text.span.clone(),
                "for example \"GET\" or \"PROPFIND\"",
            );
            None
        }
    }
}

fn read_access(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<(Access, Option<Condition>)> {
    let word = section.value("access").map(|value| (value.span(), section_word(section, reading)));
    let allow = section.text("allow", reading);
    match (word, allow) {
        (None, None) | (Some((_, Some(false))), None) => Some((Access::Session, None)),
        (Some((_, Some(true))), None) => Some((Access::Public, None)),
        (Some((_, Some(true))), Some(allow)) => {
            let help = "remove `access` to let only some people pass, or `allow` to let everybody";
            reading.error("a public rule asks nobody, so `allow` could not be evaluated", allow.span, help);
            None
        }
        (Some((_, None)), _) => None,
        (_, Some(allow)) => read_condition(&allow, reading).map(|allow| (Access::Session, Some(Condition::new(allow)))),
    }
}

fn section_word(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<bool> {
    section.word("access", &[("public", true), ("session", false)], reading)
}

fn read_condition(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Expression> {
    if text.text.starts_with("${") {
        let help = "`allow` is an expression by itself: leave `${` and `}` away";
        reading.error("`allow` does not take `${…}`", text.span.clone(), help);
        return None;
    }
    let expression = Expression::compile(text.text).map_err(|mistakes| report(mistakes, text, reading)).ok()?;
    if let Some(kind) = expression.kind().filter(|kind| *kind != Kind::Bool) {
        let help = "compare it: user.email == 'ada@gmr.example', 'staff' in user.groups";
        reading.error(format!("`allow` needs true or false, this is {kind}"), text.span.clone(), help);
        return None;
    }
    Some(expression)
}

fn read_step_up(mut section: Section<'_>, reading: &mut Reading<'_>) -> Option<StepUp> {
    let span = section.span();
    let acr = section.texts("acr", reading);
    let max_age = section.duration("max_age", reading);
    section.finish(reading);
    let acr: Vec<String> = acr.unwrap_or_default().iter().map(|text| text.text.to_owned()).collect();
    if acr.is_empty() && max_age.is_none() {
        reading.error("`step_up` asks for nothing", span, "give `acr`, `max_age` or both");
        return None;
    }
    Some(StepUp { acr, max_age })
}

/// An earlier rule that covers every method and path of `later` leaves nothing for it.
fn report_unreachable(later: &RuleEntry, earlier: &[RuleEntry], reading: &mut Reading<'_>) {
    let blocking = |pattern: &Pattern| {
        earlier.iter().find(|rule| {
            rule.methods.covers(&later.methods) && rule.patterns.iter().any(|earlier| earlier.covers(pattern))
        })
    };
    let blockers: Option<Vec<_>> = later.patterns.iter().map(blocking).collect();
    if let Some(blocker) = blockers.as_ref().and_then(|all| all.first()) {
        let line = reading.line(blocker.span.start);
        let message = format!("this rule can never match: rule `{}` on line {line} comes first", blocker.rule.label);
        reading.error(message, later.span.clone(), "the first rule that matches decides; move the narrower rule up");
    }
}
