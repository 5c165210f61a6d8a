//! Everything that a gateway needs, read and checked, with nothing bound yet.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{callbacks, certificates, out_of_reach};
use crate::clock::Clock;
use crate::config::{self, Config, Environment, FilesRead, Override, Part};
use crate::crypto::IdentityKeys;
use crate::diagnostic::{Diagnostic, Report, Severity, SourceFile};
use crate::http::Scheme;
use crate::policy::{self, Policy, ProviderFacts, TestOutcome};
use crate::reference;
use crate::snapshot;

/// A configuration with its compiled policies.
pub struct Plan {
    pub(super) config: Config,
    pub(super) policies: Vec<Policy>,
    pub(super) origin: Origin,
    pub(super) files: Arc<FilesRead>,
}

/// What a plan is read from, at the start and at every reload: the file may change, the environment and the flags stay as they were.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) file: PathBuf,
    pub(super) environment: Environment,
    pub(super) overrides: Vec<Override>,
    /// What policies sign with: one for the whole life of the process, filled at the start.
    pub(super) identity: Arc<IdentityKeys>,
}

/// What came of reading everything once.
pub(super) struct Reading {
    /// The plan, when there is no error.
    pub(super) plan: Option<Plan>,
    /// All findings of all files.
    pub(super) report: Report,
    /// What was read, or looked for and not found.
    pub(super) files: Arc<FilesRead>,
}

impl Origin {
    /// Reads the configuration and compiles every policy.
    pub(super) fn read(&self) -> Reading {
        let files = Arc::new(FilesRead::default());
        let (config, mut report) = config::load_noting(&self.file, &self.environment, &self.overrides, &files);
        let (sources, providers) = match &config {
            Ok(config) => (&config.policies, facts_of(&config.providers)),
            Err(incomplete) => (&incomplete.policies, names_only(&incomplete.providers)),
        };
        // Where the settings are wrong, nothing is said about keys that they may name.
        let can_sign = config.as_ref().map_or(true, |config| config.identity.can_sign());
        let identity = can_sign.then_some(&self.identity);
        let policies = self.compile(sources, (&providers, identity), &files, &mut report);
        check_claims(sources, &policies, &mut report);
        out_of_reach::check(sources, &policies, &mut report);
        let Ok(config) = config else { return Reading { plan: None, report, files } };
        check_schemes(&config, &policies, &mut report);
        check_response_modes(&config, &policies, &mut report);
        callbacks::check(&config, &policies, &mut report);
        check_forgetting(&config, &policies, &mut report);
        check_sign_in_times(&config, &policies, &mut report);
        certificates::check(&config, &policies, Clock::system().now(), &mut report);
        let plan = Plan { config, policies, origin: self.clone(), files: Arc::clone(&files) };
        Reading { plan: Some(plan).filter(|_| !report.has_errors()), report, files }
    }

    /// Compiles the policies, each with the files and secrets that it names.
    pub(super) fn compile(
        &self,
        sources: &[Arc<SourceFile>],
        (providers, identity): (&[ProviderFacts<'_>], Option<&Arc<IdentityKeys>>),
        files: &FilesRead,
        report: &mut Report,
    ) -> Vec<Policy> {
        let compile = |source: &Arc<SourceFile>, report: &mut Report| {
            let (name, folder) = (name_of(source), folder_of(source));
            let part = Part::policy(&name);
            let open_to_all = RefCell::new(Vec::new());
            let secrets = |wanted: &policy::SecretSource| {
                let wanted = source_of(wanted);
                open_to_all.borrow_mut().extend(config::readable_by_all(&wanted, &folder));
                let read = config::read_secret(&wanted, &folder, &self.environment, (files, &part));
                read.map_err(|error| policy::NoSecret { message: error.to_string(), help: error.help() })
            };
            let included = |wanted: &Path| read_file(&folder.join(wanted), files, &part);
            let surroundings = policy::Environment { secrets: &secrets, files: &included, providers, identity };
            let policy = policy::compile(&name, source, &surroundings, report);
            open_to_all.take().into_iter().for_each(|finding| report.push_once(finding));
            policy
        };
        let policies = side_by_side(sources, &compile, report);
        for policy in &policies {
            // Whether they can be used is found when the way to the application is built; that they count is known from here on.
            if let (Some(authorities), Some(source)) = (&policy.upstream().ca, source_named(sources, policy.name())) {
                let _ = files.read(&Part::policy(policy.name()), &folder_of(source).join(authorities));
            }
        }
        policies
    }
}

/// Policies that one thread compiles at the least: starting one costs as much as compiling a small policy.
const FOR_ONE_THREAD: usize = 8;

/// Compiles all sources on as many threads as there are cores; policies and findings come in the order of the sources.
fn side_by_side(
    sources: &[Arc<SourceFile>],
    compile: &(dyn Fn(&Arc<SourceFile>, &mut Report) -> Option<Policy> + Sync),
    report: &mut Report,
) -> Vec<Policy> {
    let all = |sources: &[Arc<SourceFile>]| {
        let mut report = Report::default();
        let policies: Vec<Policy> = sources.iter().filter_map(|source| compile(source, &mut report)).collect();
        (policies, report)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = sources.len().div_ceil(cores).max(FOR_ONE_THREAD);
    if sources.len() <= share {
        return sources.iter().filter_map(|source| compile(source, report)).collect();
    }
    let compiled: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = sources.chunks(share).map(|share| (share, scope.spawn(move || all(share)))).collect();
        // A thread that panicked is asked again here, where the panic is the caller's.
        threads.into_iter().map(|(share, thread)| thread.join().unwrap_or_else(|_| all(share))).collect()
    });
    let mut policies = Vec::with_capacity(sources.len());
    for (some, found) in compiled {
        policies.extend(some);
        // What a shared file says wrongly is said once, whoever came upon it first.
        found.into_findings().into_iter().for_each(|finding| report.push_once(finding));
    }
    policies
}

impl Plan {
    /// Reads the configuration and compiles every policy; all findings of all files are in the report.
    pub fn read(path: &Path, environment: &Environment, overrides: &[Override]) -> (Option<Self>, Report) {
        let origin = Origin {
            file: path.to_owned(),
            environment: environment.clone(),
            overrides: overrides.to_vec(),
            identity: Arc::default(),
        };
        let Reading { plan, report, .. } = origin.read();
        (plan, report)
    }

