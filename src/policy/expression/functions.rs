//! The functions that expressions can call, and the guards that [`bounds`](super::bounds) builds into every tree.
//!
//! May touch: nothing but memory. Trust boundary: arguments come from claims and requests; every function bounds what it
//! returns ([`MAX_TEXT`], [`MAX_ITEMS`]).

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use cel::common::types::{CelList, CelString, DYN_TYPE, INT_TYPE, LIST_TYPE, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::Kind;

/// The guarded form of `+`.
pub(super) const ADD: &str = "@add";
/// The guard of a comprehension's range.
pub(super) const RANGE: &str = "@range";
/// The variable that holds the evaluation's [`Budget`].
pub(super) const BUDGET: &str = "@budget";

/// The longest text that an expression can build, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// The longest list that an expression can build.
const MAX_ITEMS: usize = 4096;
/// How many steps all comprehensions of one evaluation can take together.
const MAX_STEPS: u32 = 20_000;

/// A method that a value has: `value.name(arguments)`.
pub(super) struct Member {
    /// Its name.
    pub(super) name: &'static str,
    /// The kind of value that it is called on, where it is only one.
    pub(super) of: Option<Kind>,
    /// How many arguments it takes, least and most.
    pub(super) arguments: (usize, usize),
    /// What it returns.
    pub(super) returns: Kind,
}

const fn member(name: &'static str, of: Option<Kind>, arguments: (usize, usize), returns: Kind) -> Member {
    Member { name, of, arguments, returns }
}

/// All methods.
pub(super) const MEMBERS: [Member; 9] = [
    member("contains", Some(Kind::Text), (1, 1), Kind::Bool),
    member("endsWith", Some(Kind::Text), (1, 1), Kind::Bool),
    member("join", Some(Kind::List), (0, 1), Kind::Text),
    member("lower", Some(Kind::Text), (0, 0), Kind::Text),
    member("size", None, (0, 0), Kind::Number),
    member("split", Some(Kind::Text), (1, 1), Kind::List),
    member("startsWith", Some(Kind::Text), (1, 1), Kind::Bool),
    member("trim", Some(Kind::Text), (0, 0), Kind::Text),
    member("upper", Some(Kind::Text), (0, 0), Kind::Text),
];

/// All functions `name(value)`, each of one argument, and what they return.
pub(super) const FUNCTIONS: [(&str, Kind); 6] = [
    ("bool", Kind::Bool),
    ("double", Kind::Number),
    ("int", Kind::Number),
    ("size", Kind::Number),
    ("string", Kind::Text),
    ("uint", Kind::Number),
];

/// The names of what the parser expands: `has(x)` and, on a list, `.all`, `.exists`, `.exists_one`, `.filter`, `.map`.
pub(super) const MACROS: [&str; 6] = ["all", "exists", "exists_one", "filter", "has", "map"];

/// The environment of all expressions.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut environment = Env::stdlib().with_optional_support(false);
        // A name that is already declared is a programming error; the tests call every function once.
        let declared = declare(&mut environment);
        debug_assert!(declared.is_ok(), "{declared:?}");
        Arc::new(environment)
    });
    &ENVIRONMENT
}

fn declare(to: &mut Env) -> Result<(), DeclarationError> {
    to.add_overload(ADD, "lychgate_add", vec![DYN_TYPE, DYN_TYPE], add)?;
    to.add_overload(RANGE, "lychgate_range", vec![DYN_TYPE, DYN_TYPE], range)?;
    to.add_member_overload("lower", "lychgate_lower", STRING_TYPE, vec![], lower)?;
    to.add_member_overload("upper", "lychgate_upper", STRING_TYPE, vec![], upper)?;
    to.add_member_overload("trim", "lychgate_trim", STRING_TYPE, vec![], trim)?;
    to.add_member_overload("split", "lychgate_split", STRING_TYPE, vec![STRING_TYPE], split)?;
    to.add_member_overload("join", "lychgate_join", LIST_TYPE, vec![], join)?;
    to.add_member_overload("join", "lychgate_join_with", LIST_TYPE, vec![STRING_TYPE], join)
}

