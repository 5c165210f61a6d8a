//! What keeps an expression small: limits before parsing, and limits built into the tree that is evaluated.
//!
//! The crate's parser is generated and recursive, and its evaluator knows no cost. So: the text is at most
//! [`MAX_EXPRESSION`] bytes, brackets nest at most [`MAX_NESTING`] deep and operators that deepen the tree are counted,
//! all before the parser sees a byte. In the tree, every `+` becomes a call that refuses to build large values, and every
//! comprehension asks for its steps from a budget ([`functions`](super::functions)).
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, SourceInfo, operators};

use super::{Mistake, functions, named_check, place};

/// How long an expression may be, in bytes.
pub(super) const MAX_EXPRESSION: usize = 4096;
/// How deep brackets may nest. The parser takes up to 200 KB of stack for a level in a build without optimisation.
const MAX_NESTING: usize = 8;
/// How many operators and member accesses may stand in one expression; `&&`, `||` and commas are not counted.
const MAX_OPERATORS: usize = 200;
/// How deep the parsed tree may be. The evaluator takes up to 25 KB of stack for a level in such a build.
pub(super) const MAX_DEPTH: usize = 40;

const SHORTER: &str = "split the rule, or compare with a list: user.x in ['a', 'b']";

/// Parses `text` within the bounds.
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

/// Replaces what could grow without bound by calls that watch it.
pub(super) fn limit(mut tree: IdedExpr) -> IdedExpr {
    limit_in_place(&mut tree);
    tree
}

/// How many operators and member accesses stand in `text`.
pub(super) fn operators(text: &str) -> usize {
    let mut scan = Scan::default();
    text.chars().for_each(|character| scan.step(character));
    scan.operators
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

fn limit_in_place(node: &mut IdedExpr) {
    if let Expr::Call(call) = &node.expr
        && let Some(variable) = named_check::as_variable(call)
    {
        node.expr = variable;
        return;
    }
    match &mut node.expr {
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| limit_in_place(target));
            call.args.iter_mut().for_each(limit_in_place);
            if call.func_name == operators::ADD && !is_accumulator(call.args.first()) {
                functions::ADD.clone_into(&mut call.func_name);
            }
        }
        Expr::Comprehension(loops) => {
            let parts = [
                &mut loops.iter_range,
                &mut loops.accu_init,
                &mut loops.loop_cond,
                &mut loops.loop_step,
                &mut loops.result,
            ];
            parts.into_iter().for_each(limit_in_place);
            let range = std::mem::take(&mut loops.iter_range);
            loops.iter_range = budgeted(range);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(limit_in_place),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    limit_in_place(&mut entry.key);
                    limit_in_place(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => limit_in_place(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// The crate recognises `@result + [x]` and appends in place; that shape is left alone, its growth is the range's.
fn is_accumulator(operand: Option<&IdedExpr>) -> bool {
    matches!(operand.map(|node| &node.expr), Some(Expr::Ident(name)) if name.starts_with('@'))
}

fn budgeted(range: IdedExpr) -> IdedExpr {
    let id = range.id;
    let budget = IdedExpr { id, expr: Expr::Ident(functions::BUDGET.to_owned()) };
    let call = CallExpr { func_name: functions::RANGE.to_owned(), target: None, args: vec![range, budget] };
    IdedExpr { id, expr: Expr::Call(call) }
}

fn check_size(text: &str) -> Result<(), Mistake> {
    if text.trim().is_empty() {
        return Err(whole(text, "the expression is empty"));
    }
    if text.len() > MAX_EXPRESSION {
        return Err(whole(text, &format!("the expression is longer than {MAX_EXPRESSION} bytes")));
    }
    let mut scan = Scan::default();
    for (at, character) in text.char_indices() {
        scan.step(character);
        let too_much = if scan.nesting > MAX_NESTING {
            format!("brackets nest deeper than {MAX_NESTING} levels")
        } else if scan.operators > MAX_OPERATORS {
            format!("the expression has more than {MAX_OPERATORS} operators and member accesses")
        } else {
            continue;
        };
        let range = at..at + character.len_utf8();
        return Err(Mistake { message: too_much, range, help: Some(SHORTER.to_owned()) });
    }
    Ok(())
}

/// Counts what makes the tree deep. Strings are skipped; a string form that is not understood only counts too much.
#[derive(Default)]
struct Scan {
    nesting: usize,
    operators: usize,
    quote: Option<char>,
    escaped: bool,
}

impl Scan {
    fn step(&mut self, character: char) {
        if let Some(quote) = self.quote {
            match character {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                _ if character == quote => self.quote = None,
                _ => {}
            }
            return;
        }
        match character {
            '\'' | '"' => self.quote = Some(character),
            '(' | '[' | '{' => {
                self.nesting += 1;
                self.operators += 1;
            }
            ')' | ']' | '}' => self.nesting = self.nesting.saturating_sub(1),
            '+' | '-' | '*' | '/' | '%' | '.' | '?' | ':' | '<' | '>' | '=' | '!' => self.operators += 1,
            _ => {}
        }
    }
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
        Some(_) if matches!(word, "'" | "\"") && !rest.get(1..).unwrap_or_default().contains(word) => {
            "a text in quotes is not closed".to_owned()
        }
        Some(_) => format!("`{word}` cannot stand here"),
        None => format!("the expression cannot be read: {}", first.msg),
    };
    let help = match word {
        "and" | "or" | "not" | "AND" | "OR" | "NOT" => Some("write `&&`, `||` and `!`"),
        "=" => Some("compare with `==`"),
        _ if first.msg.contains("int literal") => {
            Some("a number this large is a text: user.id == '12345678901234567890'")
        }
        _ if first.msg.contains("has()") => Some("write has(user.email)"),
        _ => None,
    };
    Mistake { message, range: start..start + length, help: help.map(str::to_owned) }
}

const SYNTAX: &str = "Syntax error: ";

/// The byte offset of a line and column as the parser counts them, both from 1 and in characters.
fn start_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(0).max(1);
    let column = usize::try_from(column).unwrap_or(0).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    start + place::byte_at(text.get(start..).unwrap_or_default(), column - 1)
}