    /// The findings of [`Plan::run_tests`]; only warnings when failures are to be put up with.
    pub(super) fn tested(&self, put_up_with_failures: bool) -> Report {
        let mut report = Report::default();
        for finding in self.run_tests().into_findings() {
            let severity = if put_up_with_failures { Severity::Warning } else { finding.severity };
            report.push(Diagnostic { severity, ..finding });
        }
        report
    }

    /// Runs the tests of all policies; each one that fails is an error at its place.
    pub fn run_tests(&self) -> Report {
        let mut report = Report::default();
        for policy in &self.policies {
            let source = source_named(&self.config.policies, policy.name());
            for outcome in policy.run_tests().into_iter().filter(|outcome| !outcome.passed) {
                let finding = failed(policy.name(), &outcome);
                report.push(match source {
                    Some(source) => finding.at(source, line_of(source, outcome.line)),
                    None => finding,
                });
            }
        }
        report
    }

    /// A file that the policy `name` names, with paths relative to the policy's own folder.
    pub(super) fn read_for_policy(&self, name: &str, path: &Path) -> std::io::Result<Vec<u8>> {
        let folder = source_named(&self.config.policies, name).map(folder_of).unwrap_or_default();
        self.files.read(&Part::policy(name), &folder.join(path))
    }

    /// Whether any policy tells something that must be signed.
    pub(super) fn signs(&self) -> bool {
        self.policies.iter().any(Policy::signs)
    }

    /// The compiled policies.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The file of the policy `name`.
    pub fn source(&self, name: &str) -> Option<&Arc<SourceFile>> {
        source_named(&self.config.policies, name)
    }

    /// The checked settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

pub(super) fn facts_of(providers: &[config::ProviderConfig]) -> Vec<ProviderFacts<'_>> {
    providers.iter().map(|provider| ProviderFacts { name: &provider.name, scopes: Some(&provider.scopes) }).collect()
}

fn names_only(providers: &[Arc<str>]) -> Vec<ProviderFacts<'_>> {
    providers.iter().map(|name| ProviderFacts { name, scopes: None }).collect()
}

fn failed(policy: &str, outcome: &TestOutcome) -> Diagnostic {
    let finding = Diagnostic::error(format!("test `{}` of policy `{policy}` failed", outcome.name));
    finding.help(outcome.explanation.join("\n"))
}

/// The bytes of a line, counted from 1, without its end.
pub(super) fn line_of(source: &SourceFile, line: usize) -> std::ops::Range<usize> {
    let mut start = 0;
    for (index, text) in source.text().split_inclusive('\n').enumerate() {
        if index + 1 == line {
            return start..start + text.trim_end().len();
        }
        start += text.len();
    }
    start..start
}

