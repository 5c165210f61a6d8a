//! What nests and what operates in the text of an expression, found before any parser sees it.
//!
//! The parsers are recursive, and each has a reader of its own for texts in quotes, comments and names. So whatever the two could end at
//! different places, or pass over and read on, is refused here: a text that is not closed, an escape that is none, a sign that stands for
//! nothing. Of everything else it is sure what is inside a text and what is not. A bracket that closes another one counts as none.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's. Specification: the CEL grammar, lexis.

use std::ops::Range;

/// What was found, and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// `(`, `[` or `{`.
    Open,
    /// The bracket that closes the last open one.
    Close,
    /// So many signs that deepen the tree.
    Signs(usize),
}

/// Why a text is no expression, whatever else is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A text in quotes is not closed, or a line ends in it.
    Unclosed,
    /// No escape begins like this.
    Escape,
    /// This sign cannot stand here.
    Misplaced,
}

/// Goes over a text, piece by piece, up to the first fault.
pub(super) struct Scan<'t> {
    text: &'t str,
    at: usize,
    open: Vec<u8>,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, open: Vec::new() }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes over what begins here; gives it where it counts.
    fn piece(&mut self, first: char) -> Result<Option<Piece>, (Fault, Range<usize>)> {
        let rest = self.rest();
        let doubled = rest.get(1..).is_some_and(|after| after.starts_with(first));
        let (length, piece) = match first {
            '\'' | '"' => (self.quoted(0, false)?, None),
            'a'..='z' | 'A'..='Z' | '_' => (self.word()?, None),
            '`' => (escaped_name(rest).ok_or((Fault::Misplaced, self.at..self.at + 1))?, None),
            '/' if doubled => (rest.find('\n').unwrap_or(rest.len()), None),
            '&' | '|' if doubled => (2, None),
            '=' if doubled => (2, Some(Piece::Signs(2))),
            '&' | '|' | '=' => return Err((Fault::Misplaced, self.at..self.at + 1)),
            '!' | '<' | '>' if rest.get(1..).is_some_and(|after| after.starts_with('=')) => (2, Some(Piece::Signs(2))),
            '+' | '-' | '*' | '/' | '%' | '.' | '?' | ':' | '<' | '>' | '!' => (1, Some(Piece::Signs(1))),
            '(' | '[' | '{' => {
                self.open.push(closing(first));
                (1, Some(Piece::Open))
            }
            ')' | ']' | '}' => (1, self.closes(first).then_some(Piece::Close)),
            other => (other.len_utf8(), None),
        };
        self.at += length;
        Ok(piece)
    }

    fn closes(&mut self, bracket: char) -> bool {
        self.open.pop_if(|open| char::from(*open) == bracket).is_some()
    }

    /// The length of a word, and of the text in quotes of which it is the beginning.
    fn word(&self) -> Result<usize, (Fault, Range<usize>)> {
        let rest = self.rest();
        let length = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let (word, after) = rest.split_at_checked(length.unwrap_or(rest.len())).unwrap_or((rest, ""));
        if !after.starts_with(['\'', '"']) {
            return Ok(word.len());
        }
        match word.to_ascii_lowercase().as_str() {
            "r" | "br" => self.quoted(word.len(), true),
            "b" => self.quoted(word.len(), false),
            "in" => Ok(word.len()),
            _ => Err((Fault::Misplaced, self.at + word.len()..self.at + word.len() + 1)),
        }
    }

    /// The length of a text in quotes, with the `before` bytes that stand before its first quote.
    fn quoted(&self, before: usize, raw: bool) -> Result<usize, (Fault, Range<usize>)> {
        let rest = self.rest();
        let text = rest.get(before..).unwrap_or_default();
        let alike = text.bytes().take_while(|byte| text.bytes().next() == Some(*byte)).count();
        let is_long = alike >= 3;
        let quote = text.get(..if is_long { 3 } else { 1 }).unwrap_or_default();
        let mut at = before + quote.len();
        loop {
            let here = rest.get(at..).unwrap_or_default();
            if here.starts_with(quote) {
                return Ok(at + quote.len());
            }
            at += match here.chars().next() {
                Some('\n' | '\r') if !is_long => return Err(self.unclosed(before)),
                Some('\\') if !raw => escape(here).ok_or_else(|| {
                    let sign = here.chars().nth(1).map_or(0, char::len_utf8);
                    (Fault::Escape, self.at + at..self.at + at + 1 + sign)
                })?,
                Some(other) => other.len_utf8(),
                None => return Err(self.unclosed(before)),
            };
        }
    }

    fn unclosed(&self, before: usize) -> (Fault, Range<usize>) {
        (Fault::Unclosed, self.at + before..self.at + before + 1)
    }
}

impl Iterator for Scan<'_> {
    /// A piece and its bytes.
    type Item = Result<(Piece, Range<usize>), (Fault, Range<usize>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.at;
            let first = self.rest().chars().next()?;
            match self.piece(first) {
                Ok(None) => {}
                Ok(Some(piece)) => return Some(Ok((piece, start..self.at))),
                Err(fault) => {
                    self.at = self.text.len();
                    return Some(Err(fault));
                }
            }
        }
    }
}

const fn closing(open: char) -> u8 {
    match open {
        '(' => b')',
        '[' => b']',
        _ => b'}',
    }
}

/// The length of a name between backticks.
fn escaped_name(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('`')?;
    let is_of_name =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-' | '/' | ' ');
    let length = inner.find(|character: char| !is_of_name(character))?;
    (length > 0 && inner.get(length..)?.starts_with('`')).then_some(length + 2)
}

/// The length of an escape.
fn escape(here: &str) -> Option<usize> {
    let bytes = here.as_bytes();
    let digits = |count: usize| {
        let digits = bytes.get(2..2 + count)?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(2 + count)
    };
    match bytes.get(1)? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`' => Some(2),
        b'x' | b'X' => digits(2),
        b'u' => digits(4),
        b'U' => digits(8),
        b'0'..=b'3' => bytes.get(2..4)?.iter().all(|digit| matches!(digit, b'0'..=b'7')).then_some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
