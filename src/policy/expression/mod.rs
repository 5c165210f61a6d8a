//! One CEL expression, compiled and evaluated. Nothing outside this folder knows the `cel` crate.
//!
//! An expression is bounded before it is parsed ([`bounds`]), its names and types are checked when it is compiled
//! ([`check`]), and what it may cost is built into the tree that is evaluated ([`lower`]). What it reads is known from then on: the
//! names of claims, parameters and fields, and whether it looks at the request or the time of day; one that does not is
//! evaluated once per session.
//!
//! May touch: nothing but memory. Trust boundary: the text is an administrator's; the values are a provider's and a
//! stranger's. The crate's parser and evaluator run inside a panic guard, and a panic there is a failed expression.
//! Specification: the Common Expression Language, cel.dev, without optional values and structures.

mod arguments;
mod bounds;
mod calls;
mod check;
mod constant;
mod functions;
mod json;
mod looked_up;
mod lower;
mod named;
mod named_check;
mod outcome;
mod place;
mod plain;
mod re2;
mod scan;
mod scope;
mod seen;
mod spelled;
mod tls;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::SourceInfo;
use cel::common::types::CelList;
use cel::common::value::{CowVal, Val};
use cel::{Context, Value};

pub(super) use named::{Alias, Definition, Definitions, Named, Truths};
pub(super) use named_check::{names_in, unfit_name};
pub(super) use outcome::Failure;
pub(super) use scope::{BoundClaims, View};
pub use seen::Seen;
pub(super) use seen::{fields_read, seen};

use self::outcome::{failure, text_of, truth_of};
use crate::claims::{ClaimValue, Claims};

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

/// A compiled expression.
pub(super) struct Expression {
    tree: cel::IdedExpr,
    constants: Vec<constant::Constant>,
    about: Box<About>,
    kind: Option<Kind>,
    claim_path: Option<Vec<Box<str>>>,
    /// The same as a condition that needs no evaluator, where it is one.
    plain: Option<plain::Plain>,
}

/// What is known of an expression and not needed to evaluate it.
struct About {
    reads: Reads,
    places: Vec<(Box<str>, Range<usize>)>,
    uses: BTreeSet<usize>,
    operators: usize,
    depth: usize,
    warnings: Vec<Mistake>,
}

/// What an expression looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Top-level claims.
    pub(super) claims: BTreeSet<Box<str>>,
    /// Parameters of the query.
    pub(super) parameters: BTreeSet<Box<str>>,
    /// Fields of the request's head, in lower case.
    pub(super) headers: BTreeSet<Box<str>>,
    /// Whether it looks at the request or the time, so that it must be evaluated for every request.
    pub(super) request: bool,
    /// Whether it looks at the request's path.
    pub(super) path: bool,
    /// Whether it looks at the session, the client's address, its certificate or the time: what no client chooses.
    pub(super) surroundings: bool,
    /// Whether it looks at when the person signed in.
    pub(super) sign_in: bool,
}

impl Reads {
    /// Looks at everything that another one looks at, too.
    fn take_over(&mut self, other: &Self) {
        self.claims.extend(other.claims.iter().cloned());
        self.parameters.extend(other.parameters.iter().cloned());
        self.headers.extend(other.headers.iter().cloned());
        self.request |= other.request;
        self.path |= other.path;
        self.surroundings |= other.surroundings;
        self.sign_in |= other.sign_in;
    }

    /// Whether all that it looks at is fields that a client fills in as it likes.
    pub(super) fn only_what_clients_say(&self) -> bool {
        !self.headers.is_empty() && self.claims.is_empty() && !self.surroundings
    }
}

impl Expression {
    /// Parses and checks `text`, which can use what is `named`; gives all mistakes that were found.
    pub(super) fn compile(text: &str, named: &Named) -> Result<Self, Vec<Mistake>> {
        let (tree, checked) = match read_quickly(text, named) {
            Some(read) => read,
            None => {
                let (tree, source) = bounds::parse(text)?;
                let checked = check::check(&tree, text, &source, named)?;
                (tree, checked)
            }
        };
        let (depth, claim_path) = (bounds::depth(&tree, &|name| named.depth(name)), check::claim_path(&tree));
        let (tree, constants) = lower::lower(tree, checked.constants);
        let check::Checked { mut reads, inherited, places, uses, kind, warnings, .. } = checked;
        reads.take_over(&inherited);
        let operators = bounds::operators(text);
        let about = Box::new(About { reads, places, uses, operators, depth, warnings });
        let plain = plain::Plain::of(&tree);
        let expression = Self { tree, constants, about, kind, claim_path, plain };
        expression.check_together(text, named)?;
        Ok(expression)
    }

    /// What it looks at, also by what it uses.
    pub(super) fn reads(&self) -> &Reads {
        &self.about.reads
    }

    /// The top-level claims that it reads, also by what it uses.
    pub(super) fn claims(&self) -> &BTreeSet<Box<str>> {
        &self.about.reads.claims
    }

    /// What an administrator should think about again.
    pub(super) fn warnings(&self) -> &[Mistake] {
        &self.about.warnings
    }

    /// The claims that it names itself, each with the first place in its text.
    pub(super) fn places(&self) -> &[(Box<str>, Range<usize>)] {
        &self.about.places
    }

    /// The definitions that it uses, also by others.
    pub(super) fn uses(&self) -> &BTreeSet<usize> {
        &self.about.uses
    }

    /// The keys of the claim that it is, where it is one and nothing else.
    pub(super) fn claim_path(&self) -> Option<&[Box<str>]> {
        self.claim_path.as_deref()
    }

