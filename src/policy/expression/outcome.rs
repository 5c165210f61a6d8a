//! What an evaluation gives: a value that Rust can use, or why there is none, in words that show no claim's value.
//!
//! May touch: nothing but memory. Trust boundary: the values are a provider's and a stranger's.

use std::fmt;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt};
use cel::common::value::Val;

use super::{functions, scope};

/// Why an evaluation has no result. The texts name claims and types, never a claim's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Failure {
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

pub(super) fn truth_of(value: &(dyn Val + '_)) -> Result<bool, Failure> {
    match value.downcast_ref::<CelBool>() {
        Some(truth) => Ok(*truth.inner()),
        None => Err(Failure::Failed(format!("the result is {}, not true or false", type_name(value)))),
    }
}

pub(super) fn text_of(value: &(dyn Val + '_)) -> Result<String, Failure> {
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

pub(super) fn finite(number: f64) -> Result<String, Failure> {
    if number.is_finite() {
        Ok(number.to_string())
    } else {
        Err(Failure::Failed("the number is not finite".to_owned()))
    }
}

pub(super) fn type_name(value: &(dyn Val + '_)) -> String {
    value.get_type().name().to_owned()
}

/// The evaluator's error in words that hold no value of a claim.
pub(super) fn failure(error: ExecutionError) -> Failure {
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
        ExecutionError::UndeclaredReference(name) => match scope::Chosen::shown(&name) {
            Some(shown) => return Failure::Absent(shown),
            None => format!("`{name}` is not known"),
        },
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
        functions::EQUALS => "==",
        functions::DIFFERS => "!=",
        functions::WITHIN => "in",
        "_[_]" => "[]",
        "_._" => ".",
        "_?_:_" => "?:",
        other => other.trim_matches(['_', '@']),
    }
}
