//! From the text of a policy file to a [`Policy`], or to all mistakes in it.
//!
//! May touch: secrets only through the caller's closure; no files. Trust boundary: the file is an administrator's, and
//! every mistake in it must give an error with its place, never a panic and never half a policy.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::app::{self, App, Login, SessionLimits};
use super::condition::Condition;
use super::definitions::{self, Definitions, Part};
use super::expression::{Expression, Named};
use super::header_choice::{Choices, SetTable};
use super::header_set::HeaderSet;
use super::header_table::SecretSource;
use super::reader::{Reading, Section};
use super::route::{RouteRule, RouteTable};
use super::rule::{self, Access, Place, Rule, RuleEntry};
use super::test_case::TestCase;
use super::{LoginAccepts, Policy, claim_check, include, test_table};
use crate::crypto::Secret;
use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::reference;

/// The largest file, in bytes.
pub(super) const MAX_FILE: usize = 1024 * 1024;

/// The most rules in one policy.
const MAX_RULES: usize = 1000;

/// What a policy takes from outside its file.
pub struct Environment<'a> {
    /// Reads what a policy names as `{ file = … }` or `{ env = … }`; its error text is shown.
    pub secrets: &'a dyn Fn(&SecretSource) -> Result<Secret<String>, String>,
    /// Reads a file of definitions that a policy includes, named as in the policy and relative to it; its error text is shown.
    pub files: &'a dyn Fn(&Path) -> Result<Arc<SourceFile>, String>,
    /// The configured providers.
    pub providers: &'a [ProviderFacts<'a>],
}

/// What policies are checked against of a configured provider.
#[derive(Clone, Copy, Debug)]
pub struct ProviderFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// The scopes that are asked of it; none where the configuration could not be read.
    pub scopes: Option<&'a [String]>,
}

/// The `files` of an [`Environment`] in which no file of definitions can be read.
pub fn no_files(path: &Path) -> Result<Arc<SourceFile>, String> {
    Err(format!("{} cannot be read here", path.display()))
}

