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
use cel::common::ast::{EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};

use super::functions::{FUNCTIONS, Style};
use super::lower::{self, chosen, of_request};
use super::named::Named;
use super::scope::{Chosen, Many, REQUEST, ROOTS, SESSION};
use super::tls;
use super::{Kind, Mistake, Reads, place};
use crate::diagnostic::nearest;
use crate::policy::request_header;

/// What the check found out.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What is looked at.
    pub(super) reads: Reads,
    /// The first place of each claim that is named here.
    pub(super) places: Vec<(Box<str>, Range<usize>)>,
    /// What is looked at by what is used.
    pub(super) inherited: Reads,
    /// Definitions that are used.
    pub(super) uses: BTreeSet<usize>,
    /// The result's type, where known.
    pub(super) kind: Option<Kind>,
    /// Literals in the form in which they are used, by node.
    pub(super) constants: lower::Found,
    /// What should be thought about again.
    pub(super) warnings: Vec<Mistake>,
}

/// Checks a parsed expression.
pub(super) fn check(tree: &IdedExpr, text: &str, source: &SourceInfo, named: &Named) -> Result<Checked, Vec<Mistake>> {
    let mut walk = Walk {
        text,
        source,
        named,
        locals: Vec::new(),
        found: Checked::default(),
        mistakes: Vec::new(),
        loops: 0,
        depth: 0,
    };
    let kind = walk.kind(tree);
    walk.domain_rules(tree);
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

/// The walk over a tree.
pub(super) struct Walk<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    pub(super) named: &'a Named,
    pub(super) locals: Vec<&'a str>,
    pub(super) found: Checked,
    mistakes: Vec<Mistake>,
    pub(super) loops: usize,
    pub(super) depth: usize,
}

