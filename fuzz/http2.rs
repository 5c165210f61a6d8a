//! The whole gateway under a fuzzer's frames: HTTP/2 on TLS, as browsers speak it, judged as HTTP/1.1 is (`judged.rs`).
//!
//! An input that begins with a zero byte is what the client says behind the preface, as it stands; with a one, the preface is its own affair.
//! Any other is lines, of which frames are made:
//!
//! | line | what |
//! | --- | --- |
//! | `NAME VALUE` | a field of the head that is being made, or of the trailers, if the stream was begun; `^` is a line feed |
//! | an empty one | the head, or the trailers, ends, and with it what the stream has to say |
//! | `=TEXT` | the head ends, and TEXT is a piece of the body |
//! | `.` | the body ends without trailers |
//! | `-` | the head goes on in another frame |
//! | `>` | leaves the stream as it is; the next line begins another one |
//! | `!` and bytes | kind, flags and stream of a frame, and what is in it |
//!
//! A field that no input can name says on which stream a request was made; its answer must come on that one.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::judged::{Whole, drawn, latin};
use super::recorder::Told;
use super::started::Certified;
use super::whole::connect;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame that a side takes that has said nothing of it (RFC 9113 section 6.5.2).
const LARGEST: usize = 16_384;
/// A stream above all others, for the last request behind bytes that are not looked at.
const HIGHEST: u32 = 0x7fff_ffff;
/// How long nothing may come before the client ends; what is looked at is never this time.
const SILENCE: Duration = Duration::from_millis(40);
/// The same when the last request is answered, and others are not: they may have been left open.
const SHORT_SILENCE: Duration = Duration::from_millis(4);
const HANGS: Duration = Duration::from_secs(20);

struct Stage {
    whole: Whole,
    client: Arc<ClientConfig>,
    /// The name of the field that says which stream it is.
    tag: String,
}

/// h2 asserts where it is debugged, and only there, that a connection has no stream when it is dropped; one that is cut off has some. Every other panic
/// goes on to whoever heard of it before.
fn excuse_h2s_count() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_count = |file: &str| file.contains("/h2-") && file.ends_with("/proto/streams/counts.rs");
        if !panic.location().is_some_and(|at| is_count(at.file())) {
            tell(panic);
        }
    }));
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    excuse_h2s_count();
    let made = rcgen::generate_simple_self_signed(["app.localhost".to_owned()]).unwrap();
    let tls = Certified { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(tls.certificate.as_bytes()).unwrap()).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // The quickest, for more executions.
    provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
    let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    // In lower case, as names on HTTP/2 are.
    let tag = format!("x-{}", drawn().to_ascii_lowercase());
    Stage { whole: Whole::start("http2", Some(&tls)), client: Arc::new(client), tag }
});

/// Says the bytes, or the frames that they make, and checks what became of them.
pub(crate) fn http2(data: &[u8]) {
    let stage = &*STAGE;
    let data = stage.whole.said(data);
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
    let (said, last) = match data.split_first() {
        Some((0, raw)) => ([&opening, raw, &stage.last(HIGHEST)].concat(), None),
        Some((1, raw)) => ([raw, &stage.last(HIGHEST)].concat(), None),
        _ => {
            let mut maker = Maker { tag: &stage.tag, ..Maker::default() };
            data.split(|byte| *byte == b'\n').for_each(|line| maker.line(line));
            let last = maker.streams * 2 + 1;
            ([opening, maker.frames, stage.last(last)].concat(), Some(last))
        }
    };
    let (stream, client) = connect(stage.whole.address());
    let got = exchange(stream, Arc::clone(&stage.client), &said, last);
    let told = stage.whole.check();
    stage.judge(&got, &client, last.is_some(), &told);
}

