//! Names and types of an expression, checked when it is compiled: the crate itself finds them out only when it runs.
//!
//! Every variable, field, function and method must be one that exists; what is near a known name is suggested. Types are
//! followed as far as they can be known without the claims, which is enough to find `user.groups && …` on a list literal
//! or a condition that is a text. The walk also collects which claims the expression reads.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use std::collections::BTreeSet;
use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};

use super::functions::{FUNCTIONS, MACROS, MEMBERS};
use super::scope::{REQUEST, ROOTS, SESSION};
use super::{Kind, Mistake};
use crate::diagnostic::nearest;

/// How many comprehensions may run inside one another.
const MAX_LOOP_DEPTH: usize = 2;
/// How many comprehensions one expression may have.
const MAX_LOOPS: usize = 8;

/// What the check found out.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Top-level claims that are read.
    pub(super) claims: BTreeSet<Box<str>>,
    /// Whether the request or the time is read.
    pub(super) reads_request: bool,
    /// The result's type, where known.
    pub(super) kind: Option<Kind>,
}

/// Checks a parsed expression.
pub(super) fn check(tree: &IdedExpr, text: &str, source: &SourceInfo) -> Result<Checked, Vec<Mistake>> {
    let mut walk =
        Walk { text, source, locals: Vec::new(), found: Checked::default(), mistakes: Vec::new(), loops: 0, depth: 0 };
    let kind = walk.kind(tree);
    walk.found.kind = kind;
    if walk.mistakes.is_empty() { Ok(walk.found) } else { Err(walk.mistakes) }
}

/// The keys of `user.a.b` or `user['a'].b`, where the whole expression is that.
pub(super) fn claim_path(node: &IdedExpr) -> Option<Vec<Box<str>>> {
    let (operand, key) = match &node.expr {
        Expr::Select(select) if !select.test => (&*select.operand, select.field.as_str()),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, key] => (operand, text_literal(key)?),
            _ => return None,
        },
        _ => return None,
    };
    if is_name(operand, "user") {
        return Some(vec![key.into()]);
    }
    let mut path = claim_path(operand)?;
    path.push(key.into());
    Some(path)
}

