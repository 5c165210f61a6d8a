//! Reads `[[rules]]`: for which requests, for whom, what they must have proved, and what is answered.
//!
//! May touch: nothing. Trust boundary: the file is an administrator's; a rule that could never match, or that says two
//! things at once, is an error here and not a surprise later (P03, P04, P06).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use http::Method;
use toml::de::DeValue;

use super::answer::{self, Answer};
use super::case::Case;
use super::condition::Condition;
use super::coverage;
use super::definitions::read_expression;
use super::header_choice::{Choices, Layer};
use super::limits::{self, LimitsRead};
use super::login;
use super::method_set::MethodSet;
use super::pattern::Pattern;
use super::reader::{Reading, Section, Text};
use super::selector::{self, Selector};
use crate::diagnostic::Diagnostic;
use crate::http::{HostName, PathSwitches};

/// Where the gateway's own pages are, on every host.
pub(super) const RESERVED: &str = "/.lychgate";

/// A compiled rule. What the usual decision reads of it is one cache line; all else is behind pointers.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Rule {
    /// Its name, or `#3`.
    pub(super) label: Box<str>,
    /// What must be true of who is signed in.
    pub(super) allow: Option<Condition>,
    /// The place of the header set that goes with its requests, among those of the policy.
    pub(super) header_set: usize,
    /// For whom it is.
    pub(super) access: Access,
    /// Whether it only observes: it never decides.
    pub(super) observes: bool,
    /// What few rules have; none where it has nothing of that.
    rare: Option<Box<Rare>>,
    terms: Box<Terms>,
}

const _: () = assert!(size_of::<Rule>() == 64);

/// What few rules ask or do.
#[derive(Debug)]
struct Rare {
    deny: Option<Condition>,
    step_up: Option<StepUp>,
    answer: Option<Answer>,
}

/// What a decision reads only of rules that select by more than methods and paths.
#[derive(Debug)]
struct Terms {
    selector: Selector,
    written: Written,
}

/// How a rule stands in its file.
#[derive(Debug)]
pub(super) struct Written {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// Its path patterns; none for all paths.
    pub(super) paths: Box<[Box<str>]>,
}

/// For whom a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, without sign-in and without identity headers.
    Public,
    /// Everybody; with identity headers when somebody is signed in.
    Optional,
    /// Whoever is signed in.
    Session,
}

const ACCESS: [(&str, Access); 3] =
    [("public", Access::Public), ("optional", Access::Optional), ("session", Access::Session)];

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
    /// The headers that it gives itself.
    pub(super) layer: Layer,
    /// How much may be asked for by it.
    pub(super) limits: Option<LimitsRead>,
}

/// What rules are checked against of the application.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The application's path.
    pub(super) prefix: &'a str,
    /// Its hosts; none where they could not be read.
    pub(super) hosts: Option<&'a [HostName]>,
    /// How paths are compared.
    pub(super) case: Case,
    /// What it wants kept in paths.
    pub(super) path_switches: PathSwitches,
}

impl Rule {
    /// How it stands in the file; for those who read about it, never for a decision.
    pub(super) fn written(&self) -> &Written {
        &self.terms.written
    }

    /// What requests it selects by, besides paths and methods.
    pub(super) fn selector(&self) -> &Selector {
        &self.terms.selector
    }

    /// What must not be true of who is signed in.
    pub(super) fn deny(&self) -> Option<&Condition> {
        self.rare.as_ref()?.deny.as_ref()
    }

    /// What the sign-in must be.
    pub(super) fn step_up(&self) -> Option<&StepUp> {
        self.rare.as_ref()?.step_up.as_ref()
    }

    /// What the gateway answers itself, in place of the application.
    pub(super) fn answer(&self) -> Option<&Answer> {
        self.rare.as_ref()?.answer.as_ref()
    }

    /// All conditions of the rule.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.deny().into_iter().chain(&self.allow)
    }

    /// All conditions of the rule, to be placed.
    pub(super) fn conditions_mut(&mut self) -> impl Iterator<Item = &mut Condition> {
        self.rare.iter_mut().filter_map(|rare| rare.deny.as_mut()).chain(&mut self.allow)
    }

    /// Whether the application can be told who somebody is.
    pub(super) fn tells(&self) -> bool {
        self.access != Access::Public && self.answer().is_none()
    }
}

