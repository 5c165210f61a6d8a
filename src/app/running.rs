//! A gateway that serves: its workers, its admin listener, its background tasks, and their end.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Plan;
use super::plan::{folder_of, name_of};
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::diagnostic::{Diagnostic, Report};
use crate::gateway::{Common, Gateway};
use crate::observe::{AccessLog, AccessLogTarget, Metrics};
use crate::oidc::{Provider, ProviderSettings};
use crate::policy::Policy;
use crate::server::{self, Bound, Shared, Socket, Worker};
use crate::snapshot::{Ingredients, Snapshot};
use crate::upstream::BodyLimits;

/// What differs between a real start and a test's.
pub struct Options {
    /// Where the time of day comes from.
    pub clock: Clock,
    /// Where the access log goes, when not where the configuration says.
    pub access_log: Option<AccessLogTarget>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Clock::system(), access_log: None }
    }
}

/// Why a gateway did not start; nothing stays behind.
#[derive(Debug)]
pub enum StartError {
    /// The files do not fit together, or a key could not be made.
    Refused(Report),
    /// An address could not be bound.
    Bind(SocketAddr, std::io::Error),
    /// Something of the operating system failed: threads, the access log's file.
    System(&'static str, std::io::Error),
    /// TLS could not be set up.
    Tls(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(report) => report.fmt(f),
            Self::Bind(address, error) => {
                write!(
                    f,
                    "error: cannot listen on {address}: {error}\n  = help: stop what listens there, or choose another address"
                )
            }
            Self::System(what, error) => write!(f, "error: {what}: {error}"),
            Self::Tls(error) => write!(f, "error: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// Whether the files are at fault, so that trying again without changing them is no use.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Tls(_))
    }

    /// The same as findings, to be shown with others.
    pub fn into_report(self) -> Report {
        match self {
            Self::Refused(report) => report,
            other => {
                let text = other.to_string();
                let mut report = Report::default();
                report.push(Diagnostic::error(text.strip_prefix("error: ").unwrap_or(&text)));
                report
            }
        }
    }
}

/// A running gateway.
pub struct Running {
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    notices: Report,
    stop: watch::Sender<bool>,
    draining: Arc<AtomicBool>,
    providers: Vec<Arc<Provider>>,
    workers: Vec<Worker>,
    control: Option<Control>,
    access_log: Option<AccessLog>,
}

impl Plan {
    /// Builds everything that a start builds before it binds, and gives it back: what a start would refuse is refused here.
    pub fn rehearse(self) -> Result<(), StartError> {
        Built::new(&self.config, self.policies, &Clock::system()).map(drop)
    }

    /// Starts the gateway; returns when it listens.
    pub fn start(self, options: Options) -> Result<Running, StartError> {
        let Self { config, policies } = self;
        // Providers, applications, keys: everything that can be refused. A key is made last, when all else is good.
        let Built { providers, metrics, snapshot } = Built::new(&config, policies, &options.clock)?;
        let (keys, made) = config.session_keys.ensure().map_err(refused)?;
        let mut notices = Report::default();
        made.into_iter().for_each(|notice| notices.push(notice));
        metrics.policy_version.set(snapshot.version());
        let common = Arc::new(Common {
            state: ArcSwap::from_pointee(snapshot),
            keys,
            clock: options.clock,
            metrics: Arc::clone(&metrics),
            trusted_proxies: config.trusted_proxies.clone(),
            body: BodyLimits { size: config.limits.body, stall: config.timeouts.body_stall },
            header_count: config.limits.header_count,
        });
        // Sockets: from here on something is bound, and given back by dropping it.
        let mut sockets = bind_all(&config)?;
        let addresses = sockets.iter().map(|(bound, _)| bound.address).collect();
        let admin = config.admin.map(bind_admin).transpose()?;
        let access_log = AccessLog::open(options.access_log.unwrap_or_else(|| log_target(&config)))
            .map_err(|error| StartError::System("the access log cannot be opened", error))?;
        // Threads.
        let (stop, stopped) = watch::channel(false);
        let draining = Arc::new(AtomicBool::new(false));
        let providers: Vec<_> = providers.into_values().collect();
        let told = Arc::new(Admin {
            providers: providers.clone(),
            metrics: Arc::clone(&metrics),
            draining: Arc::clone(&draining),
        });
        let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
        let control = Control::start(providers.clone(), told, admin)?;
        let shared = Arc::new(Shared {
            limits: config.limits,
            timeouts: config.timeouts,
            metrics,
            connections: AtomicUsize::new(0),
        });
        let mut running = Running {
            addresses,
            admin: admin_address,
            notices,
            stop,
            draining,
            providers,
            workers: Vec::new(),
            control: Some(control),
            access_log: None,
        };
        for index in 0..config.workers {
            let own = sockets.iter_mut().filter_map(|(bound, template)| template.with(bound.take()?)).collect();
            let gateway = Arc::new(Gateway::new(Arc::clone(&common), access_log.lane()));
            let worker = Worker::start(index, own, gateway, Arc::clone(&shared), stopped.clone())
                .map_err(|error| StartError::System("a worker cannot be started", error))?;
            running.workers.push(worker);
        }
        running.access_log = Some(access_log);
        Ok(running)
    }
}

impl Running {
    /// The addresses that clients reach, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The admin listener's address.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What the start has to say, for example that a key was made.
    pub fn notices(&self) -> &Report {
        &self.notices
    }

    /// The providers, for waiting until they are known.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Lets every accepted request finish, writes the last log lines, and returns. Blocks for at most the drain limit.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.draining.store(true, Ordering::Relaxed);
        let _ = self.stop.send(true);
        for worker in self.workers.drain(..) {
            worker.join();
        }
        self.control = None;
        self.access_log = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread beside the workers: discovery and the admin listener.
struct Control {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    fn start(
        providers: Vec<Arc<Provider>>,
        admin: Arc<Admin>,
        listener: Option<std::net::TcpListener>,
    ) -> Result<Self, StartError> {
        let system = |error| StartError::System("the control thread cannot be started", error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let (stop, mut stopped) = watch::channel(false);
        let run = move || {
            runtime.block_on(async move {
                for provider in providers {
                    tokio::spawn(provider.keep_discovered());
                }
                if let Some(Ok(listener)) = listener.map(TcpListener::from_std) {
                    tokio::spawn(admin.serve(listener));
                }
                let _ = stopped.wait_for(|stopped| *stopped).await;
            });
        };
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(run).map_err(system)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is made of a plan without touching the world outside but for the files that policies name.
struct Built {
    providers: BTreeMap<Arc<str>, Arc<Provider>>,
    metrics: Arc<Metrics>,
    snapshot: Snapshot,
}

impl Built {
    fn new(config: &Config, policies: Vec<Policy>, clock: &Clock) -> Result<Self, StartError> {
        let providers = providers(config, clock)?;
        let metrics = Arc::new(Metrics::new());
        let snapshot = snapshot(config, policies, &providers, &metrics)?;
        Ok(Self { providers, metrics, snapshot })
    }
}

fn refused(finding: Diagnostic) -> StartError {
    let mut report = Report::default();
    report.push(finding);
    StartError::Refused(report)
}

fn providers(config: &Config, clock: &Clock) -> Result<BTreeMap<Arc<str>, Arc<Provider>>, StartError> {
    let build = |provider: &config::ProviderConfig| {
        Provider::new(settings(provider), clock.clone())
            .map(|built| (Arc::clone(&provider.name), built))
            .map_err(|error| refused(Diagnostic::error(format!("provider `{}`: {error}", provider.name))))
    };
    config.providers.iter().map(build).collect()
}

fn settings(provider: &config::ProviderConfig) -> ProviderSettings {
    ProviderSettings {
        client_secret: provider.client_secret.clone(),
        client_auth: provider.client_auth,
        scopes: provider.scopes.clone(),
        userinfo: provider.userinfo,
        ca: provider.ca.clone(),
        clock_skew: provider.clock_skew,
        ..ProviderSettings::new(&provider.name, &provider.issuer_text, &provider.client_id)
    }
}

fn snapshot(
    config: &Config,
    policies: Vec<Policy>,
    providers: &BTreeMap<Arc<str>, Arc<Provider>>,
    metrics: &Metrics,
) -> Result<Snapshot, StartError> {
    let folders: HashMap<String, PathBuf> =
        config.policies.iter().map(|source| (name_of(source), folder_of(source))).collect();
    let folder = |name: &str| folders.get(name).cloned().unwrap_or_default();
    let mut report = Report::default();
    let ingredients = Ingredients { policies, folder: &folder, providers, metrics, version: 1 };
    Snapshot::build(ingredients, &mut report).ok_or(StartError::Refused(report))
}

fn log_target(config: &Config) -> AccessLogTarget {
    match &config.log.access {
        config::AccessLog::Stdout => AccessLogTarget::Stdout,
        config::AccessLog::Stderr => AccessLogTarget::Stderr,
        config::AccessLog::Off => AccessLogTarget::Off,
        config::AccessLog::File(path) => AccessLogTarget::File(path.clone()),
    }
}

/// What is true for all sockets of one listener.
struct Template {
    scheme: crate::http::Scheme,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Template {
    fn with(&self, listener: std::net::TcpListener) -> Option<Socket> {
        Some(Socket { listener, scheme: self.scheme, tls: self.tls.clone() })
    }
}

fn bind_all(config: &Config) -> Result<Vec<(Bound, Template)>, StartError> {
    let mut all = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        let tls = listener.tls.as_ref().map(|tls| server::server_config(Arc::clone(&tls.certified)));
        let tls = tls.transpose().map_err(|error| StartError::Tls(error.to_string()))?;
        let bound = server::bind(listener.address, config.workers)
            .map_err(|error| StartError::Bind(listener.address, error))?;
        all.push((bound, Template { scheme: listener.scheme, tls }));
    }
    Ok(all)
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let listener = std::net::TcpListener::bind(address).map_err(|error| StartError::Bind(address, error))?;
    listener.set_nonblocking(true).map_err(|error| StartError::Bind(address, error))?;
    Ok(listener)
}
