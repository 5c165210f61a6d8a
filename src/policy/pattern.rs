//! A path pattern of a rule: `/admin`, `/static/**`, `/reports/*.pdf` (P03, P04).
//!
//! A pattern is matched against the whole canonical path, segment by segment; a query is never part of it. `*` stands
//! for any text within one segment, `**` for any number of whole segments, none included. A last slash makes no
//! difference, on either side: `/admin` covers `/admin/`, and `/admin/**` covers `/admin`.
//!
//! A pattern must itself be canonical, because paths are compared in that form only; what is not, is refused with the
//! form that was meant. An application can ask for ASCII case to be ignored ([`Case`]). May touch: nothing. Trust boundary: patterns are an administrator's, paths a stranger's.
//! Specification: RFC 3986 section 3.3.

use super::case::Case;
use crate::http::{CanonicalPath, PathError};

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Exactly this text.
    Literal(Box<str>),
    /// Text with `*` in it, split at the stars.
    Glob(Box<[Box<str>]>),
    /// `**`.
    Rest,
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PatternError {
    /// `?` or `#` stands in it.
    QueryOrFragment,
    /// Something that no canonical path contains.
    Path(PathError),
    /// Not in canonical form; this is the form.
    NotCanonical(String),
    /// A star that a path itself has.
    Star,
    /// `**` together with other text in one segment.
    RestInSegment,
    /// Longer than [`MAX_PATTERN`].
    TooLong,
}

/// How long a pattern may be, in bytes.
pub(super) const MAX_PATTERN: usize = 1024;

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::QueryOrFragment => write!(f, "a path pattern has no `?` and no `#`: rules see the path only"),
            Self::Path(why) => write!(f, "the path pattern could never match: {why}"),
            Self::NotCanonical(_) => write!(f, "the path pattern is not in canonical form and could never match"),
            Self::Star => write!(f, "a path pattern cannot name a star that stands in a path"),
            Self::RestInSegment => write!(f, "`**` must stand alone between slashes"),
            Self::TooLong => write!(f, "the path pattern is longer than {MAX_PATTERN} bytes"),
        }
    }
}

impl PatternError {
    /// What to write instead.
    pub(super) fn help(&self) -> String {
        match self {
            Self::QueryOrFragment => "leave the query away".to_owned(),
            Self::Path(PathError::NotAbsolute) => "begin the pattern with `/`".to_owned(),
            Self::Path(PathError::RawByte(_)) => {
                "percent-encode it in upper case: a space is %20, ü is %C3%BC".to_owned()
            }
            Self::Path(PathError::PathParameter) => "rules see paths without parameters: leave them away".to_owned(),
            Self::Path(PathError::EncodedSlash) => {
                "write it as a slash: paths with `%2F` are refused, or match by both readings".to_owned()
            }
            Self::Path(_) => "requests with such a path are refused before any rule is asked".to_owned(),
            Self::NotCanonical(form) => format!("write \"{form}\""),
            Self::Star => "`*` would stand for any text within a segment; ask for that one path in a condition: request.path == '/a/*'".to_owned(),
            Self::RestInSegment => "write `*` for text within a segment, `/**` for all below".to_owned(),
            Self::TooLong => "use `*` and `**`".to_owned(),
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str, case: Case) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN {
            return Err(PatternError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(PatternError::QueryOrFragment);
        }
        let canonical = CanonicalPath::parse(text).map_err(PatternError::Path)?;
        if canonical.as_str().matches('*').count() > text.matches('*').count() {
            return Err(PatternError::Star);
        }
        if canonical.as_str() != text {
            return Err(PatternError::NotCanonical(canonical.as_str().to_owned()));
        }
        let parts = segments(text).map(|segment| Part::parse(segment, case)).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// The pattern that every path matches.
    pub(super) fn everything() -> Self {
        Self { parts: vec![Part::Rest] }
    }

    /// The segments of the pattern.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether every path that this pattern matches lies at or below `prefix`, which is canonical.
    pub(super) fn is_below(&self, prefix: &str, case: Case) -> bool {
        let wanted: Vec<_> = segments(prefix).collect();
        self.parts.len() >= wanted.len()
            && wanted.iter().zip(&self.parts).all(|(wanted, part)| match part {
                Part::Literal(text) => case.equal(text, wanted),
                Part::Glob(_) | Part::Rest => false,
            })
    }

    /// Whether this pattern certainly matches all that `other` matches, part by part: what only both of two parts together
    /// cover is not recognised.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let (mut own, mut others) = (&*self.parts, &*other.parts);
        let mut retry: Option<(&[Part], &[Part])> = None;
        loop {
            match (own, others) {
                ([], []) => return true,
                ([Part::Rest, after @ ..], _) => {
                    own = after;
                    retry = Some((after, others));
                }
                ([part, after @ ..], [other, rest @ ..]) if part.covers(other) => (own, others) = (after, rest),
                _ => {
                    let Some((after, [_, from @ ..])) = retry else { return false };
                    (own, others) = (after, from);
                    retry = Some((after, from));
                }
            }
        }
    }
}

impl Part {
    fn parse(segment: &str, case: Case) -> Result<Self, PatternError> {
        match segment {
            "**" => Ok(Self::Rest),
            _ if segment.contains("**") => Err(PatternError::RestInSegment),
            _ if segment.contains('*') => Ok(Self::Glob(segment.split('*').map(|piece| case.keep(piece)).collect())),
            _ => Ok(Self::Literal(case.keep(segment))),
        }
    }

