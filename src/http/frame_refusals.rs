//! What h2 refuses by itself, read from the frames that it writes (D02, D03).
//!
//! h2 resets a stream whose head is malformed, answers one whose head is too large, refuses one that is too many, and ends a connection that
//! floods it or that it cannot read, and tells nobody but the client. [`FrameRefusals`] follows the frames on their way out and reads
//! RST_STREAM, GOAWAY and heads of one field; everything else is passed over. Of one field are trailers, and h2's own 431: every other answer
//! has a date.
//!
//! So what is counted need not be of a stream that nobody has seen: h2 also resets one whose body is malformed, and that is a request with an
//! end of its own. Whoever counts streams that came and requests that were made of them knows how many were not seen (`server::watch`).
//!
//! Pure. Bounds: `LONGEST` bytes of a frame are kept. Trust boundary: none, h2 is on our side. Specification: RFC 9113 sections 5.4,
//! 6.4, 6.8 and 7; RFC 7541 sections 5 and 6.

use super::frame_guard::Flood;
use super::frame_heads::{END_STREAM, FrameHeads, GOAWAY, HEADERS, RST_STREAM, length};

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Bytes of a GOAWAY that are looked at: two numbers, and the longest word that h2 says of a flood.
const LONGEST: usize = 8 + 32;
/// Bytes of the longest head that h2 may make of `:status: 431` and changes of its table's size, and a few more.
const LONGEST_STATUS: usize = 20;

/// Why a connection on HTTP/2 is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Far too much of something.
    Flood(Flood),
    /// What came is no HTTP/2, or cannot be read.
    Malformed,
}

impl Refused {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Flood(flood) => flood.code(),
            Self::Malformed => "http2_malformed",
        }
    }

    /// What a GOAWAY says; nothing where it is a mere goodbye.
    fn of(said: &[u8]) -> Option<Self> {
        let (_, rest) = said.split_first_chunk::<4>()?;
        let (code, word) = rest.split_first_chunk::<4>()?;
        match (u32::from_be_bytes(*code), word) {
            (0, _) => None,
            (ENHANCE_YOUR_CALM, b"too_many_resets") => Some(Self::Flood(Flood::Reset)),
            (ENHANCE_YOUR_CALM, b"too_many_continuations") => Some(Self::Flood(Flood::Continuation)),
            (ENHANCE_YOUR_CALM, b"header_list_way_too_large") => Some(Self::Flood(Flood::Head)),
            (ENHANCE_YOUR_CALM, b"too_many_data_frames") => Some(Self::Flood(Flood::Data)),
            (ENHANCE_YOUR_CALM, b"too_many_internal_resets") => Some(Self::Flood(Flood::Refused)),
            (ENHANCE_YOUR_CALM, _) => Some(Self::Flood(Flood::Other)),
            _ => Some(Self::Malformed),
        }
    }
}

/// Why a stream is refused before it is a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRefused {
    /// There are as many at once as there may be.
    TooMany,
    /// Its head is too large.
    HeadTooLarge,
    /// Its head is malformed.
    HeadMalformed,
}

impl StreamRefused {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooMany => "too_many_streams",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadMalformed => "head_unreadable",
        }
    }

    /// The status for logs; the client is told no other than 431.
    pub const fn status(self) -> u16 {
        match self {
            Self::TooMany => 429,
            Self::HeadTooLarge => 431,
            Self::HeadMalformed => 400,
        }
    }
}

/// Streams that were reset or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// More than there may be at once.
    pub too_many: u32,
    /// Answered with 431 and reset: the head is too large.
    pub too_large: u32,
    /// Malformed.
    pub malformed: u32,
}

impl Streams {
    /// How many there are of each kind. Those that have a request of their own for sure not come first.
    pub fn by_reason(self) -> [(StreamRefused, u32); 3] {
        [
            (StreamRefused::TooMany, self.too_many),
            (StreamRefused::HeadTooLarge, self.too_large),
            (StreamRefused::HeadMalformed, self.malformed),
        ]
    }
}

/// Follows the frames that h2 writes on one connection.
#[derive(Debug)]
pub struct FrameRefusals {
    heads: FrameHeads,
    /// What is in the frame that is being gathered, how much of it is there; the frame's kind, and how much is wanted.
    payload: [u8; LONGEST],
    have: usize,
    wanted: Option<(u8, usize)>,
    streams: Streams,
    ended: Option<Refused>,
}

impl Default for FrameRefusals {
    fn default() -> Self {
        Self {
            heads: FrameHeads::default(),
            payload: [0; LONGEST],
            have: 0,
            wanted: None,
            streams: Streams::default(),
            ended: None,
        }
    }
}