/// How many steps an evaluation has left.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    /// A whole budget.
    pub(super) fn full() -> Self {
        Self(AtomicU32::new(MAX_STEPS))
    }

    fn spend(&self, steps: u32) -> Result<(), ExecutionError> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(steps);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(|_| ()).ok_or_else(|| ExecutionError::function_error("list", "too many steps"))
    }
}

impl Val for Budget {
    fn get_type(&self) -> &Type {
        &INT_TYPE
    }

    fn cel_type() -> &'static Type {
        &INT_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Self(AtomicU32::new(self.0.load(Ordering::Relaxed))))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

fn add<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let [left, right] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    if size_of(left.as_ref()).saturating_add(size_of(right.as_ref())) > limit_of(left.as_ref()) {
        return Err(ExecutionError::function_error("+", "the result is too large"));
    }
    let overload = || {
        let types = [left, right].map(|value| value.get_type().name().to_owned());
        ExecutionError::no_such_overload("_+_", types.to_vec())
    };
    let adder = left.as_adder().ok_or_else(overload)?;
    Ok(CowVal::Owned(adder.add(right.as_ref()).map_err(|_| overload())?.into_owned()))
}

fn range<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let mut arguments = arguments.into_iter();
    let (Some(list), Some(budget)) = (arguments.next(), arguments.next()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    if let Some(budget) = budget.downcast_ref::<Budget>() {
        let items = list.as_sizer().map_or(0, |sizer| *sizer.size().inner());
        budget.spend(u32::try_from(items).unwrap_or(u32::MAX))?;
    }
    Ok(list)
}

/// The bytes of a text, the items of a list or map; 0 for what has no size.
fn size_of(value: &(dyn Val + '_)) -> usize {
    match value.downcast_ref::<CelString>() {
        Some(text) => text.inner().len(),
        None => value.as_sizer().map_or(0, |sizer| usize::try_from(*sizer.size().inner()).unwrap_or(usize::MAX)),
    }
}

fn limit_of(value: &(dyn Val + '_)) -> usize {
    if value.downcast_ref::<CelString>().is_some() { MAX_TEXT } else { MAX_ITEMS }
}

fn lower<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    text(text_at(&arguments, 0)?.to_lowercase())
}

fn upper<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    text(text_at(&arguments, 0)?.to_uppercase())
}

fn trim<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    text(text_at(&arguments, 0)?.trim().to_owned())
}

fn split<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (whole, separator) = (text_at(&arguments, 0)?, text_at(&arguments, 1)?);
    if separator.is_empty() {
        return Err(ExecutionError::function_error("split", "the separator is empty"));
    }
    if whole.matches(separator).take(MAX_ITEMS).count() == MAX_ITEMS {
        return Err(ExecutionError::function_error("split", "the result is too large"));
    }
    let parts: Vec<Box<dyn Val + 'v>> =
        whole.split(separator).map(|part| Box::new(CelString::from(part.to_owned())) as Box<dyn Val + 'v>).collect();
    Ok(CowVal::owned(CelList::from(parts)))
}

fn join<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let list = arguments
        .first()
        .and_then(|list| list.downcast_ref::<CelList>())
        .ok_or_else(ExecutionError::missing_argument_or_target)?;
    let separator = if arguments.len() > 1 { text_at(&arguments, 1)? } else { "" };
    let mut joined = String::new();
    for (at, item) in list.inner().iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        let part = item.downcast_ref::<CelString>();
        let part = part.ok_or_else(|| ExecutionError::function_error("join", "an element is no text"))?;
        joined.push_str(part.inner());
        if joined.len() > MAX_TEXT {
            return Err(ExecutionError::function_error("join", "the result is too large"));
        }
    }
    text(joined)
}

fn text_at<'a>(arguments: &'a Arguments<'_, '_>, at: usize) -> Result<&'a str, ExecutionError> {
    arguments
        .get(at)
        .and_then(|value| value.downcast_ref::<CelString>())
        .map(CelString::inner)
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

fn text<'b, 'v>(text: String) -> Answer<'b, 'v> {
    if text.len() > MAX_TEXT {
        return Err(ExecutionError::function_error("text", "the result is too large"));
    }
    Ok(CowVal::owned(CelString::from(text)))
}
