//! From a checked tree to the one that is evaluated: bounded, with its literals read and its functions resolved.
//!
//! - Functions of ours are called by a name that no text can spell, with the budget as last argument, and literals that were
//!   read when the expression was checked ([`Constant`]) in their place.
//! - `==`, `!=` and `in` become functions that do not compare values of two kinds.
//! - What could grow or run long asks the budget: `+`, every list that is gone over, what is put into a list or map, and what is
//!   compared in every step.
//! - `list.exists(x, x == 'text')` becomes `'text' in list`, which costs a fiftieth of it.
//! - `memberOf('x')` and `aliases()` become variables, which the scope looks up as it does conditions.
//! - `request.params.NAME` and `request.headers['NAME']` become variables of their own.
//! - `domainOf` of anything that comes from `user.email` asks whether the provider vouches for that (S09).
//!
//! May touch: nothing. Trust boundary: the tree has passed the check.

use std::collections::BTreeMap;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use jiff::tz::TimeZone;

use super::check::{is_name, text_literal};
use super::constant::Constant;
use super::functions::{self, Argument, Function, NAMESPACES, Style};
use super::named_check;
use super::scope::{self, Chosen};

/// Constants by the node that they were read from.
pub(super) type Found = BTreeMap<u64, Constant>;

/// Lowers a tree; gives the constants that it refers to.
pub(super) fn lower(mut tree: IdedExpr, found: Found) -> (IdedExpr, Vec<Constant>) {
    let mut lowering = Lowering { found, constants: Vec::new(), accumulators: Vec::new(), of_email: Vec::new() };
    lowering.node(&mut tree);
    (tree, lowering.constants)
}

struct Lowering {
    found: Found,
    constants: Vec<Constant>,
    /// What the comprehensions around the node call their results, the innermost last.
    accumulators: Vec<String>,
    /// The variables around the node that hold something of `user.email`.
    of_email: Vec<String>,
}

