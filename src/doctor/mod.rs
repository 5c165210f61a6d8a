//! What `lychgate doctor` looks at: each provider and each application for real, and what this machine must have ready.
//!
//! Layer 4. The checks are small functions that make [`Finding`]s; nothing is changed, no port stays bound, no person is asked
//! anything. Providers are examined where they are known best, in `oidc`.
//!
//! May touch: the network towards providers and applications, the files of the configuration. Trust boundary: what the others answer.

mod local;
mod upstreams;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, FilesRead};
use crate::finding::{Finding, Verdict};
use crate::http::Scheme;
use crate::oidc::{Provider, REGISTER_REDIRECT_URI};
use crate::snapshot::Application;

/// One provider is not examined for longer than this.
const PROVIDER_LIMIT: Duration = Duration::from_secs(60);

/// What is examined.
pub struct Subject<'a> {
    /// The checked settings.
    pub config: &'a Config,
    /// Which files they were read from.
    pub files: &'a FilesRead,
    /// The providers.
    pub providers: Vec<Arc<Provider>>,
    /// The applications.
    pub applications: &'a [Arc<Application>],
    /// The time of day.
    pub clock: Clock,
}

/// The findings about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// What kind of thing: `provider`, `application`, `keys`, `limits`, `state`, `clock`, `listener`, `certificates`.
    pub kind: &'static str,
    /// Which one; empty where there is one only.
    pub name: String,
    /// What was found, in the order in which it was looked at.
    pub findings: Vec<Finding>,
}

impl Examined {
    fn new(kind: &'static str, name: &str, findings: Vec<Finding>) -> Self {
        Self { kind, name: name.to_owned(), findings }
    }
}

/// The worst of all findings.
pub fn worst(all: &[Examined]) -> Verdict {
    all.iter().flat_map(|one| &one.findings).map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

/// Looks at everything, this machine first.
pub async fn examine(subject: &Subject<'_>) -> Vec<Examined> {
    let config = subject.config;
    let state = config.state.as_deref();
    let mut all = vec![
        Examined::new("clock", "", vec![local::clock(subject.clock.now())]),
        Examined::new("keys", "", local::keys(config, subject.files, subject.clock.now())),
    ];
    all.push(Examined::new("limits", "", vec![local::open_files(config)]));
    if let Some(state) = state {
        all.push(Examined::new("state", &state.display().to_string(), local::state(state)));
    }
    for address in config.listeners.iter().map(|listener| listener.address).chain(config.admin) {
        all.push(Examined::new("listener", &address.to_string(), vec![local::listener(address)]));
    }
    let dates = local::dates(config, subject.clock.now());
    if !dates.is_empty() {
        all.push(Examined::new("certificates", "", dates));
    }
    for provider in &subject.providers {
        all.push(Examined::new("provider", provider.name(), examine_provider(provider, subject).await));
    }
    for application in subject.applications {
        all.push(Examined::new("application", application.name(), upstreams::examine(application).await));
    }
    all
}

async fn examine_provider(provider: &Arc<Provider>, subject: &Subject<'_>) -> Vec<Finding> {
    let addresses: Vec<String> = redirect_uris(provider, subject).into_iter().collect();
    match tokio::time::timeout(PROVIDER_LIMIT, provider.examine(&addresses)).await {
        Ok(mut findings) => {
            soften(&mut findings, subject.config);
            if addresses.is_empty() {
                findings.push(Finding::warning(
                    "redirect_uri",
                    "no policy signs people in here",
                    "remove it, or name it in a policy's [login]",
                ));
            }
            findings
        }
        Err(_) => {
            let advice = "something on the way swallows packets, or the provider is very slow";
            vec![Finding::problem("reachable", "the provider did not answer everything within a minute", advice)]
        }
    }
}

/// The addresses that must be registered at a provider: one for each host of an application that signs people in there.
fn redirect_uris(provider: &Arc<Provider>, subject: &Subject<'_>) -> BTreeSet<String> {
    let ours = |application: &&Arc<Application>| application.provider().is_some_and(|one| Arc::ptr_eq(one, provider));
    let hosts = subject.applications.iter().filter(ours).flat_map(|application| application.policy().hosts());
    hosts.map(|host| format!("{}{}", origin(subject.config, host.as_str()), provider.callback_path())).collect()
}

/// Where browsers reach a host, as far as the listeners tell: a load balancer in front is taken to listen at 443.
pub fn origin(config: &Config, host: &str) -> String {
    match port(config) {
        (scheme, None) => format!("{scheme}://{host}"),
        (scheme, Some(port)) => format!("{scheme}://{host}:{port}"),
    }
}

/// The scheme that browsers see, and the port where it is not the usual one.
fn port(config: &Config) -> (&'static str, Option<u16>) {
    let secure = config.listeners.iter().find(|listener| listener.scheme == Scheme::Https);
    let (listener, scheme, usual) = match secure {
        Some(listener) => (Some(listener), "https", 443),
        None => (config.listeners.first(), "http", 80),
    };
    let own = listener.filter(|one| !one.admits.proxy_protocol && (one.scheme == Scheme::Http || one.tls.is_some()));
    (scheme, own.map(|listener| listener.address.port()).filter(|port| *port != usual))
}

/// What a provider says of an address with an unusual port counts only where browsers use that port: whoever maps 443 to it does not need it.
fn soften(findings: &mut [Finding], config: &Config) {
    let ("https", Some(port)) = port(config) else { return };
    for finding in findings.iter_mut().filter(|one| one.advice == REGISTER_REDIRECT_URI) {
        finding.verdict = Verdict::Warning;
        finding.advice.push_str(&format!(
            "; only where browsers use port {port}: if another one is mapped to it, that one stands in the address"
        ));
    }
}

/// Who has access to a file besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Nobody.
    Owner,
    /// Its group may read it; it belongs to somebody else, who gave it to us in this way.
    Group,
    /// More than need it.
    Others,
}

/// Who may read or write a file; nothing where that cannot be known.
fn access(path: &Path) -> Option<Access> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    let ours = || std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == metadata.uid());
    Some(match metadata.mode() & 0o077 {
        0 => Access::Owner,
        0o040 if !ours() => Access::Group,
        _ => Access::Others,
    })
}
