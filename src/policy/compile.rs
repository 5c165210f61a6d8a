//! From the text of a policy file to a [`Policy`], or to all mistakes in it.
//!
//! May touch: secrets only through the caller's closure; no files. Trust boundary: the file is an administrator's, and
//! every mistake in it must give an error with its place, never a panic and never half a policy.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use toml::de::DeTable;

use super::app::{self, App, Login, SessionLimits};
use super::bearer::{self, Bearer};
use super::condition::Condition;
use super::expression::Expression;
use super::header::Header;
use super::header_set::HeaderSet;
use super::header_table::{self, SecretSource};
use super::reader::{Reading, Section};
use super::route::{RouteRule, RouteTable};
use super::rule::{self, Access, Place, Rule, RuleEntry};
use super::test_case::TestCase;
use super::{LoginAccepts, Policy, test_table};
use crate::crypto::Secret;
use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::reference;

/// The largest policy file, in bytes.
const MAX_FILE: usize = 1024 * 1024;

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
    let policy = read(name, source, environment, &mut reading);
    let policy = policy.filter(|_| !reading.has_errors());
    report.append(reading.into_report());
    policy
}

fn read(
    name: &str,
    source: &Arc<SourceFile>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<Policy> {
    if source.text().len() > MAX_FILE {
        reading.error(format!("the policy is larger than {MAX_FILE} bytes"), 0..0, "split it");
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(source.text());
    for error in &errors {
        let finding = Diagnostic::error(format!("the file is no TOML: {}", error.message()));
        reading.push(finding, error.span().unwrap_or_default());
    }
    if !errors.is_empty() {
        return None;
    }
    let whole = reading.open("", &reference::policy::FILE, table.get_ref(), 0..source.text().len());
    read_sections(name, whole, environment, reading)
}

fn read_sections(
    name: &str,
    mut whole: Section<'_>,
    environment: &Environment<'_>,
    reading: &mut Reading<'_>,
) -> Option<Policy> {
    let mode = whole.word("mode", &[("observe", true), ("enforce", false)], reading);
    let app = whole.section("app", reading);
    if whole.lacks("app") {
        reading.error("the policy has no `[app]`", 0..0, "[app] names the hosts and the upstream");
    }
    let (app, prefix) = app.map_or((None, "/".into()), |section| app::read(section, reading));
    let login = whole.section("login", reading);
    let has_login = login.is_some();
    let login = login.and_then(|section| app::read_login(section, environment.providers, reading));
    let bearer = whole.section("bearer", reading);
    let bearer_at = bearer.as_ref().map(Section::span);
    let bearer = bearer.and_then(|section| bearer::read(section, login.as_ref(), environment.providers, reading));
    let session = whole.section("session", reading).map(|section| app::read_session(section, reading));
    let headers = whole.section("headers", reading);
    let headers_span = headers.as_ref().map(Section::span);
    let headers = headers.map(|section| header_table::read(&section, environment, reading)).unwrap_or_default();
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
    let rules = rule::read(rules, place, reading);
    let tests = whole.sections("tests", reading);
    let acr = login.as_ref().and_then(|login| login.acr.first());
    let defaults = test_table::Defaults {
        browser: acr.map(String::as_str),
        bearer: bearer
            .as_ref()
            .and_then(|bearer| bearer.acr.as_ref())
            .map_or(acr, |acr| acr.first())
            .map(String::as_str),
    };
    let tests = test_table::read(tests, &prefix, defaults, reading);
    whole.finish(reading);
    check_login(has_login || bearer_at.is_some(), &rules, reading);
    if let Some((at, _)) = bearer_at.zip(bearer.as_ref().filter(|bearer| bearer.forward)) {
        check_forward(&headers, at, reading);
    }
    if let Some(span) = headers_span.filter(|_| !headers.is_empty() && !rules.iter().any(|entry| entry.rule.tells())) {
        reading.push(Diagnostic::warning("these headers are never sent: every rule is public"), span);
    }
    let parts = Parts {
        observes: mode.unwrap_or(false),
        app: app?,
        login,
        bearer,
        session: session.unwrap_or_default(),
        headers,
        rules,
        tests,
    };
    Some(parts.assemble(name))
}

/// A field that two parts of the policy set is set by neither of them for sure.
fn check_forward(headers: &[Header], bearer: Range<usize>, reading: &mut Reading<'_>) {
    if headers.iter().any(|header| header.name == http::header::AUTHORIZATION) {
        let help = "let one of them tell the application, `forward` or the header";
        reading.error("`forward` passes `Authorization` on, and `[headers]` sets it", bearer, help);
    }
}

/// Without `[login]` and `[bearer]` nobody can sign in, so no rule may ask who somebody is.
fn check_login(has_login: bool, rules: &[RuleEntry], reading: &mut Reading<'_>) {
    let closed = rules.iter().find(|entry| entry.rule.access != Access::Public);
    if let Some(entry) = closed.filter(|_| !has_login) {
        let wants =
            if entry.rule.access == Access::Optional { "asks who is signed in" } else { "needs a signed-in person" };
        let message = format!("rule `{}` {wants}, and there is no `[login]` and no `[bearer]`", entry.rule.label);
        reading.error(message, entry.span.clone(), "add [login] or [bearer], or make the rule `access = \"public\"`");
    }
}

/// All parts of a policy that was read without an error.
struct Parts {
    observes: bool,
    app: App,
    login: Option<Login>,
    bearer: Option<Bearer>,
    session: SessionLimits,
    headers: Vec<Header>,
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
        let header_sets = vec![HeaderSet::new(self.headers)];
        let asked = rules.iter().flat_map(Rule::conditions).map(Condition::expression);
        let told = header_sets.iter().flat_map(HeaderSet::expressions);
        let claims_read: BTreeSet<_> = asked.chain(told).flat_map(Expression::claims).cloned().collect();
        let parameters = |observing: bool| {
            let rules = rules.iter().filter(|rule| rule.observes == observing);
            let names: BTreeSet<Box<str>> = rules.flat_map(|rule| rule.selector.parameters()).map(Into::into).collect();
            names.into_iter().collect::<Vec<_>>()
        };
        let (parameters, observed_parameters) = (parameters(false), parameters(true));
        let login_accepts = LoginAccepts::new(self.login.as_ref(), self.bearer.as_ref(), &rules);
        Policy {
            id: next_id(),
            name: name.into(),
            app: self.app,
            login: self.login,
            bearer: self.bearer,
            login_accepts,
            session: self.session,
            header_sets,
            rules,
            routes,
            tests: self.tests,
            claims_read,
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
