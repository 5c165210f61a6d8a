//! `==`, `!=` and `in`: values of two kinds are not compared (decision 75).
//!
//! The crate says `false` where a text meets a number, and a `deny` that asks `user.risk == 1.5` would then let everybody pass whose provider
//! writes the number so that it is kept as text, or in quotes. Here such a question has no result, as `<` has none. `null` can be
//! compared with everything.
//!
//! May touch: nothing. Trust boundary: values are claims and requests. Specification: the Common Expression Language, section "Equality",
//! but for values of two kinds.

use cel::common::types::DYN_TYPE;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use cel::{DeclarationError, Env, ExecutionError};

use super::{Answer, Arguments, give_bool};

/// What `==` becomes.
pub(in super::super) const EQUALS: &str = "@equals";
/// What `!=` becomes.
pub(in super::super) const DIFFERS: &str = "@differs";
/// What `in` becomes.
pub(in super::super) const WITHIN: &str = "@within";

/// What can be compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Null,
    Bool,
    Number,
    Text,
    List,
    Map,
    Other,
}

/// Declares them.
pub(super) fn declare(to: &mut Env) -> Result<(), DeclarationError> {
    to.add_overload(EQUALS, "lychgate_equals", vec![DYN_TYPE, DYN_TYPE], equals)?;
    to.add_overload(DIFFERS, "lychgate_differs", vec![DYN_TYPE, DYN_TYPE], differs)?;
    to.add_overload(WITHIN, "lychgate_within", vec![DYN_TYPE, DYN_TYPE], within)
}

fn equals<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let [left, right] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    give_bool(same(EQUALS, left.as_ref(), right.as_ref())?)
}

fn differs<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let [left, right] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    give_bool(!same(DIFFERS, left.as_ref(), right.as_ref())?)
}

fn same(operator: &str, left: &(dyn Val + '_), right: &(dyn Val + '_)) -> Result<bool, ExecutionError> {
    if left.equals(right) {
        return Ok(true);
    }
    if are_comparable(left, right) { Ok(false) } else { Err(incomparable(operator, left, right)) }
}

fn within<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let [item, container] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    let (item, container) = (item.as_ref(), container.as_ref());
    let Some(list) = container.downcast_ref::<CelList>() else {
        let of_another_kind = || incomparable(WITHIN, item, container);
        return give_bool(container.as_container().ok_or_else(of_another_kind)?.contains(item)?);
    };
    if list.inner().iter().any(|held| held.equals(item)) {
        return give_bool(true);
    }
    match list.inner().iter().find(|held| !are_comparable(&***held, item)) {
        Some(held) => Err(incomparable(WITHIN, item, &**held)),
        None => give_bool(false),
    }
}

/// Whether it means something that two values are not equal: no text meets a number in them.
pub(super) fn are_comparable(one: &(dyn Val + '_), other: &(dyn Val + '_)) -> bool {
    match (sort(one), sort(other)) {
        (Sort::Null, _) | (_, Sort::Null) => true,
        (Sort::List, Sort::List) => match (one.downcast_ref::<CelList>(), other.downcast_ref::<CelList>()) {
            (Some(one), Some(other)) if one.inner().len() == other.inner().len() => {
                one.inner().iter().zip(other.inner()).all(|(one, other)| are_comparable(&**one, &**other))
            }
            _ => true,
        },
        (Sort::Map, Sort::Map) => match (one.downcast_ref::<CelMap>(), other.downcast_ref::<CelMap>()) {
            (Some(one), Some(other)) => {
                let mut members = one.inner().iter();
                members.all(|(key, one)| other.inner().get(key).is_none_or(|other| are_comparable(&**one, &**other)))
            }
            _ => true,
        },
        (one, other) => one == other,
    }
}

fn sort(value: &(dyn Val + '_)) -> Sort {
    if value.downcast_ref::<CelString>().is_some() {
        Sort::Text
    } else if value.downcast_ref::<CelInt>().is_some()
        || value.downcast_ref::<CelUInt>().is_some()
        || value.downcast_ref::<CelDouble>().is_some()
    {
        Sort::Number
    } else if value.downcast_ref::<CelBool>().is_some() {
        Sort::Bool
    } else if value.downcast_ref::<CelList>().is_some() {
        Sort::List
    } else if value.downcast_ref::<CelMap>().is_some() {
        Sort::Map
    } else if value.downcast_ref::<CelNull>().is_some() {
        Sort::Null
    } else {
        Sort::Other
    }
}

pub(super) fn incomparable(operator: &str, one: &(dyn Val + '_), other: &(dyn Val + '_)) -> ExecutionError {
    let types = [one, other].map(|value| value.get_type().name().to_owned());
    ExecutionError::no_such_overload(operator, types.to_vec())
}
