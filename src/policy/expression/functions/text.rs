//! Functions of texts. Positions count characters (Unicode code points), as CEL's do.
//!
//! May touch: nothing. Trust boundary: texts are claims and requests; patterns are compiled with the policy and run in
//! time that grows with the text alone.

use cel::common::types::{CelList, CelString};
use cel::common::value::{CowVal, Val};

use super::super::constant::Constant;
use super::{Answer, Arguments, Call, MAX_ITEMS, MAX_TEXT, give_bool, give_number};

/// The text in another case. Letters beyond ASCII that would become ASCII stay as they are: `K` (U+212A) is no `k` and `ſ` no `S`, or who may choose
/// a name could choose another person's.
fn cased(text: &str, whole: fn(&str) -> String, becomes_ascii: fn(char) -> bool) -> String {
    let stays = |letter: char| !letter.is_ascii() && becomes_ascii(letter);
    text.split_inclusive(stays)
        .map(|piece| match piece.char_indices().next_back() {
            Some((at, last)) if stays(last) => {
                whole(piece.get(..at).unwrap_or_default()) + piece.get(at..).unwrap_or_default()
            }
            _ => whole(piece),
        })
        .collect()
}

pub(super) fn lower<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("lower", &arguments)?;
    call.give(cased(call.text(0)?, str::to_lowercase, |letter| letter.to_lowercase().any(|cased| cased.is_ascii())))
}

pub(super) fn upper<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("upper", &arguments)?;
    call.give(cased(call.text(0)?, str::to_uppercase, |letter| letter.to_uppercase().any(|cased| cased.is_ascii())))
}

pub(super) fn lower_ascii<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("lowerAscii", &arguments)?;
    call.give(call.text(0)?.to_ascii_lowercase())
}

pub(super) fn upper_ascii<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("upperAscii", &arguments)?;
    call.give(call.text(0)?.to_ascii_uppercase())
}

pub(super) fn trim<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("trim", &arguments)?;
    call.give(call.text(0)?.trim())
}

pub(super) fn matches<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("matches", &arguments)?;
    let text = call.text(0)?;
    // A state machine looks at every byte: that costs more than copying it.
    call.budget.spend(text.len() / 8)?;
    match call.any(1)?.downcast_ref::<Constant>() {
        Some(Constant::Pattern(pattern)) => give_bool(pattern.is_match(text)),
        _ => Err(call.wrong_type()),
    }
}

/// `text.split(separator)`; with a limit, the last part is what is left.
pub(super) fn split<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("split", &arguments)?;
    let (whole, separator, limit) = (call.text(0)?, call.text(1)?, call.number_or(2, -1)?);
    if separator.is_empty() {
        return Err(call.failed("the separator is empty"));
    }
    let most = usize::try_from(limit).unwrap_or(MAX_ITEMS + 1);
    if most == 0 {
        return Ok(CowVal::owned(CelList::from(Vec::new())));
    }
    let boxed = |part: &str| Box::new(CelString::from(part.to_owned())) as Box<dyn Val + 'v>;
    let parts: Vec<_> = whole.splitn(most.min(MAX_ITEMS + 1), separator).map(boxed).collect();
    if parts.len() > MAX_ITEMS {
        return Err(call.failed("the result is too large"));
    }
    call.budget.spend(parts.len())?;
    Ok(CowVal::owned(CelList::from(parts)))
}

/// `text.replace(old, new)`; with a limit, only so many of the first.
pub(super) fn replace<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("replace", &arguments)?;
    let (whole, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let most = usize::try_from(call.number_or(3, -1)?).unwrap_or(usize::MAX);
    let mut replaced = String::new();
    let mut rest = 0;
    for (at, found) in whole.match_indices(old).take(most) {
        replaced.push_str(whole.get(rest..at).unwrap_or_default());
        replaced.push_str(new);
        rest = at + found.len();
        if replaced.len() > MAX_TEXT {
            return Err(call.failed("the result is too large"));
        }
    }
    replaced.push_str(whole.get(rest..).unwrap_or_default());
    call.give(replaced)
}

/// The characters from a position up to another, or to the end.
pub(super) fn substring<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("substring", &arguments)?;
    let (text, start, end) = (call.text(0)?, call.number(1)?, call.number_or(2, i64::MAX)?);
    let start = byte_at(text, start);
    let end = if end == i64::MAX { Some(text.len()) } else { byte_at(text, end) };
    match (start, end) {
        (Some(start), Some(end)) if start <= end => call.give(text.get(start..end).unwrap_or_default()),
        _ => Err(call.failed("a position is not within the text")),
    }
}

/// The character at a position; nothing at the end.
pub(super) fn char_at<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("charAt", &arguments)?;
    let text = call.text(0)?;
    let Some(at) = byte_at(text, call.number(1)?) else {
        return Err(call.failed("the position is not within the text"));
    };
    let character = text.get(at..).and_then(|rest| rest.chars().next());
    call.give(character.map(String::from).unwrap_or_default())
}

/// Where a text stands first, at or after a position; -1 where it does not.
pub(super) fn index_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("indexOf", &arguments)?;
    let (text, wanted) = (call.text(0)?, call.text(1)?);
    let Some(from) = byte_at(text, call.number_or(2, 0)?) else {
        return Err(call.failed("the position is not within the text"));
    };
    let found = text.get(from..).and_then(|rest| rest.find(wanted));
    give_number(character_at(text, found.map(|at| from + at)))
}

/// Where a text stands last; -1 where it does not.
pub(super) fn last_index_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("lastIndexOf", &arguments)?;
    let (text, wanted) = (call.text(0)?, call.text(1)?);
    give_number(character_at(text, text.rfind(wanted)))
}

/// The byte at which a character begins; the text's length behind the last one, nothing beyond that.
fn byte_at(text: &str, character: i64) -> Option<usize> {
    let character = usize::try_from(character).ok()?;
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let mut starts = starts.skip(character);
    starts.next()
}

/// How many characters stand before a byte; -1 for none.
fn character_at(text: &str, byte: Option<usize>) -> i64 {
    let before = byte.and_then(|byte| text.get(..byte)).map(|before| before.chars().count());
    before.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX))
}
