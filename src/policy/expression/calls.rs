//! Calls in an expression: operators, functions, methods and what the parser makes of `exists` and its kin.
//!
//! The second half of [`check`](super::check): the same walk, for the nodes that take arguments.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use std::borrow::Cow;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};

use super::Kind;
use super::check::{Walk, claim_path, is_name, literal_kind, text_literal};
use super::functions::{FUNCTIONS, Function, MACROS, NAMESPACES, Style};
use super::lower::of_request;
use super::named_check::GROUP_FUNCTIONS;
use super::scope::ROOTS;
use super::spelled::spelled;
use crate::diagnostic::nearest;
use crate::http::as_rules_see;

/// How many comprehensions may run inside one another.
const MAX_LOOP_DEPTH: usize = 2;
/// How many comprehensions one expression may have.
const MAX_LOOPS: usize = 8;

impl<'a> Walk<'a> {
    /// Checks a call; gives its result's type where it is known.
    pub(super) fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Option<Kind> {
        if let Some(kind) = self.chosen(node) {
            return kind;
        }
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
            _ if of_request(operand).is_some() => {
                let help =
                    "write the name in quotes: request.params['view'], request.headers['accept-language']".to_owned();
                self.mistake(node, "a parameter or header must be named by a literal", Some(help));
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
        if let Expr::List(literals) = &list.expr {
            for literal in &literals.elements {
                self.unlike_claims("in", item, literal);
                self.unlike_paths(item, literal);
            }
        }
        match text_literal(item) {
            Some(claim) if is_name(list, "user") => {
                self.claim(item, claim);
            }
            _ => {
                let item_kind = self.kind(item);
                let kind = self.kind(list);
                if let Expr::List(literals) = &list.expr {
                    for literal in &literals.elements {
                        let of_literal = literal_kind_of(literal);
                        self.unlike_kinds(literal, item_kind, of_literal);
                    }
                }
                if let Some(kind @ (Kind::Bool | Kind::Number | Kind::Text | Kind::Null)) = kind {
                    let help = "for a part of a text write x.contains('part')".to_owned();
                    self.mistake(list, format!("`in` needs a list, this is {kind}"), Some(help));
                }
            }
        }
        Some(Kind::Bool)
    }

    /// A literal that a claim is compared with, and that none is ever like.
    fn unlike_claims(&mut self, operator: &str, claim: &IdedExpr, literal: &IdedExpr) {
        let Expr::Literal(value) = &literal.expr else { return };
        if claim_path(claim).is_none() {
            return;
        }
        let name = spelled(claim);
        match value {
            LiteralValue::Double(_) => {
                let help = format!("write double({name}), which is a number whatever the provider sends");
                self.mistake(claim, "a claim with a decimal point is kept as a text, which is no number", Some(help));
            }
            LiteralValue::Null if matches!(operator, operators::EQUALS | operators::NOT_EQUALS) => {
                let help = format!("write has({name}) or !has({name})");
                self.mistake(claim, "a claim that is `null` counts as absent", Some(help));
            }
            _ => {}
        }
    }

    /// A text that a path is compared with, and that none holds: rules see the characters for such escapes
    /// ([decision 91](../../../../docs/decisions/0091-rules-see-characters-and-applications-get-escapes.md)).
    fn unlike_paths(&mut self, path: &IdedExpr, with: &IdedExpr) {
        if !is_of_path(path) {
            return;
        }
        if let Some(Cow::Owned(seen)) = text_literal(with).map(as_rules_see) {
            let help = format!("write '{seen}': an application still gets what was sent");
            self.mistake(with, "request.path never holds this escape: rules see the character for it", Some(help));
        } else if makes_escapes(with) {
            let help = "compare what is decoded: percent.decode(request.path) == '/a/' + user.email".to_owned();
            let message =
                "percent.encode() writes escapes that request.path never holds: rules see the characters for them";
            self.mistake(with, message, Some(help));
        }
    }

    /// Two kinds that are known and are not compared (decision 75): no request would have an answer.
    fn unlike_kinds(&mut self, at: &IdedExpr, one: Option<Kind>, other: Option<Kind>) {
        let (Some(one), Some(other)) = (one, other) else { return };
        if one == other || one == Kind::Null || other == Kind::Null {
            return;
        }
        let help = match (one, other) {
            (Kind::Text, Kind::Number) => Some("write the number in quotes, or make the text one: int(…), double(…)"),
            (Kind::Number, Kind::Text) => Some("write the number without quotes"),
            (Kind::Bool, Kind::Text) => Some("leave the quotes away: true, false"),
            _ => None,
        };
        self.mistake(at, format!("{one} is never compared with {other}"), help.map(str::to_owned));
    }

    fn operator(&mut self, name: &str, call: &'a CallExpr) -> Option<Kind> {
        if let ([one, other], true) = (call.args.as_slice(), compares(name)) {
            for (one, other) in [(one, other), (other, one)] {
                self.unlike_claims(name, one, other);
                self.unlike_paths(one, other);
            }
        }
        let kinds: Vec<_> = call.args.iter().map(|argument| self.kind(argument)).collect();
        if let ([_, other], [one_kind, other_kind], true) = (call.args.as_slice(), kinds.as_slice(), compares(name)) {
            self.unlike_kinds(other, *one_kind, *other_kind);
        }
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
        if let Expr::Ident(namespace) = &target.expr
            && NAMESPACES.contains(&namespace.as_str())
            && !self.locals.contains(&namespace.as_str())
        {
            return self.namespaced(node, namespace, name, call);
        }
        let on = self.kind(target);
        if matches!(name, "startsWith" | "endsWith" | "contains" | "matches") {
            call.args.iter().for_each(|text| self.unlike_paths(target, text));
        }
        if MACROS.contains(&name) {
            self.kinds(call);
            let help = "write list.exists(x, condition), list.map(x, value)".to_owned();
            self.mistake(node, format!("`.{name}()` takes a name and an expression"), Some(help));
            return None;
        }
        let Some(function) = Function::after(name) else {
            self.kinds(call);
            let help = if Function::plain(name).is_some() {
                format!("write it before the value: {name}(value)")
            } else {
                let known = FUNCTIONS.iter().filter(|known| matches!(known.style, Style::After(_)));
                nearest(name, known.map(|known| known.name).chain(MACROS))
                    .map_or_else(known_functions, |near| format!("did you mean `.{near}`?"))
            };
            self.mistake(node, format!("unknown function `.{name}()`"), Some(help));
            return None;
        };
        if let (Style::After(Some(wanted)), Some(found)) = (function.style, on)
            && wanted != found
        {
            self.mistake(node, format!("`.{name}()` needs {wanted}, this is {found}"), None);
        }
        self.arguments(node, &format!(".{name}"), function, call)
    }

    fn namespaced(&mut self, node: &'a IdedExpr, namespace: &str, name: &str, call: &'a CallExpr) -> Option<Kind> {
        let Some(function) = Function::within(namespace, name) else {
            self.kinds(call);
            let known = FUNCTIONS.iter().filter(|known| known.style == Style::In("base64")).map(|known| known.name);
            let help = nearest(name, known).map(|near| format!("did you mean `{namespace}.{near}`?"));
            let help = help.unwrap_or_else(|| format!("`{namespace}` has decode, encode"));
            self.mistake(node, format!("unknown function `{namespace}.{name}()`"), Some(help));
            return None;
        };
        self.arguments(node, &format!("{namespace}.{name}"), function, call)
    }

    fn function(&mut self, node: &'a IdedExpr, name: &str, call: &'a CallExpr) -> Option<Kind> {
        if let Some(kind) = self.group_function(node, name, call) {
            return Some(kind);
        }
        let Some(function) = Function::plain(name) else {
            self.kinds(call);
            let help = if name == "has" {
                "write has(user.email)".to_owned()
            } else if Function::after(name).is_some() || MACROS.contains(&name) {
                format!("write it after the value: value.{name}(…)")
            } else if NAMESPACES.contains(&name) {
                format!("write {name}.encode(…) or {name}.decode(…)")
            } else {
                nearest(name, FUNCTIONS.iter().map(|known| known.name).chain(GROUP_FUNCTIONS).chain(MACROS))
                    .map_or_else(known_functions, |near| format!("did you mean `{near}`?"))
            };
            self.mistake(node, format!("unknown function `{name}()`"), Some(help));
            return None;
        };
        self.arguments(node, name, function, call)
    }

    fn kinds(&mut self, call: &'a CallExpr) {
        for argument in &call.args {
            self.kind(argument);
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
        if ROOTS.contains(&name) || NAMESPACES.contains(&name) || self.named.is_condition(name) {
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

/// The request's path, or what is made of it.
fn is_of_path(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Select(select) => !select.test && select.field == "path" && is_name(&select.operand, "request"),
        Expr::Call(call) => call.target.as_deref().is_some_and(is_of_path),
        _ => false,
    }
}

/// Whether a part of a text is percent-encoded.
fn makes_escapes(node: &IdedExpr) -> bool {
    let Expr::Call(call) = &node.expr else { return false };
    let encodes = call.func_name == "encode" && call.target.as_deref().is_some_and(|of| is_name(of, "percent"));
    encodes || call.target.as_deref().into_iter().chain(&call.args).any(makes_escapes)
}

fn literal_kind_of(node: &IdedExpr) -> Option<Kind> {
    if let Expr::Literal(literal) = &node.expr { literal_kind(literal) } else { None }
}

fn compares(name: &str) -> bool {
    matches!(
        name,
        operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
    )
}

fn is_operator(name: &str) -> bool {
    name.starts_with(['_', '@', '!', '-'])
}

fn known_functions() -> String {
    let names = |style: fn(Style) -> bool| {
        let known = FUNCTIONS.iter().filter(|known| style(known.style));
        known.map(|known| known.name).collect::<Vec<_>>()
    };
    let mut plain = names(|style| style == Style::Plain);
    plain.extend(GROUP_FUNCTIONS);
    let plain = plain.join(", ");
    let after = names(|style| matches!(style, Style::After(_))).join(", .");
    let namespaces = NAMESPACES.map(|name| format!("{name}.encode, {name}.decode")).join(", ");
    format!("functions are {plain}; {namespaces}; after a value .{after}; {}", MACROS.join(", "))
}
