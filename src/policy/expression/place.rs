//! Where in an expression's text a name stands.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's; every offset is brought inside it.

use std::ops::Range;

/// The byte offset of the character at an index; the parser counts characters.
pub(super) fn byte_at(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// How many bytes the name at the beginning of `text` has.
pub(super) fn name_length(text: &str) -> usize {
    text.find(|character: char| !is_name_part(character)).unwrap_or(text.len())
}

/// The name directly before the bracket at `end`; the bracket where there is none.
pub(super) fn before(text: &str, end: usize) -> Range<usize> {
    let head = text.get(..end).unwrap_or_default();
    let start = head.rfind(|character: char| !is_name_part(character)).map_or(0, |at| at + 1);
    if start < end { start..end } else { end..end + 1 }
}

fn is_name_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