    /// Whether it reads the request or the time of day, so that it must be evaluated for every request.
    pub(super) fn is_per_request(&self) -> bool {
        self.about.reads.request
    }

    /// The type of its value, where it is known.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Evaluates a condition.
    pub(super) fn test(&self, view: &View<'_>) -> Result<bool, Failure> {
        match self.known_plainly(view) {
            Some(truth) => Ok(truth),
            None => self.evaluate(view, truth_of),
        }
    }

    /// Evaluates a condition within the evaluation of what uses it, and its budget.
    fn test_within<'a>(&'a self, scope: &scope::Scope<'a>) -> Result<bool, Failure> {
        match self.known_plainly(scope.view()) {
            Some(truth) => Ok(truth),
            None => evaluate_within(&self.tree, &scope.of(&self.constants), truth_of),
        }
    }

    fn known_plainly(&self, view: &View<'_>) -> Option<bool> {
        self.plain.as_ref()?.test(view.claims)
    }

    /// Evaluates to text. A claim that is named directly keeps the exact text that the provider wrote (S06).
    pub(super) fn text<'v>(&self, view: &View<'v>) -> Result<Cow<'v, str>, Failure> {
        match &self.claim_path {
            Some(path) => claim_text(claim_at(path, view)?, path),
            None => self.evaluate(view, text_of).map(Cow::Owned),
        }
    }

    /// Evaluates to a list of texts.
    pub(super) fn list<'v>(&self, view: &View<'v>) -> Result<Vec<Cow<'v, str>>, Failure> {
        if let Some(path) = &self.claim_path {
            return match claim_at(path, view)? {
                ClaimValue::List(items) => items.iter().map(|item| claim_text(item, path)).collect(),
                ClaimValue::Null => Err(Failure::Absent(path.join("."))),
                single => claim_text(single, path).map(|text| vec![text]),
            };
        }
        self.evaluate(view, |value| match value.downcast_ref::<CelList>() {
            Some(list) => list.inner().iter().map(|item| text_of(&**item).map(Cow::Owned)).collect(),
            None => text_of(value).map(|text| vec![Cow::Owned(text)]),
        })
    }

    /// Evaluates to JSON in printable ASCII. A claim that is named directly keeps the exact text of its numbers.
    pub(super) fn json(&self, view: &View<'_>) -> Result<String, Failure> {
        let mut text = String::new();
        match &self.claim_path {
            Some(path) => match claim_at(path, view)? {
                ClaimValue::Null => return Err(Failure::Absent(path.join("."))),
                value => value.write_json(&mut text),
            },
            None => match self.evaluate(view, |value| json::value_of(value, 0))? {
                ClaimValue::Null => return Err(Failure::Absent("null".to_owned())),
                value => value.write_json(&mut text),
            },
        }
        Ok(text)
    }

    fn evaluate<T>(
        &self,
        view: &View<'_>,
        read: impl FnOnce(&(dyn Val + '_)) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        evaluate(&self.tree, &self.constants, view, read)
    }
}

/// Evaluates a tree that was lowered, or a part of one.
fn evaluate<T>(
    tree: &cel::IdedExpr,
    constants: &[constant::Constant],
    view: &View<'_>,
    read: impl FnOnce(&(dyn Val + '_)) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let shared = scope::Shared::default();
    let scope = scope::Scope::new(view, constants, &shared);
    catch_unwind(AssertUnwindSafe(|| evaluate_within(tree, &scope, read)))
        .unwrap_or_else(|_| Err(Failure::Failed("the evaluator panicked".to_owned())))
}

fn evaluate_within<T>(
    tree: &cel::IdedExpr,
    scope: &scope::Scope<'_>,
    read: impl FnOnce(&(dyn Val + '_)) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut context = Context::with_env(Arc::clone(functions::environment()));
    context.set_variable_resolver(scope);
    let value: CowVal<'_, '_> =
        Value::resolve_val(tree, &context).map_err(|error| scope.why(&error).unwrap_or_else(|| failure(error)))?;
    read(value.as_ref())
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("reads", &self.about.reads).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The tree and what is known of it, where there is nothing to say to a person: the small parser knows no places.
fn read_quickly(text: &str, named: &Named) -> Option<(cel::IdedExpr, check::Checked)> {
    let tree = bounds::parse_quickly(text)?;
    let checked = check::check(&tree, text, &SourceInfo::default(), named).ok()?;
    checked.warnings.is_empty().then_some((tree, checked))
}

fn claim_at<'a>(path: &[Box<str>], view: &View<'a>) -> Result<&'a ClaimValue, Failure> {
    claim_in(path, view.claims).ok_or_else(|| Failure::Absent(path.join(".")))
}

/// What stands under these keys, from the outermost.
fn claim_in<'a>(path: &[Box<str>], claims: &'a Claims) -> Option<&'a ClaimValue> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.value(first)?, |value, key| match value {
        ClaimValue::Object(members) => members.get(key),
        _ => None,
    })
}

fn claim_text<'c>(value: &'c ClaimValue, path: &[Box<str>]) -> Result<Cow<'c, str>, Failure> {
    match value {
        ClaimValue::Text(text) | ClaimValue::Number(text) => Ok(Cow::Borrowed(text)),
        ClaimValue::Bool(truth) => Ok(Cow::Borrowed(if *truth { "true" } else { "false" })),
        ClaimValue::Null => Err(Failure::Absent(path.join("."))),
        ClaimValue::List(_) => Err(Failure::Failed(format!("`{}` is a list; use a `list` header", path.join(".")))),
        ClaimValue::Object(_) => Err(Failure::Failed(format!("`{}` is an object, not a text", path.join(".")))),
    }
}

#[cfg(test)]
mod tests;
