//! The framing of HTTP/1.1 requests, read strictly beside hyper's parser (H01).
//!
//! hyper takes bare line feeds for line ends, drops a `Content-Length` that stands beside `Transfer-Encoding`, joins equal lengths and cuts
//! `#…` off a target. Each of these is a request that some server in front or behind reads differently. A [`FramingGuard`] sees the
//! bytes before hyper does, follows heads, bodies and chunks, and refuses what two readers could frame in two ways. What it refuses it also
//! spoils: the bytes become NUL, which no parser takes for HTTP, so nothing of such a request gets further.
//!
//! Pure. Bound: one line of a head that came in several reads is kept, up to the limit that the maker gives. Cost: one search for line ends over heads,
//! nothing over bodies. Trust boundary: every byte is a stranger's. Specification: RFC 9112 sections 2.2, 3.2, 5, 6 and 7.1.

use memchr::memchr;

use super::fold::fold_byte;

const LENGTH: &str = "Content-Length";
const CODING: &str = "Transfer-Encoding";
/// The end of a head that no parser reads: NUL stands in no part of one (RFC 9112 sections 3 and 5).
const UNREADABLE_END: &[u8] = b"\0\r\n\r\n";

/// Why a request's framing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// A line ends in LF alone, or CR stands without LF (RFC 9112 section 2.2).
    LineEnd,
    /// More than one `Content-Length` line (section 6.3).
    LengthRepeated,
    /// A `Content-Length` that is no number of up to 19 digits (RFC 9110 section 8.6).
    LengthMalformed,
    /// `Content-Length` beside `Transfer-Encoding` (section 6.1).
    LengthAndCoding,
    /// Anything but exactly one `Transfer-Encoding: chunked` (section 6.1).
    CodingUnsupported,
    /// A field name that some servers take for one of those two, such as `Transfer_Encoding`.
    LookAlike,
    /// `#` in the target (section 3.2).
    Fragment,
    /// A chunk's size, extension or end (section 7.1).
    Chunk,
    /// A line that is longer than any that hyper takes.
    LineTooLong,
}

impl FramingError {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::LineEnd => "line_end_bare",
            Self::LengthRepeated => "length_repeated",
            Self::LengthMalformed => "length_malformed",
            Self::LengthAndCoding => "length_and_coding",
            Self::CodingUnsupported => "transfer_coding_unsupported",
            Self::LookAlike => "framing_look_alike",
            Self::Fragment => "target_fragment",
            Self::Chunk => "chunk_malformed",
            Self::LineTooLong => "head_too_large",
        }
    }
}

/// Where in a connection's bytes the guard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RequestLine,
    Fields,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Refused { head: bool },
}

impl State {
    fn refused(self) -> Self {
        Self::Refused { head: matches!(self, Self::RequestLine | Self::Fields | Self::Refused { head: true }) }
    }
}

/// What a head has said of its body so far.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

/// Follows the framing of one connection.
pub struct FramingGuard {
    state: State,
    framing: Framing,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    longest: usize,
}

impl FramingGuard {
    /// A guard at the beginning of a connection; no line may be longer than `longest` bytes.
    pub fn new(longest: usize) -> Self {
        Self { state: State::RequestLine, framing: Framing::default(), begun: Vec::new(), longest }
    }

