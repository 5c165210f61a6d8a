//! Patterns as RE2, and so CEL elsewhere, reads them: `\d`, `\w`, `\s` and `\b` are of ASCII.
//!
//! The library reads them of all of Unicode, where `^svc-\w+$` is met by a name with a Cyrillic letter in it, and `^\d{4}$` by digits of other scripts. An
//! identity must not be taken for one that looks alike. What is meant beyond ASCII is written: `\pL`, `\p{Nd}`.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's. Bound: the nesting that the caller allows.

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, Span, Visitor, visit,
};

/// What the library takes for an operator, and RE2 for letters or for a mistake.
#[derive(Debug, PartialEq)]
pub(super) enum Foreign {
    /// `&&`, `--` or `~~` within a class.
    ClassOperation,
    /// `\b{start}` and its kin, `\<` and `\>`.
    WordEdge,
}

/// How much deeper a pattern may lie when it is spelled out.
pub(super) const NESTING: u32 = 2;

/// The pattern with its ASCII classes written out. What is no pattern, or lies too deep, stays as it is: whoever compiles it says why.
pub(super) fn spelled_out(text: &str, nesting: u32) -> Result<String, Foreign> {
    let Ok(ast) = ParserBuilder::new().nest_limit(nesting).build().parse(text) else { return Ok(text.to_owned()) };
    let mut found = visit(&ast, Classes::default())?;
    found.sort_unstable_by_key(|(span, _)| span.start.offset);
    let (mut spelled, mut rest) = (String::with_capacity(text.len() + 16 * found.len()), 0);
    for (span, instead) in found {
        spelled.push_str(text.get(rest..span.start.offset).unwrap_or_default());
        spelled.push_str(instead);
        rest = span.end.offset;
    }
    spelled.push_str(text.get(rest..).unwrap_or_default());
    Ok(spelled)
}

/// Places of the pattern, each with what is to stand there.
#[derive(Default)]
struct Classes(Vec<(Span, &'static str)>);

impl Visitor for Classes {
    type Output = Vec<(Span, &'static str)>;
    type Err = Foreign;

    fn finish(self) -> Result<Self::Output, Foreign> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Foreign> {
        match ast {
            // Without case a letter has others of its own beyond ASCII.
            Ast::ClassPerl(class) => self.0.push((class.span, written(class, false))),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => self.0.push((assertion.span, r"(?-u:\b)")),
                AssertionKind::WordBoundaryStart
                | AssertionKind::WordBoundaryEnd
                | AssertionKind::WordBoundaryStartAngle
                | AssertionKind::WordBoundaryEndAngle
                | AssertionKind::WordBoundaryStartHalf
                | AssertionKind::WordBoundaryEndHalf => return Err(Foreign::WordEdge),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Foreign> {
        if let ClassSetItem::Perl(class) = item {
            self.0.push((class.span, written(class, true)));
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Foreign> {
        Err(Foreign::ClassOperation)
    }
}

/// The class in ASCII; in brackets no flag can stand.
const fn written(class: &ClassPerl, in_brackets: bool) -> &'static str {
    match (&class.kind, class.negated, in_brackets) {
        (ClassPerlKind::Digit, false, _) => "[0-9]",
        (ClassPerlKind::Digit, true, _) => "[^0-9]",
        (ClassPerlKind::Space, false, _) => r"[\t\n\f\r\x20]",
        (ClassPerlKind::Space, true, _) => r"[^\t\n\f\r\x20]",
        (ClassPerlKind::Word, false, true) => "[0-9A-Za-z_]",
        (ClassPerlKind::Word, true, true) => "[^0-9A-Za-z_]",
        (ClassPerlKind::Word, false, false) => "(?-i:[0-9A-Za-z_])",
        (ClassPerlKind::Word, true, false) => "(?-i:[^0-9A-Za-z_])",
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn classes_are_of_ascii_wherever_they_stand() {
        for (pattern, matching, other) in [
            (r"^\d{4}$", "1234", "\u{661}\u{662}\u{663}\u{664}"),
            (r"^svc-\w+$", "svc-admin_1", "svc-\u{430}dmin"),
            (r"(?i)^\w$", "K", "\u{212a}"),
            (r"(?x) ^ \s $ # one", " ", "\u{a0}"),
            (r"^[\d,]+$", "1,2", "\u{661}"),
            (r"^[^\d]$", "\u{661}", "1"),
            (r"^\D$", "\u{661}", "1"),
            (r"^[\W]$", "\u{430}", "a"),
            (r"^\W$", "\u{430}", "a"),
            (r"^\S$", "\u{a0}", " "),
            (r"^[\S]$", "\u{a0}", "\t"),
            (r"^x\b", "x\u{430}", "xa"),
            (r"^\\d$", r"\d", "1"),
            (r"^\pL$", "\u{430}", "1"),
        ] {
            let spelled = spelled_out(pattern, 32).ok().unwrap();
            let compiled = Regex::new(&spelled).unwrap_or_else(|error| panic!("{spelled}: {error}"));
            assert!(compiled.is_match(matching) && !compiled.is_match(other), "{pattern}: {spelled}");
        }
    }

    #[test]
    fn operations_of_classes_and_edges_of_words_are_none_and_what_is_no_pattern_stays() {
        for pattern in ["[a-z&&[^b]]", "[a-z--b]", "[a~~b]", "x[[a&&b]]"] {
            assert_eq!(spelled_out(pattern, 32), Err(Foreign::ClassOperation), "{pattern}");
        }
        for pattern in [r"\b{start}x", r"x\b{end}", r"\<x", r"x\>", r"\b{start-half}x", r"x\b{end-half}"] {
            assert_eq!(spelled_out(pattern, 32), Err(Foreign::WordEdge), "{pattern}");
        }
        for pattern in ["(", "[a", "(?=x)", "a&&b", r"[\&&]"] {
            assert_eq!(spelled_out(pattern, 32).ok().as_deref(), Some(pattern));
        }
    }
}
