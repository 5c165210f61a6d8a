//! Whether upper and lower case of ASCII letters are told apart in paths (P03).
//!
//! Only ASCII: what an application takes for equal beyond that depends on its language and its file system. A pattern is kept
//! in lower case where case is ignored, and paths are compared without being copied.
//!
//! May touch: nothing. Trust boundary: paths are a stranger's.

use std::cmp::Ordering;

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

    /// The order of two texts; equal where [`equal`](Self::equal) says so.
    pub(super) fn order(self, one: &str, other: &str) -> Ordering {
        match self {
            Self::Matters => one.cmp(other),
            Self::Ignored => {
                let (one, other) = (one.bytes(), other.bytes());
                one.map(|byte| byte.to_ascii_lowercase()).cmp(other.map(|byte| byte.to_ascii_lowercase()))
            }
        }
    }

    /// The first eight bytes as a number: ordered as [`order`](Self::order) orders the texts, but for those that begin alike.
    pub(super) fn start(self, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let mut start = bytes.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut start = [0; 8];
            start.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            start
        });
        if self == Self::Ignored {
            start.make_ascii_lowercase();
        }
        u64::from_be_bytes(start)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p03_only_ascii_letters_are_alike() {
        let ignored = Case::Ignored;
        assert!(ignored.equal("Admin", "aDMIN") && !Case::Matters.equal("Admin", "admin"));
        assert!(!ignored.equal("%C3%9C", "%C3%BC") && ignored.equal("%C3%9C", "%c3%9c"));
        assert_eq!(ignored.order("B", "a"), Ordering::Greater);
        assert_eq!(ignored.after("ADMIN-x", "admin"), Some("-x"));
        assert_eq!(ignored.after_first("xxADMINyy", "admin"), Some("yy"));
        assert_eq!(ignored.after_first("x", "admin"), None);
        assert!(ignored.ends_with("a.PDF", ".pdf") && !ignored.ends_with("df", ".pdf"));
    }
}
