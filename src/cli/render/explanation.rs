//! An explained request: a story for people, one JSON object for programs.
//!
//! The JSON form is a contract that `docs/commands.md` documents: members may be added, none changes its meaning without
//! another version.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::app::{Decided, Story};
use crate::policy::{Check, ExplainedHeader, ExplainedLimit, ExplainedRule, Seen, Standing};

/// A sign-in as long ago as this, in seconds, is one of which the provider did not say when it was (decision 82).
const UNKNOWN: u64 = 20 * 365 * 86_400;

/// The version of the JSON form.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Whole<'s> {
    version: u32,
    #[serde(flatten)]
    story: &'s Story,
}

/// For programs: one JSON object on one line.
pub(in crate::cli) fn json(story: &Story) -> String {
    serde_json::to_string(&Whole { version: VERSION, story }).unwrap_or_default()
}

/// For people; `files` are the policies' names and files.
pub(in crate::cli) fn text(story: &Story, files: &[(String, String)]) -> String {
    let mut out = String::new();
    let file = |policy: &str| {
        let known = files.iter().find(|(name, _)| name == policy);
        known.map_or_else(|| policy.to_owned(), |(_, file)| file.clone())
    };
    let app = story.route.as_ref().map_or("", |route| &route.app);
    asked(story, &file(app), &mut out);
    signed_in(story, &mut out);
    for taken in &story.scrubbed {
        let _ = writeln!(out, "scrubbed  {}: {}", taken.name, taken.why);
    }
    if let Some(why) = &story.doubtful {
        let _ = writeln!(out, "doubt     {why}, so no rule is asked");
    }
    rules(&story.rules, &file(app), &mut out);
    if let Some(shadow) = &story.shadow {
        let _ = write!(out, "\n`{}` only observes", shadow.policy);
        rules(&shadow.rules, &file(&shadow.policy), &mut out);
        decided(&format!("`{}` would", shadow.policy), &shadow.decided, &mut out);
    }
    if let Some(observed) = &story.observed {
        out.push('\n');
        decided("observing", observed, &mut out);
    }
    out.push('\n');
    decided("decision", &story.decision, &mut out);
    limits(&story.limits, &mut out);
    headers(&story.headers, &mut out);
    if let Some(receives) = &story.receives {
        let _ = writeln!(out, "\nthe application receives\n  {}", receives.line);
        for (name, value) in &receives.fields {
            let _ = writeln!(out, "  {name}: {value}");
        }
    }
    out
}

fn asked(story: &Story, file: &str, out: &mut String) {
    let query = story.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let _ = writeln!(out, "request   {} {}://{}{}{query}", story.method, story.scheme, story.host, story.path);
    if let Some(path) = &story.matched_path {
        let _ = writeln!(out, "          rules see {path}");
    }
    if let Some(path) = &story.other_reading {
        let _ = writeln!(out, "          some applications read it as {path}, which must be decided alike");
    }
    let client = story.client.map(|client| format!("from {client} ")).unwrap_or_default();
    let _ = writeln!(out, "          {client}at {}", story.time);
    if let Some(subject) = &story.client_certificate {
        let _ = writeln!(out, "          with the certificate of {subject}");
    }
    let Some(route) = &story.route else { return };
    let others = match route.others.as_slice() {
        [] => String::new(),
        others => format!("; also on this host: {}", others.join(", ")),
    };
    let _ = writeln!(out, "route     `{}` has this host and all paths at {}{others}", route.app, route.prefix);
    let _ = writeln!(out, "          {file}");
}

fn signed_in(story: &Story, out: &mut String) {
    if story.route.is_none() {
        return;
    }
    let (Some(who), Some(session)) = (&story.who, &story.session) else {
        let _ = writeln!(out, "person    nobody is signed in");
        return;
    };
    let acr = session.acr.as_ref().map_or("no acr".to_owned(), |acr| format!("acr {acr}"));
    let amr = if session.amr.is_empty() { String::new() } else { format!(", amr {}", session.amr.join(" ")) };
    let when = if session.age < UNKNOWN { format!("{} ago", span(session.age)) } else { "nobody said when".to_owned() };
    let _ = writeln!(out, "person    {who}, signed in at {} {when}, {acr}{amr}", session.provider);
    if let Some(claims) = &story.claims {
        let _ = writeln!(out, "          the session keeps {claims}");
    }
    if !story.absent_claims.is_empty() {
        let _ = writeln!(out, "          policies read, and the person has not: {}", story.absent_claims.join(", "));
    }
    if let Some(reason) = story.not_signed_in {
        let _ = writeln!(out, "          counts as nobody here: {reason}, the application signs people in elsewhere");
    }
}

