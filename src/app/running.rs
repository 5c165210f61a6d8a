//! A gateway that serves: its workers, its admin listener, its background tasks, and their end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::built::Built;
use super::control::{Control, Duties, WAITING};
use super::fronts::Fronts;
use super::reload::{Reloader, State, in_use, tell_dates};
use super::{Plan, StartError};
use crate::admin::{Admin, Attempt, Board, Configured};
use crate::clock::Clock;
use crate::config::{self, Admits, Config, Listener, Reload};
use crate::crypto::{IdentityKeys, KeyRing};
use crate::descriptors::Room;
use crate::diagnostic::{Diagnostic, Report};
use crate::doctor;
use crate::gateway::{Common, Gateway, SessionMemory};
use crate::ledger;
use crate::limit::RateCounter;
use crate::observe::{AccessLog, AccessLogTarget, Metrics};
use crate::oidc::Provider;
use crate::reference;
use crate::server::{self, Bound, Front, Shared, Socket, Worker};
use crate::session::Revocations;
use crate::snapshot::Snapshot;
use crate::upstream::BodyLimits;

/// What differs between a real start and a test's.
pub struct Options {
    /// Where the time of day comes from.
    pub clock: Clock,
    /// Where the access log goes, when not where the configuration says.
    pub access_log: Option<AccessLogTarget>,
    /// The list of ended sessions, when not the one in the state directory.
    pub revocations: Option<Revocations>,
    /// Whether failing tests of policies are only warned about, at the start and at reloads; for emergencies.
    pub skip_tests: bool,
    /// Sets how much the program says of itself, when `log.level` changes.
    pub set_level: Option<LevelSetter>,
}

/// Sets how much the program says of itself: one of the words of `log.level`.
pub type LevelSetter = Box<dyn Fn(&str) + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self { clock: Clock::system(), access_log: None, revocations: None, skip_tests: false, set_level: None }
    }
}

/// A running gateway.
pub struct Running {
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    notices: Report,
    stop: watch::Sender<bool>,
    draining: Arc<AtomicBool>,
    providers: Arc<ArcSwap<Vec<Configured>>>,
    reloads: mpsc::Sender<oneshot::Sender<Attempt>>,
    workers: Vec<Worker>,
    control: Option<Control>,
    access_log: Option<AccessLog>,
    revocations: Arc<Revocations>,
}

impl Plan {
    /// Builds everything that a start builds before it binds, and gives it back: what a start would refuse is refused here.
    pub fn rehearse(mut self) -> Result<(), StartError> {
        Built::new(&mut self, None, &Clock::system(), &Metrics::new()).map(drop)
    }

    /// Examines what the gateway needs and depends on. Nothing is bound for longer than a moment, and nothing is changed.
    pub async fn examine(mut self) -> Result<Vec<doctor::Examined>, StartError> {
        let clock = Clock::system();
        let Built { providers, snapshot } = Built::new(&mut self, None, &clock, &Metrics::new())?;
        let subject = doctor::Subject {
            config: &self.config,
            files: &self.files,
            providers: providers.into_values().collect(),
            applications: snapshot.applications(),
            clock,
        };
        Ok(doctor::examine(&subject).await)
    }

