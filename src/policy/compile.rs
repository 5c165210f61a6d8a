//! From the text of a policy file to a [`Policy`], or to all mistakes in it.
//!
//! May touch: secrets only through the caller's closure; no files. Trust boundary: the file is an administrator's, and
//! every mistake in it must give an error with its place, never a panic and never half a policy.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::app::{self, App, Login};
use super::bearer::{self, Bearer};
use super::condition::{Condition, Places};
use super::definitions::{self, Definitions, Part};
use super::doubt::Doubtful;
use super::expression::{Expression, Named};
use super::header_choice::{Choices, SetTable};
use super::header_set::HeaderSet;
use super::header_table::{NoSecret, SecretSource};
use super::hurdles::{Hurdles, LoginAccepts};
use super::limits::{self, LimitsRead};
use super::networks::{self, Networks};
use super::reader::{Reading, Section};
use super::response::{self, ResponseFields};
use super::route_tree::{RouteRule, RouteTree};
use super::rule::{self, Access, Place, Rule, RuleEntry};
use super::session::{self, SessionSettings};
use super::test_case::TestCase;
use super::{Door, Front, Policy, PolicyLimits, claim_check, include, test_table};
use crate::crypto::{IdentityKeys, Secret};
use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::reference;

/// The largest file, in bytes.
pub(super) const MAX_FILE: usize = 1024 * 1024;

/// The most rules in one policy.
pub(super) const MAX_RULES: usize = 1000;

/// What a policy takes from outside its file.
pub struct Environment<'a> {
    /// Reads what a policy names as `{ file = … }` or `{ env = … }`; its error text is shown.
    pub secrets: &'a dyn Fn(&SecretSource) -> Result<Secret<String>, NoSecret>,
    /// Reads a file of definitions that a policy includes, named as in the policy and relative to it; its error text is shown.
    pub files: &'a dyn Fn(&Path) -> Result<Arc<SourceFile>, String>,
    /// The configured providers.
    pub providers: &'a [ProviderFacts<'a>],
    /// What identity assertions are signed with; none where the gateway has no place for keys.
    pub identity: Option<&'a Arc<IdentityKeys>>,
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
    let bearer = whole.section("bearer", reading);
    let bearer_at = bearer.as_ref().map(Section::span);
    let bearer = bearer.and_then(|section| bearer::read(section, login.as_ref(), environment.providers, reading));
    let session = whole.section("session", reading).map(|section| session::read(section, reading));
    let limits = whole.section("limits", reading).and_then(|section| limits::read(section, reading));
    let networks = whole.section("networks", reading).and_then(|section| networks::read(section, reading));
    let mut choices = Choices::new(environment, definitions);
    let headers = choices.read_all(&mut whole, reading);
    let response = whole.section("response", reading).map(|section| response::read(section, reading));
    let rules = whole.sections("rules", reading);
    if rules.is_empty() && whole.lacks("rules") {
        reading.error("the policy has no `[[rules]]`, so nobody could pass", 0..0, "add at least one rule");
    }
    if rules.len() > MAX_RULES {
        reading.error(format!("the policy has more than {MAX_RULES} rules"), 0..0, "give several paths to one rule");
        return None;
    }
    let hosts = app.as_ref().map(|app| app.hosts.as_slice()).filter(|hosts| !hosts.is_empty());
    let path_switches = app.as_ref().map(|app| app.path_switches).unwrap_or_default();
    let place =
        Place { prefix: &prefix, hosts, case: app.as_ref().map(|app| app.case).unwrap_or_default(), path_switches };
    let mut rules = rule::read(rules, place, &mut choices, reading);
    limits::check(limits.as_ref(), &rules, has_login || bearer_at.is_some(), reading);
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
    let tests = test_table::read(tests, place, defaults, reading);
    whole.finish(reading);
    check_login(has_login || bearer_at.is_some(), &rules, reading);
    // A rule with a mistake is not among the rules: it may be the one that sends them.
    let tells = reading.has_errors() || rules.iter().any(|entry| entry.rule.tells());
    if let Some(span) = headers.span.clone().filter(|_| headers.tell() && !tells) {
        reading.push(Diagnostic::warning("these headers are never sent: every rule is public"), span);
    }
    let mut sets = SetTable::new(&headers);
    for entry in &mut rules {
        entry.rule.header_set = sets.place(&entry.layer, reading);
    }
    let header_sets = sets.compile();
    if let Some((at, _)) = bearer_at.zip(bearer.as_ref().filter(|bearer| bearer.forward)) {
        check_forward(&header_sets, at, reading);
    }
    let mut uses = choices.into_uses();
    let asked = rules.iter().flat_map(|entry| entry.rule.conditions()).map(Condition::expression);
    let told = header_sets.iter().flat_map(HeaderSet::expressions);
    asked.chain(told).for_each(|expression| uses.named.extend(expression.uses()));
    if path_switches.encoded_slash {
        warn_of_paths_read(&rules, &header_sets, reading);
    }
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
        bearer,
        session: session.unwrap_or_default(),
        limits,
        networks,
        header_sets,
        named: Arc::clone(&definitions.named),
        response: response.unwrap_or_default(),
        rules,
        tests,
    };
    Some(parts.assemble(name))
}

