//! The frames of an HTTP/2 connection, counted before h2 reads them: who sends frames that ask for nothing is sent away (D02).
//!
//! h2 bounds what it keeps (streams, resets of its own, heads, continuations, small and empty pieces of bodies; `frame_refusals` reads what it
//! says of them), not how often a peer may say something that has to be handled and leads nowhere: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM. A
//! [`FrameGuard`] follows the frames' heads, passes over what is in them, and takes a price for each such frame from an account. Time and
//! real work (requests, pieces of answers that the client lets us send) fill it up again. Busy clients stay far from its end:
//! browsers, load generators and other proxies send such frames in proportion to what they ask for.
//!
//! Pure. Bounds: nine bytes are kept, whatever comes. Trust boundary: every byte is a stranger's. Specification: RFC 9113 sections 3.4,
//! 4.1, 6 and 10.5.

use super::frame_heads::{CONTINUATION, FrameHeads, HEADERS, Head, length, stream};

/// What an account holds at the most, and at first.
const FULL: u64 = 4096;
/// What time brings in a second, which is how many thousandths it brings in a millisecond.
const BY_TIME: u64 = 400;
const THOUSANDTHS: u64 = 1000;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a frame that opens the connection's window.
const CONNECTION_WINDOW: Head = [0, 0, 4, 8, 0, 0, 0, 0, 0];
/// The largest frame that h2 takes: it is told no other size (RFC 9113 section 6.5.2).
const LARGEST: usize = 16_384;

/// What came too often, or was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// PRIORITY and PRIORITY_UPDATE.
    Priority,
    /// RST_STREAM: requests that are taken back.
    Reset,
    /// SETTINGS.
    Settings,
    /// PING.
    Ping,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// CONTINUATION.
    Continuation,
    /// DATA: empty or small pieces of bodies.
    Data,
    /// A head that unpacks to many times of what a head may be.
    Head,
    /// Streams that had to be refused.
    Refused,
    /// What no client sends in numbers.
    Other,
}

impl Flood {
    /// The reason code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Priority => "http2_flood_priority",
            Self::Reset => "http2_flood_reset",
            Self::Settings => "http2_flood_settings",
            Self::Ping => "http2_flood_ping",
            Self::WindowUpdate => "http2_flood_window_update",
            Self::Continuation => "http2_flood_continuation",
            Self::Data => "http2_flood_data",
            Self::Head => "http2_flood_head",
            Self::Refused => "http2_flood_refused",
            Self::Other => "http2_flood_other",
        }
    }
}

/// What a piece of an answer of this many bytes is worth, once the client lets us send it.
pub fn worth_of_answer(bytes: usize) -> u64 {
    4 + (bytes as u64 >> 10)
}

/// What a request is worth. Less than taking it back costs.
pub const WORTH_OF_REQUEST: u64 = 2;

/// Follows the frames that one client sends.
#[derive(Debug)]
pub struct FrameGuard {
    /// The preface is passed over at first.
    heads: FrameHeads,
    /// How much of the preface is still to come.
    preface: &'static [u8],
    is_http2: bool,
    /// In thousandths.
    account: u64,
    /// Up to when time has been counted, in milliseconds.
    counted: u64,
    gave_room: bool,
    /// The stream that was begun last.
    latest: u32,
    /// Streams that were begun.
    begun: u32,
    /// What the client has let us send in all, since this was last asked.
    room: u32,
    /// What has come of a number that says more of that; none in other frames.
    opening: Option<u32>,
}

impl FrameGuard {
    /// A guard at the beginning of a connection; `now` in milliseconds of any clock that does not go back.
    pub fn new(now: u64) -> Self {
        Self {
            heads: FrameHeads { pass: PREFACE.len(), ..FrameHeads::default() },
            preface: PREFACE,
            is_http2: true,
            account: FULL * THOUSANDTHS,
            counted: now,
            gave_room: false,
            latest: 0,
            begun: 0,
            room: 0,
            opening: None,
        }
    }