impl FrameRefusals {
    /// Looks at bytes that are written, in order and each once.
    pub fn inspect(&mut self, mut bytes: &[u8]) {
        loop {
            if let Some((kind, wanted)) = self.wanted {
                self.gather(kind, wanted, &mut bytes);
            }
            let Some(head) = self.heads.next(&mut bytes) else { return };
            let [_, _, _, kind, flags, ..] = head;
            let is_wanted = match kind {
                HEADERS => flags & END_STREAM != 0 && length(head) <= LONGEST_STATUS,
                RST_STREAM | GOAWAY => true,
                _ => false,
            };
            if is_wanted {
                self.wanted = Some((kind, length(head).min(LONGEST)));
            }
        }
    }

    /// Whether anything was refused since [`FrameRefusals::take`].
    pub fn has_some(&self) -> bool {
        self.ended.is_some() || self.streams != Streams::default()
    }

    /// The streams that were refused since this was last asked, and why the connection is ended, if it is.
    pub fn take(&mut self) -> (Streams, Option<Refused>) {
        (std::mem::take(&mut self.streams), self.ended.take())
    }

    #[cold]
    fn gather(&mut self, kind: u8, wanted: usize, bytes: &mut &[u8]) {
        let taken = wanted.saturating_sub(self.have).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(taken).unwrap_or_default();
        if let Some(place) = self.payload.get_mut(self.have..self.have + taken) {
            place.copy_from_slice(part);
        }
        (self.have, self.heads.pass, *bytes) = (self.have + taken, self.heads.pass - taken, rest);
        if self.have == wanted {
            (self.wanted, self.have) = (None, 0);
            self.whole(kind, wanted);
        }
    }

    /// A frame of which enough has come.
    fn whole(&mut self, kind: u8, length: usize) {
        let payload = self.payload.get(..length).unwrap_or_default();
        match kind {
            GOAWAY => self.ended = self.ended.or(Refused::of(payload)),
            HEADERS => self.streams.too_large += u32::from(is_one_field(payload) == Some(true)),
            _ => match payload.first_chunk().map(|code| u32::from_be_bytes(*code)) {
                Some(REFUSED_STREAM) => self.streams.too_many += 1,
                Some(PROTOCOL_ERROR) => self.streams.malformed += 1,
                _ => {}
            },
        }
    }
}

/// Whether a head has one field and no more, which may be a status that is not in the static table (RFC 7541 section 6 and appendix A). None
/// where it ends too early.
fn is_one_field(mut block: &[u8]) -> Option<bool> {
    // Changes of the table's size (section 6.3).
    while block.first()? & 0xe0 == 0x20 {
        integer(&mut block, 5)?;
    }
    match *block.first()? {
        // All of it is in a table (section 6.1), and the first 61 are in the static one.
        0x80.. => Some(integer(&mut block, 7)? > 61 && block.is_empty()),
        // The name is in a table (section 6.2).
        first => {
            let name = integer(&mut block, if first & 0x40 == 0 { 4 } else { 6 })?;
            let length = integer(&mut block, 7)?;
            Some(matches!(name, 8..=14 | 62..) && block.len() == length)
        }
    }
}

