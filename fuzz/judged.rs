//! The whole gateway before an application that records, and what must hold of both whatever clients send.
//!
//! Judged anew, without the gateway's own parsers: by what the application read off the wire, by the answers that clients got, and by the
//! access log. Every client has an address of its own, so that each request says whose it is, in words of the gateway that no input can say:
//! so do the mark that begins every body of the application, and the name of the person who is signed in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use lychgate::app::Running;
use lychgate::claims::Claims;
use lychgate::crypto::{KeyRing, Secret, random};
use lychgate::http::CanonicalPath;
use lychgate::session::{CookieNames, Registration, SealedSessions, Session, SessionId};

use super::answers::Answer;
use super::recorder::{ANSWERS, Recorder, Told};
use super::started::{Certified, KEY, NOW, started};

/// Executions between two looks at the access log; the first ones are all looked at.
const LOOK_EVERY: usize = 256;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What no input can hold.
pub(super) fn drawn() -> String {
    random::token()
}

/// The gateway, its application, its log, and a cookie that it accepts.
pub(super) struct Whole {
    running: Running,
    pub(super) application: Arc<Recorder>,
    log: Arc<Mutex<Vec<u8>>>,
    /// The name of the person whose cookie it is.
    user: String,
    cookie: String,
    executions: AtomicUsize,
    /// Lines of allowed requests that had not reached the application when the log was looked at last.
    early: Mutex<BTreeMap<String, Line>>,
}

/// What the log says of a request.
#[derive(Clone, Debug)]
struct Line {
    decision: String,
    path: String,
    status: u64,
    /// How many lines there are.
    count: usize,
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The gateway closed it, and the client had not.
    Closed,
    /// The client ended its side first.
    AfterClient,
    /// It broke off, and what was under way with it.
    Broken,
}

impl Line {
    fn allows(&self) -> bool {
        self.decision == "allow" || self.decision == "public"
    }
}

