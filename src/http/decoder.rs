//! A body on HTTP/1.1 as it comes off the wire: so many bytes, chunks, or everything until the sender closes.
//!
//! Pure; no byte is copied. Trailers are dropped (S04). Trust boundary: either sender may be hostile. What a client sends is read
//! strictly: a chunk that two readers could frame in two ways is none (H01). An application may do what old servers do: spaces behind a chunk's size.
//! Bounds: 4 KiB for a chunk's first line, 16 KiB for all extensions and trailers of a body.
//! Specification: RFC 9112 sections 6.3 and 7.1.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// Longest first line of a chunk, its extensions included.
const MAX_LINE: usize = 4 << 10;
/// Bytes that all trailers, and all extensions, of one body may have.
const MAX_TRAILERS: usize = 16 << 10;
/// Most digits of a chunk's size that a client may send.
const MAX_DIGITS: usize = 15;

/// How a body of chunks ends, behind its last byte of data.
const PLAIN_END: &[u8] = b"\r\n0\r\n\r\n";

/// What broke off, or is no body.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// Who sends a body of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A stranger: its chunks are read strictly.
    Client,
    /// The application, which may do what old servers do.
    Application,
}

/// What is left of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoder {
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked {
        /// Where in them.
        at: Chunk,
        /// Bytes of extensions and trailers that may still come.
        spare: usize,
        /// Who sends them.
        sender: Sender,
    },
    /// All that comes.
    UntilClose,
    /// Nothing.
    Done,
}

/// Where in a body of chunks.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Before a chunk's first line.
    Size,
    /// Within a chunk's data, of which so many bytes are left.
    Data(u64),
    /// Before the end of a chunk's line.
    End,
    /// After the last chunk.
    Trailers,
    /// After the trailers.
    Over,
}

impl Decoder {
    /// A body of `length` bytes.
    pub const fn length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    /// A body of chunks.
    pub const fn chunked(sender: Sender) -> Self {
        Self::Chunked { at: Chunk::Size, spare: MAX_TRAILERS, sender }
    }

    /// Whether the body was read to its end.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Bytes that are known to come next.
    pub fn expected(&self) -> Option<u64> {
        match self {
            Self::Length(left) | Self::Chunked { at: Chunk::Data(left), .. } => Some(*left),
            Self::Chunked { .. } | Self::UntilClose | Self::Done => None,
        }
    }

