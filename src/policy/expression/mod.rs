//! One CEL expression, compiled and evaluated. Nothing outside this folder knows the `cel` crate.
//!
//! An expression is bounded before it is parsed ([`bounds`]), its names and types are checked when it is compiled
//! ([`check`]), and what it may cost is limited when it runs ([`scope`]). What it reads is known from then on: the names
//! of claims, and whether it looks at the request or the time of day; one that does not is evaluated once per session.
//!
//! May touch: nothing but memory. Trust boundary: the text is an administrator's; the values are a provider's and a
//! stranger's. The crate's parser and evaluator run inside a panic guard, and a panic there is a failed expression.
//! Specification: the Common Expression Language, cel.dev, without optional values and structures.

mod bounds;
mod calls;
mod check;
mod functions;
mod named;
mod named_check;
mod place;
mod scope;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, Value};

pub(super) use named::{Alias, Definition, Definitions, Named, Truths};
pub(super) use named_check::{names_in, unfit_name};
pub(super) use scope::{BoundClaims, View};

use crate::claims::ClaimValue;

/// What is known of a value's type when an expression is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number of any sort.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// A map.
    Map,
    /// `null`.
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Null => "null",
        })
    }
}

/// A mistake in an expression's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// What was found.
    pub(super) message: String,
    /// The bytes of the expression that are meant.
    pub(super) range: Range<usize>,
    /// What to do.
    pub(super) help: Option<String>,
}

