//! How a request on HTTP/1.1 is framed, read so that no two readers can differ (H01).
//!
//! Lenient readers take bare line feeds for line ends, drop a `Content-Length` that stands beside `Transfer-Encoding`, join equal lengths and cut
//! `#…` off a target. Each of these is a request that some server in front or behind reads differently. A [`HeadScan`] looks at each
//! line of a head as soon as its end has come, and refuses what could be framed in two ways; what is refused is read no further.
//!
//! Pure. Nothing is kept but where the lines end. Cost: one search over a head (`benches/framing.rs`). Trust boundary: every byte is a stranger's.
//! Specification: RFC 9112 sections 2.2, 3.2, 5 and 6.

use memchr::{memchr, memchr2};

use super::decoder::{Decoder, Sender};
use super::fold::fold_byte;

const LENGTH: &str = "Content-Length";
const CODING: &str = "Transfer-Encoding";

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
        }
    }
}

/// What a head has said of its body so far.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

/// Looks at one head after the other, line by line.
#[derive(Default)]
pub struct HeadScan {
    framing: Framing,
    /// Where the lines that were looked at end, their CR LF not counted.
    ends: Vec<usize>,
    /// Where the line begins whose end has not come, and how much of it was searched for one.
    line: usize,
    searched: usize,
}

impl HeadScan {
    /// Lines that were looked at, the request line among them.
    pub fn lines(&self) -> usize {
        self.ends.len()
    }

    /// Looks at what came since it was last asked; `bytes` begins where the head does. The head's length, once it is there whole.
    ///
    /// # Errors
    ///
    /// At the end of the line that frames the request in more than one way, or where it cannot end.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
        while let Some(found) = memchr2(b'\r', b'\n', bytes.get(self.searched..).unwrap_or_default()) {
            let end = self.searched + found;
            // The two end a line together, and stand nowhere else.
            match bytes.get(end..end + 2) {
                Some(b"\r\n") => {}
                None if bytes.get(end) == Some(&b'\r') => {
                    self.searched = end;
                    return Ok(None);
                }
                _ => return Err(FramingError::LineEnd),
            }
            let line = bytes.get(self.line..end).unwrap_or_default();
            (self.line, self.searched) = (end + 2, end + 2);
            if self.ends.is_empty() {
                request_line(line)?;
            } else if line.is_empty() {
                return Ok(Some(end + 2));
            } else {
                self.framing.field(line)?;
            }
            self.ends.push(end);
        }
        self.searched = bytes.len();
        Ok(None)
    }

    /// How the head that was just found whole frames its body.
    ///
    /// # Errors
    ///
    /// Where it does so in two ways.
    pub fn body(&self) -> Result<Decoder, FramingError> {
        match self.framing {
            Framing { length: Some(_), chunked: true } => Err(FramingError::LengthAndCoding),
            Framing { chunked: true, .. } => Ok(Decoder::chunked(Sender::Client)),
            Framing { length, .. } => Ok(Decoder::length(length.unwrap_or(0))),
        }
    }

    /// The ends of all lines, without the empty one.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Begins anew, for the next head.
    pub fn clear(&mut self) {
        self.ends.clear();
        (self.framing, self.line, self.searched) = (Framing::default(), 0, 0);
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

fn request_line(line: &[u8]) -> Result<(), FramingError> {
    if memchr(b'#', line).is_some() { Err(FramingError::Fragment) } else { Ok(()) }
}

fn folds_to(name: &[u8], known: &str) -> bool {
    name.iter().zip(known.bytes()).all(|(byte, wanted)| fold_byte(*byte) == fold_byte(wanted))
}

/// Whether a name of our length ends here: `Content-Lengthy` is another one, `Content-Length :` is none at all.
fn ends_a_name(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| matches!(byte, b':' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        assert!(all.iter().all(|(error, code)| error.code() == *code));
    }

    #[test]
    fn h01_an_end_of_a_line_is_cr_and_lf_together_and_nothing_else_however_it_comes() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \ra\r\n\r\n",
            "GET / HTTP/1.1\r\n\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\r\n",
            "GET /\rHTTP/1.1\r\n\r\n",
            "\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(HeadScan::default().scan(bad.as_bytes()), Err(FramingError::LineEnd), "{bad:?}");
            let mut scan = HeadScan::default();
            let found = (0..=bad.len()).find_map(|cut| scan.scan(&bad.as_bytes()[..cut]).err());
            assert_eq!(found, Some(FramingError::LineEnd), "{bad:?}");
        }
    }

    #[test]
    fn h01_a_head_is_looked_at_once_however_it_comes() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            let begun = scan.scan(&head[..cut]).unwrap();
            assert_eq!(begun, (cut >= head.len() - 3).then_some(head.len() - 3));
            if begun.is_none() {
                assert_eq!(scan.scan(head), Ok(Some(head.len() - 3)));
            }
            assert_eq!((scan.body(), scan.ends()), (Ok(Decoder::Length(3)), &[15, 24, 43][..]));
            scan.clear();
            assert_eq!(scan.lines(), 0);
        }
    }
}