    /// Looks at bytes that came, in order and each once. After an error these and all later bytes are spoiled from the refused
    /// line's end on.
    pub fn inspect(&mut self, bytes: &mut [u8]) -> Result<(), FramingError> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match self.state {
                State::Body(left) => self.skip(left, rest.len(), State::Body, State::RequestLine),
                State::Chunk(left) => self.skip(left, rest.len(), State::Chunk, State::ChunkEnd),
                State::Refused { .. } => {
                    spoil(bytes, at);
                    return Ok(());
                }
                _ => match memchr(b'\n', rest) {
                    None => {
                        return self.keep(rest).inspect_err(|_| {
                            self.state = self.state.refused();
                            spoil(bytes, at);
                        });
                    }
                    Some(end) => {
                        let (line, next) = (rest.get(..end).unwrap_or_default(), at + end);
                        if let Err(error) = self.line_whole(line) {
                            self.state = self.state.refused();
                            spoil(bytes, next);
                            return Err(error);
                        }
                        end + 1
                    }
                },
            };
            at += taken;
        }
        Ok(())
    }

    /// What a parser reads behind what was refused, before the end: where it was a head, a head's end that cannot be read.
    ///
    /// A parser that waits for the end of a head which comes in pieces, as hyper does, looks at nothing of a head that ends without one, and
    /// its client gets no answer. Within a body there is none: there an end could be one of trailers.
    pub fn ending(&self) -> &'static [u8] {
        match self.state {
            State::Refused { head: true } => UNREADABLE_END,
            _ => b"",
        }
    }

    /// Whether what came ends where a message ends.
    pub fn is_between(&self) -> bool {
        self.state == State::RequestLine && self.begun.is_empty()
    }

    fn skip(&mut self, left: u64, have: usize, more: fn(u64) -> State, done: State) -> usize {
        let taken = usize::try_from(left).map_or(have, |left| left.min(have));
        let left = left - taken as u64;
        self.state = if left == 0 { done } else { more(left) };
        taken
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), FramingError> {
        if self.begun.len() + part.len() > self.longest {
            return Err(FramingError::LineTooLong);
        }
        self.begun.extend_from_slice(part);
        Ok(())
    }

    /// A line whose LF has come; `part` is what came of it now.
    fn line_whole(&mut self, part: &[u8]) -> Result<(), FramingError> {
        if self.begun.is_empty() && part.len() <= self.longest {
            return self.line(part);
        }
        self.keep(part)?;
        let mut line = std::mem::take(&mut self.begun);
        let looked = self.line(&line);
        line.clear();
        self.begun = line;
        looked
    }

    /// A line without its LF.
    fn line(&mut self, line: &[u8]) -> Result<(), FramingError> {
        // CR stands at its end and nowhere else.
        if memchr(b'\r', line).map(|at| at + 1) != Some(line.len()) {
            return Err(FramingError::LineEnd);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.state = match self.state {
            State::RequestLine => request_line(line)?,
            State::Fields if line.is_empty() => self.head_whole()?,
            State::Fields => {
                self.framing.field(line)?;
                State::Fields
            }
            State::ChunkSize => match chunk_size(line)? {
                0 => State::Trailers,
                size => State::Chunk(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(FramingError::Chunk),
            State::Trailers if line.is_empty() => State::RequestLine,
            other => other,
        };
        Ok(())
    }

    fn head_whole(&mut self) -> Result<State, FramingError> {
        match std::mem::take(&mut self.framing) {
            Framing { length: Some(_), chunked: true } => Err(FramingError::LengthAndCoding),
            Framing { chunked: true, .. } => Ok(State::ChunkSize),
            Framing { length: None | Some(0), .. } => Ok(State::RequestLine),
            Framing { length: Some(length), .. } => Ok(State::Body(length)),
        }
    }
}

impl Framing {
    fn field(&mut self, line: &[u8]) -> Result<(), FramingError> {
        // Only names that begin like ours are looked at.
        let known = match line.first() {
            Some(b'c' | b'C') => LENGTH,
            Some(b't' | b'T') => CODING,
            _ => return Ok(()),
        };
        let Some((name, value)) = line.split_at_checked(known.len()) else { return Ok(()) };
        if !folds_to(name, known) || !ends_a_name(value) {
            return Ok(());
        }
        let Some(value) = value.strip_prefix(b":").filter(|_| name.eq_ignore_ascii_case(known.as_bytes())) else {
            return Err(FramingError::LookAlike);
        };
        if known == LENGTH { self.length(value.trim_ascii()) } else { self.coding(value.trim_ascii()) }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        let digits = (1..20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        match self.length.replace(length.ok_or(FramingError::LengthMalformed)?) {
            None => Ok(()),
            Some(_) => Err(FramingError::LengthRepeated),
        }
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), FramingError> {
        if std::mem::replace(&mut self.chunked, true) || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(FramingError::CodingUnsupported);
        }
        Ok(())
    }
}

/// An empty line before a request line is passed over (RFC 9112 section 2.2).
fn request_line(line: &[u8]) -> Result<State, FramingError> {
    if line.is_empty() {
        Ok(State::RequestLine)
    } else if memchr(b'#', line).is_some() {
        Err(FramingError::Fragment)
    } else {
        Ok(State::Fields)
    }
}

fn folds_to(name: &[u8], known: &str) -> bool {
    name.iter().zip(known.bytes()).all(|(byte, wanted)| fold_byte(*byte) == fold_byte(wanted))
}

/// Whether a name of our length ends here: `Content-Lengthy` is another one, `Content-Length :` is none at all.
fn ends_a_name(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| matches!(byte, b':' | b' ' | b'\t'))
}

/// Hexadecimal digits, then nothing or an extension without control characters.
fn chunk_size(line: &[u8]) -> Result<u64, FramingError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at_checked(digits).ok_or(FramingError::Chunk)?;
    let sound = (1..=15).contains(&digits)
        && (extension.is_empty() || extension.starts_with(b";"))
        && extension.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    let size = std::str::from_utf8(size).ok().filter(|_| sound).and_then(|text| u64::from_str_radix(text, 16).ok());
    size.ok_or(FramingError::Chunk)
}