/// Compiles the policy called `name`. All findings go to `report`; errors among them leave no policy.
pub fn compile(
    name: &str,
    source: &Arc<SourceFile>,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Option<Policy> {
    let mut reading = Reading::new(source);
    let Some(table) = include::parse(source.text(), &mut reading) else {
        report.append(reading.into_report());
        return None;
    };
    let mut whole = reading.open("", &reference::policy::FILE, table.get_ref(), 0..source.text().len());
    let included = include::read(&mut whole, environment, &mut reading);
    let mut shared: Vec<_> = included.iter().map(|file| Reading::new(&file.source)).collect();
    let tables: Vec<_> =
        included.iter().zip(&mut shared).map(|(file, reading)| include::parse(file.source.text(), reading)).collect();
    let mut parts = Vec::new();
    for ((file, table), reading) in included.iter().zip(&tables).zip(&mut shared) {
        let Some(table) = table else { continue };
        let span = 0..file.source.text().len();
        let top = reading.open("", &reference::policy::DEFINITIONS, table.get_ref(), span);
        parts.push(Part::whole(top, file, reading));
    }
    parts.push(Part::take(&mut whole, None, &mut reading));
    let definitions = definitions::compile(&mut parts, environment);
    drop(parts);
    let policy = read_sections(name, whole, (environment, &definitions), &mut reading, &mut shared);
    let is_sound = !std::iter::once(&reading).chain(&shared).any(Reading::has_errors);
    report.append(reading.into_report());
    for reading in shared {
        reading.into_report().into_findings().into_iter().for_each(|finding| report.push_once(finding));
    }
    policy.filter(|_| is_sound)
}

fn read_sections<'f>(
    name: &str,
    mut whole: Section<'_>,
    (environment, definitions): (&Environment<'_>, &Definitions),
    reading: &mut Reading<'f>,
    shared: &mut [Reading<'f>],
) -> Option<Policy> {
    let mode = whole.word("mode", &[("observe", true), ("enforce", false)], reading);
    let app = whole.section("app", reading);
    if whole.lacks("app") {
        report_no_app(&whole, reading);
    }
    let (app, prefix) = app.map_or((None, "/".into()), |section| app::read(section, reading));
    let login = whole.section("login", reading);
    let has_login = login.is_some();
    let login = login.and_then(|section| app::read_login(section, environment.providers, reading));
    let session = whole.section("session", reading).map(|section| app::read_session(section, reading));
    let mut choices = Choices::new(environment, definitions);
    let headers = choices.read(&mut whole, reading);
    let rules = whole.sections("rules", reading);
    if rules.is_empty() && whole.lacks("rules") {
        reading.error("the policy has no `[[rules]]`, so nobody could pass", 0..0, "add at least one rule");
    }
    if rules.len() > MAX_RULES {
        reading.error(format!("the policy has more than {MAX_RULES} rules"), 0..0, "give several paths to one rule");
        return None;
    }
    let hosts = app.as_ref().map(|app| app.hosts.as_slice()).filter(|hosts| !hosts.is_empty());
    let place = Place { prefix: &prefix, hosts, case: app.as_ref().map(|app| app.case).unwrap_or_default() };
    let mut rules = rule::read(rules, place, &mut choices, reading);
    let tests = whole.sections("tests", reading);
    let acr = login.as_ref().and_then(|login| login.acr.first());
    let tests = test_table::read(tests, &prefix, acr.map(String::as_str), reading);
    whole.finish(reading);
    check_login(has_login, &rules, reading);
    if let Some(span) =
        headers.span.clone().filter(|_| !headers.is_empty() && !rules.iter().any(|entry| entry.rule.tells()))
    {
        reading.push(Diagnostic::warning("these headers are never sent: every rule is public"), span);
    }
    let mut sets = SetTable::new(&headers);
    for entry in &mut rules {
        entry.rule.header_set = sets.place(&entry.layer, reading);
    }
    let header_sets = sets.compile();
    let mut uses = choices.into_uses();
    let asked = rules.iter().flat_map(|entry| entry.rule.conditions()).map(Condition::expression);
    let told = header_sets.iter().flat_map(HeaderSet::expressions);
    asked.chain(told).for_each(|expression| uses.named.extend(expression.uses()));
    if !reading.has_errors() {
        definitions.warn_of_unused(&uses, reading);
        if let Some(login) = &login {
            let readings = std::iter::once(reading).chain(shared);
            claim_check::check(login, environment.providers, (&uses, &definitions.named), readings);
        }
    }
    let parts = Parts {
        observes: mode.unwrap_or(false),
        app: app?,
        login,
        session: session.unwrap_or_default(),
        header_sets,
        named: Arc::clone(&definitions.named),
        rules,
        tests,
    };
    Some(parts.assemble(name))
}

/// A file without `[app]`; one with definitions only is in the wrong folder.
fn report_no_app(whole: &Section<'_>, reading: &mut Reading<'_>) {
    let defines = ["conditions", "groups", "header_sets"].iter().any(|key| !whole.lacks(key));
    let help = if defines && whole.lacks("rules") {
        "a file of definitions belongs where `policies` does not look, such as policies/shared/: policies include it"
    } else {
        "[app] names the hosts and the upstream"
    };
    reading.error("the policy has no `[app]`", 0..0, help);
}

/// Without `[login]` nobody can sign in, so no rule may ask who somebody is.
fn check_login(has_login: bool, rules: &[RuleEntry], reading: &mut Reading<'_>) {
    let closed = rules.iter().find(|entry| entry.rule.access != Access::Public);
    if let Some(entry) = closed.filter(|_| !has_login) {
        let wants =
            if entry.rule.access == Access::Optional { "asks who is signed in" } else { "needs a signed-in person" };
        let message = format!("rule `{}` {wants}, and there is no `[login]`", entry.rule.label);
        reading.error(message, entry.span.clone(), "add [login], or make the rule `access = \"public\"`");
    }
}

/// All parts of a policy that was read without an error.
struct Parts {
    observes: bool,
    app: App,
    login: Option<Login>,
    session: SessionLimits,
    header_sets: Vec<HeaderSet>,
    named: Arc<Named>,
    rules: Vec<RuleEntry>,
    tests: Vec<TestCase>,
}

impl Parts {
    fn assemble(self, name: &str) -> Policy {
        let mut routes = RouteTable::new(self.app.case);
        let mut rules = Vec::with_capacity(self.rules.len());
        for entry in self.rules {
            let route = RouteRule { methods: entry.methods, observes: entry.rule.observes };
            routes.push(route, &entry.patterns);
            rules.push(entry.rule);
        }
        let mut conditions = 0;
        for condition in rules.iter_mut().flat_map(Rule::conditions_mut) {
            condition.place(conditions);
            conditions += 1;
        }
        let header_sets = self.header_sets;
        let asked = rules.iter().flat_map(Rule::conditions).map(Condition::expression);
        let told = header_sets.iter().flat_map(HeaderSet::expressions);
        let claims_read: BTreeSet<_> = asked.chain(told).flat_map(Expression::claims).cloned().collect();
        let parameters = |observing: bool| {
            let rules = rules.iter().filter(|rule| rule.observes == observing);
            let names: BTreeSet<Box<str>> = rules.flat_map(|rule| rule.selector.parameters()).map(Into::into).collect();
            names.into_iter().collect::<Vec<_>>()
        };
        let (parameters, observed_parameters) = (parameters(false), parameters(true));
        let login_accepts = LoginAccepts::new(self.login.as_ref(), &rules);
        Policy {
            id: next_id(),
            name: name.into(),
            app: self.app,
            login: self.login,
            login_accepts,
            session: self.session,
            header_sets,
            rules,
            routes,
            tests: self.tests,
            claims_read,
            named: self.named,
            conditions,
            parameters,
            observed_parameters,
            observes: self.observes,
        }
    }
}

/// Tells compiled policies apart, so that what was prepared for one is never used with another.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
