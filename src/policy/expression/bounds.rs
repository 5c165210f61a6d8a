//! Parsing within limits that are checked before the parser sees a byte.
//!
//! The crate's parsers are recursive. So: the text is at most [`MAX_EXPRESSION`] bytes, brackets nest at most [`MAX_NESTING`]
//! deep and operators that deepen the tree are counted. What an evaluation may cost is limited elsewhere
//! ([`lower`](super::lower)).
//!
//! There are two parsers: a small one that is fast and knows no positions, and a generated one that explains mistakes. What
//! the small one reads is what the other would have read; a test compares them.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, SourceInfo};
use cel::parser::PrattParser;

use super::lower::any;
use super::scan::{Fault, Piece, Scan};
use super::{Mistake, functions, place};

/// How long an expression may be, in bytes.
pub(super) const MAX_EXPRESSION: usize = 4096;
/// How deep brackets may nest. The parser takes up to 200 KB of stack for a level in a build without optimisation.
const MAX_NESTING: usize = 8;
/// How many operators and member accesses may stand in one expression; `&&`, `||` and commas are not counted.
const MAX_OPERATORS: usize = 200;
/// How deep the parsed tree may be. The evaluator takes up to 25 KB of stack for a level in such a build.
pub(super) const MAX_DEPTH: usize = 40;

const SHORTER: &str = "split the rule, or compare with a list: user.x in ['a', 'b']";

/// Parses `text` within the bounds, quickly; nothing where there is anything to say about it.
pub(super) fn parse_quickly(text: &str) -> Option<IdedExpr> {
    check_size(text).ok()?;
    // It takes a line end within a text's quotes, which the other one refuses.
    if text.contains(['\n', '\r']) || mixes_signs(text) {
        return None;
    }
    let parsed = catch_unwind(|| PrattParser::new().parse(text)).ok()?;
    // It takes `(x) {}` for the making of an object, which the other one refuses.
    let makes_object = |tree: &IdedExpr| any(tree, &mut |node| matches!(node.expr, Expr::Struct(_)));
    parsed.ok().filter(|tree| depth(tree, &|_| 0) <= MAX_DEPTH && !makes_object(tree))
}

/// Whether `-` and `!` stand beside each other: the grammar has rows of the one and rows of the other, the small parser reads
/// mixed ones too, and it takes `!!-1` for a negation where the other reads a number.
fn mixes_signs(text: &str) -> bool {
    let mut before = ' ';
    text.chars().filter(|character| !character.is_whitespace()).any(|character| {
        let mixed = matches!((before, character), ('-', '!') | ('!', '-'));
        before = character;
        mixed
    })
}

/// Parses `text` within the bounds, with the places of all nodes.
pub(super) fn parse(text: &str) -> Result<(IdedExpr, SourceInfo), Vec<Mistake>> {
    check_size(text).map_err(|mistake| vec![mistake])?;
    let parser = functions::environment().parser();
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse_with_source_info(text)));
    match parsed {
        Ok(Ok(parsed)) if depth(&parsed.0, &|_| 0) <= MAX_DEPTH => Ok(parsed),
        Ok(Ok(_)) => Err(vec![Mistake { help: Some(SHORTER.to_owned()), ..whole(text, "the expression is too deep") }]),
        Ok(Err(errors)) => Err(vec![mistake(text, &errors.errors)]),
        Err(_) => Err(vec![whole(text, "the expression cannot be read: the parser panicked")]),
    }
}

/// How many operators and member accesses stand in `text`.
pub(super) fn operators(text: &str) -> usize {
    let signs = |piece| match piece {
        Ok((Piece::Open, _)) => 1,
        Ok((Piece::Signs(count), _)) => count,
        Ok((Piece::Close, _)) | Err(_) => 0,
    };
    Scan::new(text).map(signs).sum()
}

