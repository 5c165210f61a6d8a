//! The heads of HTTP/2 frames in bytes that come in pieces, and what is between them.
//!
//! Pure. Bound: nine bytes are kept, whatever comes. Trust boundary: none of its own; whoever follows a stranger's bytes says so. Specification:
//! RFC 9113 section 4.1.

/// The bytes of a head.
pub(super) const HEAD: usize = 9;

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;

/// Nine bytes: the length of what is in the frame, its kind, flags and stream.
pub(super) type Head = [u8; HEAD];

/// Follows the frames that one side sends.
#[derive(Debug, Default)]
pub(super) struct FrameHeads {
    /// Bytes that are still to be passed over.
    pub(super) pass: usize,
    pub(super) head: Head,
    /// How much of the head has come.
    pub(super) have: usize,
}

impl FrameHeads {
    /// Takes bytes away up to the end of the next head, which is given; none when they end before.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let passed = self.pass.min(bytes.len());
        self.pass -= passed;
        *bytes = bytes.get(passed..).unwrap_or_default();
        if bytes.is_empty() {
            return None;
        }
        if self.have == 0 {
            let (head, rest) = match bytes.split_first_chunk::<HEAD>() {
                Some(whole) => whole,
                None => return self.begin(bytes),
            };
            *bytes = rest;
            self.pass = length(*head);
            return Some(*head);
        }
        self.go_on(bytes)
    }

    /// The beginning of a head.
    #[cold]
    fn begin(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        if let Some(place) = self.head.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.have = bytes.len();
        }
        *bytes = &[];
        None
    }

    /// The rest of a head that came by halves.
    #[cold]
    fn go_on(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let taken = (HEAD - self.have).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(taken)?;
        self.head.get_mut(self.have..self.have + taken)?.copy_from_slice(part);
        *bytes = rest;
        self.have += taken;
        if self.have < HEAD {
            return None;
        }
        self.have = 0;
        self.pass = length(self.head);
        Some(self.head)
    }
}

/// The length of what is in a frame.
pub(super) fn length([high, middle, low, ..]: Head) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// The stream of a frame (the first bit says nothing).
pub(super) fn stream([.., a, b, c, d]: Head) -> u32 {
    u32::from_be_bytes([a, b, c, d]) & !(1 << 31)
}