impl Lowering {
    fn node(&mut self, node: &mut IdedExpr) {
        if let Some(chosen) = chosen(node) {
            node.expr = Expr::Ident(chosen.variable());
            return;
        }
        if let Expr::Call(call) = &node.expr
            && let Some(variable) = named_check::as_variable(call)
        {
            node.expr = variable;
            return;
        }
        match &mut node.expr {
            Expr::Call(call) => {
                if let Some(Constant::Seconds(seconds)) = self.found.remove(&node.id) {
                    node.expr = Expr::Literal(LiteralValue::Int(seconds.into()));
                    return;
                }
                self.call(call);
            }
            Expr::Comprehension(loops) => match membership(loops) {
                Some((item, list)) => {
                    let args = vec![item, list];
                    node.expr = Expr::Call(CallExpr { func_name: operators::IN.to_owned(), target: None, args });
                    self.node(node);
                }
                None => self.comprehension(loops),
            },
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.copied(element)),
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.copied(&mut entry.key);
                        self.copied(&mut entry.value);
                    }
                }
            }
            Expr::Select(select) => self.node(&mut select.operand),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    /// A node whose value is copied into a list or map.
    fn copied(&mut self, node: &mut IdedExpr) {
        if !is_literal(node) {
            self.node(node);
            guard(functions::WEIGH, node);
        }
    }

    fn call(&mut self, call: &mut CallExpr) {
        let function = function(call).and_then(|function| Some((function, function.internal_name()?)));
        let of_email = call.args.first().is_some_and(|argument| self.is_of_email(argument));
        if let Some((function, name)) = function {
            self.own(function, name, of_email, call);
            return;
        }
        if let Some(target) = &mut call.target {
            self.node(target);
        }
        call.args.iter_mut().for_each(|argument| self.node(argument));
        match (call.func_name.as_str(), call.args.as_mut_slice()) {
            (operators::ADD, [left, _]) if !self.is_accumulator(left) => {
                functions::ADD.clone_into(&mut call.func_name);
                let budget = budget(left.id);
                call.args.push(budget);
            }
            (operators::IN, [_, list]) if self.loops() && !matches!(list.expr, Expr::List(_)) => {
                guard(functions::RANGE, list);
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right])
                if self.loops() && !is_literal(left) && !is_literal(right) =>
            {
                guard(functions::WEIGH, left);
            }
            ("contains", _) if self.loops() => call.target.iter_mut().for_each(|text| guard(functions::WEIGH, text)),
            _ => {}
        }
        if let Some(compares) = comparison(&call.func_name) {
            compares.clone_into(&mut call.func_name);
        }
    }

    /// A call of a function of ours: target, arguments, what is put in, budget.
    fn own(&mut self, function: &Function, name: String, of_email: bool, call: &mut CallExpr) {
        let id = call.args.first().or(call.target.as_deref()).map_or(0, |node| node.id);
        let mut args = Vec::with_capacity(call.args.len() + 3);
        if matches!(function.style, Style::After(_)) {
            args.extend(call.target.take().map(|target| *target));
        }
        call.target = None;
        args.append(&mut call.args);
        for argument in &mut args {
            match self.found.remove(&argument.id) {
                Some(Constant::Seconds(seconds)) => argument.expr = Expr::Literal(LiteralValue::Int(seconds.into())),
                Some(constant) => argument.expr = self.keep(constant),
                None => self.node(argument),
            }
        }
        let target = usize::from(matches!(function.style, Style::After(_)));
        if matches!(function.arguments.last(), Some(Argument::Zone)) && args.len() < function.arguments.len() + target {
            args.push(IdedExpr { id, expr: self.keep(Constant::Zone(TimeZone::UTC)) });
        }
        if function.name == "domainOf" {
            let verified = if of_email {
                Expr::Ident(scope::VERIFIED.to_owned())
            } else {
                Expr::Literal(LiteralValue::Boolean(true.into()))
            };
            args.push(IdedExpr { id, expr: verified });
        }
        args.push(budget(id));
        call.args = args;
        call.func_name = name;
    }

    fn keep(&mut self, constant: Constant) -> Expr {
        self.constants.push(constant);
        Expr::Ident(scope::constant(self.constants.len() - 1))
    }

    fn comprehension(&mut self, loops: &mut ComprehensionExpr) {
        let of_email = self.is_of_email(&loops.iter_range);
        self.node(&mut loops.iter_range);
        guard(functions::RANGE, &mut loops.iter_range);
        let outer = self.of_email.len();
        if of_email {
            self.of_email.push(loops.iter_var.clone());
            self.of_email.extend(loops.iter_var2.clone());
        }
        self.accumulators.push(loops.accu_var.clone());
        for part in [&mut loops.accu_init, &mut loops.loop_cond, &mut loops.loop_step, &mut loops.result] {
            self.node(part);
        }
        self.accumulators.pop();
        self.of_email.truncate(outer);
    }

    /// Whether a comprehension is around the node.
    fn loops(&self) -> bool {
        !self.accumulators.is_empty()
    }

    /// The crate recognises `@result + [x]` and appends in place; that shape is left alone, its growth is the range's. Other variables begin
    /// with `@`, too: what a request holds, the names of groups.
    fn is_accumulator(&self, operand: &IdedExpr) -> bool {
        self.accumulators.last().is_some_and(|accumulator| is_name(operand, accumulator))
    }

    /// Whether any part of `node` comes from `user.email`.
    fn is_of_email(&self, node: &IdedExpr) -> bool {
        any(node, &mut |node| match &node.expr {
            Expr::Ident(name) => self.of_email.contains(name),
            Expr::Select(select) => select.field == "email" && is_name(&select.operand, "user"),
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, key] => is_name(operand, "user") && text_literal(key) == Some("email"),
                _ => false,
            },
            _ => false,
        })
    }
}

/// The function that a call names, where it is one of the table.
pub(super) fn function(call: &CallExpr) -> Option<&'static Function> {
    match call.target.as_deref().map(|target| &target.expr) {
        None => Function::plain(&call.func_name),
        Some(Expr::Ident(name)) if NAMESPACES.contains(&name.as_str()) => Function::within(name, &call.func_name),
        Some(_) => Function::after(&call.func_name),
    }
}