impl Stage {
    /// A request that is sound, and that the client asks for nothing more.
    fn last(&self, stream: u32) -> Vec<u8> {
        let number = stream.to_string();
        let fields: [(&[u8], &[u8]); 5] = [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"app.localhost"),
            (b":path", b"/public/last"),
            (self.tag.as_bytes(), number.as_bytes()),
        ];
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        [frame(HEADERS, END_HEADERS | END_STREAM, stream, &block), frame(GOAWAY, 0, 0, &[0; 8])].concat()
    }

    /// Each stream has one answer, with nothing behind its end, and one of the application's is to the request of this stream and client.
    fn judge(&self, got: &[u8], client: &str, tagged: bool, told: &[Told]) {
        let mark = &*self.whole.application.mark;
        let mut answered = Vec::new();
        for (stream, answer) in answers(got) {
            let body = latin(&answer.body);
            if !body.contains(mark) {
                continue;
            }
            // A client may give a stream so small a window that not even the whole identifier comes.
            let is_of = |told: &&Told| {
                let whole = told.body(mark);
                let fits = if answer.ended { whole == body } else { whole.starts_with(&body) };
                fits && told.client() == client && (!tagged || told.all(&self.tag) == [stream.to_string()])
            };
            let asked = told.iter().find(is_of);
            let asked =
                asked.unwrap_or_else(|| panic!("somebody else's answer on stream {stream}: {body:?} of {told:?}"));
            if body.contains(&asked.id()) {
                assert!(!answered.contains(&asked.id()), "one answer twice: {body:?}");
                answered.push(asked.id());
            }
        }
    }
}

/// What came on a stream.
#[derive(Default)]
struct Came {
    heads: usize,
    body: Vec<u8>,
    ended: bool,
    reset: bool,
}

/// What came, by stream; frames that are none, or in no order that can be, are a finding (RFC 9113 sections 4.1 to 6.2 and 8.1).
fn answers(mut got: &[u8]) -> BTreeMap<u32, Came> {
    let mut all: BTreeMap<u32, Came> = BTreeMap::new();
    let mut open = None;
    while let Some((&[high, middle, low, kind, flags, a, b, c, d], rest)) = got.split_first_chunk::<9>() {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        assert!(length <= LARGEST && kind != PUSH_PROMISE, "{kind} of {length} bytes");
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        got = rest;
        let stream = u32::from_be_bytes([a, b, c, d]);
        assert_eq!(open.is_some(), kind == CONTINUATION, "a head is broken off by {kind}");
        assert!(open.is_none_or(|open| open == stream));
        if matches!(kind, HEADERS | CONTINUATION) {
            open = (flags & END_HEADERS == 0).then_some(stream);
        }
        if !matches!(kind, DATA | HEADERS | RST_STREAM) {
            continue;
        }
        let came = all.entry(stream).or_default();
        assert!(!came.reset && (!came.ended || kind == RST_STREAM), "{kind} behind the end of stream {stream}");
        match kind {
            DATA => {
                assert!(came.heads == 1 && flags & 8 == 0, "a body without a head on stream {stream}");
                came.body.extend_from_slice(payload);
            }
            HEADERS => came.heads += 1,
            _ => came.reset = true,
        }
        came.ended |= kind != RST_STREAM && flags & END_STREAM != 0;
    }
    all
}

/// Whether each stream up to this one was answered, and whether it was itself; of bytes that are not looked at, whether the last request was.
fn is_over(got: &[u8], last: Option<u32>) -> [bool; 2] {
    let all = answers(got);
    let over = |stream: u32| all.get(&stream).is_some_and(|came| came.ended || came.reset);
    last.map_or_else(|| [over(HIGHEST); 2], |last| [(1..=last).step_by(2).all(over), over(last)])
}

/// Says everything and reads to the end, which the client makes when it has all its answers.
fn exchange(stream: TcpStream, config: Arc<ClientConfig>, said: &[u8], last: Option<u32>) -> Vec<u8> {
    stream.set_read_timeout(Some(HANGS)).unwrap();
    let name = ServerName::try_from("app.localhost").unwrap();
    let mut tls = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
    while tls.conn.is_handshaking() {
        let outcome = tls.conn.complete_io(&mut tls.sock);
        assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::Interrupted));
    }
    // An error means that the gateway has closed already.
    let _ = tls.write_all(said).and_then(|()| tls.flush());
    tls.sock.set_read_timeout(Some(SILENCE)).unwrap();
    let (mut got, mut piece, mut ended) = (Vec::new(), [0; 4096], false);
    loop {
        let silent = match tls.read(&mut piece) {
            Ok(count) if count > 0 => {
                got.extend_from_slice(&piece[..count]);
                false
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(!ended, "a connection stays open after its client has ended");
                true
            }
            // libFuzzer's alarm.
            Err(error) if error.kind() == ErrorKind::Interrupted => false,
            _ => return got,
        };
        let [all, itself] = if ended { [false; 2] } else { is_over(&got, last) };
        if itself {
            let _ = tls.sock.set_read_timeout(Some(SHORT_SILENCE));
        }
        if !ended && (silent || all) {
            ended = true;
            tls.conn.send_close_notify();
            let _ = tls.conn.write_tls(&mut tls.sock);
            let _ = tls.sock.shutdown(Shutdown::Write);
            let _ = tls.sock.set_read_timeout(Some(HANGS));
        }
    }
}

