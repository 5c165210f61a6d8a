//! The access log: one JSON object a line, written off the request's path.
//!
//! Each worker collects lines in its own [`LogLane`]; full or ticked lanes go to one writer thread through a bounded channel. When the
//! disk or pipe is slower than the gateway, workers wait rather than lose a line; at a stop everything is written
//! before the process ends. What cannot be written is counted as lost. Trust boundary: values in an event are a stranger's and are escaped by the JSON encoder.

use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::access_line::{self, Second};
use super::log_file::{LogFile, Reopen, Sink};
use crate::clock::Timestamp;

/// A lane is handed over when it holds this many bytes.
const LANE: usize = 32 * 1024;
/// Lanes that may wait for the writer.
const WAITING: usize = 256;

/// What is said of one request; the fields are documented in `docs/access-log.md`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AccessEvent<'a> {
    /// When the answer was finished, RFC 3339 in UTC.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The request's identifier, also given to the application and shown on pages.
    pub request_id: &'a str,
    /// The client's address, behind trusted proxies.
    pub client: IpAddr,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host asked for, where there was a sound one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// The method, where the head could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// The canonical path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'a str,
    /// The status sent to the client.
    pub status: u16,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<&'a str>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// What was decided.
    pub decision: &'a str,
    /// Why, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// What a rule or policy that only observes would have decided.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservedEvent<'a>>,
    /// What vouches for who it is, or tries to: `cookie` or `bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<&'a str>,
    /// Who: `preferred_username`, else `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<&'a str>,
    /// The first 32 bits of the session's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a str>,
    /// The client that the access token was given to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    /// The application's server that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    /// Bytes of the request's body that went on.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Milliseconds from the head of the request to the end of the answer.
    #[serde(serialize_with = "as_millis")]
    pub duration_ms: Duration,
    /// Milliseconds from sending to the head of the application's answer.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_millis_where_known")]
    pub upstream_ms: Option<Duration>,
    /// Whether the answer went out whole.
    pub complete: bool,
    /// The version of the policies that decided.
    pub policy_version: u64,
    /// What rules decided by, where the configuration asks for it to be recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<&'a RawValue>,
}

/// What would have been decided, beside what was.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ObservedEvent<'a> {
    /// What would have been decided.
    #[serde(rename = "observed")]
    pub decision: &'a str,
    /// The rule that would have decided.
    #[serde(rename = "observed_rule", skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// Why, as a code.
    #[serde(rename = "observed_reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The policy that only observes; left out for a rule of the policy that decided.
    #[serde(rename = "observed_policy", skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Milliseconds with microseconds after the point.
fn as_millis<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    let micros = span.as_micros() as f64;
    serializer.serialize_f64(micros / 1000.0)
}

fn as_millis_where_known<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    as_millis(&span.unwrap_or_default(), serializer)
}

/// Where the lines go.
#[derive(Clone, Debug)]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
    /// A buffer that tests read.
    Memory(Arc<Mutex<Vec<u8>>>),
    /// Nowhere.
    Off,
}

/// The writer's side; dropping it writes what is left and waits for it.
pub struct AccessLog {
    sender: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    anew: Reopen,
}

impl AccessLog {
    /// Opens the target and starts the writer; `lost` counts the lines that could not be written.
    pub fn open(target: AccessLogTarget, lost: Counter) -> std::io::Result<Self> {
        let anew = Reopen::default();
        let mut sink: Box<dyn Sink> = match target {
            AccessLogTarget::Off => return Ok(Self { sender: None, thread: None, anew }),
            AccessLogTarget::Stdout => Box::new(std::io::stdout()),
            AccessLogTarget::Stderr => Box::new(std::io::stderr()),
            AccessLogTarget::File(path) => Box::new(LogFile::open(path, anew.clone())?),
            AccessLogTarget::Memory(buffer) => Box::new(Memory(buffer)),
        };
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&receiver, &mut *sink, &lost))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), anew })
    }

    /// What asks for the file to be opened anew.
    pub fn reopen(&self) -> Reopen {
        self.anew.clone()
    }

    /// A lane for one worker.
    pub fn lane(&self) -> LogLane {
        LogLane { lines: Mutex::default(), sender: self.sender.clone() }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes what comes. Of lines that meet an error what is left of them is given up: the next ones may have more luck, and workers do not wait
/// for a disk that is full.
fn write_all(receiver: &Receiver<Vec<u8>>, sink: &mut dyn Sink, lost: &Counter) {
    let mut torn = false;
    while let Ok(lines) = receiver.recv() {
        torn = sink.begin().unwrap_or(torn);
        let mut left = &*lines;
        if let Err(error) = put(sink, &mut left, &mut torn) {
            let lines = left.iter().filter(|byte| **byte == b'\n').count();
            lost.inc_by(lines as u64);
            tracing::error!(%error, lines, "the access log cannot be written, and lines of it are lost");
        }
    }
}

/// Writes what is left of some lines, on a line of their own where a piece of one stands before them.
fn put(sink: &mut dyn Sink, left: &mut &[u8], torn: &mut bool) -> std::io::Result<()> {
    if *torn {
        sink.write_all(b"\n")?;
        *torn = false;
    }
    while !left.is_empty() {
        let count = match sink.write(left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (written, rest) = left.split_at_checked(count).unwrap_or((left, &[]));
        (*torn, *left) = (!written.ends_with(b"\n"), rest);
    }
    sink.flush()
}

/// One worker's lines that are not handed over yet.
pub struct LogLane {
    // Asked only from its worker's thread: never contended.
    lines: Mutex<Lines>,
    sender: Option<SyncSender<Vec<u8>>>,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    second: Second,
}

impl LogLane {
    /// Adds one line.
    pub fn write(&self, event: &AccessEvent<'_>) {
        if self.sender.is_none() {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Lines { bytes, second } = &mut *lines;
        access_line::write(bytes, event, second);
        if bytes.len() >= LANE {
            let full = std::mem::replace(bytes, Vec::with_capacity(LANE + 1024));
            drop(lines);
            self.hand_over(full);
        }
    }

    /// Hands over what is there; called by the worker's ticker and at its end.
    pub fn flush(&self) {
        let lines = std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner).bytes);
        if !lines.is_empty() {
            self.hand_over(lines);
        }
    }

    fn hand_over(&self, lines: Vec<u8>) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(lines);
        }
    }
}

