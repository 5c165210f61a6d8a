//! An application whose answers are a fuzzer's bytes, the whole gateway, and a client that reads as strictly as can be.
//!
//! The first byte says how: bit 0, whether the application closes behind its bytes; bits 1 and 2, the client's method. The client asks for
//! two pages on one connection, and the second one is always answered well. What must hold: the client reads one sound answer for each
//! request, and what the application says to the first is never the answer to the second (H04, H06, H08, S07).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use lychgate::app::Running;

use super::is_token;
use super::started::started;

const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "OPTIONS"];
const LAST: &str = "GET /last HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
const LAST_BODY: &[u8] = b"the last page";
/// Nothing here takes so long.
const HANGS: Duration = Duration::from_secs(20);

/// Whoever waits is not waited for long.
const POLICY: &str = r#"
[app.timeouts]
first_byte = "20ms"
stall = "20ms"
[[rules]]
access = "public"
"#;

/// The application.
struct Speaker {
    said: Mutex<Said>,
}

/// What the application says to all but the last page.
#[derive(Clone, Default)]
struct Said {
    bytes: Vec<u8>,
    closes: bool,
}

/// The gateway and its application.
struct Stage {
    running: Running,
    speaker: Arc<Speaker>,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let speaker = Arc::new(Speaker { said: Mutex::default() });
    let running = started("answers", speaker.listen(), POLICY, Arc::default(), None);
    Stage { running, speaker }
});

/// Lets the application say the bytes, and reads what the client is told.
pub(crate) fn answers(data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else { return };
    let stage = &*STAGE;
    let method = METHODS[usize::from(how >> 1 & 3)];
    *stage.speaker.said() = Said { bytes: bytes.to_vec(), closes: how & 1 == 1 };
    let told = ask(stage.running.addresses()[0], method);
    let answer = Answer::read(&told, method == "HEAD");
    answer.check_cookies();
    assert!(told.starts_with(b"HTTP/1.1 "), "an old answer to a client that is not");
    if answer.ended {
        return;
    }
    let last = Answer::read(&told[answer.length..], false);
    // The gateway's own answer where the application could not be reached.
    assert!(
        (last.status == 200 && last.body == LAST_BODY && last.all("x-last") == ["yes"])
            || matches!(last.status, 502..=504),
        "the second request was told {:?}",
        String::from_utf8_lossy(&told)
    );
    assert!(
        answer.body != LAST_BODY || bytes.windows(LAST_BODY.len()).any(|part| part == LAST_BODY),
        "one answer twice"
    );
}

fn ask(address: SocketAddr, method: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANGS)).unwrap();
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let _ =
        stream.write_all(format!("{method} /page HTTP/1.1\r\nHost: app.localhost\r\n{length}\r\n{LAST}").as_bytes());
    let mut told = Vec::new();
    // A connection that is broken off is an end too, for a client; one that hangs is none.
    if let Err(error) = stream.read_to_end(&mut told) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the client waits for an end");
    }
    told
}

/// An answer as a strict client reads it.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    fields: Vec<(&'a str, &'a [u8])>,
    pub(super) body: Vec<u8>,
    /// How many bytes it has.
    pub(super) length: usize,
    /// Whether nothing may follow, because the end of the connection is its own.
    ended: bool,
    /// Whether all of its body came.
    pub(super) whole: bool,
}