/// The parameter or header that a node asks for or reads: `request.params.a`, `request.headers['a']`,
/// `'a' in request.headers`, `has(request.params.a)`.
pub(super) fn chosen(node: &IdedExpr) -> Option<Chosen<'_>> {
    let (of, name, presence) = match &node.expr {
        Expr::Select(select) => (of_request(&select.operand)?, select.field.as_str(), select.test),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [operand, key]) => (of_request(operand)?, text_literal(key)?, false),
            (operators::IN, [key, operand]) => (of_request(operand)?, text_literal(key)?, true),
            _ => return None,
        },
        _ => return None,
    };
    Some(Chosen { of, name, presence })
}

/// `params` of `request.params`, `headers` of `request.headers`.
pub(super) fn of_request(node: &IdedExpr) -> Option<scope::Many> {
    match &node.expr {
        Expr::Select(select) if !select.test && is_name(&select.operand, "request") => {
            scope::Many::named(&select.field)
        }
        _ => None,
    }
}

/// `x` and `list` of `list.exists(g, g == x)`, where `x` is a literal or a name that always has a value.
fn membership(loops: &ComprehensionExpr) -> Option<(IdedExpr, IdedExpr)> {
    let Expr::Literal(LiteralValue::Boolean(start)) = &loops.accu_init.expr else { return None };
    let Expr::Call(step) = &loops.loop_step.expr else { return None };
    let [accumulator, condition] = step.args.as_slice() else { return None };
    let Expr::Call(equals) = &condition.expr else { return None };
    let [left, right] = equals.args.as_slice() else { return None };
    let is_exists = !*start.inner()
        && loops.iter_var2.is_none()
        && step.func_name == operators::LOGICAL_OR
        && equals.func_name == operators::EQUALS
        && is_name(accumulator, &loops.accu_var)
        && is_name(&loops.result, &loops.accu_var);
    let item = match (is_name(left, &loops.iter_var), is_name(right, &loops.iter_var)) {
        (true, false) => right,
        (false, true) => left,
        _ => return None,
    };
    (is_exists && is_literal(item)).then(|| (item.clone(), loops.iter_range.clone()))
}

/// What an operator that compares becomes.
fn comparison(operator: &str) -> Option<&'static str> {
    match operator {
        operators::EQUALS => Some(functions::EQUALS),
        operators::NOT_EQUALS => Some(functions::DIFFERS),
        operators::IN => Some(functions::WITHIN),
        _ => None,
    }
}

fn is_literal(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(_))
}

/// Puts a guard around a node.
fn guard(name: &str, node: &mut IdedExpr) {
    let id = node.id;
    let args = vec![std::mem::take(node), budget(id)];
    *node = IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) };
}

fn budget(id: u64) -> IdedExpr {
    IdedExpr { id, expr: Expr::Ident(functions::BUDGET.to_owned()) }
}

/// Whether `holds` is true of a node or of any below it.
pub(super) fn any(node: &IdedExpr, holds: &mut dyn FnMut(&IdedExpr) -> bool) -> bool {
    holds(node) || parts(node).any(|node| any(node, holds))
}

/// What a node is made of.
pub(super) fn parts(node: &IdedExpr) -> impl Iterator<Item = &IdedExpr> {
    let mut parts: Vec<&IdedExpr> = Vec::new();
    match &node.expr {
        Expr::Call(call) => parts.extend(call.args.iter().chain(call.target.as_deref())),
        Expr::Comprehension(loops) => {
            parts.extend([&loops.iter_range, &loops.loop_cond, &loops.loop_step, &loops.result]);
        }
        Expr::List(list) => parts.extend(&list.elements),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => parts.extend([&entry.key, &entry.value]),
            EntryExpr::StructField(field) => parts.push(&field.value),
        }),
        Expr::Select(select) => parts.push(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
    parts.into_iter()
}
