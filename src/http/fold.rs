//! Header names as old servers see them: upper case, with every byte outside A-Z 0-9 turned into `_` (S01).
//!
//! CGI, FastCGI, WSGI and servlet bridges fold names this way (RFC 3875 section 4.1.18; PHP and lighttpd fold more
//! bytes than the dash), so `X_Remote.User` is `X-Remote-User` to them. [`FoldedNames`] answers whether a name folds to one of a set
//! or starts with one of a set's stems; built once when policies are compiled, asked for every field of every request.
//!
//! Trust boundary: the asked names are a stranger's. A look-up costs two bit tests for almost every ordinary name: no known name begins alike and is as long.

/// One byte of a name, folded.
pub const fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte.to_ascii_uppercase(),
        b'A'..=b'Z' | b'0'..=b'9' => byte,
        _ => b'_',
    }
}

/// A whole name, folded.
pub fn fold(name: &str) -> String {
    name.bytes().map(|byte| char::from(fold_byte(byte))).collect()
}

/// A set of folded names and stems.
#[derive(Clone, Debug)]
pub struct FoldedNames {
    exact: Vec<Box<str>>,
    stems: Vec<Box<str>>,
    /// For each first byte the lengths of the names that begin with it.
    exact_lengths: [u64; FIRSTS],
    /// For each first byte where the stems that begin with it start and end; those of one first byte lie together.
    stem_ranges: [(usize, usize); FIRSTS],
}

impl FoldedNames {
    /// Builds the set; `names` and `stems` need not be folded yet.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, stems: impl IntoIterator<Item = &'a str>) -> Self {
        let sorted = |names: &mut dyn Iterator<Item = &'a str>| {
            let mut folded: Vec<Box<str>> = names.map(|name| fold(name).into()).collect();
            folded.sort_unstable();
            folded.dedup();
            folded
        };
        let exact = sorted(&mut names.into_iter());
        let mut stems = sorted(&mut stems.into_iter());
        stems.sort_by_key(|stem| first(stem.as_bytes()));
        let mut exact_lengths = [0; FIRSTS];
        for name in &exact {
            if let Some(lengths) = exact_lengths.get_mut(first(name.as_bytes())) {
                *lengths |= length_bit(name.len());
            }
        }
        let mut stem_ranges = [(0, 0); FIRSTS];
        for (number, range) in stem_ranges.iter_mut().enumerate() {
            let before = |most: usize| stems.partition_point(|stem| first(stem.as_bytes()) < most);
            *range = (before(number), before(number + 1));
        }
        Self { exact, stems, exact_lengths, stem_ranges }
    }

    /// Whether `name` folds to one of the names or starts, folded, with one of the stems.
    pub fn covers(&self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let first = first(bytes);
        let lengths = self.exact_lengths.get(first).copied().unwrap_or_default();
        (lengths & length_bit(bytes.len()) != 0
            && self.exact.binary_search_by(|known| compare_folded(known, bytes)).is_ok())
            || self.stems_of(first).iter().any(|stem| starts_folded(bytes, stem))
    }

    fn stems_of(&self, first: usize) -> &[Box<str>] {
        let (start, end) = self.stem_ranges.get(first).copied().unwrap_or_default();
        self.stems.get(start..end).unwrap_or_default()
    }
}

/// Orders a folded name against a name that is folded on the way.
fn compare_folded(known: &str, name: &[u8]) -> std::cmp::Ordering {
    known.bytes().cmp(name.iter().map(|byte| fold_byte(*byte)))
}

fn starts_folded(name: &[u8], stem: &str) -> bool {
    name.len() >= stem.len() && name.iter().zip(stem.bytes()).all(|(byte, wanted)| fold_byte(*byte) == wanted)
}

const fn length_bit(length: usize) -> u64 {
    1 << if length > 63 { 63 } else { length }
}

/// How many first bytes are told apart: letters, digits, and everything else.
const FIRSTS: usize = 37;

/// The number of the first folded byte.
fn first(name: &[u8]) -> usize {
    match name.first().map(|first| fold_byte(*first)) {
        Some(letter @ b'A'..=b'Z') => usize::from(letter - b'A'),
        Some(digit @ b'0'..=b'9') => 26 + usize::from(digit - b'0'),
        _ => 36,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn s01_every_spelling_that_folds_alike_is_covered() {
        let names = FoldedNames::new(["X-Remote-User"], ["SM_", "$WS"]);
        for alias in
            ["x-remote-user", "X_Remote_User", "x.remote.user", "x-remote_user", "x~remote!user", "X-REMOTE-USER"]
        {
            assert!(names.covers(alias), "{alias}");
        }
        for alias in ["sm_user", "SM-UserDN", "sm.x", "$WSRU", "_wsra", "!ws"] {
            assert!(names.covers(alias), "{alias}");
        }
        for other in ["x-remote-users", "x-remote-use", "remote-user", "smile", "s", "", "xxremotexuser"] {
            assert!(!names.covers(other), "{other}");
        }
    }

    #[test]
    fn s01_names_are_found_whatever_they_begin_with_and_however_long_they_are() {
        for first in (b'!'..=b'~').map(char::from) {
            for length in [1, 2, 30, 62, 63, 64, 65, 100, 200] {
                let (name, shorter) = (format!("{first}{}", "x".repeat(length - 1)), "x".repeat(length));
                let names = FoldedNames::new([name.as_str()], []);
                assert!(names.covers(&name) && names.covers(&fold(&name)), "{name}");
                assert!(!names.covers(&format!("{name}x")) && !names.covers(&name[1..]), "{name}");
                assert_eq!(names.covers(&shorter), fold(&shorter) == fold(&name), "{name}");
                let stems = FoldedNames::new([], [name.as_str()]);
                assert!(stems.covers(&name) && stems.covers(&format!("{name}-y")), "{name}");
                assert!(!stems.covers(&name[1..]), "{name}");
            }
        }
        assert!(FoldedNames::new(["", "a"], []).covers("") && !FoldedNames::new(["a"], ["b"]).covers(""));
    }

    proptest! {
        #[test]
        fn t02_covers_says_the_same_as_folding_whole_names(name in "[a-cA-C0-1._~-]{1,6}", known in "[a-cA-C0-1._~-]{1,6}", stem in "[a-c-]{1,2}") {
            let names = FoldedNames::new([known.as_str()], [stem.as_str()]);
            prop_assert_eq!(names.covers(&name), fold(&name) == fold(&known) || fold(&name).starts_with(&fold(&stem)));
        }

        #[test]
        fn t02_folding_twice_changes_nothing(name in "\\PC{0,20}") {
            prop_assert_eq!(fold(&fold(&name)), fold(&name));
        }
    }
}
