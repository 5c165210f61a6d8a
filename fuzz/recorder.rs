//! An application that records each request as it stood on the wire, read by a parser of its own.
//!
//! It answers 200 to everything, and says in each answer to which request: the mark that begins its body is drawn for the process, so that no
//! input can hold it. What it cannot read is kept as a finding: the gateway must never send such a thing. A request that breaks off is
//! none, because its client broke it off.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use super::is_token;
use super::judged::drawn;

/// The name of the field in which an answer names its request.
pub(super) const ANSWERS: &str = "x-told";

/// One request's head.
#[derive(Clone, Debug)]
pub(super) struct Told {
    line: String,
    fields: Vec<(String, String)>,
    /// Whether it came whole and an answer was written.
    pub(super) answered: bool,
}

/// The running application.
pub(super) struct Recorder {
    address: SocketAddr,
    /// What no input can hold.
    pub(super) mark: String,
    told: Mutex<Vec<Told>>,
    /// Path by `X-Request-Id`.
    ids: Mutex<BTreeMap<String, String>>,
    broken: Mutex<Option<String>>,
}

impl Told {
    /// The values of all lines of a field.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.fields().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Names and values as they came.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The target as it came.
    pub(super) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Whether its answer has no body.
    pub(super) fn is_head(&self) -> bool {
        self.line.starts_with("HEAD ")
    }

    /// What the gateway calls it.
    pub(super) fn id(&self) -> String {
        self.all("x-request-id").concat()
    }

    /// For whom the gateway says that it is.
    pub(super) fn client(&self) -> String {
        self.all("x-forwarded-for").concat()
    }

    /// The body of its answer.
    pub(super) fn body(&self, mark: &str) -> String {
        format!("{mark}\n{}\n{}\n{}", self.id(), self.client(), self.target())
    }
}

impl Recorder {
    pub(super) fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, ids, broken, mark) = (Mutex::default(), Mutex::default(), Mutex::default(), drawn());
        let recorder = Arc::new(Self { address, mark, told, ids, broken });
        let accepting = Arc::clone(&recorder);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let recorder = Arc::clone(&accepting);
                std::thread::spawn(move || recorder.serve(stream));
            }
        });
        recorder
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests since the last call.
    pub(super) fn told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Path by identifier of the requests since the last call.
    pub(super) fn take_ids(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was no HTTP.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(mut answering) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(told) = self.head(&mut reader) {
            self.record(&told);
            if self.body(&mut reader, &told).is_none() {
                return;
            }
            let (id, body) = (told.id(), told.body(&self.mark));
            // Before the answer, which may be at the client's as soon as it is written.
            self.note_answered(&id);
            let length = body.chars().count();
            let head = format!("HTTP/1.1 200 OK\r\n{ANSWERS}: {} {id}\r\nContent-Length: {length}\r\n\r\n", self.mark);
            let body = if told.is_head() { "" } else { &body };
            // Each character beyond ASCII was one byte.
            let bytes: Vec<u8> =
                head.chars().chain(body.chars()).map(|one| u8::try_from(one).unwrap_or(b'?')).collect();
            if answering.write_all(&bytes).is_err() {
                return;
            }
        }
    }

    fn note_answered(&self, id: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter_mut().rev().filter(|told| told.id() == id).for_each(|told| told.answered = true);
    }

    fn record(&self, told: &Told) {
        let id = told.id();
        let before = self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id, told.path().to_owned());
        if before.is_some() {
            self.found(format!("the same request twice: {told:?}"));
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(told.clone());
    }

    fn found(&self, what: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// The next head. None when the connection ends, or when what came is no head.
    fn head(&self, reader: &mut BufReader<TcpStream>) -> Option<Told> {
        let line = self.line(reader)?;
        let parts: Vec<&str> = line.split(' ').collect();
        let sound =
            matches!(parts.as_slice(), [method, target, "HTTP/1.1"] if !method.is_empty() && target.starts_with('/'));
        if !sound {
            self.found(format!("no request line: {line:?}"));
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let field = self.line(reader)?;
            if field.is_empty() {
                return Some(Told { line, fields, answered: false });
            }
            let Some((name, value)) = field.split_once(':') else {
                self.found(format!("no field: {field:?}"));
                return None;
            };
            // Bytes above ASCII are obs-text (RFC 9110 section 5.5), read here as Latin-1.
            let controls = value.chars().any(|character| character.is_ascii_control() && character != '\t');
            if name.is_empty() || !name.bytes().all(is_token) || controls {
                self.found(format!("no field: {field:?}"));
            }
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads the body away as the head frames it.
    fn body(&self, reader: &mut BufReader<TcpStream>, told: &Told) -> Option<()> {
        if let Some(length) = told.all("content-length").first() {
            let Ok(length) = length.parse::<u64>() else {
                self.found(format!("no length: {told:?}"));
                return None;
            };
            let copied = std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
            return (copied == length).then_some(());
        }
        if told.all("transfer-encoding").is_empty() {
            return Some(());
        }
        loop {
            let line = self.line(reader)?;
            let Ok(size) = u64::from_str_radix(&line, 16) else {
                self.found(format!("no chunk: {line:?}"));
                return None;
            };
            let copied = std::io::copy(&mut reader.take(size), &mut std::io::sink()).ok()?;
            let end = self.line(reader).filter(|_| copied == size)?;
            if !end.is_empty() {
                self.found(format!("behind a chunk: {end:?}"));
                return None;
            }
            if size == 0 {
                return Some(());
            }
        }
    }

    /// One line without its end; a line end that is not CR LF is a finding.
    fn line(&self, reader: &mut BufReader<TcpStream>) -> Option<String> {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        // A connection that ends here was ended by the client's doing.
        line.strip_suffix(b"\n")?;
        let Some(text) = line.strip_suffix(b"\r\n") else {
            self.found(format!("a bare line end: {:?}", String::from_utf8_lossy(&line)));
            return None;
        };
        // Bytes beyond ASCII may stand in values; each stays one character.
        Some(text.iter().map(|byte| char::from(*byte)).collect())
    }
}