/// How many nodes the longest way down from `node` has, where each name is worth as many as `names` says.
pub(super) fn depth(node: &IdedExpr, names: &dyn Fn(&str) -> usize) -> usize {
    let deepest = |nodes: &mut dyn Iterator<Item = &IdedExpr>| nodes.map(|node| depth(node, names)).max().unwrap_or(0);
    1 + match &node.expr {
        Expr::Call(call) => deepest(&mut call.args.iter().chain(call.target.as_deref())),
        Expr::Comprehension(loops) => {
            deepest(&mut [&loops.iter_range, &loops.loop_cond, &loops.loop_step, &loops.result].into_iter())
        }
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Map(map) => deepest(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => [&entry.key, &entry.value],
            EntryExpr::StructField(field) => [&field.value, &field.value],
        })),
        Expr::Select(select) => depth(&select.operand, names),
        Expr::Ident(name) => names(name),
        Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => 0,
    }
}

fn check_size(text: &str) -> Result<(), Mistake> {
    if text.trim().is_empty() {
        return Err(whole(text, "the expression is empty"));
    }
    if text.len() > MAX_EXPRESSION {
        return Err(whole(text, &format!("the expression is longer than {MAX_EXPRESSION} bytes")));
    }
    let (mut nesting, mut operators) = (0usize, 0);
    for piece in Scan::new(text) {
        let (piece, range) = piece.map_err(|(fault, range)| faulty(text, fault, range))?;
        match piece {
            Piece::Open => (nesting, operators) = (nesting + 1, operators + 1),
            Piece::Close => nesting = nesting.saturating_sub(1),
            Piece::Signs(count) => operators += count,
        }
        let too_much = if nesting > MAX_NESTING {
            format!("brackets nest deeper than {MAX_NESTING} levels")
        } else if operators > MAX_OPERATORS {
            format!("the expression has more than {MAX_OPERATORS} operators and member accesses")
        } else {
            continue;
        };
        return Err(Mistake { message: too_much, range, help: Some(SHORTER.to_owned()) });
    }
    Ok(())
}

fn faulty(text: &str, fault: Fault, range: Range<usize>) -> Mistake {
    let word = text.get(range.clone()).unwrap_or_default();
    let (message, help) = match fault {
        Fault::Unclosed => ("a text in quotes is not closed".to_owned(), None),
        Fault::Escape => (format!("`{word}` is no escape"), Some("write a backslash twice, or the text as r'…'")),
        Fault::Misplaced => (format!("`{word}` cannot stand here"), help_for(word)),
    };
    Mistake { message, range, help: help.map(str::to_owned) }
}

fn whole(text: &str, message: &str) -> Mistake {
    Mistake { message: message.to_owned(), range: 0..text.len(), help: None }
}

/// The first thing that the parser stumbled over; what it says afterwards follows from that.
fn mistake(text: &str, errors: &[cel::ParseError]) -> Mistake {
    let first = errors.iter().find(|error| error.msg.starts_with(SYNTAX)).or(errors.first());
    let Some(first) = first else { return whole(text, "the expression cannot be read") };
    let start = start_of(text, first.pos);
    let rest = text.get(start..).unwrap_or_default();
    let length = place::name_length(rest).max(rest.chars().next().map_or(0, char::len_utf8));
    let word = rest.get(..length).unwrap_or_default();
    let message = match first.msg.strip_prefix(SYNTAX) {
        Some(_) if word.is_empty() => "the expression ends too early".to_owned(),
        Some(_) => format!("`{word}` cannot stand here"),
        None => format!("the expression cannot be read: {}", first.msg),
    };
    let help = match help_for(word) {
        Some(help) => Some(help),
        _ if first.msg.contains("int literal") => {
            Some("a number this large is a text: user.id == '12345678901234567890'")
        }
        _ if first.msg.contains("has()") => Some("write has(user.email)"),
        _ => None,
    };
    Mistake { message, range: start..start + length, help: help.map(str::to_owned) }
}

/// What was probably meant.
fn help_for(word: &str) -> Option<&'static str> {
    match word {
        "and" | "or" | "not" | "AND" | "OR" | "NOT" | "&" | "|" => Some("write `&&`, `||` and `!`"),
        "=" => Some("compare with `==`"),
        _ => None,
    }
}

const SYNTAX: &str = "Syntax error: ";

/// The byte offset of a line and column as the parser counts them, both from 1 and in characters.
fn start_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(0).max(1);
    let column = usize::try_from(column).unwrap_or(0).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    start + place::byte_at(text.get(start..).unwrap_or_default(), column - 1)
}
