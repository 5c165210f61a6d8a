//! Whether upper and lower case of ASCII letters are told apart in paths (P03).
//!
//! Only ASCII: what an application takes for equal beyond that depends on its language and its file system. A pattern is kept
//! in lower case where case is ignored, and paths are compared without being copied.
//!
//! May touch: nothing. Trust boundary: paths are a stranger's.

/// How letters are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Case {
    /// `/Admin` is not `/admin`.
    #[default]
    Matters,
    /// `/Admin` is `/admin`.
    Ignored,
}

impl Case {
    /// The form in which a pattern's text is kept.
    pub(super) fn keep(self, text: &str) -> Box<str> {
        match self {
            Self::Matters => text.into(),
            Self::Ignored => text.to_ascii_lowercase().into(),
        }
    }

    /// Whether two texts are equal.
    pub(super) fn equal(self, one: &str, other: &str) -> bool {
        match self {
            Self::Matters => one == other,
            Self::Ignored => one.eq_ignore_ascii_case(other),
        }
    }

    /// The text as numbers of four bytes each, with zeros behind the last: the same for two texts of one length that are equal.
    pub(super) fn words(self, text: &str) -> impl Iterator<Item = u32> {
        let (whole, rest) = text.as_bytes().as_chunks::<4>();
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        let last = (!rest.is_empty()).then_some(last);
        whole.iter().copied().chain(last).map(move |mut bytes| {
            if self == Self::Ignored {
                bytes.make_ascii_lowercase();
            }
            u32::from_le_bytes(bytes)
        })
    }

    /// A number that is the same for equal texts, and hardly ever for others.
    pub(super) fn tag(self, text: &str) -> u32 {
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let mix = |tag: u64, mut bytes: [u8; 8]| {
            if self == Self::Ignored {
                bytes.make_ascii_lowercase();
            }
            let tag = (tag ^ u64::from_le_bytes(bytes)).wrapping_mul(SPREAD);
            tag ^ tag >> 32
        };
        let bytes = text.as_bytes();
        let tag = bytes.as_chunks::<8>().0.iter().copied().fold(text.len() as u64, mix);
        // Only the lower half is kept, into which the upper one was mixed.
        mix(tag, last_eight(bytes)) as u32
    }

    /// What follows `start` in `text`.
    pub(super) fn after<'t>(self, text: &'t str, start: &str) -> Option<&'t str> {
        let head = text.get(..start.len())?;
        if self.equal(head, start) { text.get(start.len()..) } else { None }
    }

    /// Whether `text` ends with `end`.
    pub(super) fn ends_with(self, text: &str, end: &str) -> bool {
        let start = text.len().checked_sub(end.len());
        start.and_then(|start| text.get(start..)).is_some_and(|tail| self.equal(tail, end))
    }

    /// What follows the first `wanted` in `text`.
    pub(super) fn after_first<'t>(self, text: &'t str, wanted: &str) -> Option<&'t str> {
        match self {
            Self::Matters => text.split_once(wanted).map(|(_, rest)| rest),
            Self::Ignored => (0..=text.len()).find_map(|at| self.after(text.get(at..)?, wanted)),
        }
    }
}

/// The last eight bytes, or all there are, some of them twice: without a loop over them.
fn last_eight(bytes: &[u8]) -> [u8; 8] {
    match *bytes {
        [.., a, b, c, d, e, f, g, h] => [a, b, c, d, e, f, g, h],
        [a, b, c, d, ..] => {
            let [e, f, g, h] = bytes.last_chunk().copied().unwrap_or_default();
            [a, b, c, d, e, f, g, h]
        }
        [a, b, c] => [a, b, c, 0, 0, 0, 0, 0],
        [a, b] => [a, b, 0, 0, 0, 0, 0, 0],
        [a] => [a, 0, 0, 0, 0, 0, 0, 0],
        [] => [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p03_only_ascii_letters_are_alike() {
        let ignored = Case::Ignored;
        assert!(ignored.equal("Admin", "aDMIN") && !Case::Matters.equal("Admin", "admin"));
        assert!(!ignored.equal("%C3%9C", "%C3%BC") && ignored.equal("%C3%9C", "%c3%9c"));
        assert!(
            ignored.words("%C3%9C/Q").eq(Case::Matters.words("%c3%9c/q"))
                && ignored.tag("AdMin") == ignored.tag("aDmin")
        );
        assert_ne!(Case::Matters.tag("Admin"), Case::Matters.tag("admin"));
        assert_eq!(ignored.after("ADMIN-x", "admin"), Some("-x"));
        assert_eq!(ignored.after_first("xxADMINyy", "admin"), Some("yy"));
        assert_eq!(ignored.after_first("x", "admin"), None);
        assert!(ignored.ends_with("a.PDF", ".pdf") && !ignored.ends_with("df", ".pdf"));
    }
}
