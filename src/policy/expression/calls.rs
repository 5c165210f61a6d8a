//! Calls in an expression: operators, functions, methods and what the parser makes of `exists` and its kin.
//!
//! The second half of [`check`](super::check): the same walk, for the nodes that take arguments.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, operators};

use super::Kind;
use super::check::{Walk, is_name, text_literal};
use super::functions::{FUNCTIONS, MACROS, MEMBERS};
use super::named_check::GROUP_FUNCTIONS;
use super::scope::ROOTS;
use crate::diagnostic::nearest;

/// How many comprehensions may run inside one another.
const MAX_LOOP_DEPTH: usize = 2;
/// How many comprehensions one expression may have.
const MAX_LOOPS: usize = 8;

impl<'a> Walk<'a> {
    /// Checks a call; gives its result's type where it is known.
    pub(super) fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Option<Kind> {
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
                    self.claim(key, claim);
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
                self.claim(item, claim);
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
        if let Some(kind) = self.group_function(node, name, call) {
            return Some(kind);
        }
        let Some((_, returns)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let help = if name == "has" {
                "write has(user.email)".to_owned()
            } else if MEMBERS.iter().any(|member| member.name == name) || MACROS.contains(&name) {
                format!("write it after the value: value.{name}(…)")
            } else {
                let members = MEMBERS.iter().map(|member| member.name);
                nearest(
                    name,
                    FUNCTIONS.iter().map(|(known, _)| *known).chain(GROUP_FUNCTIONS).chain(MACROS).chain(members),
                )
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

    /// Checks one of `all`, `exists`, `exists_one`, `filter` and `map` as the parser expanded it.
    pub(super) fn comprehension(&mut self, node: &'a IdedExpr, loops: &'a ComprehensionExpr) -> Option<Kind> {
        self.loops += 1;
        if self.loops == MAX_LOOPS + 1 {
            self.mistake(node, format!("more than {MAX_LOOPS} of all, exists, filter and map in one expression"), None);
        }
        if let Some(kind) = self.kind(&loops.iter_range).filter(|kind| !matches!(kind, Kind::List | Kind::Map)) {
            self.mistake(&loops.iter_range, format!("a list is needed, this is {kind}"), None);
        }
        let name = loops.iter_var.as_str();
        if ROOTS.contains(&name) || self.named.is_condition(name) {
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

fn known_functions() -> String {
    let members: Vec<_> = MEMBERS.iter().map(|member| member.name).collect();
    let functions: Vec<_> = FUNCTIONS.iter().map(|(name, _)| *name).chain(GROUP_FUNCTIONS).collect();
    format!("functions are {}; after a value .{}; {}", functions.join(", "), members.join(", ."), MACROS.join(", "))
}