/// A file that a policy includes.
fn read_file(path: &Path, files: &FilesRead, part: &Part) -> Result<Arc<SourceFile>, String> {
    match files.read_text(part, path) {
        Ok(text) => Ok(SourceFile::new(path, text)),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// A policy's secret source in the configuration's words; the two rooms do not know each other.
fn source_of(wanted: &policy::SecretSource) -> config::SecretSource {
    match wanted {
        policy::SecretSource::File(path) => config::SecretSource::File(path.clone()),
        policy::SecretSource::Environment(name) => config::SecretSource::Environment(name.clone()),
    }
}

/// An application is named as its file.
fn name_of(source: &SourceFile) -> String {
    source.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The file of the application `name`.
pub(super) fn source_named<'a>(sources: &'a [Arc<SourceFile>], name: &str) -> Option<&'a Arc<SourceFile>> {
    sources.iter().find(|source| name_of(source) == name)
}

fn folder_of(source: &Arc<SourceFile>) -> PathBuf {
    source.path().parent().map(Path::to_path_buf).unwrap_or_default()
}

/// No two applications may claim one place, and a shadow needs one to stand beside.
pub(super) fn check_claims(sources: &[Arc<SourceFile>], policies: &[Policy], report: &mut Report) {
    for (index, finding) in snapshot::claimed_twice(policies).into_iter().chain(snapshot::shadows_astray(policies)) {
        let policy = policies.get(index);
        let source = policy.and_then(|policy| source_named(sources, policy.name()));
        report.push(match policy.zip(source) {
            Some((policy, source)) => finding.at(source, policy.hosts_at()),
            None => finding,
        });
    }
}

/// Sessions in clear text are for loopback names only.
pub(super) fn check_schemes(config: &Config, policies: &[Policy], report: &mut Report) {
    let has_https = config.listeners.iter().any(|listener| listener.scheme == Scheme::Https);
    let has_http = config.listeners.iter().any(config::Listener::serves_clear_text);
    for policy in policies.iter().filter(|policy| policy.knows_people()) {
        for host in policy.hosts() {
            if !host.is_loopback() && !has_https {
                let message =
                    format!("`{host}` of policy `{}` signs people in, and no listener is https", policy.name());
                let help = "give a listener `tls`, or `scheme = \"https\"` when a load balancer in front ends TLS";
                report.push(Diagnostic::error(message).help(help).docs(reference::gateway::LISTENER.docs));
            } else if host.is_loopback() && has_http {
                let message =
                    format!("`{host}` is served over plain http: its cookies have no `__Host-` prefix and no `Secure`");
                report.push(
                    Diagnostic::warning(message)
                        .help("good for trying out on this machine; use https for anything else")
                        .docs(reference::gateway::LISTENER.docs),
                );
            }
        }
    }
}

/// The cookie of a login whose response is posted from another site goes over https only: over plain http nobody could sign in.
fn check_response_modes(config: &Config, policies: &[Policy], report: &mut Report) {
    let has_http = config.listeners.iter().any(config::Listener::serves_clear_text);
    let posts = |login: &policy::Login| {
        let provider = config.providers.iter().find(|provider| provider.name == login.provider);
        provider.is_some_and(|provider| provider.response_mode == config::ResponseMode::FormPost)
    };
    for policy in policies.iter().filter(|policy| has_http && policy.login().is_some_and(posts)) {
        if let Some(host) = policy.hosts().iter().find(|host| host.is_loopback()) {
            let message = format!(
                "`{host}` of policy `{}` is served over plain http, and its provider has response_mode = \"form_post\"",
                policy.name()
            );
            let help = "serve it over https, or use response_mode = \"query\": browsers send the login's cookie with a posted response over https only";
            report.push(Diagnostic::error(message).help(help).docs(reference::gateway::PROVIDER.docs));
        }
    }
}

/// A provider says when somebody signed in where it is asked to, and otherwise as it likes.
fn check_sign_in_times(config: &Config, policies: &[Policy], report: &mut Report) {
    let asks = |login: &policy::Login| {
        let provider = config.providers.iter().find(|provider| provider.name == login.provider);
        login.max_age.or_else(|| provider.and_then(|provider| provider.asking.max_age)).is_some()
    };
    for policy in policies.iter().filter(|policy| policy.reads_sign_in()) {
        if policy.login().is_some_and(|login| !asks(login)) {
            let message = format!(
                "a rule of policy `{}` asks when people signed in, and logins do not ask the provider to say it",
                policy.name()
            );
            let help =
                "where it does not, they signed in in 1970: set max_age in [login], for example max_age = \"8h\"";
            report.push(Diagnostic::warning(message).help(help).docs(reference::policy::EXPRESSIONS_AT));
        }
    }
}

/// A session that was ended comes back with the next start where there is no place to keep that it was: its cookie still opens.
fn check_forgetting(config: &Config, policies: &[Policy], report: &mut Report) {
    if config.state.is_some() || !policies.iter().any(Policy::knows_people) {
        return;
    }
    let message = if policies.iter().any(|policy| policy.login().is_some()) {
        "without `state` a restart forgets which sessions were ended, and a copied cookie of one is good again"
    } else {
        "without `state` a restart forgets whose access tokens were ended, and those are good again until they expire"
    };
    let help = "set `state` to a folder that survives restarts, one for each gateway; `[keys]` may stand beside it";
    report.push(Diagnostic::warning(message).help(help).docs(reference::gateway::FILE.docs));
}