    /// Takes data off what was read; none where more must be read, or nothing more belongs to the body.
    ///
    /// # Errors
    ///
    /// Where what was read is no body of this kind.
    pub fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, Broken> {
        match self {
            Self::Done => Ok(None),
            Self::UntilClose if read.is_empty() => Ok(None),
            Self::UntilClose => Ok(Some(read.split().freeze())),
            Self::Length(left) => {
                let data = take_data(read, left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(data)
            }
            Self::Chunked { at, spare, sender } => {
                let data = at.take(read, spare, *sender)?;
                if *at == Chunk::Over {
                    *self = Self::Done;
                }
                Ok(data)
            }
        }
    }
}

impl Chunk {
    /// Takes data off what was read, and all lines before it; `spare` is what extensions and trailers may still have.
    fn take(&mut self, read: &mut BytesMut, spare: &mut usize, sender: Sender) -> Result<Option<Bytes>, Broken> {
        loop {
            match self {
                Self::Data(left) => {
                    let data = take_data(read, left);
                    if *left == 0 {
                        *self = Self::End;
                        // So that the end of a small body is known together with its last piece.
                        if **read == *PLAIN_END {
                            read.clear();
                            *self = Self::Over;
                        }
                    }
                    return Ok(data);
                }
                Self::End => match take_line(read, 0)? {
                    Some(_) => *self = Self::Size,
                    None => return Ok(None),
                },
                Self::Size => {
                    let Some(line) = take_line(read, MAX_LINE)? else { return Ok(None) };
                    let (size, extensions) = size(&line, sender)?;
                    *spare = spare.checked_sub(extensions).ok_or(Broken)?;
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Trailers => {
                    let Some(line) = take_line(read, *spare)? else { return Ok(None) };
                    if sender == Sender::Client && memchr(b'\r', &line).is_some() {
                        return Err(Broken);
                    }
                    if line.is_empty() {
                        *self = Self::Over;
                    }
                    *spare = spare.saturating_sub(line.len());
                }
                Self::Over => return Ok(None),
            }
        }
    }
}

/// Up to `left` bytes of what was read.
fn take_data(read: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left -= length as u64;
    (length > 0).then(|| read.split_to(length).freeze())
}

/// The next line without its end, which must be CRLF (RFC 9112 section 2.2 lets a recipient insist), of at most so many bytes.
fn take_line(read: &mut BytesMut, longest: usize) -> Result<Option<BytesMut>, Broken> {
    let Some(at) = memchr(b'\n', read) else {
        // One byte more for the CR.
        return if read.len() > longest + 1 { Err(Broken) } else { Ok(None) };
    };
    let Some(length) = at.checked_sub(1).filter(|before| read.get(*before) == Some(&b'\r')) else { return Err(Broken) };
    if length > longest {
        return Err(Broken);
    }
    let line = read.split_to(length);
    read.advance(2);
    Ok(Some(line))
}

/// A chunk's size, and how long its extensions are.
fn size(line: &[u8], sender: Sender) -> Result<(u64, usize), Broken> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).ok_or(Broken)?;
    let extensions = if sender == Sender::Client { rest } else { rest.trim_ascii_start() };
    let sound = sender == Sender::Application || digits.len() <= MAX_DIGITS && rest.iter().all(is_text);
    if !matches!(extensions, [] | [b';', ..]) || !sound {
        return Err(Broken);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Broken)?;
    Ok((u64::from_str_radix(digits, 16).map_err(|_| Broken)?, rest.len()))
}

