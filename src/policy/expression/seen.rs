//! What each part of an expression came to: the operands of `&&`, `||`, `!` and `?:`, and the values that were read.
//!
//! The text is read again as it was when the policy was compiled, and every part is lowered and evaluated by itself, by the same
//! evaluator that decides, so a part that the whole did not need (the second operand of a false `&&`) has a value here too.
//!
//! May touch: nothing but memory. Cost: the expression, once for each part; for those who ask why, never on a request's way.
//! Trust boundary: the values are a provider's and a stranger's; what is long is cut for showing.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, operators};
use cel::common::types::{CelBool, CelList, CelString};
use cel::common::value::Val;
use serde::Serialize;

use super::outcome::{Failure, text_of, type_name};
use super::spelled::{operands, spelled, unguarded};
use super::{Named, View, bounds, check, claim_at, evaluate, lower, named_check, tls};
use crate::claims::{AsJson, ClaimValue};

/// The longest value that is shown whole, in bytes.
const MAX_SHOWN: usize = 400;

/// A part of an expression and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The part's text.
    pub text: String,
    /// Its value as JSON, cut where it is long; none where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its operands, or what it read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Seen>,
}

/// The value of every part of an expression that was compiled from `text`.
pub(in crate::policy) fn seen(text: &str, view: &View<'_>) -> Seen {
    let named = view.definitions.named;
    let read = bounds::parse(text).ok().and_then(|(tree, source)| {
        let checked = check::check(&tree, text, &source, named).ok()?;
        Some((tree, checked.constants))
    });
    match read {
        Some((tree, constants)) => Looking { view, constants }.see(&tree),
        None => Seen { text: text.to_owned(), value: None, error: Some("it cannot be read".to_owned()), parts: vec![] },
    }
}

/// What of claims, request and session an expression reads itself, as it is written: `user.groups`, `request.path`.
pub(in crate::policy) fn fields_read(text: &str) -> Vec<String> {
    let Ok((tree, _)) = bounds::parse(text) else { return Vec::new() };
    let mut found = Vec::new();
    collect(&tree, &Named::default(), &mut found);
    let mut texts: Vec<_> = found.into_iter().map(spelled).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// One look at an expression.
struct Looking<'v, 'a> {
    view: &'v View<'a>,
    /// Its literals in the form in which they are used, by node.
    constants: lower::Found,
}

impl Looking<'_, '_> {
    fn see(&self, node: &IdedExpr) -> Seen {
        let parts = match &node.expr {
            Expr::Call(call) if matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR) => {
                operands(node, &call.func_name).into_iter().map(|operand| self.see(operand)).collect()
            }
            Expr::Call(call) if matches!(call.func_name.as_str(), operators::LOGICAL_NOT | operators::CONDITIONAL) => {
                call.args.iter().map(|operand| self.see(operand)).collect()
            }
            _ => self.read_by(node),
        };
        self.part(node, parts)
    }

    fn part(&self, node: &IdedExpr, parts: Vec<Seen>) -> Seen {
        let text = spelled(node);
        match self.value(node) {
            Ok(value) => Seen { text, value: Some(cut(value)), error: None, parts },
            Err(why) => Seen { text, value: None, error: Some(why.to_string()), parts },
        }
    }

    /// The values that a part reads, each once.
    fn read_by(&self, node: &IdedExpr) -> Vec<Seen> {
        let mut found = Vec::new();
        collect(node, self.view.definitions.named, &mut found);
        let mut seen: Vec<Seen> = Vec::new();
        for read in found.into_iter().filter(|read| !std::ptr::eq(*read, node)) {
            let read = self.part(read, Vec::new());
            if seen.iter().all(|known| known.text != read.text) {
                seen.push(read);
            }
        }
        seen
    }

    fn value(&self, node: &IdedExpr) -> Result<String, Failure> {
        if let Some(path) = check::claim_path(node) {
            return match claim_at(&path, self.view)? {
                ClaimValue::Null => Ok("null".to_owned()),
                claim => Ok(serde_json::to_string(&AsJson(claim)).unwrap_or_default()),
            };
        }
        let (tree, constants) = lower::lower(node.clone(), self.constants.clone());
        evaluate(&tree, &constants, self.view, |value| Ok(shown(value)))
    }
}

/// The claims and fields below `node`, each as far as its path of names goes.
fn collect<'t>(node: &'t IdedExpr, named: &Named, found: &mut Vec<&'t IdedExpr>) {
    if is_read(node, named) {
        found.push(node);
    } else {
        children(node).into_iter().for_each(|child| collect(child, named, found));
    }
}

fn is_read(node: &IdedExpr, named: &Named) -> bool {
    if lower::chosen(node).is_some() || check::claim_path(node).is_some() {
        return true;
    }
    match &node.expr {
        Expr::Ident(name) => name == "now" || name == "app" || named.is_condition(name),
        Expr::Call(call) => named_check::as_variable(call).is_some(),
        Expr::Select(select) if !select.test => match &select.operand.expr {
            Expr::Ident(name) => name == "request" || name == "session",
            Expr::Select(_) => tls::is_tls(&select.operand) || tls::is_client(&select.operand),
            _ => false,
        },
        _ => false,
    }
}

fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&*select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Expr::Comprehension(loops) => vec![unguarded(&loops.iter_range), &loops.loop_step],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Vec::new(),
    }
}

fn shown(value: &(dyn Val + '_)) -> String {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return serde_json::to_string(text.inner()).unwrap_or_default();
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return truth.inner().to_string();
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        return format!("[{}]", list.inner().iter().map(|item| shown(&**item)).collect::<Vec<_>>().join(","));
    }
    match text_of(value) {
        Ok(text) => text,
        Err(Failure::Absent(_)) => "null".to_owned(),
        Err(Failure::Failed(_)) => type_name(value),
    }
}

fn cut(mut value: String) -> String {
    let length = value.len();
    if length > MAX_SHOWN {
        let mut end = MAX_SHOWN;
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
        value.push_str(&format!("… ({length} bytes)"));
    }
    value
}
