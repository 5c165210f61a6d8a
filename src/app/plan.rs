//! Everything that a gateway needs, read and checked, with nothing bound yet.

use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Config, Environment, Override};
use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::http::Scheme;
use crate::policy::{self, Policy, ProviderFacts};
use crate::reference;
use crate::snapshot;

/// A configuration with its compiled policies.
pub struct Plan {
    pub(super) config: Config,
    pub(super) policies: Vec<Policy>,
}

impl Plan {
    /// Reads the configuration and compiles every policy; all findings of all files are in the report.
    pub fn read(path: &Path, environment: &Environment, overrides: &[Override]) -> (Option<Self>, Report) {
        let (config, mut report) = config::load(path, environment, overrides);
        let (sources, providers) = match &config {
            Ok(config) => (&config.policies, facts_of(&config.providers)),
            Err(incomplete) => (&incomplete.policies, names_only(&incomplete.providers)),
        };
        let mut policies = Vec::with_capacity(sources.len());
        for source in sources {
            let folder = folder_of(source);
            let secrets = |wanted: &policy::SecretSource| config::read_secret(&source_of(wanted), &folder, environment);
            let files = |wanted: &Path| read_file(&folder.join(wanted));
            let surroundings = policy::Environment { secrets: &secrets, files: &files, providers: &providers };
            policies.extend(policy::compile(&name_of(source), source, &surroundings, &mut report));
        }
        check_claims(sources, &policies, &mut report);
        let Ok(config) = config else { return (None, report) };
        check_schemes(&config, &policies, &mut report);
        let plan = Self { config, policies };
        (Some(plan).filter(|_| !report.has_errors()), report)
    }

    /// The compiled policies.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The checked settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

fn facts_of(providers: &[config::ProviderConfig]) -> Vec<ProviderFacts<'_>> {
    providers.iter().map(|provider| ProviderFacts { name: &provider.name, scopes: Some(&provider.scopes) }).collect()
}

fn names_only(providers: &[Arc<str>]) -> Vec<ProviderFacts<'_>> {
    providers.iter().map(|name| ProviderFacts { name, scopes: None }).collect()
}

/// A file that a policy includes.
fn read_file(path: &Path) -> Result<Arc<SourceFile>, String> {
    match std::fs::read_to_string(path) {
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
pub(super) fn name_of(source: &SourceFile) -> String {
    source.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The file of the application `name`.
fn source_named<'a>(sources: &'a [Arc<SourceFile>], name: &str) -> Option<&'a Arc<SourceFile>> {
    sources.iter().find(|source| name_of(source) == name)
}

pub(super) fn folder_of(source: &Arc<SourceFile>) -> std::path::PathBuf {
    source.path().parent().map(Path::to_path_buf).unwrap_or_default()
}

/// No two applications may claim one place.
fn check_claims(sources: &[Arc<SourceFile>], policies: &[Policy], report: &mut Report) {
    for (index, finding) in snapshot::claimed_twice(policies) {
        let policy = policies.get(index);
        let source = policy.and_then(|policy| source_named(sources, policy.name()));
        report.push(match policy.zip(source) {
            Some((policy, source)) => finding.at(source, policy.hosts_at()),
            None => finding,
        });
    }
}

/// Sessions in clear text are for loopback names only.
fn check_schemes(config: &Config, policies: &[Policy], report: &mut Report) {
    let has_https = config.listeners.iter().any(|listener| listener.scheme == Scheme::Https);
    let has_http = config.listeners.iter().any(|listener| listener.scheme == Scheme::Http);
    for policy in policies.iter().filter(|policy| policy.login().is_some()) {
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