fn spoil(bytes: &mut [u8], from: usize) {
    bytes.get_mut(from..).unwrap_or_default().fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "Host: a\r\nAccept: */*\r\nCookie: a=b\r\n";

    fn inspect(text: &[u8]) -> Result<(), FramingError> {
        FramingGuard::new(4096).inspect(&mut text.to_vec())
    }

    fn with(fields: &str, body: &str) -> Vec<u8> {
        format!("POST /x HTTP/1.1\r\n{HEAD}{fields}\r\n{body}").into_bytes()
    }

    fn sound() -> Vec<Vec<u8>> {
        vec![
            with("", ""),
            with("Content-Length: 0\r\n", ""),
            with("content-length:5\r\n", "a\nb\rc"),
            with(
                "Transfer-Encoding: Chunked\r\n",
                "5\r\na\nb\rc\r\nA;x=\"y z\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
            with("Content-Lengthy: x\r\nContent-Type: a\r\nTe: trailers\r\nTransfer-Encodings: x\r\n", ""),
            // As long as the names that frame, and begin alike.
            with("Content-Digest: sha-256=:x:\r\nTransfer-Decoding: x\r\ncccccccccccccc: 1\r\n", ""),
            [b"\r\n".as_slice(), &with("", "")].concat(),
        ]
    }

    fn refused() -> Vec<(FramingError, Vec<u8>)> {
        use FramingError::*;
        vec![
            (LineEnd, b"GET / HTTP/1.1\nHost: a\n\n".to_vec()),
            (LineEnd, with("X: a\n", "")),
            (LineEnd, with("X: a\rb\r\n", "")),
            (LineEnd, with("X: a\r\r\n", "")),
            (LineEnd, b"\nGET / HTTP/1.1\r\n\r\n".to_vec()),
            (LineEnd, with("Transfer-Encoding: chunked\r\n", "0\n\r\n")),
            (LengthRepeated, with("Content-Length: 1\r\nContent-Length: 1\r\n", "a")),
            (LengthRepeated, with("Content-Length: 1\r\ncontent-length: 2\r\n", "a")),
            (LengthMalformed, with("Content-Length: 1, 1\r\n", "a")),
            (LengthMalformed, with("Content-Length: +1\r\n", "a")),
            (LengthMalformed, with("Content-Length: 0x1\r\n", "a")),
            (LengthMalformed, with("Content-Length:\r\n", "")),
            (LengthMalformed, with("Content-Length: 99999999999999999999\r\n", "")),
            (LengthAndCoding, with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            (LengthAndCoding, with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n")),
            (CodingUnsupported, with("Transfer-Encoding: gzip, chunked\r\n", "")),
            (CodingUnsupported, with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "")),
            (CodingUnsupported, with("Transfer-Encoding: identity\r\n", "")),
            (CodingUnsupported, with("Transfer-Encoding: \"chunked\"\r\n", "")),
            (LookAlike, with("Transfer_Encoding: chunked\r\n", "")),
            (LookAlike, with("content.length: 1\r\n", "")),
            (LookAlike, with("Content-Length : 1\r\n", "")),
            (LookAlike, with("Transfer-Encoding\tx: 1\r\n", "")),
            (Fragment, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n")),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n")),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "-1\r\n")),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "\r\n")),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n")),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "5;a\x01\r\nhello\r\n")),
            (Chunk, with("Transfer-Encoding: chunked\r\n", "5\r\nhello!\r\n0\r\n\r\n")),
            (LineTooLong, with(&format!("X: {}", "a".repeat(5000)), "")),
        ]
    }

    #[test]
    fn h01_a_refused_head_has_an_ending_that_nothing_reads_and_a_refused_body_none() {
        let ending = |pieces: &[&[u8]]| {
            let mut guard = FramingGuard::new(4096);
            let refused = pieces.iter().any(|piece| guard.inspect(&mut piece.to_vec()).is_err());
            (refused, guard.ending())
        };
        let (sound, chunked) = (with("", ""), with("Transfer-Encoding: chunked\r\n", ""));
        let long = "X: ".to_owned() + &"a".repeat(5000);
        for refused in
            [&b"GET / HTTP/1.1\n"[..], b"GET /#x HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: a\n", b"\n", long.as_bytes()]
        {
            assert_eq!(ending(&[refused]), (true, UNREADABLE_END), "{refused:?}");
            assert_eq!(ending(&[&sound, refused]), (true, UNREADABLE_END), "{refused:?}");
            // What comes behind changes nothing.
            assert_eq!(ending(&[&[refused, &sound].concat()]), (true, UNREADABLE_END), "{refused:?}");
        }
        let two = with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "");
        assert_eq!(ending(&[&two]), (true, UNREADABLE_END));
        for refused in [&b"x\r\n"[..], b"1\n", b"1\r\nabc\r\n", b"1\r\na\n", b"0\r\nX: a\n", b"0\n", long.as_bytes()] {
            assert_eq!(ending(&[&chunked, refused]), (true, &b""[..]), "{refused:?}");
        }
        for sound in [&sound[..], &chunked, &chunked[..20], b""] {
            assert_eq!(ending(&[sound]), (false, &b""[..]));
        }
        assert!(UNREADABLE_END.starts_with(b"\0") && UNREADABLE_END.ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn d01_a_connection_is_between_two_messages_where_one_ends_and_nowhere_else() {
        for message in sound() {
            for at in 0..=message.len() {
                let mut guard = FramingGuard::new(4096);
                guard.inspect(&mut message[..at].to_vec()).unwrap();
                // An empty line before a request is passed over.
                let ends = at == 0 || at == message.len() || &message[..at] == b"\r\n";
                assert_eq!(guard.is_between(), ends, "{:?}", String::from_utf8_lossy(&message[..at]));
            }
        }
        for (_, message) in refused() {
            let mut guard = FramingGuard::new(4096);
            guard.inspect(&mut message.clone()).unwrap_err();
            assert!(!guard.is_between());
        }
    }

    #[test]
    fn h01_what_can_be_framed_in_two_ways_is_refused() {
        for (error, bytes) in refused() {
            assert_eq!(inspect(&bytes), Err(error), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn h01_sound_requests_pass_one_after_the_other_and_unchanged() {
        let all = sound().concat();
        let mut seen = all.clone();
        assert_eq!(FramingGuard::new(4096).inspect(&mut seen), Ok(()));
        assert_eq!(seen, all);
        for (error, bytes) in refused() {
            assert_eq!(inspect(&[all.clone(), bytes].concat()), Err(error));
        }
    }

    #[test]
    fn h01_a_body_is_never_taken_for_a_head() {
        let inner = "GET /a#b HTTP/1.1\nTransfer_Encoding: x\n\n";
        assert_eq!(inspect(&with(&format!("Content-Length: {}\r\n", inner.len()), inner)), Ok(()));
        assert!(inspect(&with(&format!("Content-Length: {}\r\n", inner.len() - 3), inner)).is_err());
    }

    #[test]
    fn h01_after_a_refusal_nothing_is_let_through() {
        let mut guard = FramingGuard::new(4096);
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_vec();
        assert_eq!(guard.inspect(&mut bytes), Err(FramingError::LineEnd));
        assert_eq!(bytes, [b"GET / HTTP/1.1\r\nHost: a".as_slice(), &[0; 9]].concat());
        let mut more = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        assert_eq!((guard.inspect(&mut more), more), (Ok(()), vec![0; 18]));
    }

    #[test]
    fn h01_no_line_is_longer_than_the_limit_however_it_comes() {
        let line = b"GET /aaaa HTTP/1.1\r\n";
        for (longest, sound) in [(line.len() - 1, true), (line.len() - 2, false)] {
            let whole = FramingGuard::new(longest).inspect(&mut line.to_vec());
            let mut guard = FramingGuard::new(longest);
            let apart = guard.inspect(&mut line[..5].to_vec()).and_then(|()| guard.inspect(&mut line[5..].to_vec()));
            assert_eq!((whole.is_ok(), apart.is_ok()), (sound, sound), "{longest}");
        }
        // What has no end yet counts too, and what stood before does not count for what comes after.
        assert_eq!(FramingGuard::new(4).inspect(b"GET /".to_vec().as_mut()), Err(FramingError::LineTooLong));
        assert_eq!(FramingGuard::new(5).inspect(b"GET /".to_vec().as_mut()), Ok(()));
        let mut guard = FramingGuard::new(line.len());
        for _ in 0..10 {
            assert_eq!(
                guard.inspect(b"\r".to_vec().as_mut()).and_then(|()| guard.inspect(b"\n".to_vec().as_mut())),
                Ok(())
            );
        }
    }

    #[test]
    fn h01_sizes_are_read_to_their_last_digit() {
        let chunked = |size: &str| inspect(&with("Transfer-Encoding: chunked\r\n", &format!("{size}\r\n")));
        assert_eq!((chunked("fffffffffffffff"), chunked("0ffffffffffffff")), (Ok(()), Ok(())));
        for size in ["1000000000000000", "", ";x", "g", "1g", "5;\u{7f}", "5;\u{1f}"] {
            assert_eq!(chunked(size), Err(FramingError::Chunk), "{size:?}");
        }
        for size in ["5;", "5;a=b", "5;\t \u{7e}", "A", "a"] {
            assert_eq!(chunked(size), Ok(()), "{size:?}");
        }
        let long = |digits: &str| inspect(&with(&format!("Content-Length: {digits}\r\n"), ""));
        assert_eq!(long("9999999999999999999"), Ok(()));
        assert_eq!(long("00000000000000000000"), Err(FramingError::LengthMalformed));
        // What follows a body of exactly that size is a head again.
        for fields in ["Content-Length: 3\r\n", "Content-Length: 03\r\n"] {
            assert_eq!(inspect(&[with(fields, "a\nb"), b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat()), Ok(()));
            assert!(inspect(&[with(fields, "a\nb"), b"\n".to_vec()].concat()).is_err());
        }
        let chunks = "3\r\na\nb\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\nx";
        assert_eq!(inspect(&with("Transfer-Encoding: chunked\r\n", chunks)), Err(FramingError::LineEnd));
    }

    #[test]
    fn every_refusal_has_its_code() {
        use FramingError::*;
        let all = [
            (LineEnd, "line_end_bare"),
            (LengthRepeated, "length_repeated"),
            (LengthMalformed, "length_malformed"),
            (LengthAndCoding, "length_and_coding"),
            (CodingUnsupported, "transfer_coding_unsupported"),
            (LookAlike, "framing_look_alike"),
            (Fragment, "target_fragment"),
            (Chunk, "chunk_malformed"),
            (LineTooLong, "head_too_large"),
        ];
        assert!(all.iter().all(|(error, code)| error.code() == *code));
    }

    proptest! {
        #[test]
        fn h01_t02_how_the_bytes_arrive_makes_no_difference(which in any::<prop::sample::Index>(), cuts in prop::collection::vec(1..40_usize, 1..60)) {
            let all: Vec<_> = sound().into_iter().chain(refused().into_iter().map(|(_, bytes)| bytes)).collect();
            let bytes = which.get(&all).clone();
            let (mut guard, mut rest, mut outcome, mut cuts) = (FramingGuard::new(4096), bytes.clone(), Ok(()), cuts.into_iter().cycle());
            let mut whole = bytes.clone();
            let expected = FramingGuard::new(4096).inspect(&mut whole);
            let mut seen = Vec::new();
            while !rest.is_empty() {
                let size = cuts.next().unwrap().min(rest.len());
                let mut part: Vec<u8> = rest.drain(..size).collect();
                outcome = outcome.and(guard.inspect(&mut part));
                seen.extend(part);
            }
            prop_assert_eq!(outcome, expected);
            if expected != Err(FramingError::LineTooLong) {
                prop_assert_eq!(seen, whole);
            }
        }
    }
}
