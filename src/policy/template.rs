//! A header's text: literals with `${…}` expressions in it.
//!
//! `$${` stands for a literal `${`; any other `$` is itself. An expression ends at the `}` that closes it: brackets inside
//! are counted and quoted texts skipped. If any expression has no value, the whole template has none.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use std::borrow::Cow;
use std::ops::Range;

use super::expression::{Expression, Failure, Kind, Mistake, Named, View};

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(Box<str>),
    /// An expression and where it begins in the text.
    Expression(usize, Expression),
}

impl Template {
    /// Reads a template, whose expressions can use what is `named`; gives all mistakes with their place in `text`.
    pub(super) fn compile(text: &str, named: &Named) -> Result<Self, Vec<Mistake>> {
        let (mut parts, mut mistakes) = (Vec::new(), Vec::new());
        for piece in pieces(text).map_err(|mistake| vec![mistake])? {
            match piece {
                Piece::Literal(literal) => parts.push(Part::Literal(literal.into())),
                Piece::Expression(range) => {
                    match compile_part(text, range.clone(), named) {
                        Ok(expression) => parts.push(Part::Expression(range.start, expression)),
                        Err(more) => mistakes.extend(more),
                    };
                }
            }
        }
        if mistakes.is_empty() { Ok(Self { parts }) } else { Err(mistakes) }
    }

    /// All expressions in it.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.placed().map(|(_, expression)| expression)
    }

    /// All expressions, each with where it begins in the text.
    fn placed(&self) -> impl Iterator<Item = (usize, &Expression)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Expression(at, expression) => Some((*at, expression)),
        })
    }

    /// The claims that are named in it, each with a place in the text.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.placed().flat_map(|(at, expression)| {
            expression.places().iter().map(move |(claim, place)| (&**claim, at + place.start..at + place.end))
        })
    }

    /// What is unwise in it, each with the place in the text.
    pub(super) fn warnings(&self) -> impl Iterator<Item = (&Mistake, Range<usize>)> {
        self.placed().flat_map(|(at, expression)| {
            expression.warnings().iter().map(move |found| (found, at + found.range.start..at + found.range.end))
        })
    }

    /// What looks like an expression and is sent as it stands: `{user.email}`, `$user`, or a bare `user.email`.
    pub(super) fn forgotten(&self) -> Option<&str> {
        let whole = self.parts.len() == 1;
        self.parts.iter().find_map(|part| match part {
            Part::Literal(text) => lookalike(text).or_else(|| bare(text).filter(|_| whole)),
            Part::Expression(..) => None,
        })
    }

    /// The expression, where the template is one and nothing else.
    pub(super) fn into_single(mut self) -> Option<Expression> {
        match (self.parts.pop(), self.parts.is_empty()) {
            (Some(Part::Expression(_, expression)), true) => Some(expression),
            _ => None,
        }
    }

    /// Puts the values in.
    pub(super) fn render<'v>(&'v self, view: &View<'v>) -> Result<Cow<'v, str>, Failure> {
        match self.parts.as_slice() {
            [Part::Literal(literal)] => return Ok(Cow::Borrowed(literal)),
            [Part::Expression(_, expression)] => return expression.text(view),
            _ => {}
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Expression(_, expression) => text.push_str(&expression.text(view)?),
            }
        }
        Ok(Cow::Owned(text))
    }

    /// Whether any expression certainly gives a list or map, which is no text.
    pub(super) fn has_no_text(&self) -> Option<Kind> {
        self.expressions().filter_map(Expression::kind).find(|kind| matches!(kind, Kind::List | Kind::Map))
    }
}

fn compile_part(text: &str, range: Range<usize>, named: &Named) -> Result<Expression, Vec<Mistake>> {
    let inside = text.get(range.clone()).unwrap_or_default();
    Expression::compile(inside, named).map_err(|mut mistakes| {
        for mistake in &mut mistakes {
            mistake.range = range.start + mistake.range.start..range.start + mistake.range.end;
        }
        mistakes
    })
}

/// What expressions begin with, and what other programs call who is signed in.
const WORDS: [&str; 4] = ["user", "session", "request", "remote_user"];

/// The first `{user…`, `$user…` and the like in a text that is no expression.
fn lookalike(text: &str) -> Option<&str> {
    text.match_indices(['$', '{']).find_map(|(at, mark)| {
        let rest = text.get(at + 1..).unwrap_or_default();
        // `$${` was written on purpose.
        let escaped = mark == "{" && text.get(..at).unwrap_or_default().ends_with('$');
        let length = word(rest).filter(|_| !escaped)?;
        let end = rest.get(length..).unwrap_or_default().find(|character: char| !is_part(character));
        let end = end.map_or(text.len(), |end| at + 1 + length + end);
        let closed = mark == "{" && text.get(end..).unwrap_or_default().starts_with('}');
        text.get(at..end + usize::from(closed))
    })
}

/// The whole text, where it is the name of something that is known of a person or a request.
fn bare(text: &str) -> Option<&str> {
    let length = word(text)?;
    let rest = text.get(length..).unwrap_or_default();
    let name = rest.strip_prefix('.').filter(|name| !name.is_empty())?;
    name.chars().all(|character| is_part(character) && character != '.').then_some(text)
}

/// How long the word is that a text begins with, where it is one of [`WORDS`] in any case.
fn word(text: &str) -> Option<usize> {
    let length = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let length = length.unwrap_or(text.len());
    let found = text.get(..length).unwrap_or_default();
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(found)).then_some(length)
}

fn is_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.')
}

enum Piece {
    Literal(String),
    Expression(Range<usize>),
}

fn pieces(text: &str) -> Result<Vec<Piece>, Mistake> {
    let (mut pieces, mut literal, mut at) = (Vec::new(), String::new(), 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("$${") {
            literal.push_str("${");
            at += 3;
        } else if let Some(inside) = rest.strip_prefix("${") {
            let length = closing_brace(inside).ok_or_else(|| Mistake {
                message: "`${` is not closed".to_owned(),
                range: at..at + 2,
                help: Some("close the expression with `}`; a literal `${` is written `$${`".to_owned()),
            })?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Expression(at + 2..at + 2 + length));
            at += length + 3;
        } else if let Some(character) = rest.chars().next() {
            literal.push(character);
            at += character.len_utf8();
        }
    }
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Where the `}` stands that closes an expression.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}
