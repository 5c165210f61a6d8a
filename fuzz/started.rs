//! A gateway for fuzz targets: one listener, one application, a provider that is away, and a clock that stands still.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use lychgate::app::{Options, Plan, Running};
use lychgate::clock::{ManualClock, Timestamp};
use lychgate::config::Environment;
use lychgate::observe::AccessLogTarget;

/// The key that sessions are sealed with.
pub(super) const KEY: &str = "hzdWUpfL4Q0GIxnEONPWs6VIZvBkiktT0afun+tkyoY=";
/// What the clock says.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// Nobody signs in here.
const CONFIGURATION: &str = r#"
policies = ["app.toml"]
workers = 1
[[listeners]]
address = "127.0.0.1:0"
LISTENER
[admin]
address = "127.0.0.1:0"
[keys]
session = [{ file = "session.key" }]
[providers.idp]
issuer = "http://127.0.0.1:9"
client_id = "lychgate"
client_secret = { file = "client.secret" }
"#;

/// A certificate and its key in PEM.
pub(super) struct Certified {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Starts a gateway for `app.localhost` with an application at `application`; `rest` is what stands in its policy below `[app]` and `[login]`.
/// With a certificate its listener speaks TLS, and HTTP/2 on it.
pub(super) fn started(
    name: &str,
    application: SocketAddr,
    rest: &str,
    log: Arc<Mutex<Vec<u8>>>,
    tls: Option<&Certified>,
) -> Running {
    let folder = std::env::temp_dir().join(format!("lychgate-fuzz-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    write("session.key", KEY);
    write("client.secret", "secret");
    write(
        "app.toml",
        &format!(
            "[app]\nhosts = [\"app.localhost\"]\nupstream = \"http://{application}\"\n[login]\nprovider = \"idp\"\n{rest}"
        ),
    );
    let listener = tls.map_or("", |tls| {
        write("cert.pem", &tls.certificate);
        write("key.pem", &tls.key);
        "tls = { certificate = \"cert.pem\", key = \"key.pem\" }"
    });
    let configuration = write("lychgate.toml", &CONFIGURATION.replace("LISTENER", listener));
    let (plan, report) = Plan::read(&configuration, &Environment::from_iter([]), &[]);
    let plan = plan.unwrap_or_else(|| panic!("{}", report.render()));
    let _ = std::fs::remove_dir_all(&folder);
    let options = Options {
        clock: ManualClock::starting_at(NOW).clock(),
        access_log: Some(AccessLogTarget::Memory(log)),
        ..Options::default()
    };
    plan.start(options).unwrap_or_else(|error| panic!("{error}"))
}