/// One frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field in HPACK, kept in no table (RFC 7541 sections 5.1, 5.2 and 6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |length: usize| {
        let Some(mut more) = length.checked_sub(127) else { return vec![u8::try_from(length).unwrap()] };
        let mut coded = vec![127];
        while more >= 128 {
            coded.push(u8::try_from(more % 128 + 128).unwrap());
            more /= 128;
        }
        coded.push(u8::try_from(more).unwrap());
        coded
    };
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

/// Makes frames of lines.
#[derive(Default)]
struct Maker<'t> {
    tag: &'t str,
    frames: Vec<u8>,
    /// Streams that were begun.
    streams: u32,
    /// Whether the latest is begun and not ended.
    open: bool,
    /// The head that is being made, and whether a part of it was sent.
    block: Vec<u8>,
    is_cut: bool,
}

impl Maker<'_> {
    /// The stream that is spoken on.
    fn stream(&self) -> u32 {
        (self.streams * 2).saturating_sub(1)
    }

    fn line(&mut self, line: &[u8]) {
        match line {
            [] => self.head(END_STREAM),
            [b'=', text @ ..] => {
                self.head(0);
                self.data(0, text);
            }
            [b'.'] => self.data(END_STREAM, b""),
            [b'-'] => self.cut(),
            [b'>'] => {
                self.head(0);
                self.open = false;
            }
            [b'!', kind, flags, stream, payload @ ..] => {
                self.frames.extend(frame(*kind, *flags, u32::from(*stream), payload));
            }
            field => {
                let at = field.iter().position(|byte| *byte == b' ').unwrap_or(field.len());
                let (name, value) = (&field[..at], field.get(at + 1..).unwrap_or_default());
                let value: Vec<u8> = value.iter().map(|byte| if *byte == b'^' { b'\n' } else { *byte }).collect();
                self.block.extend(literal(name, &value));
            }
        }
    }

    /// Ends the head or the trailers, if there are any.
    fn head(&mut self, end: u8) {
        if self.is_cut {
            self.send(CONTINUATION, END_HEADERS);
            self.is_cut = false;
            // Its first frame said that nothing follows.
            self.open = false;
        } else if !self.block.is_empty() {
            self.begin();
            self.send(HEADERS, END_HEADERS | end);
            self.open = end == 0;
        }
    }

    /// Sends a part of the head.
    fn cut(&mut self) {
        if self.is_cut {
            return self.send(CONTINUATION, 0);
        }
        self.begin();
        self.send(HEADERS, END_STREAM);
        self.is_cut = true;
    }

    /// Begins a stream where none is spoken on, and has its head say which it is.
    fn begin(&mut self) {
        if !self.open {
            self.streams += 1;
            self.open = true;
            let number = self.stream().to_string();
            self.block.extend(literal(self.tag.as_bytes(), number.as_bytes()));
        }
    }

    fn send(&mut self, kind: u8, flags: u8) {
        let block = std::mem::take(&mut self.block);
        for (index, part) in block.chunks(LARGEST).chain(block.is_empty().then_some(&block[..])).enumerate() {
            let last = (index + 1) * LARGEST >= block.len();
            let kind = if index == 0 { kind } else { CONTINUATION };
            let flags = if last { flags } else { flags & !END_HEADERS };
            self.frames.extend(frame(kind, if index == 0 { flags } else { flags & END_HEADERS }, self.stream(), part));
        }
    }

    fn data(&mut self, flags: u8, text: &[u8]) {
        if self.streams > 0 {
            self.frames.extend(frame(DATA, flags, self.stream(), text));
            self.open &= flags & END_STREAM == 0;
        }
    }
}