/// Reads all rules of the application at `place`.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    place: Place<'_>,
    choices: &mut Choices<'_>,
    reading: &mut Reading<'_>,
) -> Vec<RuleEntry> {
    let mut rules = Vec::new();
    let mut names = BTreeMap::new();
    for (index, section) in sections.into_iter().enumerate() {
        rules.extend(read_rule(section, index, (place, &mut names), choices, reading));
    }
    coverage::check(&rules, place.case, reading);
    rules
}

fn read_rule(
    mut section: Section<'_>,
    index: usize,
    (place, names): (Place<'_>, &mut BTreeMap<String, usize>),
    choices: &mut Choices<'_>,
    reading: &mut Reading<'_>,
) -> Option<RuleEntry> {
    let span = section.span();
    let name = section.text("name", reading);
    let label = read_label(name, index, names, reading);
    let patterns = read_patterns(&mut section, place, reading);
    let written = written(&section, reading);
    let methods = read_methods(&mut section, reading);
    let selector = selector::read(&mut section, place.hosts, reading);
    let mode = section.word("mode", &[("observe", true), ("enforce", false)], reading);
    let observes = mode.unwrap_or(false);
    let answer = answer::read(&mut section, reading);
    let gate = read_gate(&mut section, answer.is_some(), reading);
    let layer = choices.read(&mut section, reading);
    let limits = section.section("limits", reading).and_then(|section| limits::read(section, reading));
    section.finish(reading);
    let Gate { access, deny, allow, step_up } = gate?;
    let (answer, header_set) = (answer.map_or(Some(None), |answer| answer.map(Some))?, 0);
    let is_plain = deny.is_none() && step_up.is_none() && answer.is_none();
    let rare = (!is_plain).then(|| Box::new(Rare { deny, step_up, answer }));
    let terms = Box::new(Terms { selector: selector?, written });
    let rule = Rule { label, allow, header_set, access, observes, rare, terms };
    check_told(&rule, &layer, reading);
    Some(RuleEntry { rule, methods: methods?, patterns: patterns?, span, layer, limits })
}

/// Headers of a rule under which nothing is sent.
fn check_told(rule: &Rule, layer: &Layer, reading: &mut Reading<'_>) {
    let Some(span) = &layer.span else { return };
    if rule.answer().is_some() {
        let help = "remove them: the application is not asked";
        reading.error("the gateway answers itself, so these headers are never sent", span.clone(), help);
    } else if rule.access == Access::Public && layer.tell() {
        let help = "a public rule tells nothing of anybody; access = \"optional\" tells who is signed in";
        let finding = Diagnostic::warning("these headers are never sent: the rule is public").help(help);
        reading.push(finding, span.clone());
    }
}

fn written(section: &Section<'_>, reading: &Reading<'_>) -> Written {
    let paths = section.in_order().into_iter().find(|(key, _)| key.text == "paths").map(|(_, value)| value.get_ref());
    let texts: Vec<&str> = match paths {
        Some(DeValue::Array(items)) => items.iter().filter_map(|item| item.get_ref().as_str()).collect(),
        single => single.and_then(DeValue::as_str).into_iter().collect(),
    };
    Written { line: reading.line(section.span().start), paths: texts.into_iter().map(Into::into).collect() }
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

fn read_patterns(section: &mut Section<'_>, place: Place<'_>, reading: &mut Reading<'_>) -> Option<Vec<Pattern>> {
    let Some(value) = section.value("paths") else { return Some(vec![Pattern::everything()]) };
    let texts = reading.texts(value, "paths")?;
    if texts.is_empty() {
        reading.error("`paths` is empty: the rule could never match", value.span(), "leave `paths` away for all paths");
        return None;
    }
    let patterns: Vec<_> = texts.iter().filter_map(|text| read_pattern(text, place, reading)).collect();
    (patterns.len() == texts.len()).then_some(patterns)
}

fn read_pattern(text: &Text<'_>, place: Place<'_>, reading: &mut Reading<'_>) -> Option<Pattern> {
    let Place { prefix, case, .. } = place;
    match Pattern::parse(text.text, case) {
        Ok(pattern) if pattern.is_below(RESERVED, case) => {
            let message = format!("paths below `{RESERVED}` are the gateway's own, so this pattern could never match");
            reading.error(message, text.span.clone(), "remove it");
            None
        }
        Ok(pattern) if pattern.is_below(prefix, case) => Some(pattern),
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

/// Whom a rule lets pass.
struct Gate {
    access: Access,
    deny: Option<Condition>,
    allow: Option<Condition>,
    step_up: Option<StepUp>,
}

/// Reads `access`, `deny`, `allow` and `step_up`; `answers` when the gateway answers itself.
fn read_gate(section: &mut Section<'_>, answers: bool, reading: &mut Reading<'_>) -> Option<Gate> {
    let given = section.value("access").map(toml::Spanned::span);
    let word = section.word("access", &ACCESS, reading);
    let (deny, allow) = (section.text("deny", reading), section.text("allow", reading));
    let step_up = section.section("step_up", reading).map(|inner| (inner.span(), read_step_up(inner, reading)));
    let asks = ["deny", "allow", "step_up"].iter().any(|key| !section.lacks(key));
    let access = match (word, &given) {
        (Some(word), _) => word,
        (None, Some(_)) => return None,
        (None, None) if answers && !asks => Access::Public,
        (None, None) => Access::Session,
    };
    if access != Access::Session {
        let kind = if access == Access::Public { "a public rule" } else { "an optional rule" };
        for (key, text) in [("deny", &deny), ("allow", &allow)] {
            let Some(text) = text else { continue };
            let help = format!("remove `access` to let only some people pass, or `{key}` to let everybody");
            let message = format!("{kind} asks nobody, so `{key}` could not be evaluated");
            reading.error(message, text.span.clone(), help);
        }
        if let Some((span, _)) = &step_up {
            let help = "remove `step_up` or `access`";
            reading.error(format!("{kind} asks nobody to sign in"), span.clone(), help);
        }
        if asks {
            return None;
        }
    }
    if let Some(span) = given.filter(|_| answers && access == Access::Optional) {
        let help = "remove `access` to answer everybody, or use \"session\" to answer whoever is signed in";
        reading.error("the gateway's own answer is the same for everybody", span, help);
        return None;
    }
    let complete =
        ["deny", "allow"].iter().zip([&deny, &allow]).all(|(key, text)| text.is_some() || section.lacks(key));
    let deny = deny.map(|text| read_condition("deny", &text, reading));
    let allow = allow.map(|text| read_condition("allow", &text, reading));
    let (deny, allow) =
        (deny.map_or(Some(None), |deny| deny.map(Some)), allow.map_or(Some(None), |allow| allow.map(Some)));
    let step_up = step_up.and_then(|(_, step_up)| step_up);
    Some(Gate { access, deny: deny?, allow: allow?, step_up }).filter(|_| complete)
}

fn read_condition(key: &str, text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Condition> {
    let expression = read_expression(&format!("`{key}`"), text, &reading.named(), reading)?;
    if expression.reads().only_what_clients_say() {
        let message = format!("`{key}` rests on what the client says of itself, which proves nothing");
        let help = "ask for something of the person, too; whoever wants to pass sends what is asked for";
        reading.push(Diagnostic::warning(message).help(help), text.span.clone());
    }
    Some(Condition::new(expression, text.text))
}

fn read_step_up(mut section: Section<'_>, reading: &mut Reading<'_>) -> Option<StepUp> {
    let span = section.span();
    let acr = login::read_acr(&mut section, reading).unwrap_or_default();
    let max_age = section.duration("max_age", reading);
    section.finish(reading);
    if acr.is_empty() && max_age.is_none() {
        reading.error("`step_up` asks for nothing", span, "give `acr`, `max_age` or both");
        return None;
    }
    Some(StepUp { acr, max_age })
}