/// Takes an integer away (section 5.1).
fn integer(block: &mut &[u8], bits: u8) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1 << bits) - 1;
    let mut value = usize::from(first & most);
    if value == usize::from(most) {
        let mut shift = 0;
        loop {
            let (next, after) = rest.split_first()?;
            rest = after;
            value = value.checked_add(usize::from(next & 0x7f).checked_shl(shift)?)?;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn reset(stream: u32, code: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    fn goodbye(code: u32, word: &str) -> Vec<u8> {
        frame(GOAWAY, 0, 0, &[&[0, 0, 0, 9], &code.to_be_bytes(), word.as_bytes()].concat())
    }

    fn found(bytes: &[u8]) -> (Streams, Option<Refused>) {
        let mut refusals = FrameRefusals::default();
        refusals.inspect(bytes);
        assert_eq!(refusals.has_some(), refusals.streams != Streams::default() || refusals.ended.is_some());
        refusals.take()
    }

    #[test]
    fn d02_why_a_connection_ends_is_what_h2_says_last() {
        for (code, word, expected) in [
            (11, "too_many_resets", Some(Refused::Flood(Flood::Reset))),
            (11, "too_many_continuations", Some(Refused::Flood(Flood::Continuation))),
            (11, "header_list_way_too_large", Some(Refused::Flood(Flood::Head))),
            (11, "too_many_data_frames", Some(Refused::Flood(Flood::Data))),
            (11, "too_many_internal_resets", Some(Refused::Flood(Flood::Refused))),
            (11, "", Some(Refused::Flood(Flood::Other))),
            (11, &"a word that is longer than any that is known".repeat(9), Some(Refused::Flood(Flood::Other))),
            (1, "too_many_resets", Some(Refused::Malformed)),
            (6, "", Some(Refused::Malformed)),
            (0, "", None),
            (0, "too_many_resets", None),
        ] {
            assert_eq!(found(&goodbye(code, word)), (Streams::default(), expected), "{code} {word}");
        }
        assert_eq!(Refused::Malformed.code(), "http2_malformed");
        assert_eq!(Refused::Flood(Flood::Reset).code(), "http2_flood_reset");
    }

    #[test]
    fn d02_a_mere_goodbye_does_not_hide_why_the_connection_ends() {
        let all = [goodbye(0, ""), goodbye(9, ""), goodbye(11, "too_many_resets")].concat();
        assert_eq!(found(&all).1, Some(Refused::Malformed));
    }

    #[test]
    fn d03_streams_are_counted_by_why_they_are_refused() {
        let all = [
            frame(HEADERS, END_STREAM | 4, 1, b"\x48\x03431"),
            frame(HEADERS, END_STREAM | 4, 3, b"\x8b\xbf"),
            reset(1, 1),
            // Two answers that go on, and another with more than one field.
            frame(HEADERS, 4, 5, b"\x48\x03431"),
            frame(HEADERS, 4, 19, b"\x48\x03431"),
            frame(HEADERS, END_STREAM | 4, 21, b"\x8b\xbf"),
            reset(7, 1),
            reset(9, 7),
            // Early answers, failures of bodies, what came behind an end.
            reset(3, 0),
            reset(11, 8),
            reset(13, 2),
            reset(15, 5),
            reset(17, 3),
        ];
        assert_eq!(found(&all.concat()), (Streams { too_many: 1, too_large: 1, malformed: 2 }, None));
    }

    #[test]
    fn d03_a_head_of_one_field_is_told_from_others() {
        for (block, expected) in [
            (&b"\x48\x03431"[..], true),
            (b"\x48\x83\x68\x65\x7f", true),
            (b"\x08\x03431", true),
            (b"\x18\x03431", true),
            (b"\x7f\x00\x03431", true),
            (b"\x20\x48\x03431", true),
            (b"\x3f\xe1\x1f\x20\xbe", true),
            (b"\xbe", true),
            (b"\xff\x00", true),
            // With a date, or a name.
            (b"\xbe\xbf", false),
            (b"\x48\x03431\xbe", false),
            (b"\x48\x03431\x61\x01b", false),
            // Trailers.
            (b"\x40\x01a\x01b", false),
            (b"\x61\x01b", false),
            // `:status: 304` is in the table.
            (b"\x8b", false),
            (b"\xbd", false),
            // No whole head.
            (b"", false),
            (b"\x20", false),
            (b"\x48\x0443", false),
            (b"\x48", false),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", false),
        ] {
            assert_eq!(is_one_field(block) == Some(true), expected, "{block:x?}");
        }
        assert_eq!(found(&frame(HEADERS, END_STREAM, 1, &[0x20; 5000])), (Streams::default(), None));
    }

    #[test]
    fn d03_integers_are_read_as_in_the_examples_of_hpack() {
        // RFC 7541 appendix C.1, and the ends of what one byte and two bytes can say.
        for (bytes, bits, value, left) in [
            (&b"\x0a\x07"[..], 5, Some(10), 1),
            (b"\x1f\x9a\x0a", 5, Some(1337), 0),
            (b"\xea\x07", 5, Some(10), 1),
            (b"\x1e", 5, Some(30), 0),
            (b"\x1f\x00\x07", 5, Some(31), 1),
            (b"\x1f\x7f", 5, Some(158), 0),
            (b"\x1f\x80\x01", 5, Some(159), 0),
            (b"\x1f", 5, None, 1),
            (b"\x1f\x9a", 5, None, 2),
            (b"", 7, None, 0),
        ] {
            let mut rest = bytes;
            assert_eq!((integer(&mut rest, bits), rest.len()), (value, left), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn d03_refusals_are_counted_alike_however_they_are_written(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u32..40, prop::collection::vec(0_u8..12, 0..60)), 0..40),
            piece in 1_usize..50,
        ) {
            let all: Vec<u8> = frames
                .iter()
                .flat_map(|(kind, flags, stream, payload)| frame(*kind % 10, *flags, *stream, payload))
                .collect();
            let mut apart = FrameRefusals::default();
            all.chunks(piece).for_each(|bytes| apart.inspect(bytes));
            prop_assert_eq!(apart.take(), found(&all));
        }
    }
}
