//! The gateway as it is measured: the program itself under callgrind, one worker, a clear and a TLS listener, two rules, three identity
//! headers, an access log.
//!
//! Sessions are sealed here with the gateway's own key, so there is no login and no provider: a known session needs neither.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::HeaderMap;
use lychgate::claims::Claims;
use lychgate::clock::Clock;
use lychgate::crypto::KeyRing;
use lychgate::session::{CookieNames, Registration, SealedSessions, Session, SessionId};

use crate::Result;

/// How long the start may take: everything is about fifty times slower than it is.
const START: Duration = Duration::from_secs(120);

const SETTINGS: &str = r#"policies = ["app.toml"]
workers = 1
reload = "signal"
[[listeners]]
address = "127.0.0.1:CLEAR"
[[listeners]]
address = "127.0.0.1:TLS"
tls = { certificate = "tls.pem", key = "tls.key" }
[keys]
session = [{ file = "session.key" }]
[providers.idp]
issuer = "http://127.0.0.1:1"
client_id = "lychgate"
client_auth = "none"
[admin]
address = "127.0.0.1:ADMIN"
[timeouts]
handshake = "10m"
header = "10m"
[log]
access = { file = "/dev/null" }
"#;

const POLICY: &str = r#"[app]
hosts = ["localhost"]
upstream = "http://UPSTREAM"
[login]
[headers]
X-Remote-User = "${user.preferred_username}"
X-Remote-Email = "${user.email}"
X-Remote-Groups = { list = "${user.groups}", separator = ";" }
[[rules]]
paths = ["/admin/**"]
allow = "'royalty-admins' in user.groups"
[[rules]]
allow = "'royalty-artists' in user.groups"
"#;

/// A running gateway, and the folder with its files and callgrind's.
pub(crate) struct Measured {
    process: Child,
    keys: KeyRing,
    folder: PathBuf,
    clear: SocketAddr,
    tls: SocketAddr,
    /// The certificate of its TLS listener.
    pub(crate) certificate: Vec<u8>,
}

impl Measured {
    /// Starts `program` in front of an application and waits until it listens.
    pub(crate) fn start(program: &Path, upstream: SocketAddr) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lychgate-instructions-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let key = KeyRing::generate_key();
        let keys = KeyRing::new(std::slice::from_ref(&key)).map_err(|_| "the key is none")?;
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let [clear, tls, admin] = [free()?, free()?, free()?];
        write(&folder, "session.key", key.expose())?;
        write(&folder, "tls.pem", &pair.cert.pem())?;
        write(&folder, "tls.key", &pair.signing_key.serialize_pem())?;
        write(&folder, "app.toml", &POLICY.replace("UPSTREAM", &upstream.to_string()))?;
        let mut settings = SETTINGS.to_owned();
        for (word, address) in [("CLEAR", clear), ("TLS", tls), ("ADMIN", admin)] {
            settings = settings.replace(&format!(":{word}\""), &format!(":{}\"", address.port()));
        }
        let settings = write(&folder, "lychgate.toml", &settings)?;
        let process = Command::new("valgrind")
            .args(["--tool=callgrind", "--separate-threads=yes", "--quiet"])
            .arg(format!("--callgrind-out-file={}", folder.join("callgrind").display()))
            .arg(program)
            .args(["run".as_ref(), "--config".as_ref(), settings.as_os_str()])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("said"))?)
            .spawn()
            .map_err(|error| format!("valgrind cannot be started: {error}"))?;
        let mut measured = Self { process, keys, folder, clear, tls, certificate: pair.cert.der().to_vec() };
        measured.wait(admin)?;
        Ok(measured)
    }

    /// The admin listener tells that the others are bound: connections to those would count.
    fn wait(&mut self, admin: SocketAddr) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(admin).is_err() {
            if self.process.try_wait()?.is_some() || began.elapsed() > START {
                return Err(format!("the program does not listen: {}", self.said()).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }

    /// Its clear or its TLS listener.
    pub(crate) fn address(&self, tls: bool) -> SocketAddr {
        if tls { self.tls } else { self.clear }
    }

    /// A browser's `Cookie` field of about 600 bytes with a session of the person with this number.
    pub(crate) fn cookie(&self, tls: bool, number: usize) -> Result<String> {
        let now = Clock::system().now();
        let claims = format!(
            r#"{{"preferred_username":"ada{number}","email":"ada@gmr.example","groups":["staff","royalty-artists"]}}"#
        );
        let id = SessionId::new();
        let session = Session {
            id,
            root: id,
            provider: "idp".into(),
            registration: Registration::new("http://127.0.0.1:1", "lychgate"),
            subject: format!("00u{number}").into(),
            provider_session: None,
            acr: None,
            amr: Vec::new(),
            authenticated_at: now,
            started_at: now,
            seen_at: now,
            refresh_at: None,
            generation: 0,
            claims: Claims::from_json(claims.as_bytes()).ok().ok_or("the claims are none")?,
            absent_claims: Vec::new(),
        };
        let names = CookieNames::new(tls, None);
        let sealed = SealedSessions { keys: &self.keys, names: &names, scope: "localhost/app" };
        let fields = sealed.seal(&session, &HeaderMap::new()).map_err(|error| error.to_string())?;
        let field = fields.first().ok_or("no cookie")?.to_str()?;
        let cookie = field.split(';').next().unwrap_or_default();
        Ok(format!("theme=dark; {cookie}; pad={}", "x".repeat(600_usize.saturating_sub(cookie.len() + 17))))
    }

    /// Ends it and returns what callgrind wrote of each thread.
    pub(crate) fn stop(mut self) -> Result<Vec<String>> {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        let ended = self.process.wait()?;
        if !ended.success() {
            return Err(format!("the program ended with {ended}: {}", self.said()).into());
        }
        let mut threads = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("callgrind")) {
                threads.push(String::from_utf8_lossy(&std::fs::read(path)?).into_owned());
            }
        }
        Ok(threads)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that nobody uses at the moment.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path)
}
