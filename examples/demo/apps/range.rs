//! The Range header: which part of a file somebody asks for.
//!
//! One range of bytes is served; several at once, other units and what cannot be read are ignored, which
//! the specification allows. Pure.
//!
//! RFC 9110 section 14.

use std::ops::Range;

/// What a Range header asks for.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Everything.
    Whole,
    /// Some of it; never empty.
    Part(Range<u64>),
    /// Something that lies outside of the file.
    Nothing,
}

impl Wanted {
    /// Reads the header's text for a file of `size` bytes.
    pub(super) fn read(text: Option<&str>, size: u64) -> Self {
        let spec = text.and_then(|text| text.trim().strip_prefix("bytes=")).and_then(|spec| spec.split_once('-'));
        let Some((first, last)) = spec else { return Self::Whole };
        let range = match (number(first), number(last)) {
            (Number::Is(first), Number::Absent) => first..size,
            (Number::Is(first), Number::Is(last)) if first <= last => first..size.min(last.saturating_add(1)),
            (Number::Absent, Number::Is(count)) => size.saturating_sub(count)..size,
            _ => return Self::Whole,
        };
        if range.is_empty() { Self::Nothing } else { Self::Part(range) }
    }
}

enum Number {
    Absent,
    Is(u64),
    Bad,
}

fn number(text: &str) -> Number {
    match text.trim() {
        "" => Number::Absent,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_or(Number::Bad, Number::Is),
        _ => Number::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read() {
        let wanted = |text| Wanted::read(Some(text), 100);
        assert_eq!(wanted("bytes=0-0"), Wanted::Part(0..1));
        assert_eq!(wanted("bytes=10-19"), Wanted::Part(10..20));
        assert_eq!(wanted("bytes=10-"), Wanted::Part(10..100));
        assert_eq!(wanted("bytes=90-1000"), Wanted::Part(90..100));
        assert_eq!(wanted("bytes=-1"), Wanted::Part(99..100));
        assert_eq!(wanted("bytes=-1000"), Wanted::Part(0..100));
    }

    #[test]
    fn a_range_outside_of_the_file_is_nothing() {
        let wanted = |text| Wanted::read(Some(text), 100);
        assert_eq!(wanted("bytes=100-"), Wanted::Nothing);
        assert_eq!(wanted("bytes=100-200"), Wanted::Nothing);
        assert_eq!(wanted("bytes=-0"), Wanted::Nothing);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        assert_eq!(Wanted::read(None, 100), Wanted::Whole);
        for text in
            ["", "bytes", "bytes=", "bytes=-", "bytes=2-1", "bytes=0-1,5-6", "lines=1-2", "bytes=+1-2", "bytes=a-b"]
        {
            assert_eq!(Wanted::read(Some(text), 100), Wanted::Whole, "{text:?}");
        }
    }
}