    /// Whether the part, which is not `**`, matches all that `other` matches; both are in the form in which case is kept.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rest, _) | (_, Self::Rest) => false,
            (Self::Glob(pieces), Self::Literal(text)) => glob_matches(pieces, text, Case::Matters),
            (Self::Glob(pieces), Self::Glob(_)) if pieces.iter().all(|piece| piece.is_empty()) => true,
            _ => self == other,
        }
    }

    /// Whether the part matches one segment; `**` does not answer for a single one.
    pub(super) fn matches(&self, segment: &str, case: Case) -> bool {
        match self {
            Self::Literal(text) => case.equal(text, segment),
            Self::Glob(pieces) => glob_matches(pieces, segment, case),
            Self::Rest => false,
        }
    }
}

/// The segments of a canonical path without the one empty segment that a last slash makes; `/` has none.
pub(super) fn segments(path: &str) -> Segments<'_> {
    Segments(path.strip_prefix('/').unwrap_or(path))
}

/// The iterator behind [`segments`]; cheap to copy, so that a match can be tried again from a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments<'a>(&'a str);

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let slash = memchr::memchr(b'/', self.0.as_bytes());
        let (segment, rest) =
            slash.and_then(|at| Some((self.0.get(..at)?, self.0.get(at + 1..)?))).unwrap_or((self.0, ""));
        self.0 = rest;
        Some(segment)
    }
}

