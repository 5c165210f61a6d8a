//! Names of definitions in an expression: what they may be, and whether they are known where they are used.
//!
//! A part of [`check`](super::check). In the tree that is evaluated, `memberOf('x')` and `aliases()` become variables
//! ([`as_variable`]), which the scope looks up as it does conditions.
//!
//! May touch: nothing. Trust boundary: the text is an administrator's.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr};

use super::check::{Walk, text_literal};
use super::functions::{FUNCTIONS, MACROS, NAMESPACES};
use super::named::{ALIAS_VARIABLE, ALIASES, ALIASES_VARIABLE, MEMBER_OF, Named};
use super::scope::ROOTS;
use super::{Expression, Kind, Mistake, bounds};
use crate::diagnostic::nearest;

/// The functions that know groups.
pub(super) const GROUP_FUNCTIONS: [&str; 2] = [ALIASES, MEMBER_OF];

/// How many operators an expression may have together with all conditions that it uses, each counted once.
const MAX_TOTAL_OPERATORS: usize = 1000;

/// Words that the language keeps for itself, and its types.
const WORDS: [&str; 30] = [
    "as",
    "break",
    "bytes",
    "const",
    "continue",
    "duration",
    "dyn",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "list",
    "loop",
    "map",
    "namespace",
    "null",
    "null_type",
    "optional",
    "package",
    "return",
    "timestamp",
    "true",
    "type",
    "var",
    "void",
    "while",
];

/// Why a condition cannot have this name, and what to do; none when it can.
pub(in crate::policy) fn unfit_name(name: &str) -> Option<(String, &'static str)> {
    let is_start = |character: char| character.is_ascii_alphabetic() || character == '_';
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.len() > 100 || !name.starts_with(is_start) || !name.chars().all(is_part) {
        let help = "letters, digits and `_`, at most 100, not beginning with a digit: is_staff";
        return Some((format!("`{name}` is no name that an expression can use"), help));
    }
    let functions = FUNCTIONS.iter().map(|function| function.name).chain(GROUP_FUNCTIONS);
    let mut taken = ROOTS.into_iter().chain(functions).chain(NAMESPACES).chain(MACROS).chain(WORDS);
    taken
        .any(|word| word == name)
        .then(|| (format!("`{name}` already has a meaning in expressions"), "choose another name"))
}

/// The names in an expression's text, as far as it can be read.
pub(in crate::policy) fn names_in(text: &str) -> BTreeSet<Box<str>> {
    let mut names = BTreeSet::new();
    if let Some(tree) = bounds::parse_quickly(text).or_else(|| bounds::parse(text).ok().map(|(tree, _)| tree)) {
        collect(&tree, &mut names);
    }
    names
}

fn collect(node: &IdedExpr, names: &mut BTreeSet<Box<str>>) {
    match &node.expr {
        Expr::Ident(name) => {
            names.insert(name.as_str().into());
        }
        Expr::Select(select) => collect(&select.operand, names),
        Expr::Call(call) => {
            call.target.iter().for_each(|target| collect(target, names));
            call.args.iter().for_each(|argument| collect(argument, names));
        }
        Expr::List(list) => list.elements.iter().for_each(|element| collect(element, names)),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    collect(&entry.key, names);
                    collect(&entry.value, names);
                }
            }
        }
        Expr::Comprehension(loops) => {
            let parts = [&loops.iter_range, &loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result];
            parts.into_iter().for_each(|part| collect(part, names));
        }
        Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// The variable that takes the place of a call to one of the functions that know groups.
pub(super) fn as_variable(call: &CallExpr) -> Option<Expr> {
    match (call.func_name.as_str(), call.target.as_ref(), call.args.as_slice()) {
        (ALIASES, None, []) => Some(Expr::Ident(ALIASES_VARIABLE.to_owned())),
        (MEMBER_OF, None, [alias]) => Some(Expr::Ident(format!("{ALIAS_VARIABLE}{}", text_literal(alias)?))),
        _ => None,
    }
}