    /// Counts time, and work of this worth.
    pub fn earn(&mut self, now: u64, worth: u64) {
        let by_time = now.saturating_sub(self.counted).saturating_mul(BY_TIME);
        let earned = worth.saturating_mul(THOUSANDTHS).saturating_add(by_time);
        self.account = self.account.saturating_add(earned).min(FULL * THOUSANDTHS);
        self.counted = now;
    }

    /// Whether the client said that it has taken something, since this was last asked.
    pub fn gave_room(&mut self) -> bool {
        std::mem::take(&mut self.gave_room)
    }

    /// Streams that were begun since this was last asked. Each number is used once and they only grow (section 5.1.1), so trailers do not count.
    pub fn take_begun(&mut self) -> u32 {
        std::mem::take(&mut self.begun)
    }

    /// Whether it is HTTP/2 at all, as far as can be said.
    pub fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Bytes by which the client opened the connection's window, since this was last asked (RFC 9113 section 6.9).
    pub fn take_room(&mut self) -> u32 {
        std::mem::take(&mut self.room)
    }

    /// Looks at bytes that came, in order and each once.
    pub fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        if !self.preface.is_empty() {
            self.opening(bytes);
        }
        let mut outcome = Ok(());
        loop {
            self.read_room(bytes);
            let Some(head) = self.heads.next(&mut bytes) else { return outcome };
            outcome = outcome.and(self.frame(head));
        }
    }

    /// Compares what comes first with the preface (section 3.4).
    #[cold]
    fn opening(&mut self, bytes: &[u8]) {
        let (part, rest) = self.preface.split_at_checked(bytes.len()).unwrap_or((self.preface, &[]));
        self.is_http2 &= bytes.starts_with(part);
        self.preface = rest;
    }

    /// What h2 reads behind a flood, before the end: the rest of a frame that came by halves, and then a head in so many pieces that h2
    /// ends the connection with `ENHANCE_YOUR_CALM` (sections 6.8 and 10.5). Nobody but h2 can say so: only it knows where its own frames
    /// end. It takes a piece for each 16 KiB of the longest head, and a quarter more; `longest` is the limit that it was given.
    pub fn ending(&self, longest: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let FrameHeads { mut pass, mut head, have } = self.heads;
        if have > 0 {
            // A frame of no known kind, unless its kind has come.
            let rest = [0, 0, 0, 0xff, 0, 0, 0, 0, 0];
            for (place, byte) in head.iter_mut().zip(rest).skip(have) {
                *place = byte;
            }
            bytes.extend_from_slice(head.get(have..).unwrap_or_default());
            pass = length(head);
        }
        // Zeros would be a window that grows by nothing, which is another error. A frame that is too large is one as it stands.
        bytes.resize(bytes.len() + pass.min(LARGEST), 1);
        let pieces = longest / LARGEST * 5 / 4 + 8;
        bytes.extend_from_slice(&[0, 0, 0, HEADERS, 0, 0, 0, 0, 1]);
        (0..pieces).for_each(|_| bytes.extend_from_slice(&[0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1]));
        bytes
    }

    /// What is in a frame that opens the connection's window; to be asked before it is passed over.
    fn read_room(&mut self, bytes: &[u8]) {
        let Some(read) = &mut self.opening else { return };
        let part = bytes.get(..self.heads.pass).unwrap_or(bytes);
        part.iter().for_each(|byte| *read = *read << 8 | u32::from(*byte));
        if part.len() == self.heads.pass {
            // The first bit is reserved.
            self.room = self.room.saturating_add(*read & (u32::MAX >> 1));
            self.opening = None;
        }
    }

    /// A frame whose head is whole.
    fn frame(&mut self, head: Head) -> Result<(), Flood> {
        let [_, _, _, kind, ..] = head;
        if kind == HEADERS && stream(head) > self.latest {
            self.latest = stream(head);
            self.begun = self.begun.saturating_add(1);
        }
        let Some((price, flood)) = price(kind) else { return Ok(()) };
        self.account = self.account.checked_sub(price * THOUSANDTHS).ok_or(flood)?;
        self.gave_room |= flood == Flood::WindowUpdate;
        self.opening = (head == CONNECTION_WINDOW).then_some(0);
        Ok(())
    }
}