fn span(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn rules(rules: &[ExplainedRule], file: &str, out: &mut String) {
    if rules.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nrules of {file}");
    for rule in rules {
        let observes = if rule.observes { ", which only observes" } else { "" };
        let _ = writeln!(out, "  `{}` (line {}{observes}): {}", rule.rule, rule.line, standing(&rule.standing));
        rule.checks.iter().for_each(|one| check(one, out));
    }
}

fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Decides => "decides".to_owned(),
        Standing::Observes => "would decide".to_owned(),
        Standing::TooLate => "matches, and an earlier rule does".to_owned(),
        Standing::NotAsked => "matches, and is not asked".to_owned(),
        Standing::PassedOver { by, wanted, found } => format!("passed over: {by} is {wanted}, found {found}"),
    }
}

fn check(check: &Check, out: &mut String) {
    let _ = match check {
        Check::Access { wanted, signed_in } => {
            let who = if *signed_in { "somebody is" } else { "nobody is" };
            writeln!(out, "    access: {wanted}; {who} signed in")
        }
        Check::Login { wanted, found, good } => {
            writeln!(out, "    login: {}", acr(wanted, found.as_deref(), *good))
        }
        Check::Condition { key, holds, seen: value } => {
            let outcome = holds.map_or("cannot be evaluated".to_owned(), |holds| holds.to_string());
            let _ = writeln!(out, "    {key}: {outcome}");
            seen(value, 3, out);
            Ok(())
        }
        Check::StepUp { wanted, found, max_age, age, good } => {
            let found_age = if *age < UNKNOWN { span(*age) } else { "that nobody said when".to_owned() };
            let within = |max_age: &u64| format!("; at most {} ago, found {found_age}", span(*max_age));
            let age = max_age.as_ref().map(within).unwrap_or_default();
            writeln!(out, "    step_up: {}{age}", acr(wanted, found.as_deref(), *good))
        }
        Check::Answer { status, location: Some(location) } => writeln!(out, "    answer: {status} to {location}"),
        Check::Answer { status, location: None } => writeln!(out, "    answer: {status}"),
    };
}

fn acr(wanted: &[String], found: Option<&str>, good: bool) -> String {
    let outcome = if good { "good enough" } else { "not good enough" };
    let wanted = if wanted.is_empty() { "any".to_owned() } else { format!("one of {}", wanted.join(", ")) };
    format!("{outcome}: acr {wanted}, found {}", found.unwrap_or("none"))
}

fn seen(seen: &Seen, depth: usize, out: &mut String) {
    let value = match (&seen.value, &seen.error) {
        (Some(value), _) => format!("= {value}"),
        (None, error) => format!("! {}", error.as_deref().unwrap_or("no value")),
    };
    let _ = writeln!(out, "{}{}  {value}", "  ".repeat(depth), seen.text);
    seen.parts.iter().for_each(|part| self::seen(part, depth + 1, out));
}

fn decided(label: &str, decided: &Decided, out: &mut String) {
    let _ = write!(out, "{label:9} {}", decided.decision);
    if let Some(rule) = &decided.rule {
        let _ = write!(out, " by `{rule}`");
    }
    if let Some(reason) = &decided.reason {
        let _ = write!(out, " ({reason})");
    }
    out.push('\n');
    if let Some(why) = &decided.why {
        let _ = writeln!(out, "          {why}");
    }
}

fn limits(limits: &[ExplainedLimit], out: &mut String) {
    if limits.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nlimits that the request counts towards");
    for limit in limits {
        let rule = limit.rule.as_ref().map_or("the application".to_owned(), |rule| format!("`{rule}`"));
        let observes = if limit.observes { ", which only observes" } else { "" };
        let _ = writeln!(out, "  {rule}: {}{observes}", limit.limit);
    }
}

fn headers(headers: &[ExplainedHeader], out: &mut String) {
    if headers.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nidentity headers");
    for header in headers {
        let _ = match (&header.value, &header.why) {
            (Some(value), _) if header.masked => writeln!(out, "  {}: {value}", header.name),
            (Some(value), _) => writeln!(out, "  {}: \"{value}\"", header.name),
            (None, why) => writeln!(out, "  {} is not sent: {}", header.name, why.as_deref().unwrap_or_default()),
        };
    }
}