/// Whether `parts` match all of `path`. Takes at most parts times segments steps: a later `**` makes an earlier one final.
pub(super) fn parts_match(parts: &[Part], path: Segments<'_>, case: Case) -> bool {
    let (mut parts_left, mut path_left) = (parts, path);
    let mut retry: Option<(&[Part], Segments<'_>)> = None;
    loop {
        if let [Part::Rest, after @ ..] = parts_left {
            parts_left = after;
            retry = Some((after, path_left));
            continue;
        }
        let mut path_next = path_left;
        match (parts_left, path_next.next()) {
            ([], None) => return true,
            ([part, after @ ..], Some(segment)) if part.matches(segment, case) => {
                (parts_left, path_left) = (after, path_next);
            }
            _ => {
                let Some((after, mut from)) = retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (parts_left, path_left) = (after, from);
                retry = Some((after, from));
            }
        }
    }
}

/// Whether `segment` is made of `pieces` with any text between them: the first at its start, the last at its end.
fn glob_matches(pieces: &[Box<str>], segment: &str, case: Case) -> bool {
    let [first, middle @ .., last] = pieces else { return false };
    let Some(mut rest) = case.after(segment, first) else { return false };
    for piece in middle {
        let Some(after) = case.after_first(rest, piece) else { return false };
        rest = after;
    }
    case.ends_with(rest, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches_with(case: Case, pattern: &str, path: &str) -> bool {
        let pattern = Pattern::parse(pattern, case).unwrap();
        parts_match(pattern.parts(), segments(CanonicalPath::parse(path).unwrap().as_str()), case)
    }

    fn matches(pattern: &str, path: &str) -> bool {
        matches_with(Case::Matters, pattern, path)
    }

    #[test]
    fn p03_case_is_ignored_where_the_application_ignores_it() {
        for (pattern, path) in [
            ("/admin", "/ADMIN"),
            ("/Admin/**", "/aDMIN/x"),
            ("/r*t.PDF", "/Report.pdf"),
            ("/**/Secret", "/a/SECRET"),
            ("/%C3%BC/x", "/%c3%bc/X"),
        ] {
            assert!(matches_with(Case::Ignored, pattern, path), "{pattern} {path}");
            assert!(!matches(pattern, path) || pattern.starts_with("/%"), "{pattern} {path}");
        }
        assert!(!matches_with(Case::Ignored, "/%C3%BC", "/%C3%9C"), "only ASCII letters are alike");
    }

    #[test]
    fn p03_a_last_slash_makes_no_difference() {
        for (pattern, path) in [("/admin", "/admin/"), ("/admin/", "/admin"), ("/admin/**", "/admin"), ("/", "/")] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn stars_match_within_and_across_segments() {
        let yes = [
            ("/**", "/"),
            ("/**", "/a/b/c"),
            ("/static/**", "/static/x/y.css"),
            ("/*/edit", "/7/edit"),
            ("/reports/*.pdf", "/reports/2024.pdf"),
            ("/r*t/x", "/report/x"),
            ("/**/secret/**", "/a/b/secret/c"),
            ("/**/secret", "/secret"),
            ("/a/**/b/**/c", "/a/b/b/x/c"),
            ("/a*b*c", "/a-b-b-c"),
        ];
        for (pattern, path) in yes {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn p04_patterns_match_the_whole_path() {
        let no = [
            ("/admin", "/administrator"),
            ("/admin", "/admin/x"),
            ("/admin", "/x/admin"),
            ("/*", "/a/b"),
            ("/static/*", "/static"),
            ("/static/*", "/static/"),
            ("/reports/*.pdf", "/reports/a/b.pdf"),
            ("/reports/*.pdf", "/reports/x.pdfx"),
            ("/a*a", "/a"),
            ("/**/secret", "/a/secret/b"),
            ("/a/**/b", "/a"),
            ("/", "/a"),
            ("/ADMIN", "/admin"),
        ];
        for (pattern, path) in no {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn p04_a_pattern_that_could_never_match_is_refused() {
        let cases = [
            ("/search?q=x", PatternError::QueryOrFragment),
            ("/a#top", PatternError::QueryOrFragment),
            ("admin", PatternError::Path(PathError::NotAbsolute)),
            ("/a%2fb", PatternError::Path(PathError::EncodedSlash)),
            ("/a;x", PatternError::Path(PathError::PathParameter)),
            ("/a/../b", PatternError::NotCanonical("/b".into())),
            ("/a/./b", PatternError::NotCanonical("/a/b".into())),
            ("//a", PatternError::NotCanonical("/a".into())),
            ("/%61", PatternError::NotCanonical("/a".into())),
            ("/%c3%a4", PatternError::NotCanonical("/%C3%A4".into())),
            ("/odata/%24metadata", PatternError::NotCanonical("/odata/$metadata".into())),
            ("/a/%2A", PatternError::Star),
            ("/*/a%2ab", PatternError::Star),
            ("/a%2Bb/%40c", PatternError::NotCanonical("/a+b/@c".into())),
            ("/a**", PatternError::RestInSegment),
            ("/***", PatternError::RestInSegment),
        ];
        for (text, error) in cases {
            assert_eq!(Pattern::parse(text, Case::Matters), Err(error), "{text}");
        }
        assert!(matches!(Pattern::parse("/a b", Case::Matters), Err(PatternError::Path(_))));
        assert!(matches!(Pattern::parse("/ä", Case::Matters), Err(PatternError::Path(_))));
    }

    #[test]
    fn what_certainly_covers_is_recognised() {
        let pattern = |text: &str| Pattern::parse(text, Case::Matters).unwrap();
        let covers = |a: &str, b: &str| pattern(a).covers(&pattern(b));
        assert!(covers("/**", "/x/*") && covers("/a/**", "/a") && covers("/a/**", "/a/**/b") && covers("/a", "/a/"));
        assert!(
            covers("/a/*", "/a/b")
                && covers("/a/*", "/a/x*y")
                && covers("/*/b", "/a/b")
                && covers("/r/*.pdf", "/r/x.pdf")
        );
        assert!(
            covers("/**/x", "/a/**/x")
                && covers("/**/x/**", "/a/x/*/b")
                && covers("/*/**", "/a/**")
                && covers("/**", "/")
        );
        assert!(covers("/a/**/b/**/c", "/a/b/*/b/c") && covers("/**/**", "/**") && covers("/a/**", "/a/**/**"));
        assert!(!covers("/a", "/a/**") && !covers("/a/**", "/b") && !covers("/a/*", "/a/**") && !covers("/a/*", "/a"));
        assert!(
            !covers("/a/*.pdf", "/a/*")
                && !covers("/a/b", "/a/*")
                && !covers("/a/*", "/a/b/c")
                && !covers("/*/**", "/**")
        );
        let below = |a: &str, b: &str| pattern(a).is_below(b, Case::Matters);
        assert!(below("/app/x", "/app") && below("/app/**", "/app") && below("/app", "/app") && below("/x", "/"));
        assert!(!below("/application", "/app") && !below("/**", "/app") && !below("/a*/x", "/app"));
    }

    /// The meaning of the parts by definition, without any cleverness.
    fn by_definition(parts: &[Part], path: &[&str]) -> bool {
        match (parts, path) {
            ([], []) => true,
            ([Part::Rest, after @ ..], _) => (0..=path.len()).any(|skipped| by_definition(after, &path[skipped..])),
            ([part, after @ ..], [segment, rest @ ..]) => {
                part.matches(segment, Case::Matters) && by_definition(after, rest)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn p04_what_is_covered_matches_nothing_else(
            one in "(/([ab]{1,2}|[ab]?\\*[ab]?|\\*\\*)){0,5}",
            other in "(/([ab]{1,2}|[ab]?\\*[ab]?|\\*\\*)){0,5}",
            path in "(/[ab]{1,3}){0,7}",
        ) {
            let read = |text: &str| Pattern::parse(&format!("/{}", text.trim_start_matches('/')), Case::Matters);
            if let (Ok(one), Ok(other)) = (read(&one), read(&other)) {
                let matches = |pattern: &Pattern| parts_match(pattern.parts(), segments(&path), Case::Matters);
                prop_assert!(!one.covers(&other) || !matches(&other) || matches(&one), "{:?} {:?} {}", one, other, path);
            }
        }

        #[test]
        fn matching_never_panics_and_agrees_with_the_definition(
            pattern in "(/([ab]{1,2}|[ab]?\\*[ab]?|\\*\\*)){0,6}/?",
            path in "(/[ab]{1,3}){0,8}/?",
        ) {
            let (pattern, path) = (format!("/{}", pattern.trim_start_matches('/')), format!("/{}", path.trim_start_matches('/')));
            if let Ok(parsed) = Pattern::parse(&pattern, Case::Matters) {
                let list: Vec<_> = segments(&path).collect();
                prop_assert_eq!(parts_match(parsed.parts(), segments(&path), Case::Matters), by_definition(parsed.parts(), &list));
            }
        }

        #[test]
        fn everything_matches_every_path(path in "(/[a-z0-9.%~=-]{0,5}){0,8}") {
            if let Ok(path) = CanonicalPath::parse(&path) {
                prop_assert!(parts_match(Pattern::everything().parts(), segments(path.as_str()), Case::Matters));
            }
        }

        #[test]
        fn reading_a_pattern_never_panics(text in "\\PC{0,40}") {
            let _ = Pattern::parse(&text, Case::Ignored);
        }
    }
}