impl Expression {
    /// Finds what an expression must not become together with the conditions that it uses.
    pub(super) fn check_together(&self, text: &str, named: &Named) -> Result<(), Vec<Mistake>> {
        let message = if self.about.depth > bounds::MAX_DEPTH {
            "with the conditions that it uses the expression is too deep".to_owned()
        } else if self.about.operators + named.operators(&self.about.uses) > MAX_TOTAL_OPERATORS {
            format!("with the conditions that it uses the expression has more than {MAX_TOTAL_OPERATORS} operators")
        } else {
            return Ok(());
        };
        let help = Some("let fewer conditions build on one another".to_owned());
        Err(vec![Mistake { message, range: 0..text.len(), help }])
    }
}

impl<'a> Walk<'a> {
    /// Notes that a claim is read at a node.
    pub(super) fn claim(&mut self, node: &IdedExpr, claim: &str) {
        if self.found.reads.claims.insert(claim.into()) {
            let range = self.range(node);
            self.found.places.push((claim.into(), range));
        }
    }

    /// Checks a name that may be a condition's; none when it is not.
    pub(super) fn condition(&mut self, name: &str) -> Option<Kind> {
        if let Some(id) = self.named.condition(name) {
            self.uses(id);
        }
        self.named.is_condition(name).then_some(Kind::Bool)
    }

    /// Takes over what a definition reads.
    fn uses(&mut self, id: usize) {
        let Some(definition) = self.named.get(id) else { return };
        self.found.uses.insert(id);
        if let Some(expression) = definition.expression() {
            self.found.uses.extend(&expression.about.uses);
            self.found.inherited.take_over(&expression.about.reads);
        }
    }

    /// Checks a call to one of the functions that know groups; none when it is another function.
    pub(super) fn group_function(&mut self, node: &'a IdedExpr, name: &str, call: &'a CallExpr) -> Option<Kind> {
        match name {
            ALIASES => {
                if !call.args.is_empty() {
                    let help = "write aliases(): the names of all groups of the file that the person is in".to_owned();
                    self.mistake(node, "`aliases()` takes no arguments", Some(help));
                }
                if self.named.aliases().next().is_none() {
                    self.mistake(node, "there are no groups here", Some(DEFINE.to_owned()));
                }
                for id in self.named.aliases().map(|(id, _)| id).collect::<Vec<_>>() {
                    self.uses_alias(node, id);
                }
                Some(Kind::List)
            }
            MEMBER_OF => {
                match call.args.as_slice() {
                    [alias] => self.member_of(alias),
                    _ => self.mistake(node, "`memberOf()` takes 1 argument", Some(EXAMPLE.to_owned())),
                }
                Some(Kind::Bool)
            }
            _ => None,
        }
    }

    fn member_of(&mut self, alias: &'a IdedExpr) {
        let Some(name) = text_literal(alias) else {
            self.kind(alias);
            let help = format!("{EXAMPLE}; for one that is computed: name in aliases()");
            return self.mistake(alias, "`memberOf()` takes a group's name in quotes", Some(help));
        };
        if let Some(id) = self.named.alias(name) {
            return self.uses_alias(alias, id);
        }
        let near = nearest(name, self.named.aliases().map(|(_, alias)| alias));
        let help = near.map_or_else(|| DEFINE.to_owned(), |near| format!("did you mean `{near}`?"));
        self.mistake(alias, format!("unknown group `{name}`"), Some(help));
    }

    fn uses_alias(&mut self, node: &IdedExpr, id: usize) {
        self.uses(id);
        let claim = self.named.get(id).and_then(|definition| definition.alias_claim());
        if let Some(claim) = claim {
            self.claim(node, claim);
        }
    }
}

const EXAMPLE: &str = "write memberOf('staff')";
const DEFINE: &str = "define it: [groups] staff = [\"the provider's name or id of the group\"]";
