//! The whole gateway in process: port 0, a clock that the test moves, its access log in memory.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};

use lychgate::app::{Options, Plan, Running};
use lychgate::clock::{Clock, ManualClock, Timestamp};
use lychgate::config::Environment;
use lychgate::crypto::KeyRing;
use lychgate::observe::AccessLogTarget;
use lychgate::session::{Keeper, Revocations};
use serde_json::Value;

use super::provider::{CLIENT_ID, CLIENT_SECRET, FakeProvider};

/// The host of the one application that most tests have.
pub(crate) const HOST: &str = "app.localhost";

/// A folder that is removed with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lychgate-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a test's gateway is made of.
pub(crate) struct Setup {
    folder: Folder,
    clock: ManualClock,
    provider: Option<(String, String)>,
    listener: String,
    settings: String,
    keys: Vec<String>,
    policies: Vec<String>,
    revocations: Option<Revocations>,
}

/// A clock at a fixed moment of 2026.
pub(crate) fn clock() -> ManualClock {
    ManualClock::starting_at(Timestamp::from_seconds(1_795_000_000))
}

impl Setup {
    /// A gateway with no policy yet; `clock` moves its sessions.
    pub(crate) fn new(clock: &ManualClock) -> Self {
        let folder = Folder::new();
        folder.write("session-1.key", KeyRing::generate_key().expose());
        folder.write("session-2.key", KeyRing::generate_key().expose());
        folder.write("client.secret", CLIENT_SECRET);
        let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\n".to_owned();
        let keys = ["session-1.key", "session-2.key"].map(str::to_owned).to_vec();
        let (settings, policies) = (String::new(), Vec::new());
        Self { folder, clock: clock.clone(), provider: None, listener, settings, keys, policies, revocations: None }
    }

    /// Signs in at `provider`.
    pub(crate) fn provider(self, provider: &FakeProvider) -> Self {
        self.issuer(provider.issuer(), "")
    }

    /// Signs in at `issuer`; `more` are further lines of the provider's table.
    pub(crate) fn issuer(mut self, issuer: &str, more: &str) -> Self {
        self.provider = Some((issuer.to_owned(), more.to_owned()));
        self
    }

    /// Adds lines to the provider's table.
    pub(crate) fn provider_settings(mut self, toml: &str) -> Self {
        self.provider.as_mut().unwrap().1.push_str(toml);
        self
    }

    /// Seals sessions with these keys, the first one first, instead of two fresh ones.
    pub(crate) fn keys(mut self, keys: &[&str]) -> Self {
        self.keys = (1..=keys.len()).map(|number| format!("session-{number}.key")).collect();
        for (name, key) in self.keys.iter().zip(keys) {
            self.folder.write(name, key);
        }
        self
    }

    /// Listens as browsers see it behind a load balancer that ends TLS: cookies are `__Host-` and `Secure`.
    pub(crate) fn behind_tls(mut self) -> Self {
        self.listener.push_str("scheme = \"https\"\n");
        self
    }

    /// Replaces the listeners.
    pub(crate) fn listeners(mut self, toml: &str) -> Self {
        self.listener = toml.to_owned();
        self
    }

    /// Adds lines to `lychgate.toml`, for example `[limits]`.
    pub(crate) fn settings(mut self, toml: &str) -> Self {
        self.settings.push_str(toml);
        self.settings.push('\n');
        self
    }

    /// Keeps ended sessions with this keeper instead of the state directory.
    pub(crate) fn keeper(mut self, keeper: impl Keeper + 'static) -> Self {
        self.revocations = Some(Revocations::kept_by(Box::new(keeper), Vec::new(), self.clock.clock().now()));
        self
    }

    /// Adds the policy `NAME.toml`.
    pub(crate) fn policy(mut self, name: &str, toml: &str) -> Self {
        self.folder.write(&format!("policies/{name}.toml"), toml);
        self.policies.push(name.to_owned());
        self
    }

