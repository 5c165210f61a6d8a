//! An expression's tree as text again, for those who read why something was decided.
//!
//! What the parser expanded (`exists` and its kin) and what the guards of [`bounds`](super::bounds) replaced is written as the
//! administrator wrote it; spaces and needless brackets are not kept. Whatever has no known shape is written `…`.
//!
//! May touch: nothing. Trust boundary: the tree is an administrator's expression, bounded when it was compiled.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, operators};

use super::functions::{ADD, RANGE};

/// How tightly each kind of expression binds; a looser one inside a tighter one stands in brackets.
const CHOICE: u8 = 1;
const OR: u8 = 2;
const AND: u8 = 3;
const RELATION: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;
const SIGN: u8 = 7;
const WHOLE: u8 = 8;

const UNKNOWN: &str = "…";

/// The text of `node`.
pub(super) fn spelled(node: &IdedExpr) -> String {
    spell(node).0
}

/// The operands of `a && b && c`, however the parser grouped them; likewise for `||`.
pub(super) fn operands<'t>(node: &'t IdedExpr, operator: &str) -> Vec<&'t IdedExpr> {
    match &node.expr {
        Expr::Call(call) if call.func_name == operator => {
            call.args.iter().flat_map(|argument| operands(argument, operator)).collect()
        }
        _ => vec![node],
    }
}

/// The list that a comprehension runs over, without its guard.
pub(super) fn unguarded(node: &IdedExpr) -> &IdedExpr {
    match &node.expr {
        Expr::Call(call) if call.func_name == RANGE => call.args.first().unwrap_or(node),
        _ => node,
    }
}

fn spell(node: &IdedExpr) -> (String, u8) {
    match &node.expr {
        Expr::Literal(literal) => (self::literal(literal), WHOLE),
        Expr::Ident(name) => (name.clone(), WHOLE),
        Expr::Select(select) => {
            let text = format!("{}.{}", within(&select.operand, WHOLE), select.field);
            (if select.test { format!("has({text})") } else { text }, WHOLE)
        }
        Expr::Call(call) => self::call(node, call),
        Expr::List(ListExpr { elements, .. }) => (format!("[{}]", listed(elements)), WHOLE),
        Expr::Map(map) => (self::map(map), WHOLE),
        Expr::Comprehension(loops) => (comprehension(loops).unwrap_or_else(|| UNKNOWN.to_owned()), WHOLE),
        Expr::Struct(_) | Expr::Unspecified => (UNKNOWN.to_owned(), WHOLE),
    }
}

fn within(node: &IdedExpr, level: u8) -> String {
    match spell(node) {
        (text, binds) if binds < level => format!("({text})"),
        (text, _) => text,
    }
}

fn listed(nodes: &[IdedExpr]) -> String {
    nodes.iter().map(spelled).collect::<Vec<_>>().join(", ")
}