impl<'a> Walk<'a> {
    /// Notes a mistake at a node.
    pub(super) fn mistake(&mut self, at: &IdedExpr, message: impl Into<String>, help: Option<String>) {
        let range = self.range(at);
        let mistake = Mistake { message: message.into(), range, help };
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Notes something to be thought about again, at these bytes.
    pub(super) fn warning(&mut self, range: Range<usize>, message: impl Into<String>, help: &str) {
        self.found.warnings.push(Mistake { message: message.into(), range, help: Some(help.to_owned()) });
    }

    /// The bytes of a node's own name or sign; the whole text where the parser tells no place.
    pub(super) fn range(&self, node: &IdedExpr) -> Range<usize> {
        let Some((start, _)) = self.source.offset_for(node.id) else { return 0..self.text.len() };
        let start = usize::try_from(start).unwrap_or(0).min(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let after_dot = rest.strip_prefix('.').map(|name| start + 1..start + 1 + place::name_length(name));
        after_dot.unwrap_or_else(|| match &node.expr {
            Expr::Call(_) | Expr::Comprehension(_) | Expr::Select(_) if rest.starts_with('(') => {
                place::before(self.text, start)
            }
            _ => start..start + place::name_length(rest).max(rest.chars().next().map_or(0, char::len_utf8)),
        })
    }

    /// Checks a node and everything below it; gives its type where it is known.
    pub(super) fn kind(&mut self, node: &'a IdedExpr) -> Option<Kind> {
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
                self.found.reads.request = true;
                self.found.reads.surroundings = true;
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
                if let Some(kind) = self.condition(name) {
                    return Some(kind);
                }
                let known = ROOTS.iter().copied().chain(self.locals.iter().copied());
                let help = nearest(name, known.chain(self.named.condition_names()))
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

    /// A parameter or field of the request; whether the node is one.
    pub(super) fn chosen(&mut self, node: &IdedExpr) -> Option<Option<Kind>> {
        let Chosen { of, name, presence } = chosen(node)?;
        self.found.reads.request = true;
        match of {
            Many::Params if name.is_empty() => {
                self.mistake(node, "a query parameter has no name", Some("request.params.view".to_owned()));
            }
            Many::Params => {
                self.found.reads.parameters.insert(name.into());
            }
            Many::Headers => match request_header::readable(name) {
                Ok(name) => {
                    self.found.reads.headers.insert(name);
                }
                Err((message, help)) => self.mistake(node, message, Some(help)),
            },
        }
        Some(Some(if presence { Kind::Bool } else { Kind::Text }))
    }

    fn select(&mut self, node: &'a IdedExpr, select: &'a SelectExpr) -> Option<Kind> {
        if let Some(kind) = self.chosen(node) {
            return kind;
        }
        let test = select.test.then_some(Kind::Bool);
        match &select.operand.expr {
            Expr::Ident(name) if self.locals.contains(&name.as_str()) => test,
            Expr::Ident(name) if name == "user" => {
                self.claim(node, &select.field);
                test
            }
            Expr::Ident(name) if name == "request" || name == "session" => {
                if select.test {
                    let help = "request and session fields are always there; an unset one is ''".to_owned();
                    self.mistake(node, "`has` asks for a claim of `user` only", Some(help));
                }
                self.field(node, name, &select.field)
            }
            _ if tls::is_tls(&select.operand) => self.tls(node, select, "request.tls", &tls::TLS),
            _ if tls::is_client(&select.operand) => self.tls(node, select, "request.tls.client", &tls::CLIENT),
            _ => {
                let kind = self.kind(&select.operand);
                if let Some(kind @ (Kind::Bool | Kind::Number | Kind::Text | Kind::List)) = kind {
                    let is_function = |function: &super::functions::Function| {
                        function.name == select.field && matches!(function.style, Style::After(_))
                    };
                    let help = FUNCTIONS.iter().any(is_function).then(|| format!("write `.{}()`", select.field));
                    self.mistake(node, format!("{kind} has no member `{}`", select.field), help);
                }
                test
            }
        }
    }

    fn field(&mut self, node: &IdedExpr, of: &str, field: &str) -> Option<Kind> {
        let fields: &[&str] = if of == "request" { &REQUEST } else { &SESSION };
        if !self.known(of, field, fields, node) {
            return None;
        }
        self.found.reads.request |= of == "request" || field == "age";
        self.found.reads.path |= of == "request" && field == "path";
        self.found.reads.surroundings |= of == "session" || field == "client";
        self.found.reads.sign_in |= of == "session" && matches!(field, "age" | "authenticated_at");
        if of_request(node).is_some() {
            let help =
                format!("name one: request.{field}.view, request.{field}['x-name'], 'x-name' in request.{field}");
            self.mistake(node, format!("`request.{field}` as a whole cannot be used"), Some(help));
            return None;
        }
        if of == "request" && field == "tls" {
            let help = "write request.tls.version, or request.tls.client.subject".to_owned();
            self.mistake(node, "`request.tls` as a whole cannot be used", Some(help));
            return None;
        }
        match field {
            "amr" => Some(Kind::List),
            "age" | "authenticated_at" => Some(Kind::Number),
            _ => Some(Kind::Text),
        }
    }
}

impl Walk<'_> {
    /// A field of `request.tls`, or of the certificate there.
    fn tls(&mut self, node: &IdedExpr, select: &SelectExpr, of: &str, fields: &[&str]) -> Option<Kind> {
        self.found.reads.request = true;
        // The version is the client's choice; a certificate was verified.
        self.found.reads.surroundings |= of == "request.tls.client";
        if select.test {
            let help = "request fields are always there; an unset one is ''".to_owned();
            self.mistake(node, "`has` asks for a claim of `user` only", Some(help));
        }
        if !self.known(of, &select.field, fields, node) {
            return None;
        }
        if of == "request.tls" && select.field == "client" {
            return self.whole(node, "request.tls.client", &tls::CLIENT);
        }
        Some(tls::kind(&select.field))
    }

    /// Whether `of` has the field; a mistake where it has not.
    fn known(&mut self, of: &str, field: &str, fields: &[&str], node: &IdedExpr) -> bool {
        if fields.contains(&field) {
            return true;
        }
        let help = nearest(field, fields.iter().copied())
            .map(|near| format!("did you mean `{of}.{near}`?"))
            .unwrap_or_else(|| format!("`{of}` has {}", fields.join(", ")));
        self.mistake(node, format!("`{of}` has no field `{field}`"), Some(help));
        false
    }
}

pub(super) fn is_name(node: &IdedExpr, name: &str) -> bool {
    matches!(&node.expr, Expr::Ident(found) if found == name)
}

pub(super) fn text_literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

pub(super) fn literal_kind(literal: &LiteralValue) -> Option<Kind> {
    match literal {
        LiteralValue::Boolean(_) => Some(Kind::Bool),
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Some(Kind::Number),
        LiteralValue::String(_) => Some(Kind::Text),
        LiteralValue::Null => Some(Kind::Null),
        LiteralValue::Bytes(_) => None,
    }
}
