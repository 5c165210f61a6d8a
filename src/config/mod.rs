//! The gateway's own settings: `lychgate.toml`, the environment and flags, read into checked values.
//!
//! [`load`] reads everything that the settings name (certificates, keys, secrets, policy files) and returns either a
//! [`Config`] in which nothing can be wrong any more, or a [`Report`] of every finding at once, each with its place in the
//! file or the name of its variable. It binds nothing, connects to nothing and writes nothing; the one thing that is ever
//! made, a first session key, is made by [`SessionKeys::ensure`] after everything else was found good.
//!
//! Layer 1: knows layer 0 and not `policy`, so policy files are read here as text and compiled elsewhere.
//! Trust boundary: the administrator's files and environment are trusted to be honest, not to be right. Secrets are
//! masked before a line of the file is kept for showing. Every key stands in `docs/configuration.md`.

mod asking;
mod changes;
mod client;
mod environment;
mod files;
mod hsts;
mod identity;
mod keys;
mod limits;
mod listener;
mod log;
mod policy_files;
mod private_file;
mod provider;
mod proxies;
mod reader;
mod redirect;
mod reload;
mod secrets;
mod signals;
mod source;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::http::Scheme;
use crate::reference;

pub use crate::size::{ByteSize, ByteSizeError};
pub use changes::Settings;
pub use environment::{Environment, Override};
pub use files::{FilesRead, Part};
pub use hsts::Hsts;
pub use identity::Identity;
pub use keys::SessionKeys;
pub use limits::{Limits, Timeouts};
pub use listener::{Admits, Listener};
pub use log::{AccessLog, Log};
pub use provider::{Asking, AssertionAudience, CALLBACK, Callback, ClientAuth, ProviderConfig, ResponseMode};
pub use proxies::Networks;
pub use redirect::HttpsRedirect;
pub use reload::Reload;
pub use secrets::{NoSecret, SecretSource, read_secret, readable_by_all};
pub use signals::{Signals, Transmitter};
pub use tls::{
    CertificateNames, Certificates, ClientAuthority, ClientCertificates, Dated, PassedOver, ServerCertificate,
    ServerTls, Validity, dated, dated_of,
};

use reader::{Findings, Section};

/// The settings of one gateway, checked.
pub struct Config {
    /// The file they were read from.
    pub file: PathBuf,
    /// Where the gateway listens; at least one.
    pub listeners: Vec<Listener>,
    /// How many workers serve; at least one.
    pub workers: usize,
    /// The folder for what must survive a restart.
    pub state: Option<PathBuf>,
    /// The keys that seal sessions.
    pub session_keys: SessionKeys,
    /// Where the keys that sign assertions come from.
    pub identity: Identity,
    /// The OpenID providers, in the order of their names.
    pub providers: Vec<ProviderConfig>,
    /// Peers whose forwarding headers are believed; empty unless configured.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// How much is accepted.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Where the admin listener listens; `None` when it is switched off.
    pub admin: Option<SocketAddr>,
    /// What is logged, and where.
    pub log: Log,
    /// When the files are read again.
    pub reload: Reload,
    /// What every key says, for telling what changed since.
    pub settings: Settings,
    /// The policy files, read and ordered by path; an application's name is its file's stem.
    pub policies: Vec<Arc<SourceFile>>,
}

/// What a configuration with errors still tells, so that the policies' errors can be shown together with its own.
pub struct Incomplete {
    /// The policy files that could be read.
    pub policies: Vec<Arc<SourceFile>>,
    /// The names of all providers, sound or not.
    pub providers: Vec<Arc<str>>,
}

/// Reads the settings: the file, over it the environment, over that the flags.
///
/// The configuration is returned only when the report has no error; the report may hold warnings all the same.
pub fn load(path: &Path, environment: &Environment, overrides: &[Override]) -> (Result<Config, Incomplete>, Report) {
    load_noting(path, environment, overrides, &FilesRead::default())
}

/// Reads the settings as [`load`] does, and notes in `files` what was read.
pub fn load_noting(
    path: &Path,
    environment: &Environment,
    overrides: &[Override],
    files: &FilesRead,
) -> (Result<Config, Incomplete>, Report) {
    let nothing = || Err(Incomplete { policies: Vec::new(), providers: Vec::new() });
    let text = match files.read_text(&Part::Settings, path) {
        Ok(text) => text,
        Err(error) => return (nothing(), unreadable(path, &error)),
    };
    let (file, root) = match source::read(path, &text, environment, overrides) {
        Ok(read) => read,
        Err(report) => return (nothing(), report),
    };
    let mut found = Findings::new(file, path, environment, files);
    found.note_broken_variables();
    let top = Section::open("", &root, &root.origin, &reference::gateway::FILE, &mut found);
    let policies = policy_files::read(&top, &mut found);
    let config = read(path, &top, Settings::of(&root), &policies, &mut found);
    let report = found.into_report();
    match config.filter(|_| !report.has_errors()) {
        Some(config) => (Ok(config), report),
        None => (Err(Incomplete { policies, providers: provider::names(&top) }), report),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Report {
    let mut report = Report::default();
    report.push(
        Diagnostic::error(format!("cannot read the configuration {}: {error}", path.display()))
            .help("name the file with --config FILE; without it the gateway reads ./lychgate.toml"),
    );
    report
}

/// Reads every section, so that all findings are made, and only then asks whether the whole is complete.
fn read(
    path: &Path,
    top: &Section<'_>,
    settings: Settings,
    policies: &[Arc<SourceFile>],
    found: &mut Findings<'_>,
) -> Option<Config> {
    let workers = top.number("workers", found).unwrap_or_else(one_per_core);
    let state = top.text("state", "a folder such as \"state\"", found).map(|text| found.resolve(text.value));
    let listeners = listener::read(top, found);
    let session_keys = keys::read(top, state.as_deref(), found);
    let identity = identity::read(top, state.as_deref(), found);
    let providers = provider::read(top, found);
    let has_https = listeners.iter().any(|listener| listener.scheme == Scheme::Https);
    provider::check_response_modes(top, has_https, found);
    let trusted_proxies = proxies::read(top, found);
    let limits = limits::read_limits(top, found);
    let timeouts = limits::read_timeouts(top, found);
    let admin = listener::read_admin(top, &listeners, found);
    let log = log::read(top, found);
    let reload = reload::read(top, found);
    Some(Config {
        file: path.to_owned(),
        listeners,
        workers,
        state,
        session_keys: session_keys?,
        identity: identity?,
        providers,
        trusted_proxies,
        limits,
        timeouts,
        admin,
        log,
        reload,
        settings,
        policies: policies.to_vec(),
    })
}

fn one_per_core() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests;
