//! The whole gateway under a fuzzer's bytes: a real listener, the reading of requests, the pipeline, and an application that records.
//!
//! `@ADA@` in the bytes stands for the cookie of a person who is signed in. What must hold is judged here anew, without the gateway's own
//! parsers: by what the application read off the wire, and by the access log.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use lychgate::app::Running;
use lychgate::claims::Claims;
use lychgate::crypto::{KeyRing, Secret};
use lychgate::http::CanonicalPath;
use lychgate::session::{CookieNames, Registration, SealedSessions, Session, SessionId};

#[path = "recorder.rs"]
mod recorder;

use super::started::{KEY, NOW, started};
use recorder::{Recorder, Told};

/// Stands behind the fuzzer's bytes, so that a connection that is still sound ends by itself.
const LAST: &str = "\r\n\r\nGET /public/last HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
/// How long nothing may come before the client ends: what is looked at is never this time.
const SILENCE: Duration = Duration::from_millis(40);
/// Executions between two looks at the access log; the first ones are all looked at.
const LOOK_EVERY: usize = 256;

/// The gateway, its application, its log, and a cookie that it accepts.
struct Whole {
    running: Running,
    application: Arc<Recorder>,
    log: Arc<Mutex<Vec<u8>>>,
    cookie: String,
    executions: AtomicUsize,
    /// Lines of allowed requests that had not reached the application when the log was looked at last.
    early: Mutex<BTreeMap<String, Line>>,
}

/// Decision, path and number of lines of a request.
type Line = (String, String, usize);

static WHOLE: LazyLock<Whole> = LazyLock::new(Whole::start);

/// Sends the bytes on a connection of their own and checks what became of them.
pub(crate) fn gateway(data: &[u8]) {
    let whole = &*WHOLE;
    let said = replaced(data, b"@ADA@", whole.cookie.as_bytes());
    let answers = exchange(whole.running.addresses()[0], &said);
    check_answers(&answers);
    whole.application.told().iter().for_each(check_told);
    assert_eq!(whole.application.broken(), None, "the application was sent what is no HTTP");
    let count = whole.executions.fetch_add(1, Ordering::Relaxed);
    if count < 16 || count.is_multiple_of(LOOK_EVERY) {
        whole.check_log();
    }
}

impl Whole {
    fn start() -> Self {
        let (application, log) = (Recorder::start(), Arc::default());
        let running = started("gateway", application.address(), POLICY, Arc::clone(&log));
        Self { running, application, log, cookie: ada(), executions: AtomicUsize::new(0), early: Mutex::default() }
    }

    /// Each request that the application was sent is in the log once, and was allowed.
    fn check_log(&self) {
        let told = self.application.take_ids();
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        // On a machine that does other things besides, lines can take seconds.
        for _ in 0..1000 {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lines = decisions(&log);
            let fresh: Vec<String> = lines.keys().cloned().collect();
            for (id, line) in &*early {
                lines.entry(id.clone()).and_modify(|(.., count)| *count += line.2).or_insert_with(|| line.clone());
            }
            if told.keys().all(|id| lines.contains_key(id)) {
                for (id, path) in &told {
                    let (decision, logged, count) = &lines[id];
                    assert!(
                        decision == "allow" || decision == "public",
                        "{path} was sent on, and the log says {decision}"
                    );
                    let read = CanonicalPath::parse(path).unwrap();
                    assert_eq!((logged.as_str(), *count), (read.as_str(), 1), "one request, two readings");
                }
                let count: usize =
                    lines.values().filter(|(decision, ..)| decision == "allow" || decision == "public").count();
                assert!(count >= told.len());
                // A client may be gone, and its line written, before the application has read the request.
                *early = fresh
                    .into_iter()
                    .filter(|id| !told.contains_key(id))
                    .filter_map(|id| lines.remove_entry(&id))
                    .collect();
                let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                log.drain(..whole);
                return;
            }
            drop(log);
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the application was sent requests that are not in the log: {told:?}");
    }
}

/// Decision, path and number of lines of each request's identifier.
fn decisions(log: &[u8]) -> BTreeMap<String, Line> {
    let mut found: BTreeMap<String, Line> = BTreeMap::new();
    for line in log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let line: serde_json::Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        found.entry(text("request_id")).or_insert_with(|| (text("decision"), text("path"), 0)).2 += 1;
    }
    found
}