impl Drop for LogLane {
    fn drop(&mut self) {
        self.flush();
    }
}

struct Memory(Arc<Mutex<Vec<u8>>>);

impl Sink for Memory {}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(path: &'a str) -> AccessEvent<'a> {
        AccessEvent {
            time: Timestamp::from_seconds(0),
            request_id: "r1",
            client: [127, 0, 0, 1].into(),
            scheme: "https",
            host: Some("a.example"),
            method: Some("GET"),
            path: Some(path),
            protocol: "HTTP/1.1",
            status: 200,
            app: Some("a"),
            rule: None,
            decision: "allow",
            reason: None,
            observed: None,
            auth: Some("cookie"),
            who: Some("ada"),
            session: None,
            client_id: None,
            upstream: None,
            bytes_in: 0,
            bytes_out: 5,
            duration_ms: Duration::from_micros(1500),
            upstream_ms: None,
            complete: true,
            policy_version: 1,
            replay: None,
        }
    }

    /// A disk that has room for so many bytes, then for none, and after a while for all.
    struct Disk {
        room: usize,
        failures: usize,
        written: Vec<u8>,
    }

    impl Sink for Disk {}

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.room == 0 && self.failures > 0 {
                self.failures -= 1;
                return Err(ErrorKind::StorageFull.into());
            }
            let count = if self.failures == 0 { bytes.len() } else { bytes.len().min(self.room) };
            self.written.extend(&bytes[..count]);
            self.room = self.room.saturating_sub(count);
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_behind_a_failure_stands_alone_and_what_was_lost_is_counted() {
        // Batches of two lines of ten bytes.
        for (room, failures, sound) in [(15, 1, 5), (15, 2, 3), (20, 1, 4), (0, 1, 4), (25, 3, 2)] {
            let (sender, receiver) = sync_channel(WAITING);
            for batch in 1..4 {
                sender.send(format!("{{\"a\": {batch}0}}\n{{\"a\": {batch}1}}\n").into_bytes()).unwrap();
            }
            drop(sender);
            let mut disk = Disk { room, failures, written: Vec::new() };
            let lost = Counter::default();
            write_all(&receiver, &mut disk, &lost);
            let text = String::from_utf8(disk.written).unwrap();
            let (whole, torn): (Vec<_>, Vec<_>) =
                text.lines().partition(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
            assert!(torn.len() <= 1 && text.lines().all(|line| !line.is_empty()), "{room}: {text:?}");
            assert_eq!((whole.len(), lost.get()), (sound, 6 - sound as u64), "{room} {failures}: {text:?}");
        }
    }

    #[test]
    fn an_event_is_one_line_of_json_and_nothing_is_lost_at_the_end() {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let log = AccessLog::open(AccessLogTarget::Memory(Arc::clone(&buffer)), Counter::default()).unwrap();
        let lane = log.lane();
        for number in 0..1000 {
            lane.write(&event(&format!("/line\n{number}")));
        }
        drop(lane);
        drop(log);
        let text = String::from_utf8(buffer.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1000);
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(line["path"], "/line\n999");
        assert_eq!(line["time"], "1970-01-01T00:00:00.000Z");
        assert!(line.get("rule").is_none());
    }
}