/// The byte offset of the character at an index; the parser counts characters.
pub(super) fn byte_at(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// How many bytes the name at the beginning of `text` has.
pub(super) fn name_length(text: &str) -> usize {
    text.find(|character: char| !is_name_part(character)).unwrap_or(text.len())
}

/// The name directly before the bracket at `end`; the bracket where there is none.
fn before(text: &str, end: usize) -> Range<usize> {
    let head = text.get(..end).unwrap_or_default();
    let start = head.rfind(|character: char| !is_name_part(character)).map_or(0, |at| at + 1);
    if start < end { start..end } else { end..end + 1 }
}

fn is_name_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

struct Walk<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    locals: Vec<&'a str>,
    found: Checked,
    mistakes: Vec<Mistake>,
    loops: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn mistake(&mut self, at: &IdedExpr, message: impl Into<String>, help: Option<String>) {
        let range = self.range(at);
        let mistake = Mistake { message: message.into(), range, help };
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// The bytes of a node's own name or sign; the whole text where the parser tells no place.
    fn range(&self, node: &IdedExpr) -> Range<usize> {
        let Some((start, _)) = self.source.offset_for(node.id) else { return 0..self.text.len() };
        let start = usize::try_from(start).unwrap_or(0).min(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let after_dot = rest.strip_prefix('.').map(|name| start + 1..start + 1 + name_length(name));
        after_dot.unwrap_or_else(|| match &node.expr {
            Expr::Call(_) | Expr::Comprehension(_) if rest.starts_with('(') => before(self.text, start),
            _ => start..start + name_length(rest).max(rest.chars().next().map_or(0, char::len_utf8)),
        })
    }

    /// Checks a node and everything below it; gives its type where it is known.
    fn kind(&mut self, node: &'a IdedExpr) -> Option<Kind> {
        match &node.expr {
            Expr::Literal(literal) => literal_kind(literal),
            Expr::Ident(name) => self.variable(node, name),
            Expr::Select(select) => self.select(node, select),
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => {
                list.elements.iter().for_each(|element| {
                    self.kind(element);
                });
                Some(Kind::List)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kind(&entry.key);
                        self.kind(&entry.value);
                    }
                }
                Some(Kind::Map)
            }
            Expr::Comprehension(loops) => self.comprehension(node, loops),
            Expr::Struct(_) | Expr::Unspecified => {
                self.mistake(node, "expressions have no structures", Some("use a map: {'key': value}".to_owned()));
                None
            }
        }
    }

    fn variable(&mut self, node: &IdedExpr, name: &str) -> Option<Kind> {
        if self.locals.contains(&name) || name.starts_with('@') {
            return None;
        }
        match name {
            "now" => {
                self.found.reads_request = true;
                Some(Kind::Number)
            }
            "app" => Some(Kind::Text),
            "user" => {
                let help = "name the claim: user.email, user['https://x/roles']; a session keeps only the claims that are named";
                self.mistake(node, "`user` as a whole cannot be used", Some(help.to_owned()));
                None
            }
            "request" => self.whole(node, name, &REQUEST),
            "session" => self.whole(node, name, &SESSION),
            _ => {
                let help = nearest(name, ROOTS.iter().copied().chain(self.locals.iter().copied()))
                    .map(|near| format!("did you mean `{near}`?"))
                    .unwrap_or_else(|| {
                        format!("expressions know {}; texts stand in quotes: '{name}'", ROOTS.join(", "))
                    });
                self.mistake(node, format!("unknown name `{name}`"), Some(help));
                None
            }
        }
    }

    fn whole(&mut self, node: &IdedExpr, name: &str, fields: &[&str]) -> Option<Kind> {
        let help = format!("name the field: {name}.{}", fields.join(&format!(", {name}.")));
        self.mistake(node, format!("`{name}` as a whole cannot be used"), Some(help));
        None
    }

    fn select(&mut self, node: &'a IdedExpr, select: &'a SelectExpr) -> Option<Kind> {
        let test = select.test.then_some(Kind::Bool);
        match &select.operand.expr {
            Expr::Ident(name) if self.locals.contains(&name.as_str()) => test,
            Expr::Ident(name) if name == "user" => {
                self.found.claims.insert(select.field.as_str().into());
                test
            }
            Expr::Ident(name) if name == "request" || name == "session" => {
                if select.test {
                    let help = "request and session fields are always there; an unset one is ''".to_owned();
                    self.mistake(node, "`has` asks for a claim of `user` only", Some(help));
                }
                self.field(node, name, &select.field)
            }
            _ => {
                let kind = self.kind(&select.operand);
                if let Some(kind @ (Kind::Bool | Kind::Number | Kind::Text | Kind::List)) = kind {
                    let help = MEMBERS.iter().any(|member| member.name == select.field);
                    let help = help.then(|| format!("write `.{}()`", select.field));
                    self.mistake(node, format!("{kind} has no member `{}`", select.field), help);
                }
                test
            }
        }
    }

    fn field(&mut self, node: &IdedExpr, of: &str, field: &str) -> Option<Kind> {
        let fields: &[&str] = if of == "request" { &REQUEST } else { &SESSION };
        if !fields.contains(&field) {
            let help = nearest(field, fields.iter().copied())
                .map(|near| format!("did you mean `{of}.{near}`?"))
                .unwrap_or_else(|| format!("`{of}` has {}", fields.join(", ")));
            self.mistake(node, format!("`{of}` has no field `{field}`"), Some(help));
            return None;
        }
        self.found.reads_request |= of == "request" || field == "age";
        match field {
            "amr" => Some(Kind::List),
            "age" | "authenticated_at" => Some(Kind::Number),
            _ => Some(Kind::Text),
        }
    }

    fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Option<Kind> {
        match call.func_name.as_str() {
            operators::INDEX => self.index(node, call),
            operators::IN => self.membership(call),
            name if is_operator(name) => self.operator(name, call),
            name => match &call.target {
                Some(target) => self.method(node, name, target, call),
                None => self.function(node, name, call),
            },
        }
    }

    fn index(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Option<Kind> {
        let [operand, key] = call.args.as_slice() else { return None };
        match &operand.expr {
            Expr::Ident(name) if name == "user" => match text_literal(key) {
                Some(claim) => {
                    self.found.claims.insert(claim.into());
                }
                None => {
                    let help = "write the claim's name in quotes: user['https://x/roles']".to_owned();
                    self.mistake(node, "a claim must be named by a literal", Some(help));
                }
            },
            Expr::Ident(name) if name == "request" || name == "session" => {
                self.mistake(node, format!("`{name}` has fields, not elements"), Some(format!("write {name}.field")));
            }
            _ => {
                self.kind(operand);
                self.kind(key);
            }
        }
        None
    }

    /// `x in list`, and `'claim' in user`.
    fn membership(&mut self, call: &'a CallExpr) -> Option<Kind> {
        let [item, list] = call.args.as_slice() else { return None };
        match text_literal(item) {
            Some(claim) if is_name(list, "user") => {
                self.found.claims.insert(claim.into());
            }
            _ => {
                self.kind(item);
                let kind = self.kind(list);
                if let Some(kind @ (Kind::Bool | Kind::Number | Kind::Text | Kind::Null)) = kind {
                    let help = "for a part of a text write x.contains('part')".to_owned();
                    self.mistake(list, format!("`in` needs a list, this is {kind}"), Some(help));
                }
            }
        }
        Some(Kind::Bool)
    }

    fn operator(&mut self, name: &str, call: &'a CallExpr) -> Option<Kind> {
        let kinds: Vec<_> = call.args.iter().map(|argument| self.kind(argument)).collect();
        let conditions = match name {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => call.args.len(),
            operators::CONDITIONAL => 1,
            _ => 0,
        };
        for (argument, kind) in call.args.iter().zip(&kinds).take(conditions) {
            if let Some(kind) = kind.filter(|kind| *kind != Kind::Bool) {
                self.mistake(argument, format!("a condition is needed, this is {kind}"), None);
            }
        }
        match (name, kinds.as_slice()) {
            (operators::CONDITIONAL, [_, one, other]) if one == other => *one,
            (operators::CONDITIONAL, _) => None,
            (operators::ADD, [one, other]) => one.or(*other),
            (
                operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO | operators::NEGATE,
                _,
            ) => Some(Kind::Number),
            _ => Some(Kind::Bool),
        }
    }

    fn method(&mut self, node: &'a IdedExpr, name: &str, target: &'a IdedExpr, call: &'a CallExpr) -> Option<Kind> {
        let on = self.kind(target);
        call.args.iter().for_each(|argument| {
            self.kind(argument);
        });
        if MACROS.contains(&name) {
            let help = "write list.exists(x, condition), list.map(x, value)".to_owned();
            self.mistake(node, format!("`.{name}()` takes a name and an expression"), Some(help));
            return None;
        }
        let Some(member) = MEMBERS.iter().find(|member| member.name == name) else {
            let known = MEMBERS.iter().map(|member| member.name).chain(MACROS);
            let help = nearest(name, known).map(|near| format!("did you mean `.{near}`?"));
            self.mistake(node, format!("unknown function `.{name}()`"), Some(help.unwrap_or_else(known_functions)));
            return None;
        };
        if let (Some(wanted), Some(found)) = (member.of, on)
            && wanted != found
        {
            self.mistake(node, format!("`.{name}()` needs {wanted}, this is {found}"), None);
        }
        self.arity(node, &format!(".{name}"), member.arguments, call.args.len());
        Some(member.returns)
    }

    fn function(&mut self, node: &'a IdedExpr, name: &str, call: &'a CallExpr) -> Option<Kind> {
        call.args.iter().for_each(|argument| {
            self.kind(argument);
        });
        let Some((_, returns)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let help = if name == "has" {
                "write has(user.email)".to_owned()
            } else if MEMBERS.iter().any(|member| member.name == name) || MACROS.contains(&name) {
                format!("write it after the value: value.{name}(…)")
            } else {
                let members = MEMBERS.iter().map(|member| member.name);
                nearest(name, FUNCTIONS.iter().map(|(known, _)| *known).chain(MACROS).chain(members))
                    .map_or_else(known_functions, |near| format!("did you mean `{near}`?"))
            };
            self.mistake(node, format!("unknown function `{name}()`"), Some(help));
            return None;
        };
        self.arity(node, name, (1, 1), call.args.len());
        Some(*returns)
    }

    fn arity(&mut self, node: &IdedExpr, name: &str, (least, most): (usize, usize), found: usize) {
        if found < least || found > most {
            let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
            self.mistake(node, format!("`{name}()` takes {wanted} arguments, not {found}"), None);
        }
    }

    fn comprehension(&mut self, node: &'a IdedExpr, loops: &'a ComprehensionExpr) -> Option<Kind> {
        self.loops += 1;
        if self.loops == MAX_LOOPS + 1 {
            self.mistake(node, format!("more than {MAX_LOOPS} of all, exists, filter and map in one expression"), None);
        }
        if let Some(kind) = self.kind(&loops.iter_range).filter(|kind| !matches!(kind, Kind::List | Kind::Map)) {
            self.mistake(&loops.iter_range, format!("a list is needed, this is {kind}"), None);
        }
        let name = loops.iter_var.as_str();
        if ROOTS.contains(&name) {
            self.mistake(node, format!("`{name}` already has a meaning"), Some("use another name: g, r, x".to_owned()));
        }
        self.depth += 1;
        if self.depth == MAX_LOOP_DEPTH + 1 {
            let message = format!("all, exists, filter and map nest deeper than {MAX_LOOP_DEPTH}");
            self.mistake(node, message, None);
        }
        let outer = self.locals.len();
        self.locals.push(name);
        self.locals.extend(loops.iter_var2.as_deref());
        let accumulator = self.kind(&loops.accu_init);
        self.kind(&loops.loop_cond);
        self.kind(&loops.loop_step);
        let result = self.kind(&loops.result);
        self.locals.truncate(outer);
        self.depth -= 1;
        // `exists_one` counts and then compares; the others end in their accumulator.
        result.or(accumulator)
    }
}

fn is_operator(name: &str) -> bool {
    name.starts_with(['_', '@', '!', '-'])
}

fn is_name(node: &IdedExpr, name: &str) -> bool {
    matches!(&node.expr, Expr::Ident(found) if found == name)
}

fn text_literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn literal_kind(literal: &LiteralValue) -> Option<Kind> {
    match literal {
        LiteralValue::Boolean(_) => Some(Kind::Bool),
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Some(Kind::Number),
        LiteralValue::String(_) => Some(Kind::Text),
        LiteralValue::Null => Some(Kind::Null),
        LiteralValue::Bytes(_) => None,
    }
}

fn known_functions() -> String {
    let members: Vec<_> = MEMBERS.iter().map(|member| member.name).collect();
    let functions: Vec<_> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    format!("functions are {}; after a value .{}; {}", functions.join(", "), members.join(", ."), MACROS.join(", "))
}
