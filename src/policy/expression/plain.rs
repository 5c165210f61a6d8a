//! Conditions that are answered from the claims as they came, without the evaluator.
//!
//! Most conditions of policies ask whether a group stands in a claim, or whether a claim is a text: `'staff' in user.groups`,
//! `user.department == 'sales'`, and `&&`, `||` and `!` of those. For these nothing is brought into the evaluator's form. Only what is
//! beyond doubt is answered: where a claim is absent or of another type, the evaluator says what that means.
//!
//! May touch: nothing but memory. Trust boundary: the tree has passed the check; claims are a provider's.
//! Specification: the Common Expression Language, cel.dev, sections "Equality", "Logical Operators" and the `in` of lists.

use cel::IdedExpr;
use cel::common::ast::{Expr, operators};

use super::check::{claim_path, text_literal};
use super::claim_in;
use super::functions::{DIFFERS, EQUALS, WITHIN};
use crate::claims::{ClaimValue, Claims};

/// A condition in this form.
#[derive(Debug)]
pub(super) enum Plain {
    /// `'text' in user.a.b`
    Member { text: Box<str>, list: Vec<Box<str>> },
    /// `user.a.b == 'text'`
    Equal { claim: Vec<Box<str>>, text: Box<str> },
    /// `!a`
    Not(Box<Self>),
    /// `a && b`
    Both(Box<[Self; 2]>),
    /// `a || b`
    Either(Box<[Self; 2]>),
}

impl Plain {
    /// A lowered tree in this form, where it has one.
    pub(super) fn of(tree: &IdedExpr) -> Option<Self> {
        let Expr::Call(call) = &tree.expr else { return None };
        if call.target.is_some() {
            return None;
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (WITHIN, [item, list]) => Some(Self::Member { text: text_literal(item)?.into(), list: claim_path(list)? }),
            (EQUALS, [left, right]) => Self::equal(left, right).or_else(|| Self::equal(right, left)),
            (DIFFERS, [left, right]) => {
                let equal = Self::equal(left, right).or_else(|| Self::equal(right, left));
                equal.map(|equal| Self::Not(Box::new(equal)))
            }
            (operators::LOGICAL_NOT, [operand]) => Self::of(operand).map(|operand| Self::Not(Box::new(operand))),
            (operators::LOGICAL_AND, [left, right]) => Some(Self::Both(Box::new([Self::of(left)?, Self::of(right)?]))),
            (operators::LOGICAL_OR, [left, right]) => Some(Self::Either(Box::new([Self::of(left)?, Self::of(right)?]))),
            _ => None,
        }
    }

    fn equal(claim: &IdedExpr, text: &IdedExpr) -> Option<Self> {
        Some(Self::Equal { text: text_literal(text)?.into(), claim: claim_path(claim)? })
    }

    /// Whether it holds; nothing where the evaluator has to be asked.
    pub(super) fn test(&self, claims: &Claims) -> Option<bool> {
        match self {
            Self::Member { text, list } => match claim_in(list, claims)? {
                ClaimValue::List(items) => holds_text(items, text),
                _ => None,
            },
            Self::Equal { claim, text } => claim_in(claim, claims)?.as_text().map(|found| *found == **text),
            Self::Not(operand) => operand.test(claims).map(|truth| !truth),
            Self::Both(operands) => Self::decided_by(false, operands, claims),
            Self::Either(operands) => Self::decided_by(true, operands, claims),
        }
    }

    /// One operand that is `truth` decides, whatever the other is.
    fn decided_by(truth: bool, [left, right]: &[Self; 2], claims: &Claims) -> Option<bool> {
        let left = left.test(claims);
        if left == Some(truth) {
            return left;
        }
        let right = right.test(claims);
        if right == Some(truth) { right } else { left.and(right) }
    }
}

/// Whether a list that has texts only has this one. A number's form in the evaluator depends on its size, so it is not judged here.
fn holds_text(items: &[ClaimValue], text: &str) -> Option<bool> {
    let found = items.iter().map(|item| item.as_text().map(|found| found == text));
    found.reduce(|all, one| Some(all? | one?)).unwrap_or(Some(false))
}