fn literal(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(truth) => truth.inner().to_string(),
        LiteralValue::Double(number) => number.inner().to_string(),
        LiteralValue::Int(number) => number.inner().to_string(),
        LiteralValue::UInt(number) => format!("{}u", number.inner()),
        LiteralValue::String(text) => quoted(text.inner()),
        LiteralValue::Null => "null".to_owned(),
        LiteralValue::Bytes(_) => "b'…'".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

fn map(map: &MapExpr) -> String {
    let entries = map.entries.iter().map(|entry| match &entry.expr {
        EntryExpr::MapEntry(entry) => format!("{}: {}", spelled(&entry.key), spelled(&entry.value)),
        EntryExpr::StructField(field) => format!("{}: {}", field.field, spelled(&field.value)),
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn call(node: &IdedExpr, call: &CallExpr) -> (String, u8) {
    let name = call.func_name.as_str();
    match (name, &call.target, call.args.as_slice()) {
        (operators::LOGICAL_OR, ..) => (joined(node, name, " || ", OR), OR),
        (operators::LOGICAL_AND, ..) => (joined(node, name, " && ", AND), AND),
        (operators::LOGICAL_NOT, _, [one]) => (format!("!{}", within(one, SIGN)), SIGN),
        (operators::NEGATE, _, [one]) => (format!("-{}", within(one, SIGN)), SIGN),
        (operators::CONDITIONAL, _, [asked, one, other]) => {
            let (asked, one, other) = (within(asked, OR), within(one, OR), within(other, CHOICE));
            (format!("{asked} ? {one} : {other}"), CHOICE)
        }
        (operators::INDEX, _, [of, key]) => (format!("{}[{}]", within(of, WHOLE), spelled(key)), WHOLE),
        (RANGE, _, [list, ..]) => spell(list),
        (_, None, [one, other]) if sign(name).is_some() => {
            let (sign, level) = sign(name).unwrap_or((UNKNOWN, WHOLE));
            (format!("{} {sign} {}", within(one, level), within(other, level + 1)), level)
        }
        (_, Some(target), arguments) => (format!("{}.{name}({})", within(target, WHOLE), listed(arguments)), WHOLE),
        (_, None, arguments) => (format!("{name}({})", listed(arguments)), WHOLE),
    }
}

/// An operator of two operands as it is written, and how it binds.
fn sign(name: &str) -> Option<(&'static str, u8)> {
    Some(match name {
        operators::EQUALS => ("==", RELATION),
        operators::NOT_EQUALS => ("!=", RELATION),
        operators::GREATER_EQUALS => (">=", RELATION),
        operators::LESS_EQUALS => ("<=", RELATION),
        operators::GREATER => (">", RELATION),
        operators::LESS => ("<", RELATION),
        operators::IN => ("in", RELATION),
        operators::ADD | ADD => ("+", SUM),
        operators::SUBSTRACT => ("-", SUM),
        operators::MULTIPLY => ("*", PRODUCT),
        operators::DIVIDE => ("/", PRODUCT),
        operators::MODULO => ("%", PRODUCT),
        _ => return None,
    })
}

fn joined(node: &IdedExpr, operator: &str, sign: &str, level: u8) -> String {
    let operands = operands(node, operator);
    operands.into_iter().map(|operand| within(operand, level + 1)).collect::<Vec<_>>().join(sign)
}

/// One of `all`, `exists`, `exists_one`, `filter` and `map`, known by the shape that the parser gave it.
fn comprehension(loops: &ComprehensionExpr) -> Option<String> {
    let Expr::Call(step) = &loops.loop_step.expr else { return None };
    let (name, arguments) = match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::LOGICAL_OR, [_, condition]) => ("exists", vec![condition]),
        (operators::LOGICAL_AND, [_, condition]) => ("all", vec![condition]),
        (operators::CONDITIONAL, [condition, then, _]) => match appended(then) {
            None => ("exists_one", vec![condition]),
            Some(element) if matches!(&element.expr, Expr::Ident(name) if *name == loops.iter_var) => {
                ("filter", vec![condition])
            }
            Some(element) => ("map", vec![condition, element]),
        },
        _ => ("map", vec![appended(&loops.loop_step)?]),
    };
    let variables = [Some(loops.iter_var.as_str()), loops.iter_var2.as_deref()];
    let arguments: Vec<_> =
        variables.into_iter().flatten().map(str::to_owned).chain(arguments.into_iter().map(spelled)).collect();
    Some(format!("{}.{name}({})", within(unguarded(&loops.iter_range), WHOLE), arguments.join(", ")))
}

/// The `x` of `@result + [x]`.
fn appended(node: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(call) = &node.expr else { return None };
    match call.args.as_slice() {
        [_, IdedExpr { expr: Expr::List(list), .. }] => list.elements.first(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bounds;
    use super::spelled;

    #[test]
    fn an_expression_is_written_as_it_was_read() {
        let texts = [
            "'admins' in user.groups",
            "user.a == 'x' && (user.b || user.c) && !user.d",
            "!(user.a && user.b)",
            "has(user.email) ? user.email : 'none'",
            "(user.a ? 1 : 2) == 2",
            "user.groups.exists(g, g.startsWith('royalty-'))",
            "user.groups.all(g, g != 'x')",
            "user.groups.exists_one(g, g == 'a' || g == 'b')",
            "user.groups.filter(g, g.endsWith('x')).map(g, g.upper()).join(',') == 'A,B'",
            "user.groups.map(g, g.size() > 1, g + '!').size() == 2",
            "user.n - (1 - 2) + 3 * (4 + 5) == -user.m",
            "user['https://x/roles'][0] == 'it\\'s'",
            "{'a': 1, 'b': [1, 2]}.size() > 1",
            "now > 5 && request.path.startsWith('/a') && session.acr in ['x', 'y']",
            "size(user.groups) == 2 && null != user.x",
        ];
        for text in texts {
            let (tree, _) = bounds::parse(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"));
            assert_eq!(spelled(&tree), text);
        }
    }
}