/// What must hold of each request that reached the application, whatever a client sent.
fn check_told(told: &Told) {
    let one = |name: &str| {
        let all: Vec<&str> = told.all(name);
        assert!(all.len() <= 1, "{name} stands there {} times: {told:?}", all.len());
        all.first().copied()
    };
    for name in ["host", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"] {
        assert!(one(name).is_some(), "{name} is missing: {told:?}");
    }
    assert_eq!(one("x-forwarded-for"), Some("127.0.0.1"), "{told:?}");
    assert!(one("content-length").is_none() || one("transfer-encoding").is_none(), "{told:?}");
    assert!(matches!(one("transfer-encoding"), None | Some("chunked")), "{told:?}");
    let user = one("x-remote-user");
    assert!(user.is_none_or(|user| user == "ada"), "{told:?}");
    for (name, _) in told.fields() {
        let ours = [
            "x-remote-user",
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "host",
            "transfer-encoding",
        ];
        let posing = ours.iter().any(|ours| folded(name) == folded(ours) && !name.eq_ignore_ascii_case(ours));
        assert!(!posing && !matches!(&*folded(name), "REMOTE_USER" | "X_FORWARDED_USER"), "{told:?}");
    }
    let path = told.path();
    let sound = path.starts_with('/') && !path.contains("//") && !path.contains(['\\', ';', '#']);
    let dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    assert!(sound && !dots, "{told:?}");
    // The gateway's own addresses, and no neighbour of theirs.
    let lower = path.to_ascii_lowercase();
    assert!(!lower.strip_prefix("/.lychgate").is_some_and(|rest| rest.is_empty() || rest.starts_with('/')), "{told:?}");
    // The policy, read once more: what is not public is for Ada, and /admin for nobody.
    assert!(path.starts_with("/public/") || path == "/public" || user == Some("ada"), "{told:?}");
    assert!(!path.starts_with("/admin/") && path != "/admin", "{told:?}");
    let cookies = told.all("cookie").concat();
    let mut names = cookies.split(';').map(|pair| pair.split('=').next().unwrap_or_default().trim());
    assert!(told.all("cookie").len() <= 1 && !names.any(|name| name.eq_ignore_ascii_case("lychgate")), "{told:?}");
}

/// A name as CGI and its like read it.
fn folded(name: &str) -> String {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_uppercase()) } else { '_' };
    name.bytes().map(fold).collect()
}

/// Whatever comes back begins as an answer does.
fn check_answers(answers: &[u8]) {
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(answers));
}

/// Sends `said` and reads to the end of the connection.
fn exchange(address: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    // An error means that the gateway has closed already.
    let _ = stream.write_all(&[said, LAST.as_bytes()].concat());
    let (mut answers, mut piece, mut ended) = (Vec::new(), [0; 4096], false);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return answers,
            Ok(count) => answers.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(!ended, "a connection stays open after its client has ended");
                ended = true;
                let _ = stream.shutdown(Shutdown::Write);
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            }
            Err(_) => return answers,
        }
    }
}

fn replaced(data: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The `Cookie` pair of Ada, who is staff.
fn ada() -> String {
    let keys = KeyRing::new(&[Secret::new(KEY.to_owned())]).ok().unwrap();
    let names = CookieNames::new(false, None);
    let session = Session {
        id: SessionId::new(),
        provider: "idp".into(),
        registration: Registration::new("http://127.0.0.1:9", "lychgate"),
        subject: "1".into(),
        provider_session: None,
        acr: None,
        amr: Vec::new(),
        authenticated_at: NOW,
        started_at: NOW,
        seen_at: NOW,
        refresh_at: None,
        generation: 0,
        claims: Claims::from_json(br#"{"preferred_username": "ada", "groups": ["staff"]}"#).unwrap(),
        absent_claims: Vec::new(),
    };
    let sealed = SealedSessions { keys: &keys, names: &names, scope: "app.localhost/app" };
    let fields = sealed.seal(&session, &HeaderMap::new()).unwrap();
    fields[0].to_str().unwrap().split(';').next().unwrap().to_owned()
}

const POLICY: &str = r#"
[headers]
X-Remote-User = "${user.preferred_username}"
[[rules]]
paths = ["/public/**"]
access = "public"
[[rules]]
paths = ["/admin/**"]
allow = "'admins' in user.groups"
[[rules]]
allow = "'staff' in user.groups"
"#;