impl<'a> Answer<'a> {
    /// The answer at the front of `told`; a body may be cut where the connection ends.
    pub(super) fn read(told: &'a [u8], to_head: bool) -> Self {
        let shown = || String::from_utf8_lossy(told).into_owned();
        let end = memchr::memmem::find(told, b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", shown()));
        let mut lines = told[..end + 2]
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("a lone line feed: {:?}", shown())));
        let first = lines.next().unwrap_or_default();
        let status = status(first).unwrap_or_else(|| panic!("no status line: {:?}", shown()));
        let fields: Vec<_> =
            lines.map(|line| field(line).unwrap_or_else(|| panic!("no field: {:?}", shown()))).collect();
        let mut answer = Self { status, fields, body: Vec::new(), length: end + 4, ended: false, whole: true };
        answer.check(&shown);
        let bodiless = to_head || matches!(status, 204 | 304);
        if !bodiless {
            answer.read_body(told);
        }
        answer.ended = answer.length >= told.len();
        answer
    }

    /// The values of all lines of a field.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| std::str::from_utf8(value).unwrap_or("?")).collect()
    }

    /// What no answer may have.
    fn check(&self, shown: &dyn Fn() -> String) {
        for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "upgrade"] {
            assert!(self.all(name).is_empty(), "{name}: {:?}", shown());
        }
        let (lengths, codings) = (self.all("content-length"), self.all("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "framed twice: {:?}", shown());
        assert!(lengths.iter().all(|length| length.bytes().all(|byte| byte.is_ascii_digit())), "{:?}", shown());
        assert!(codings.iter().all(|coding| *coding == "chunked"), "{:?}", shown());
    }

    /// No application sets the gateway's own cookie.
    fn check_cookies(&self) {
        let ours = |line: &&str| line.split('=').next().unwrap_or_default().trim().eq_ignore_ascii_case("lychgate");
        assert!(!self.all("set-cookie").iter().any(ours), "the gateway's own cookie: {:?}", self.all("set-cookie"));
    }

    fn read_body(&mut self, told: &[u8]) {
        let rest = &told[self.length..];
        if let Some(length) = self.all("content-length").first() {
            let length = length.parse::<usize>().unwrap_or(usize::MAX);
            self.body = rest[..length.min(rest.len())].to_vec();
            self.whole = length <= rest.len();
            self.length = self.length.saturating_add(length).min(told.len());
        } else if self.all("transfer-encoding").is_empty() {
            assert_eq!(self.all("connection"), ["close"], "an answer without an end");
            self.body = rest.to_vec();
            self.length = told.len();
        } else {
            let mut at = 0;
            while let Some(size) = chunk(rest, &mut at) {
                if size.is_empty() {
                    self.length += at;
                    return;
                }
                self.body.extend_from_slice(size);
            }
            self.length = told.len();
            self.whole = false;
        }
    }
}

/// The status of a status line; its reason may be any text, as RFC 9112 section 4 lets it be. What is above 599 means nothing, and is passed on.
fn status(line: &[u8]) -> Option<u16> {
    let (status, reason) =
        line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?.split_at_checked(3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    let sound = (200..1000).contains(&status) && matches!(reason, [] | [b' ', ..]);
    (sound && !reason.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')).then_some(status)
}

/// A name and its value, if that is what the line is.
fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii());
    let sound = !name.is_empty() && name.bytes().all(is_token);
    (sound && !value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')).then_some((name, value))
}

/// The next chunk; empty for the last one with its empty trailer section, none where the connection broke off.
fn chunk<'a>(rest: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let line = rest[*at..].windows(2).position(|pair| pair == b"\r\n")?;
    let size = std::str::from_utf8(&rest[*at..*at + line]).unwrap();
    let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no size of a chunk: {size:?}"));
    let (from, to) = (*at + line + 2, *at + line + 2 + size);
    let behind = rest.get(to..to + 2)?;
    assert_eq!(behind, b"\r\n", "a chunk without its end");
    *at = to + 2;
    Some(&rest[from..to])
}

impl Speaker {
    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes connections for good; where.
    fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let speaker = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let speaker = Arc::clone(&speaker);
                std::thread::spawn(move || speaker.serve(stream));
            }
        });
        address
    }

    /// Answers each head on a connection; none that comes here has a body.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut answering = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        loop {
            let (mut first, mut line) = (String::new(), String::new());
            reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            }
            if first.starts_with("GET /last ") {
                let length = LAST_BODY.len();
                let head = format!("HTTP/1.1 200 OK\r\nX-Last: yes\r\nContent-Length: {length}\r\n\r\n");
                answering.write_all(&[head.as_bytes(), LAST_BODY].concat()).ok()?;
            } else {
                let Said { bytes, closes } = self.said().clone();
                answering.write_all(&bytes).ok()?;
                if closes {
                    return None;
                }
            }
        }
    }
}