    /// Adds a file beside `lychgate.toml`.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.folder.write(name, text);
        self
    }

    /// Writes the files and returns the configuration's path.
    pub(crate) fn write(&self) -> PathBuf {
        let mut toml = format!("policies = [\"policies/*.toml\"]\nworkers = 2\n{}\n", top_level(&self.settings));
        toml.push_str(&self.listener);
        toml.push_str("[admin]\naddress = \"127.0.0.1:0\"\n");
        let keys: Vec<String> = self.keys.iter().map(|name| format!("{{ file = \"{name}\" }}")).collect();
        toml.push_str(&format!("[keys]\nsession = [{}]\n", keys.join(", ")));
        if let Some((issuer, more)) = &self.provider {
            toml.push_str(&format!(
                "[providers.idp]\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"client.secret\" }}\n{more}\n"
            ));
        }
        toml.push_str(tables(&self.settings));
        self.folder.write("lychgate.toml", &toml)
    }

    /// Starts the gateway and waits until its providers are known.
    pub(crate) async fn start(self) -> TestGateway {
        let gateway = self.start_unready();
        for provider in gateway.running().providers() {
            provider.ready().await;
        }
        gateway
    }

    /// Starts the gateway and waits for nothing.
    pub(crate) fn start_unready(self) -> TestGateway {
        let path = self.write();
        let (plan, report) = Plan::read(&path, &Environment::from_iter([]), &[]);
        let plan = plan.unwrap_or_else(|| panic!("{}", report.render()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let options = Options {
            clock: self.clock.clock(),
            access_log: Some(AccessLogTarget::Memory(Arc::clone(&log))),
            revocations: self.revocations,
            ..Options::default()
        };
        no_thread_panics();
        let running = plan.start(options).unwrap_or_else(|error| panic!("{error}"));
        TestGateway { running: Some(running), log, folder: self.folder }
    }
}

/// Ends the whole run when a thread of a gateway panics: a task that dies there is else seen by nobody, as its runtime goes on.
fn no_thread_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tell(panic);
            let thread = std::thread::current();
            let ours = |name: &str| name.starts_with("worker-") || name == "control" || name == "access-log";
            if thread.name().is_some_and(ours) && !is_h2s_count(panic) {
                // Not by print: what a test prints is kept until it ends.
                let _ = writeln!(std::io::stderr(), "a thread of a gateway panicked: {panic}");
                std::process::abort();
            }
        }));
    });
}

/// h2 asserts where it is debugged, and only there, that a connection has no stream when it is dropped; one that is cut off has some.
fn is_h2s_count(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|at| at.file().contains("/h2-") && at.file().ends_with("/proto/streams/counts.rs"))
}

/// Lines before the first table belong to the top of the file.
fn top_level(settings: &str) -> &str {
    settings.split_at(first_table(settings)).0
}

fn tables(settings: &str) -> &str {
    settings.split_at(first_table(settings)).1
}

fn first_table(settings: &str) -> usize {
    let mut at = 0;
    for line in settings.split_inclusive('\n') {
        if line.starts_with('[') {
            return at;
        }
        at += line.len();
    }
    at
}

/// A running gateway; it drains when dropped.
pub(crate) struct TestGateway {
    running: Option<Running>,
    log: Arc<Mutex<Vec<u8>>>,
    folder: Folder,
}

impl TestGateway {
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Writes one of the files that it was started with, or a new one.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.folder.write(name, text)
    }

    /// Reads one of them.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Removes one of them.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    /// Where they lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The first listener's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running().addresses()[0]
    }

    /// The addresses of all listeners.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.running().addresses()
    }

    /// The admin listener's address.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.running().admin_address().unwrap()
    }

    /// `http://HOST:PORT` followed by `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{HOST}:{}{path}", self.address().port())
    }

    /// Drains and returns every line of the access log.
    pub(crate) async fn stop(mut self) -> Vec<Value> {
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(move || running.stop()).await.unwrap();
        let text = String::from_utf8(self.log.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Stops it and starts it again with the same files.
    pub(crate) async fn restart(mut self, clock: &ManualClock) -> Self {
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(move || running.stop()).await.unwrap();
        let path = self.folder.path().join("lychgate.toml");
        let (plan, report) = Plan::read(&path, &Environment::from_iter([]), &[]);
        let plan = plan.unwrap_or_else(|| panic!("{}", report.render()));
        let options = Options {
            clock: clock.clock(),
            access_log: Some(AccessLogTarget::Memory(Arc::clone(&self.log))),
            ..Options::default()
        };
        self.running = Some(plan.start(options).unwrap_or_else(|error| panic!("{error}")));
        for provider in self.running().providers() {
            provider.ready().await;
        }
        self
    }

    /// Begins to drain on another thread; what it returns ends when the gateway has.
    pub(crate) fn begin_stop(mut self) -> tokio::task::JoinHandle<()> {
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(move || running.stop())
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // Draining waits for the application, which may live on this very thread.
            std::thread::spawn(move || running.stop());
        }
    }
}

/// The provider's clock is the gateway's.
pub(crate) async fn provider(clock: &ManualClock) -> FakeProvider {
    let clock: Clock = clock.clock();
    FakeProvider::start(clock).await
}