/// No control character.
fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is read of a body that comes in such pieces, and what is left behind it.
    fn read(mut decoder: Decoder, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), Broken> {
        let (mut read, mut body) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            read.extend_from_slice(piece);
            while let Some(data) = decoder.take(&mut read)? {
                body.extend_from_slice(&data);
            }
        }
        if decoder.is_done() { Ok((body, read.to_vec())) } else { Err(Broken) }
    }

    fn chunks(text: &str) -> Result<String, Broken> {
        read(Decoder::chunked(Sender::Application), &[text.as_bytes()])
            .map(|(body, _)| String::from_utf8(body).unwrap())
    }

    #[test]
    fn h06_s04_chunks_are_joined_and_trailers_dropped() {
        assert_eq!(chunks("2\r\nok\r\n0\r\n\r\n").as_deref(), Ok("ok"));
        assert_eq!(chunks("0\r\n\r\n").as_deref(), Ok(""));
        assert_eq!(
            chunks("00a;x=\"y\"\r\n0123456789\r\n000\r\nX-Remote-User: root\r\n\r\n").as_deref(),
            Ok("0123456789")
        );
        assert_eq!(chunks("1 ;x\r\na\r\nB\r\n0123456789a\r\n0\r\n\r\n").as_deref(), Ok("a0123456789a"));
    }

    #[test]
    fn h06_the_end_of_a_small_body_is_known_with_its_last_piece() {
        for (text, known) in [
            ("2\r\nok\r\n0\r\n\r\n", true),
            ("2\r\nok\r\n0\r\n\r\nx", false),
            ("2\r\nok\r\n0\r\n\r", false),
            ("2\r\nok\r\n0;x\r\n\r\n", false),
            ("3\r\nok\r\n0\r\n\r\n", false),
        ] {
            let (mut decoder, mut read) = (Decoder::chunked(Sender::Application), BytesMut::from(text));
            assert!(decoder.take(&mut read).unwrap().is_some());
            assert_eq!((decoder.is_done(), read.is_empty()), (known, known), "{text:?}");
        }
    }

    #[test]
    fn h08_what_is_no_chunk_breaks_the_answer() {
        for text in [
            "",
            "2\r\nok",
            "2\r\nok\r\n",
            "2\nok\r\n0\r\n\r\n",
            "2\r\nok\n0\r\n\r\n",
            "2\r\nokay\r\n0\r\n\r\n",
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na\r\n0\r\n\r\n",
            "0x1\r\na\r\n0\r\n\r\n",
            "1 2\r\na\r\n0\r\n\r\n",
            "10000000000000000\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "0\r\nX: y\r\n",
        ] {
            assert_eq!(chunks(text), Err(Broken), "{text:?}");
        }
        let long = "x".repeat(MAX_TRAILERS + 2);
        for text in [
            format!("1;{long}"),
            format!("0\r\nX: {long}"),
            "0;abc\r\n".repeat(2),
            format!("0\r\n{}", "X: y\r\n".repeat(3000)),
        ] {
            assert_eq!(chunks(&text), Err(Broken));
        }
        let extended = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(20);
        assert_eq!(chunks(&format!("{extended}0\r\n\r\n")), Err(Broken));
    }

    #[test]
    fn h06_what_has_no_length_is_all_that_comes() {
        let (mut decoder, mut read) = (Decoder::UntilClose, BytesMut::from("some"));
        assert_eq!(decoder.take(&mut read), Ok(Some(Bytes::from_static(b"some"))));
        assert_eq!((decoder.take(&mut read), decoder.is_done()), (Ok(None), false));
    }

    #[test]
    fn h06_what_is_expected_is_what_is_known_to_come() {
        assert_eq!(Decoder::length(7).expected(), Some(7));
        for decoder in [Decoder::UntilClose, Decoder::Done, Decoder::chunked(Sender::Client)] {
            assert_eq!(decoder.expected(), None, "{decoder:?}");
        }
        let (mut decoder, mut read) = (Decoder::chunked(Sender::Client), BytesMut::from("5\r\nab"));
        assert!(decoder.take(&mut read).unwrap().is_some());
        assert_eq!(decoder.expected(), Some(3));
    }

    #[test]
    fn h08_what_comes_behind_a_body_is_none_of_it() {
        let behind =
            |decoder, text: &str| read(decoder, &[text.as_bytes()]).map(|(_, rest)| String::from_utf8(rest).unwrap());
        assert_eq!(
            behind(Decoder::chunked(Sender::Application), "0\r\n\r\nHTTP/1.1 200").as_deref(),
            Ok("HTTP/1.1 200")
        );
        assert_eq!(behind(Decoder::length(2), "okHTTP/1.1 200").as_deref(), Ok("HTTP/1.1 200"));
        assert_eq!(behind(Decoder::length(0), "x").as_deref(), Ok("x"));
    }

    #[test]
    fn h01_a_client_frames_its_chunks_so_that_all_read_them_alike() {
        let body = |text: &str| read(Decoder::chunked(Sender::Client), &[text.as_bytes()]).map(|(body, _)| body);
        let sound = "5\r\na\nb\rc\r\nA;x=\"y\tz\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
        assert_eq!(body(sound).as_deref(), Ok(&b"a\nb\rc0123456789"[..]));
        for text in [
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\t;x\r\nhello\r\n0\r\n\r\n",
            "5;a\x01\r\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5\r\r\nhello\r\n0\r\n\r\n",
            "0000000000000005\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: a\n\r\n",
        ] {
            assert_eq!(body(text), Err(Broken), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn h06_a_body_is_the_same_in_whatever_pieces_it_comes(
            parts in proptest::collection::vec("[a-z\\r\\n0-9;]{1,30}", 0..8),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let chunks: String = parts.iter().map(|part| format!("{:x};q\r\n{part}\r\n", part.len())).collect();
            let text = format!("{chunks}0\r\nT: r\r\n\r\nrest");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let (body, rest) = read(Decoder::chunked(Sender::Application), &pieces).unwrap();
            prop_assert_eq!((body, rest), (parts.concat().into_bytes(), b"rest".to_vec()));
        }

        #[test]
        fn t02_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), chunk in "[0-9a-f]{1,17}(;[a-z]*)?\\r\\n") {
            for sender in [Sender::Application, Sender::Client] {
                let _ = read(Decoder::chunked(sender), &[chunk.as_bytes(), &bytes]);
            }
        }
    }
}