impl Whole {
    pub(super) fn start(name: &str, tls: Option<&Certified>) -> Self {
        let (application, log, user) = (Recorder::start(), Arc::default(), format!("ada-{}", drawn()));
        let running = started(name, application.address(), POLICY, Arc::clone(&log), tls);
        let cookie = cookie_of(&user, tls.is_some());
        Self { running, application, log, user, cookie, executions: AtomicUsize::new(0), early: Mutex::default() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    /// The input with the cookie of Ada in place of `@ADA@`.
    pub(super) fn said(&self, data: &[u8]) -> Vec<u8> {
        replaced(data, b"@ADA@", self.cookie.as_bytes())
    }

    /// Checks what the application was told since the last call, which is returned, and from time to time the log.
    pub(super) fn check(&self) -> Vec<Told> {
        let told = self.application.told();
        told.iter().for_each(|told| check_told(told, &self.user));
        assert_eq!(self.application.broken(), None, "the application was sent what is no HTTP");
        let count = self.executions.fetch_add(1, Ordering::Relaxed);
        if count < 16 || count.is_multiple_of(LOOK_EVERY) {
            self.check_log();
        }
        told
    }

    /// Each request that the application was sent is in the log once, and was allowed; and no other was answered by it.
    fn check_log(&self) {
        let told = self.application.take_ids();
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        // On a machine that does other things besides, lines can take seconds.
        for _ in 0..1000 {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lines = decisions(&log);
            let fresh: Vec<String> = lines.keys().cloned().collect();
            for (id, line) in &*early {
                lines.entry(id.clone()).and_modify(|known| known.count += line.count).or_insert_with(|| line.clone());
            }
            if told.keys().all(|id| lines.contains_key(id)) {
                for (id, path) in &told {
                    let line = &lines[id];
                    assert!(line.allows(), "{path} was sent on, and the log says {line:?}");
                    let read = CanonicalPath::parse(path).unwrap();
                    assert_eq!((&*line.path, line.count), (read.as_str(), 1), "one request, two readings");
                }
                // The application notes a request before it answers: one that it had not noted a look ago has no answer of its.
                for (id, line) in early.iter().filter(|(id, _)| !told.contains_key(*id)) {
                    assert!(
                        !line.allows() || line.status != 200,
                        "{id} was answered, and the application not asked: {line:?}"
                    );
                }
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

    /// Divides what a client of HTTP/1.1 got, to its last byte, into sound answers: those of the application are each to a request of this
    /// client, in their order, each once, and none is lost where the gateway chose the end.
    pub(super) fn judge(&self, got: &[u8], end: End, client: &str, told: &[Told]) {
        let mark = &*self.application.mark;
        let mut mine = told.iter().filter(|told| told.client() == client);
        let mut rest = got;
        loop {
            while let Some(after) = rest.strip_prefix(CONTINUE) {
                rest = after;
            }
            if rest.is_empty() || end == End::Broken && memchr::memmem::find(rest, b"\r\n\r\n").is_none() {
                break;
            }
            let head = Answer::read(rest, true);
            let shown = || String::from_utf8_lossy(rest);
            let (answer, expected) = match *head.all(ANSWERS) {
                [said] => {
                    let id = said
                        .strip_prefix(mark)
                        .unwrap_or_else(|| panic!("not of the application: {:?}", shown()))
                        .trim();
                    let asked = mine.by_ref().find(|told| {
                        assert!(
                            told.id() == id || !told.answered || end != End::Closed,
                            "lost: {told:?}, but {:?}",
                            shown()
                        );
                        told.id() == id
                    });
                    let asked = asked.unwrap_or_else(|| panic!("somebody else's answer: {:?} of {told:?}", shown()));
                    let body = if asked.is_head() { String::new() } else { asked.body(mark) };
                    assert_eq!(head.status, 200, "{:?}", shown());
                    (Answer::read(rest, asked.is_head()), Some(body))
                }
                // The gateway's own, whose pages never begin so.
                [] => {
                    let behind = &rest[head.length..];
                    (Answer::read(rest, behind.is_empty() || behind.starts_with(b"HTTP/1.")), None)
                }
                _ => panic!("of two requests: {:?}", shown()),
            };
            if !answer.whole {
                assert_eq!(end, End::Broken, "cut: {:?}", shown());
                break;
            }
            match expected {
                Some(body) => assert_eq!(latin(&answer.body), body, "{:?}", shown()),
                None => {
                    assert!(!latin(&rest[..answer.length]).contains(mark), "passed off as the gateway's: {:?}", shown())
                }
            }
            rest = &rest[answer.length..];
        }
        assert!(end != End::Closed || mine.all(|told| !told.answered), "an answer is lost: {told:?}");
    }
}

/// Bytes as the recorder reads them.
pub(super) fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What the log says of each request's identifier.
fn decisions(log: &[u8]) -> BTreeMap<String, Line> {
    let mut found: BTreeMap<String, Line> = BTreeMap::new();
    for line in log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let line: serde_json::Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let status = line["status"].as_u64().unwrap();
        let entry = found.entry(text("request_id"));
        entry.or_insert_with(|| Line { decision: text("decision"), path: text("path"), status, count: 0 }).count += 1;
    }
    found
}

/// What must hold of each request that reached the application, whatever a client sent.
fn check_told(told: &Told, ada: &str) {
    let one = |name: &str| {
        let all: Vec<&str> = told.all(name);
        assert!(all.len() <= 1, "{name} stands there {} times: {told:?}", all.len());
        all.first().copied()
    };
    for name in ["host", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"] {
        assert!(one(name).is_some(), "{name} is missing: {told:?}");
    }
    assert!(one("x-forwarded-for").is_some_and(is_client), "{told:?}");
    assert!(one("content-length").is_none() || one("transfer-encoding").is_none(), "{told:?}");
    assert!(matches!(one("transfer-encoding"), None | Some("chunked")), "{told:?}");
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
    // The policy, read once more: what is not public is for Ada, where she is named, and /admin for nobody.
    let public = path.starts_with("/public/") || path == "/public";
    assert_eq!(one("x-remote-user"), (!public).then_some(ada), "{told:?}");
    assert!(!path.starts_with("/admin/") && path != "/admin", "{told:?}");
    let cookies = told.all("cookie").concat();
    let mut names = cookies.split(';').map(|pair| pair.split('=').next().unwrap_or_default().trim());
    let ours = |name: &str| matches!(&*name.to_ascii_lowercase(), "lychgate" | "__host-lychgate");
    assert!(told.all("cookie").len() <= 1 && !names.any(ours), "{told:?}");
}

/// An address of this machine's, of which each client has one.
fn is_client(address: &str) -> bool {
    address.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// A name as CGI and its like read it.
fn folded(name: &str) -> String {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_uppercase()) } else { '_' };
    name.bytes().map(fold).collect()
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
fn cookie_of(user: &str, secure: bool) -> String {
    let keys = KeyRing::new(&[Secret::new(KEY.to_owned())]).ok().unwrap();
    let names = CookieNames::new(secure, None);
    let id = SessionId::new();
    let claims = serde_json::json!({"preferred_username": user, "groups": ["staff"]}).to_string();
    let session = Session {
        id,
        root: id,
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
        claims: Claims::from_json(claims.as_bytes()).unwrap(),
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