/// Why an evaluation has no result. The texts name claims and types, never a claim's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This claim, member or element is not there.
    Absent(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(name) => write!(f, "`{name}` is absent"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// A compiled expression.
pub(super) struct Expression {
    tree: cel::IdedExpr,
    claims: BTreeSet<Box<str>>,
    places: Vec<(Box<str>, Range<usize>)>,
    uses: BTreeSet<usize>,
    operators: usize,
    depth: usize,
    reads_request: bool,
    kind: Option<Kind>,
    claim_path: Option<Vec<Box<str>>>,
}

impl Expression {
    /// Parses and checks `text`, which can use what is `named`; gives all mistakes that were found.
    pub(super) fn compile(text: &str, named: &Named) -> Result<Self, Vec<Mistake>> {
        let (tree, source) = bounds::parse(text)?;
        let mut checked = check::check(&tree, text, &source, named)?;
        checked.claims.append(&mut checked.inherited);
        let expression = Self {
            operators: bounds::operators(text),
            depth: bounds::depth(&tree, &|name| named.depth(name)),
            claim_path: check::claim_path(&tree),
            tree: bounds::limit(tree),
            claims: checked.claims,
            places: checked.places,
            uses: checked.uses,
            reads_request: checked.reads_request,
            kind: checked.kind,
        };
        expression.check_together(text, named)?;
        Ok(expression)
    }

    /// The top-level claims that it reads, also by what it uses.
    pub(super) fn claims(&self) -> &BTreeSet<Box<str>> {
        &self.claims
    }

    /// The claims that it names itself, each with the first place in its text.
    pub(super) fn places(&self) -> &[(Box<str>, Range<usize>)] {
        &self.places
    }

    /// The definitions that it uses, also by others.
    pub(super) fn uses(&self) -> &BTreeSet<usize> {
        &self.uses
    }

    /// The keys of the claim that it is, where it is one and nothing else.
    pub(super) fn claim_path(&self) -> Option<&[Box<str>]> {
        self.claim_path.as_deref()
    }

    /// Whether it reads the request or the time of day, so that it must be evaluated for every request.
    pub(super) fn is_per_request(&self) -> bool {
        self.reads_request
    }

    /// The type of its value, where it is known.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Evaluates a condition.
    pub(super) fn test(&self, view: &View<'_>) -> Result<bool, Failure> {
        self.evaluate(view, truth_of)
    }

    /// Evaluates a condition within the evaluation of what uses it, and its budget.
    fn test_within(&self, scope: &scope::Scope<'_>) -> Result<bool, Failure> {
        self.evaluate_within(scope, truth_of)
    }

    /// Evaluates to text. A claim that is named directly keeps the exact text that the provider wrote (S06).
    pub(super) fn text(&self, view: &View<'_>) -> Result<String, Failure> {
        match &self.claim_path {
            Some(path) => claim_text(claim_at(path, view)?, path),
            None => self.evaluate(view, text_of),
        }
    }

    /// Evaluates to a list of texts.
    pub(super) fn list(&self, view: &View<'_>) -> Result<Vec<String>, Failure> {
        if let Some(path) = &self.claim_path {
            return match claim_at(path, view)? {
                ClaimValue::List(items) => items.iter().map(|item| claim_text(item, path)).collect(),
                ClaimValue::Null => Err(Failure::Absent(path.join("."))),
                single => claim_text(single, path).map(|text| vec![text]),
            };
        }
        self.evaluate(view, |value| match value.downcast_ref::<CelList>() {
            Some(list) => list.inner().iter().map(|item| text_of(&**item)).collect(),
            None => text_of(value).map(|text| vec![text]),
        })
    }

    fn evaluate<T>(
        &self,
        view: &View<'_>,
        read: impl FnOnce(&(dyn Val + '_)) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let scope = scope::Scope::new(view);
        catch_unwind(AssertUnwindSafe(|| self.evaluate_within(&scope, read)))
            .unwrap_or_else(|_| Err(Failure::Failed("the evaluator panicked".to_owned())))
    }

    fn evaluate_within<T>(
        &self,
        scope: &scope::Scope<'_>,
        read: impl FnOnce(&(dyn Val + '_)) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut context = Context::with_env(Arc::clone(functions::environment()));
        context.set_variable_resolver(scope);
        let value: CowVal<'_, '_> = Value::resolve_val(&self.tree, &context)
            .map_err(|error| scope.why(&error).unwrap_or_else(|| failure(error)))?;
        read(value.as_ref())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("claims", &self.claims).field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn claim_at<'a>(path: &[Box<str>], view: &View<'a>) -> Result<&'a ClaimValue, Failure> {
    let absent = || Failure::Absent(path.join("."));
    let (first, rest) = path.split_first().ok_or_else(absent)?;
    let mut value = view.claims.value(first).ok_or_else(absent)?;
    for key in rest {
        value = match value {
            ClaimValue::Object(members) => members.get(key).ok_or_else(absent)?,
            _ => return Err(absent()),
        };
    }
    Ok(value)
}

fn claim_text(value: &ClaimValue, path: &[Box<str>]) -> Result<String, Failure> {
    match value {
        ClaimValue::Text(text) | ClaimValue::Number(text) => Ok(text.to_string()),
        ClaimValue::Bool(truth) => Ok(truth.to_string()),
        ClaimValue::Null => Err(Failure::Absent(path.join("."))),
        ClaimValue::List(_) => Err(Failure::Failed(format!("`{}` is a list; use a `list` header", path.join(".")))),
        ClaimValue::Object(_) => Err(Failure::Failed(format!("`{}` is an object, not a text", path.join(".")))),
    }
}

fn truth_of(value: &(dyn Val + '_)) -> Result<bool, Failure> {
    match value.downcast_ref::<CelBool>() {
        Some(truth) => Ok(*truth.inner()),
        None => Err(Failure::Failed(format!("the result is {}, not true or false", type_name(value)))),
    }
}

fn text_of(value: &(dyn Val + '_)) -> Result<String, Failure> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(text.inner().to_owned());
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Ok(number.inner().to_string());
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Ok(number.inner().to_string());
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(truth.inner().to_string());
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return finite(*number.inner());
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Err(Failure::Absent("null".to_owned()));
    }
    Err(Failure::Failed(format!("the result is {}, not a text", type_name(value))))
}

fn finite(number: f64) -> Result<String, Failure> {
    if number.is_finite() {
        Ok(number.to_string())
    } else {
        Err(Failure::Failed("the number is not finite".to_owned()))
    }
}

fn type_name(value: &(dyn Val + '_)) -> String {
    value.get_type().name().to_owned()
}

/// The evaluator's error in words that hold no value of a claim.
fn failure(error: ExecutionError) -> Failure {
    let text = match error {
        ExecutionError::NoSuchKey(name) => return Failure::Absent(name.to_string()),
        ExecutionError::IndexOutOfBounds(_) => return Failure::Absent("an element".to_owned()),
        ExecutionError::NoSuchOverload(overload) => {
            format!(
                "`{}` does not take {}",
                operator_name(overload.function()),
                overload.argument_types().join(" and ")
            )
        }
        ExecutionError::UnexpectedType { got, want } => format!("found {got} where {want} is needed"),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known"),
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => {
            format!("`{operator}` does not take values of these types")
        }
        ExecutionError::ValuesNotComparable(..) => "values of different types cannot be compared".to_owned(),
        _ => "a value has the wrong type".to_owned(),
    };
    Failure::Failed(text)
}

/// `_>_` as a person wrote it: `>`.
fn operator_name(name: &str) -> &str {
    match name {
        functions::ADD => "+",
        "_[_]" => "[]",
        "_._" => ".",
        "_?_:_" => "?:",
        other => other.trim_matches(['_', '@']),
    }
}

#[cfg(test)]
mod tests;
