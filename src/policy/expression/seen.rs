//! What each part of an expression came to: the operands of `&&`, `||`, `!` and `?:`, and the values that were read.
//!
//! Every part is evaluated by itself, by the same evaluator and from the same compiled tree that decides, so a part that the
//! whole did not need (the second operand of a false `&&`) has a value here too.
//!
//! May touch: nothing but memory. Cost: the expression, once for each part; for those who ask why, never on a request's way.
//! Trust boundary: the values are a provider's and a stranger's; what is long is cut for showing.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, operators};
use cel::common::types::{CelBool, CelList, CelString};
use cel::common::value::Val;
use serde::Serialize;

use super::spelled::{operands, spelled, unguarded};
use super::{Expression, Failure, View, check, claim_at, evaluate, text_of, type_name};
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

impl Expression {
    /// The value of every part.
    pub(in crate::policy) fn seen(&self, view: &View<'_>) -> Seen {
        see(&self.tree, view)
    }

    /// What of claims, request and session it reads, as it is written: `user.groups`, `request.path`.
    pub(in crate::policy) fn reads(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.tree, &mut found);
        let mut texts: Vec<_> = found.into_iter().map(spelled).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }
}

fn see(node: &IdedExpr, view: &View<'_>) -> Seen {
    let parts = match &node.expr {
        Expr::Call(call) if matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR) => {
            operands(node, &call.func_name).into_iter().map(|operand| see(operand, view)).collect()
        }
        Expr::Call(call) if matches!(call.func_name.as_str(), operators::LOGICAL_NOT | operators::CONDITIONAL) => {
            call.args.iter().map(|operand| see(operand, view)).collect()
        }
        _ => read_by(node, view),
    };
    part(node, view, parts)
}

fn part(node: &IdedExpr, view: &View<'_>, parts: Vec<Seen>) -> Seen {
    let text = spelled(node);
    match value(node, view) {
        Ok(value) => Seen { text, value: Some(cut(value)), error: None, parts },
        Err(why) => Seen { text, value: None, error: Some(why.to_string()), parts },
    }
}

/// The values that a part reads, each once.
fn read_by(node: &IdedExpr, view: &View<'_>) -> Vec<Seen> {
    let mut found = Vec::new();
    collect(node, &mut found);
    let mut seen: Vec<Seen> = Vec::new();
    for read in found.into_iter().filter(|read| !std::ptr::eq(*read, node)) {
        let read = part(read, view, Vec::new());
        if seen.iter().all(|known| known.text != read.text) {
            seen.push(read);
        }
    }
    seen
}

/// The claims and fields below `node`, each as far as its path of names goes.
fn collect<'t>(node: &'t IdedExpr, found: &mut Vec<&'t IdedExpr>) {
    if is_read(node) {
        found.push(node);
    } else {
        children(node).into_iter().for_each(|child| collect(child, found));
    }
}

fn is_read(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Ident(name) => name == "now" || name == "app",
        Expr::Select(select) if !select.test => {
            check::claim_path(node).is_some()
                || matches!(&select.operand.expr, Expr::Ident(name) if name == "request" || name == "session")
        }
        _ => check::claim_path(node).is_some(),
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

fn value(node: &IdedExpr, view: &View<'_>) -> Result<String, Failure> {
    if let Some(path) = check::claim_path(node) {
        return match claim_at(&path, view)? {
            ClaimValue::Null => Ok("null".to_owned()),
            claim => Ok(serde_json::to_string(&AsJson(claim)).unwrap_or_default()),
        };
    }
    evaluate(node, view, |value| Ok(shown(value)))
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