/// What headers are made of that these rules send.
fn told_by<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    header_sets: &'r [HeaderSet],
) -> impl Iterator<Item = &'r Expression> {
    let sets = rules.filter(|rule| rule.tells()).filter_map(|rule| header_sets.get(rule.header_set));
    sets.flat_map(HeaderSet::expressions)
}

/// An expression that reads the path would see one of two readings, so no path with an encoded slash is let through.
fn warn_of_paths_read(rules: &[RuleEntry], header_sets: &[HeaderSet], reading: &mut Reading<'_>) {
    let reads = |expression: &Expression| expression.reads().path;
    let deciding = || rules.iter().filter(|entry| !entry.rule.observes);
    let asking = deciding().find(|entry| entry.rule.conditions().map(Condition::expression).any(reads));
    let told = told_by(deciding().map(|entry| &entry.rule), header_sets).any(reads);
    let (who, span) = match asking {
        Some(entry) => (format!("rule `{}`", entry.rule.label), entry.span.clone()),
        None if told => ("a header".to_owned(), 0..0),
        None => return,
    };
    let message = format!("{who} reads `request.path`, so every path with `%2F` is denied, although it is kept");
    let help = "select by `paths`, which both readings of such a path must match";
    reading.push(Diagnostic::warning(message).help(help), span);
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

/// A field that two parts of the policy set is set by neither of them for sure.
fn check_forward(header_sets: &[HeaderSet], bearer: Range<usize>, reading: &mut Reading<'_>) {
    let mut headers = header_sets.iter().flat_map(HeaderSet::headers);
    if headers.any(|header| header.name == http::header::AUTHORIZATION) {
        let help = "let one of them tell the application, `forward` or the header";
        reading.error("`forward` passes `Authorization` on, and a header of the policy sets it", bearer, help);
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
    session: SessionSettings,
    limits: Option<LimitsRead>,
    networks: Option<Networks>,
    header_sets: Vec<HeaderSet>,
    named: Arc<Named>,
    response: ResponseFields,
    rules: Vec<RuleEntry>,
    tests: Vec<TestCase>,
}

impl Parts {
    fn assemble(self, name: &str) -> Policy {
        let mut routes = RouteTree::new(self.app.case);
        let mut rules = Vec::with_capacity(self.rules.len());
        let mut limits = PolicyLimits { whole: self.limits.map(|read| read.limits), rules: Vec::new() };
        for entry in self.rules {
            limits.rules.extend(entry.limits.map(|read| (entry.rule.label.clone(), read.limits)));
            let selects = !entry.rule.selector().is_everything();
            let route = RouteRule { methods: entry.methods, observes: entry.rule.observes, selects };
            routes.push(route, &entry.patterns);
            rules.push(entry.rule);
        }
        let mut places = Places::default();
        rules.iter_mut().flat_map(Rule::conditions_mut).for_each(|condition| condition.place(&mut places));
        let header_sets = self.header_sets;
        let asked = rules.iter().flat_map(Rule::conditions).map(Condition::expression);
        let told = header_sets.iter().flat_map(HeaderSet::claims).map(Into::into);
        let claims_read: BTreeSet<_> = asked.flat_map(Expression::claims).cloned().chain(told).collect();
        let doubtful = |observing: bool| {
            let those = || rules.iter().filter(move |rule| rule.observes == observing);
            let selected = those().flat_map(|rule| rule.selector().parameters());
            let asked = those().flat_map(Rule::conditions).map(Condition::expression);
            Doubtful::new(selected, asked.chain(told_by(those(), &header_sets)))
        };
        let (doubtful, observed_doubtful) = (doubtful(false), doubtful(true));
        let selected = rules.iter().flat_map(|rule| rule.selector().parameters()).map(Into::into);
        let read = rules.iter().flat_map(Rule::conditions).flat_map(|one| one.expression().reads().parameters.iter());
        let asked_parameters: BTreeSet<Box<str>> = selected.chain(read.cloned()).collect();
        let reads_sign_in = rules.iter().flat_map(Rule::conditions).any(|one| one.expression().reads().sign_in);
        let login = LoginAccepts::new(self.login.as_ref(), self.bearer.as_ref(), &rules);
        let hurdles = Hurdles { networks: self.networks, doubtful, login }.kept();
        Policy {
            front: Front { id: next_id(), routes: routes.lay_out(), rules: rules.into(), hurdles },
            door: Door {
                name: name.into(),
                prefix: (&*self.app.prefix != "/").then(|| self.app.prefix.clone()),
                response: self.response,
                path_switches: self.app.path_switches,
                forged_headers: self.app.forged_headers,
                keep_alive: self.app.keep_alive,
                knows_people: self.login.is_some() || self.bearer.is_some(),
            },
            app: self.app,
            login: self.login,
            bearer: self.bearer,
            session: self.session,
            limits,
            header_sets,
            tests: self.tests,
            claims_read,
            named: self.named,
            conditions: places.count(),
            asked_parameters: asked_parameters.into_iter().collect(),
            observed_doubtful,
            reads_sign_in,
            observes: self.observes,
        }
    }
}

/// Tells compiled policies apart, so that what was prepared for one is never used with another.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
