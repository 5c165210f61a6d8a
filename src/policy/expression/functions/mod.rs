//! The functions that expressions can call: one table for checking, lowering, evaluating and for messages.
//!
//! Names and behaviour are those of CEL's standard library and its well-known extensions (strings, lists, encoders) where
//! they have the function. What is our own ([`Function::run`]) is called under another name that a text cannot spell, with the
//! [`Budget`] as its last argument: see [`lower`](super::lower).
//!
//! May touch: nothing but memory. Trust boundary: arguments come from claims and requests; every function bounds what it
//! returns ([`MAX_TEXT`], [`MAX_ITEMS`]) and spends steps for what it reads.

mod address;
mod budget;
mod encode;
mod equal;
mod list;
mod text;
mod time;

use std::sync::{Arc, LazyLock};

use cel::common::functions::Function as Run;
use cel::common::types::{CelInt, CelList, CelString, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::Kind;

pub(super) use budget::{ADD, BUDGET, Budget, RANGE, WEIGH};
pub(super) use equal::{DIFFERS, EQUALS, WITHIN};
pub(super) use time::{TimeText, time_of};

/// The longest text that an expression can build, in bytes.
pub(super) const MAX_TEXT: usize = 64 * 1024;
/// The longest list that an expression can build.
pub(super) const MAX_ITEMS: usize = 4096;

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// One function.
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// How it is called.
    pub(super) style: Style,
    /// What it takes, besides the value that it is called on.
    pub(super) arguments: &'static [Argument],
    /// How many of the arguments must be given.
    pub(super) required: usize,
    /// What it returns, where that is known.
    pub(super) returns: Option<Kind>,
    /// What it does; none where it is the crate's own.
    run: Option<Run>,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `value.name(…)`, on this kind of value where it is only one.
    After(Option<Kind>),
    /// `name(…)`.
    Plain,
    /// `namespace.name(…)`.
    In(&'static str),
}

/// What an argument can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Anything.
    Any,
    /// A value of this kind.
    Of(Kind),
    /// A list, or a text that stands for a list of one.
    Texts,
    /// A regular expression, as a literal.
    Pattern,
    /// Networks or addresses, as literals.
    Networks,
    /// A time zone, as a literal.
    Zone,
    /// A date, a moment or a length of time, read when the policy is compiled where it is a literal.
    Time(TimeText),
}

const TEXT: Option<Kind> = Some(Kind::Text);
const NUMBER: Option<Kind> = Some(Kind::Number);
const BOOL: Option<Kind> = Some(Kind::Bool);
const LIST: Option<Kind> = Some(Kind::List);
const ANY: &[Argument] = &[Argument::Any];
const A_TEXT: &[Argument] = &[Argument::Of(Kind::Text)];
const TEXT_NUMBER: &[Argument] = &[Argument::Of(Kind::Text), Argument::Of(Kind::Number)];
const NUMBERS: &[Argument] = &[Argument::Of(Kind::Number), Argument::Of(Kind::Number)];
const REPLACE: &[Argument] = &[Argument::Of(Kind::Text), Argument::Of(Kind::Text), Argument::Of(Kind::Number)];
const ZONE: &[Argument] = &[Argument::Zone];
const TWO_LISTS: &[Argument] = &[Argument::Texts, Argument::Texts];

const fn of_the_crate(
    name: &'static str,
    style: Style,
    arguments: &'static [Argument],
    returns: Option<Kind>,
) -> Function {
    Function { name, style, arguments, required: arguments.len(), returns, run: None }
}

const fn own(
    name: &'static str,
    style: Style,
    arguments: &'static [Argument],
    required: usize,
    returns: Option<Kind>,
    run: Run,
) -> Function {
    Function { name, style, arguments, required, returns, run: Some(run) }
}

const ON_TEXT: Style = Style::After(TEXT);
const ON_LIST: Style = Style::After(LIST);
const ON_TIME: Style = Style::After(NUMBER);