    /// Starts the gateway; returns when it listens.
    pub fn start(mut self, options: Options) -> Result<Running, StartError> {
        // Tests, providers, applications, keys: everything that can be refused. A key is made last, when all else is good.
        let mut notices = self.tested(options.skip_tests);
        if notices.has_errors() {
            return Err(StartError::Refused(notices));
        }
        let metrics = Arc::new(Metrics::new());
        let signs = self.signs();
        let Built { providers, snapshot } = Built::new(&mut self, None, &options.clock, &metrics)?;
        let Self { config, origin, files, .. } = self;
        let (keys, made) = config.session_keys.ensure().map_err(StartError::state)?;
        made.into_iter().for_each(|notice| notices.push(notice));
        if signs {
            let made = config.identity.ensure(&origin.identity, options.clock.now().seconds());
            made.map_err(StartError::state)?.into_iter().for_each(|notice| notices.push(notice));
        }
        let board = Arc::new(Board::new(in_use(&snapshot, &files, options.clock.now().to_string())));
        // Sockets: from here on something is bound, and given back by dropping it. The list of ended sessions is opened after them: two
        // gateways that share everything are told of the address.
        let fronts = Fronts::new(&config.listeners)?;
        let room = Room::make(config.workers, config.listeners.len());
        let mut sockets = bind_all(&config, &fronts)?;
        let keeps = config.state.is_some() || options.revocations.is_some();
        let revocations = match options.revocations {
            Some(given) => given,
            None => revocations(&config, &options.clock)?,
        };
        let revocations = Arc::new(revocations);
        revocations.sessions_last(snapshot.longest_session());
        let keys = (keys, Arc::clone(&origin.identity));
        let common = common(&config, snapshot, keys, Arc::clone(&revocations), &metrics, options.clock);
        let common = Arc::new(common);
        let addresses = sockets.iter().map(|(bound, ..)| bound.address).collect();
        let listener = config.admin.map(bind_admin).transpose()?;
        let admin = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let target = options.access_log.unwrap_or_else(|| log_target(&config));
        let access_log = open_log(target, &metrics)?;
        // Threads.
        let (stop, stopped) = watch::channel(false);
        let draining = Arc::new(AtomicBool::new(false));
        let configured = providers.values().map(|one| Configured { provider: Arc::clone(one), required: true });
        let configured = Arc::new(ArcSwap::from_pointee(configured.collect()));
        let (reloads, asked) = mpsc::channel(WAITING);
        let told = Admin {
            providers: Arc::clone(&configured),
            metrics: Arc::clone(&metrics),
            draining: Arc::clone(&draining),
            board: Arc::clone(&board),
            reloads: reloads.clone(),
            revocations: Arc::clone(&revocations),
            keeps,
            clock: common.clock.clone(),
        };
        let dated = config::dated(&config.listeners);
        tell_dates(&dated, &metrics);
        if let Some((found, advice)) = room.falls_short_of(config.limits.connections) {
            notices.push(Diagnostic::warning(found).help(advice).docs(reference::gateway::LIMITS.docs));
        }
        let (limits, timeouts) = (config.limits, config.timeouts);
        let shared = Shared::new(limits, room.connections(), timeouts, config.trusted_proxies.clone(), metrics);
        let shared = Arc::new(shared);
        let reloader = Reloader {
            origin,
            start: (config.settings, Arc::clone(&files)),
            folder: config.state.clone(),
            common: Arc::clone(&common),
            fronts,
            board,
            providers: Arc::clone(&configured),
            skip_tests: options.skip_tests,
            set_level: options.set_level,
            log: access_log.reopen(),
            state: Mutex::new(State {
                files: Arc::clone(&files),
                providers,
                identity: config.identity.clone(),
                dated,
                over: false,
            }),
        };
        let control = Control::start(Duties {
            providers: Arc::clone(&configured),
            admin: Arc::new(told),
            listener,
            reloader: Arc::new(reloader),
            asked,
            watched: (config.reload == Reload::Watch).then_some(files),
        })?;
        let mut running = Running {
            addresses,
            admin,
            notices,
            stop,
            draining,
            providers: configured,
            reloads,
            workers: Vec::new(),
            control: Some(control),
            access_log: None,
            revocations,
        };
        for index in 0..config.workers {
            let own = sockets.iter_mut().filter_map(|(bound, front, admits)| {
                Some(Socket { listener: bound.take()?, front: Arc::clone(front), admits: admits.clone() })
            });
            let own = own.collect();
            let gateway = Arc::new(Gateway::new(Arc::clone(&common), access_log.lane()));
            let worker = Worker::start(index, own, gateway, Arc::clone(&shared), stopped.clone());
            running.workers.push(worker.map_err(|error| StartError::System("a worker cannot be started", error))?);
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

    /// The providers in use, for waiting until they are known.
    pub fn providers(&self) -> Vec<Arc<Provider>> {
        self.providers.load().iter().map(|one| Arc::clone(&one.provider)).collect()
    }

    /// Has everything read anew; the receiver gets how that went. None when too many wait for that already, who will see the same.
    pub fn reload(&self) -> Option<oneshot::Receiver<Attempt>> {
        let (answer_to, answered) = oneshot::channel();
        self.reloads.try_send(answer_to).ok().map(|()| answered)
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
        self.revocations.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The list of ended sessions: in the state directory where there is one.
fn revocations(config: &Config, clock: &Clock) -> Result<Revocations, StartError> {
    match &config.state {
        None => Ok(Revocations::default()),
        Some(state) => ledger::open(state, clock.now()).map_err(|error| {
            let finding = Diagnostic::error(error.to_string()).help(error.help());
            if error.is_of_the_file() { StartError::refused(finding) } else { StartError::state(finding) }
        }),
    }
}

fn common(
    config: &Config,
    snapshot: Snapshot,
    (keys, identity): (Arc<KeyRing>, Arc<IdentityKeys>),
    revocations: Arc<Revocations>,
    metrics: &Arc<Metrics>,
    clock: Clock,
) -> Common {
    metrics.policy_version.set(snapshot.version());
    metrics.policy_applied.set(clock.now().seconds());
    Common {
        state: ArcSwap::from_pointee(snapshot),
        keys,
        identity,
        revocations,
        clock,
        metrics: Arc::clone(metrics),
        trusted_proxies: config.trusted_proxies.clone(),
        body: BodyLimits { size: config.limits.body, stall: config.timeouts.body_stall },
        header_count: config.limits.header_count,
        cookie_room: crate::oidc::pending::cookie_room(config.limits.header_bytes),
        strangers: RateCounter::new(config.limits.strangers),
        records: config.log.replay,
        memory: SessionMemory::default(),
    }
}

fn log_target(config: &Config) -> AccessLogTarget {
    match &config.log.access {
        config::AccessLog::Stdout => AccessLogTarget::Stdout,
        config::AccessLog::Stderr => AccessLogTarget::Stderr,
        config::AccessLog::Off => AccessLogTarget::Off,
        config::AccessLog::File(path) => AccessLogTarget::File(path.clone()),
    }
}

fn open_log(target: AccessLogTarget, metrics: &Metrics) -> Result<AccessLog, StartError> {
    let file = match &target {
        AccessLogTarget::File(path) => Some(path.clone()),
        _ => None,
    };
    AccessLog::open(target, metrics.log_lines_lost.clone()).map_err(|error| match file {
        Some(file) => StartError::AccessLog(file, error),
        None => StartError::System("the access log cannot be opened", error),
    })
}

/// One listener's sockets, what it shows and whose connections it takes.
type Bindings = Vec<(Bound, Arc<Front>, Admits)>;

fn bind_all(config: &Config, fronts: &Fronts) -> Result<Bindings, StartError> {
    let bind = |((address, front), listener): ((_, &Arc<Front>), &Listener)| {
        let bound = server::bind(address, config.workers).map_err(|error| StartError::Bind {
            key: "listeners.address",
            address,
            error,
        })?;
        Ok((bound, Arc::clone(front), listener.admits.clone()))
    };
    fronts.iter().zip(&config.listeners).map(bind).collect()
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let failed = |error| StartError::Bind { key: "admin.address", address, error };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