/// What a frame costs; nothing for those that are work, which h2 and the limits of requests bound.
fn price(kind: u8) -> Option<(u64, Flood)> {
    match kind {
        0 | HEADERS => None,
        2 | 16 => Some((1, Flood::Priority)),
        // The request was begun, perhaps with the application.
        3 => Some((4, Flood::Reset)),
        // Each is answered, and may change every stream's window.
        4 => Some((8, Flood::Settings)),
        6 => Some((1, Flood::Ping)),
        8 => Some((1, Flood::WindowUpdate)),
        CONTINUATION => Some((1, Flood::Continuation)),
        _ => Some((8, Flood::Other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame_heads::HEAD;
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn opened() -> FrameGuard {
        let mut guard = FrameGuard::new(0);
        guard.inspect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        guard
    }

    /// How many of these frames pass.
    fn passes(guard: &mut FrameGuard, frame: &[u8]) -> u64 {
        (0..100_000).find(|_| guard.inspect(frame).is_err()).unwrap_or(u64::MAX)
    }

    #[test]
    fn d02_each_frame_that_leads_nowhere_is_taken_only_so_often() {
        for (kind, flags, payload, expected, many) in [
            (2, 0, &[0; 5][..], Flood::Priority, 4096),
            (3, 0, &[0; 4], Flood::Reset, 1024),
            (4, 0, &[], Flood::Settings, 512),
            (6, 0, &[0; 8], Flood::Ping, 4096),
            (6, 1, &[0; 8], Flood::Ping, 4096),
            (8, 0, &[0, 0, 0, 1], Flood::WindowUpdate, 4096),
            (9, 0, &[7; 40], Flood::Continuation, 4096),
            (16, 0, &[0; 9], Flood::Priority, 4096),
            (77, 0, &[0; 9], Flood::Other, 512),
        ] {
            let (mut guard, frame) = (opened(), frame(kind, flags, payload));
            assert_eq!(passes(&mut guard, &frame), many, "{expected:?}");
            assert_eq!(guard.inspect(&frame), Err(expected));
        }
    }

    #[test]
    fn d02_requests_and_bodies_cost_nothing() {
        for (kind, flags, payload) in [(1, 5, &b"\x82"[..]), (0, 0, b"data"), (0, 1, b"")] {
            assert_eq!(passes(&mut opened(), &frame(kind, flags, payload)), u64::MAX);
        }
    }

    #[test]
    fn d02_each_flood_has_its_code() {
        use Flood::*;
        let codes = [Priority, Reset, Settings, Ping, WindowUpdate, Continuation, Data, Head, Refused, Other];
        let codes = codes.map(Flood::code);
        let words = [
            "priority",
            "reset",
            "settings",
            "ping",
            "window_update",
            "continuation",
            "data",
            "head",
            "refused",
            "other",
        ];
        assert_eq!(codes, words.map(|word| format!("http2_flood_{word}")));
    }

    #[test]
    fn d02_large_frames_are_passed_over_whole() {
        for length in [255_usize, 256, 16_384, 65_535, 65_536, 0x0001_0203, 0x00ff_ffff] {
            let mut guard = opened();
            guard.inspect(&frame(0, 0, &vec![6; length])).unwrap();
            assert_eq!((guard.heads.pass, guard.heads.have), (0, 0), "{length}");
            assert_eq!(passes(&mut guard, &frame(6, 0, &[0; 8])), FULL, "{length}");
        }
    }

    /// Kinds, flags, streams and lengths of frames that are whole.
    fn heads(mut bytes: &[u8]) -> Vec<(u8, u8, u8, usize)> {
        let mut all = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
            let payload = length(*head);
            all.push((head[3], head[4], head[8], payload));
            bytes = rest.get(payload..).expect("the last frame is whole");
        }
        assert!(bytes.is_empty(), "a head that is not whole");
        all
    }

    #[test]
    fn d02_what_h2_reads_behind_a_flood_is_one_head_in_too_many_pieces() {
        let frames =
            [frame(6, 0, &[0; 8]), frame(1, 4, b"\x82\x84"), frame(0, 1, &[9; 700]), frame(4, 0, &[0; 6])].concat();
        for at in 0..=frames.len() {
            let (came, longest) = (&frames[..at], 32 << 10);
            let mut guard = opened();
            guard.inspect(came).unwrap();
            let all = heads(&[came, &guard.ending(longest)].concat());
            let head = all.iter().rposition(|(kind, ..)| *kind == HEADERS).unwrap();
            assert_eq!(all[head], (HEADERS, 0, 1, 0), "cut at {at}");
            assert!(all[head + 1..].iter().all(|piece| *piece == (CONTINUATION, 0, 1, 0)), "cut at {at}");
            // Of what had come by halves nothing is left, and nothing else was made up.
            let begun = heads(&frames).len().min(all.len());
            assert!(head <= begun + 1, "cut at {at}: {all:?}");
        }
        // h2 takes a piece for each 16 KiB of the longest head and a quarter more, five at the least.
        for (longest, least, most) in [(0, 6, 20), (16 << 10, 6, 20), (1 << 20, 81, 100), (16 << 20, 1281, 1300)] {
            let pieces = heads(&opened().ending(longest)).len() - 1;
            assert!((least..most).contains(&pieces), "{longest}: {pieces}");
        }
    }

    #[test]
    fn d02_a_frame_that_came_by_halves_is_made_whole_with_no_zeros() {
        let whole = frame(8, 0, &[0, 0, 0, 7]);
        for at in HEAD..=whole.len() {
            let mut guard = opened();
            guard.inspect(&whole[..at]).unwrap();
            assert!(guard.ending(0).iter().take(whole.len() - at).all(|byte| *byte == 1), "cut at {at}");
        }
        // One that is too large for h2 is not made whole: it is an error as it stands.
        let mut guard = opened();
        guard.inspect(&frame(0, 0, &[0; 1 << 16])[..HEAD]).unwrap();
        assert!(guard.ending(0).len() < LARGEST + 200);
    }

    #[test]
    fn d02_time_and_work_fill_the_account_and_no_further_than_full() {
        let (mut guard, ping) = (opened(), frame(6, 0, &[0; 8]));
        assert_eq!(passes(&mut guard, &ping), FULL);
        guard.earn(1000, 0);
        assert_eq!(passes(&mut guard, &ping), BY_TIME);
        guard.earn(1000, worth_of_answer(16 << 10));
        assert_eq!(passes(&mut guard, &ping), 20);
        guard.earn(u64::MAX, u64::MAX);
        assert_eq!(passes(&mut guard, &ping), FULL);
    }

    #[test]
    fn d02_time_is_not_lost_however_often_it_is_counted() {
        let (mut guard, ping) = (opened(), frame(6, 0, &[0; 8]));
        passes(&mut guard, &ping);
        (1..=1000).for_each(|now| guard.earn(now, 0));
        assert_eq!(passes(&mut guard, &ping), BY_TIME);
    }

    #[test]
    fn d02_a_request_that_is_taken_back_costs_more_than_it_brings() {
        let mut guard = opened();
        let (request, reset) = (frame(1, 5, b"\x82"), frame(3, 0, &[0; 4]));
        let taken_back = (0..100_000).find(|_| {
            guard.inspect(&request).unwrap();
            guard.earn(0, WORTH_OF_REQUEST);
            guard.inspect(&reset).is_err()
        });
        assert_eq!(taken_back, Some(2047));
    }

    proptest! {
        #[test]
        fn d02_frames_are_counted_alike_however_they_arrive(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..40),
            piece in 1_usize..50,
        ) {
            let all: Vec<u8> = frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, payload)).collect();
            let (mut whole, mut apart) = (opened(), opened());
            whole.inspect(&all).unwrap();
            for bytes in all.chunks(piece) {
                apart.inspect(bytes).unwrap();
            }
            prop_assert_eq!((whole.account, whole.heads.pass, whole.heads.have), (apart.account, 0, 0));
            prop_assert_eq!(whole.take_begun(), apart.take_begun());
        }
    }

    #[test]
    fn d03_each_stream_that_is_begun_is_counted_once() {
        let head = |stream: u8| [&frame(HEADERS, 4, b"\x82")[..8], &[stream, 0x82]].concat();
        let mut guard = opened();
        assert_eq!(guard.take_begun(), 0);
        // The second head of a stream is its trailers; a stream's number may be larger by more than two.
        guard.inspect(&[head(1), head(3), frame(0, 1, b"data"), head(1), head(3), head(9)].concat()).unwrap();
        assert_eq!((guard.take_begun(), guard.take_begun()), (3, 0));
        guard.inspect(&[head(9), head(11)].concat()).unwrap();
        assert_eq!((guard.take_begun(), guard.take_begun()), (1, 0));
        // The first bit of the number says nothing.
        guard.inspect(&[&frame(HEADERS, 4, b"\x82")[..5], &[0x80, 0, 0, 11, 0x82]].concat()).unwrap();
        assert_eq!(guard.take_begun(), 0);
    }

    #[test]
    fn h01_what_begins_otherwise_than_the_preface_is_no_http2() {
        let is_http2 = |pieces: &[&[u8]]| {
            let mut guard = FrameGuard::new(0);
            for piece in pieces {
                let _ = guard.inspect(piece);
            }
            guard.is_http2()
        };
        let good: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"P"],
            &[b"PRI * HT"],
            &[PREFACE],
            &[PREFACE, b"PRI * HTTP"],
            &[b"PRI", b" * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n\0"],
        ];
        for good in good {
            assert!(is_http2(good), "{good:?}");
        }
        let bad: [&[&[u8]]; 5] = [
            &[b"G"],
            &[b"PRI * HTTP/1.1\r\n"],
            &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"],
            &[b"PRI", b" * HTTP/2.0\r\n\r\nXM"],
            &[b"X", &PREFACE[1..]],
        ];
        for bad in bad {
            assert!(!is_http2(bad), "{bad:?}");
        }
    }

    #[test]
    fn d01_what_the_client_lets_the_connection_send_is_known_however_it_arrives() {
        let window = |stream: u8, more: u32| [&[0, 0, 4, 8, 0, 0, 0, 0, stream], &more.to_be_bytes()[..]].concat();
        let (ping, large) = (frame(6, 0, &[0; 8]), window(0, 1 << 31 | 0x0102_0304));
        // Windows of streams are others.
        let all = [window(0, 5), ping, window(3, 70), large, window(0, 1)].concat();
        for piece in 1..=all.len() {
            let (mut guard, mut room) = (opened(), 0);
            for bytes in all.chunks(piece) {
                guard.inspect(bytes).unwrap();
                room += guard.take_room();
            }
            assert_eq!(room, 0x0102_0304 + 6, "in pieces of {piece}");
        }
    }

    #[test]
    fn d01_who_takes_something_says_so_once() {
        let mut guard = opened();
        assert!(!guard.gave_room());
        guard.inspect(&[frame(4, 0, b""), frame(6, 0, b"12345678")].concat()).unwrap();
        assert!(!guard.gave_room());
        guard.inspect(&[frame(8, 0, &[0, 0, 1, 0]), frame(6, 0, b"12345678")].concat()).unwrap();
        assert!(guard.gave_room() && !guard.gave_room());
    }
}