/// All functions.
pub(super) static FUNCTIONS: [Function; 47] = [
    of_the_crate("bool", Style::Plain, ANY, BOOL),
    of_the_crate("contains", ON_TEXT, A_TEXT, BOOL),
    of_the_crate("double", Style::Plain, ANY, NUMBER),
    of_the_crate("endsWith", ON_TEXT, A_TEXT, BOOL),
    of_the_crate("int", Style::Plain, ANY, NUMBER),
    of_the_crate("size", Style::After(None), &[], NUMBER),
    of_the_crate("size", Style::Plain, ANY, NUMBER),
    of_the_crate("startsWith", ON_TEXT, A_TEXT, BOOL),
    of_the_crate("string", Style::Plain, ANY, TEXT),
    of_the_crate("uint", Style::Plain, ANY, NUMBER),
    own("charAt", ON_TEXT, &[Argument::Of(Kind::Number)], 1, TEXT, text::char_at),
    own("indexOf", ON_TEXT, TEXT_NUMBER, 1, NUMBER, text::index_of),
    own("lastIndexOf", ON_TEXT, A_TEXT, 1, NUMBER, text::last_index_of),
    own("lower", ON_TEXT, &[], 0, TEXT, text::lower),
    own("lowerAscii", ON_TEXT, &[], 0, TEXT, text::lower_ascii),
    own("matches", ON_TEXT, &[Argument::Pattern], 1, BOOL, text::matches),
    own("replace", ON_TEXT, REPLACE, 2, TEXT, text::replace),
    own("split", ON_TEXT, TEXT_NUMBER, 1, LIST, text::split),
    own("substring", ON_TEXT, NUMBERS, 1, TEXT, text::substring),
    own("trim", ON_TEXT, &[], 0, TEXT, text::trim),
    own("upper", ON_TEXT, &[], 0, TEXT, text::upper),
    own("upperAscii", ON_TEXT, &[], 0, TEXT, text::upper_ascii),
    own("first", ON_LIST, &[], 0, None, list::first),
    own("join", ON_LIST, A_TEXT, 0, TEXT, list::join),
    own("last", ON_LIST, &[], 0, None, list::last),
    own("hasAll", Style::Plain, TWO_LISTS, 2, BOOL, list::has_all),
    own("hasAny", Style::Plain, TWO_LISTS, 2, BOOL, list::has_any),
    own("domainOf", Style::Plain, A_TEXT, 1, TEXT, address::domain_of),
    own("inCidr", Style::Plain, &[Argument::Of(Kind::Text), Argument::Networks], 2, BOOL, address::in_cidr),
    own("unverifiedDomainOf", Style::Plain, A_TEXT, 1, TEXT, address::unverified_domain_of),
    own("decode", Style::In("base64"), A_TEXT, 1, TEXT, encode::base64_decode),
    own("encode", Style::In("base64"), A_TEXT, 1, TEXT, encode::base64_encode),
    own("decode", Style::In("percent"), A_TEXT, 1, TEXT, encode::percent_decode),
    own("encode", Style::In("percent"), A_TEXT, 1, TEXT, encode::percent_encode),
    own("date", Style::Plain, &[Argument::Time(TimeText::Date), Argument::Zone], 1, NUMBER, time::date),
    own("duration", Style::Plain, &[Argument::Time(TimeText::Duration)], 1, NUMBER, time::duration),
    own("timestamp", Style::Plain, &[Argument::Time(TimeText::Moment), Argument::Zone], 1, NUMBER, time::timestamp),
    own("getDate", ON_TIME, ZONE, 0, NUMBER, time::get_date),
    own("getDayOfMonth", ON_TIME, ZONE, 0, NUMBER, time::get_day_of_month),
    own("getDayOfWeek", ON_TIME, ZONE, 0, NUMBER, time::get_day_of_week),
    own("getDayOfYear", ON_TIME, ZONE, 0, NUMBER, time::get_day_of_year),
    own("getFullYear", ON_TIME, ZONE, 0, NUMBER, time::get_full_year),
    own("getHours", ON_TIME, ZONE, 0, NUMBER, time::get_hours),
    own("getMilliseconds", ON_TIME, ZONE, 0, NUMBER, time::get_milliseconds),
    own("getMinutes", ON_TIME, ZONE, 0, NUMBER, time::get_minutes),
    own("getMonth", ON_TIME, ZONE, 0, NUMBER, time::get_month),
    own("getSeconds", ON_TIME, ZONE, 0, NUMBER, time::get_seconds),
];

/// The names before the dot of `namespace.name(…)`.
pub(super) const NAMESPACES: [&str; 2] = ["base64", "percent"];

/// The names of what the parser expands: `has(x)` and, on a list, `.all`, `.exists`, `.exists_one`, `.filter`, `.map`.
pub(super) const MACROS: [&str; 6] = ["all", "exists", "exists_one", "filter", "has", "map"];

impl Function {
    /// The function `value.name(…)`.
    pub(super) fn after(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name && matches!(function.style, Style::After(_)))
    }

    /// The function `name(…)`.
    pub(super) fn plain(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name && function.style == Style::Plain)
    }

    /// The function `namespace.name(…)`.
    pub(super) fn within(namespace: &str, name: &str) -> Option<&'static Self> {
        FUNCTIONS
            .iter()
            .find(|function| function.name == name && matches!(function.style, Style::In(known) if known == namespace))
    }

    /// The name that it is called by in a lowered tree; none for the crate's own.
    pub(super) fn internal_name(&self) -> Option<String> {
        self.run?;
        Some(match self.style {
            Style::In(namespace) => format!("@{namespace}:{}", self.name),
            Style::After(_) | Style::Plain => format!("@{}", self.name),
        })
    }

    /// How many arguments it has in a lowered tree: the value before the dot, a literal that is put in, the budget.
    fn lowered(&self) -> std::ops::RangeInclusive<usize> {
        let target = usize::from(matches!(self.style, Style::After(_)));
        let put_in = 1 + usize::from(self.name == "domainOf");
        let zone = matches!(self.arguments.last(), Some(Argument::Zone));
        let least = if zone { self.arguments.len() } else { self.required };
        target + least + put_in..=target + self.arguments.len() + put_in
    }

    fn declare(&self, to: &mut Env) -> Result<(), DeclarationError> {
        let (Some(run), Some(name)) = (self.run, self.internal_name()) else { return Ok(()) };
        for count in self.lowered() {
            to.add_overload(
                &name,
                &format!("{name}_{count}"),
                std::iter::repeat_with(|| DYN_TYPE).take(count).collect(),
                run,
            )?;
        }
        Ok(())
    }
}

/// The environment of all expressions.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut environment = Env::stdlib().with_optional_support(false);
        // A name that is already declared is a programming error; the tests call every function once.
        let declared = budget::declare(&mut environment)
            .and_then(|()| equal::declare(&mut environment))
            .and_then(|()| FUNCTIONS.iter().try_for_each(|function| function.declare(&mut environment)));
        debug_assert!(declared.is_ok(), "{declared:?}");
        Arc::new(environment)
    });
    &ENVIRONMENT
}

/// The arguments of one call of a function of ours.
struct Call<'a, 'b, 'v> {
    name: &'static str,
    arguments: &'a [CowVal<'b, 'v>],
    budget: &'a Budget,
}

impl<'a, 'b, 'v> Call<'a, 'b, 'v> {
    /// Takes the budget off the end; `name` is for messages.
    fn new(name: &'static str, arguments: &'a [CowVal<'b, 'v>]) -> Result<Self, ExecutionError> {
        let (last, arguments) = arguments.split_last().ok_or_else(ExecutionError::missing_argument_or_target)?;
        let budget = last.downcast_ref::<Budget>().ok_or_else(ExecutionError::missing_argument_or_target)?;
        Ok(Self { name, arguments, budget })
    }

    fn any(&self, at: usize) -> Result<&'a CowVal<'b, 'v>, ExecutionError> {
        self.arguments.get(at).ok_or_else(ExecutionError::missing_argument_or_target)
    }

    /// The text at a place; what it costs to read is spent.
    fn text(&self, at: usize) -> Result<&'a str, ExecutionError> {
        let value = self.any(at)?;
        let text = value.downcast_ref::<CelString>().ok_or_else(|| self.wrong_type())?.inner();
        self.budget.spend_bytes(text.len())?;
        Ok(text)
    }

    /// The list at a place; what it costs to go over or to copy it is spent.
    fn list(&self, at: usize) -> Result<&'a CelList<'v>, ExecutionError> {
        let list = self.any(at)?.downcast_ref::<CelList>().ok_or_else(|| self.wrong_type())?;
        self.budget.spend_weight(list)?;
        Ok(list)
    }

    fn number(&self, at: usize) -> Result<i64, ExecutionError> {
        self.any(at)?.downcast_ref::<CelInt>().map(|number| *number.inner()).ok_or_else(|| self.wrong_type())
    }

    /// The number at a place that may be left away.
    fn number_or(&self, at: usize, otherwise: i64) -> Result<i64, ExecutionError> {
        if self.arguments.len() > at { self.number(at) } else { Ok(otherwise) }
    }

    /// A text as the result, within the bounds.
    fn give(&self, text: impl Into<String>) -> Answer<'b, 'v> {
        let text = text.into();
        if text.len() > MAX_TEXT {
            return Err(self.failed("the result is too large"));
        }
        self.budget.spend_bytes(text.len())?;
        Ok(CowVal::owned(CelString::from(text)))
    }

    fn failed(&self, why: &str) -> ExecutionError {
        ExecutionError::function_error(self.name, why)
    }

    fn wrong_type(&self) -> ExecutionError {
        let types = self.arguments.iter().map(|value| value.get_type().name().to_owned()).collect();
        ExecutionError::no_such_overload(self.name, types)
    }
}

fn give_number<'b, 'v>(number: i64) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelInt::from(number)))
}

fn give_bool<'b, 'v>(truth: bool) -> Answer<'b, 'v> {
    Ok(CowVal::owned(cel::common::types::CelBool::from(truth)))
}

/// An owned copy of an element.
fn copied<'b, 'v>(value: &(dyn Val + 'v)) -> CowVal<'b, 'v> {
    CowVal::Owned(value.clone_as_boxed())
}
