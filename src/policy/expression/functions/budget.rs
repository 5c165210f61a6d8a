//! What an evaluation may cost, and the guards that [`lower`](super::super::lower) builds into every tree.
//!
//! An evaluation has [`MAX_STEPS`] steps: one for each element that a comprehension or a function goes over or copies, whatever it lies
//! in, and one for each 64 bytes of text that is read, made or copied. So no expression runs long or builds much, whatever the claims hold.
//!
//! May touch: nothing but memory.

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};

use cel::common::types::{CelList, CelMap, CelString, DYN_TYPE, INT_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::{Answer, Arguments, MAX_ITEMS, MAX_TEXT};

/// The guarded form of `+`.
pub(in super::super) const ADD: &str = "@add";
/// The guard of a list that is gone over.
pub(in super::super) const RANGE: &str = "@range";
/// The guard of a value that is compared or copied again and again.
pub(in super::super) const WEIGH: &str = "@weigh";
/// The variable that holds the evaluation's [`Budget`].
pub(in super::super) const BUDGET: &str = "@budget";

/// How many steps one evaluation can take.
const MAX_STEPS: u32 = 20_000;
/// How many bytes of text make a step.
const BYTES_A_STEP: usize = 64;

/// How many steps an evaluation has left.
#[derive(Debug)]
pub(in super::super) struct Budget(AtomicU32);

impl Budget {
    /// A whole budget.
    pub(in super::super) fn full() -> Self {
        Self(AtomicU32::new(MAX_STEPS))
    }

    /// Takes steps away; an error when there are none left.
    pub(super) fn spend(&self, steps: usize) -> Result<(), ExecutionError> {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let left = self.0.load(Ordering::Relaxed).checked_sub(steps);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(|_| ()).ok_or_else(|| ExecutionError::function_error("expression", "too many steps"))
    }

    /// Takes away what going over, comparing or copying the value costs. With nothing left the value is not even looked at: what goes on after
    /// an error, as `||` and `exists` may, goes on at no cost.
    pub(super) fn spend_weight(&self, value: &(dyn Val + '_)) -> Result<(), ExecutionError> {
        let steps = if self.0.load(Ordering::Relaxed) == 0 { 1 } else { weight(value) };
        self.spend(steps)
    }

    /// Takes away what a text of this length costs.
    pub(super) fn spend_bytes(&self, bytes: usize) -> Result<(), ExecutionError> {
        self.spend(1 + bytes / BYTES_A_STEP)
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

/// Declares the guards.
pub(super) fn declare(to: &mut Env) -> Result<(), DeclarationError> {
    to.add_overload(ADD, "lychgate_add", vec![DYN_TYPE, DYN_TYPE, DYN_TYPE], add)?;
    to.add_overload(RANGE, "lychgate_range", vec![DYN_TYPE, DYN_TYPE], weigh)?;
    to.add_overload(WEIGH, "lychgate_weigh", vec![DYN_TYPE, DYN_TYPE], weigh)
}

fn add<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let [left, right, budget] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    let size = size_of(left.as_ref()).saturating_add(size_of(right.as_ref()));
    let is_text = left.downcast_ref::<CelString>().is_some();
    if size > if is_text { MAX_TEXT } else { MAX_ITEMS } {
        return Err(ExecutionError::function_error("+", "the result is too large"));
    }
    if let Some(budget) = budget.downcast_ref::<Budget>() {
        if is_text {
            budget.spend_bytes(size)?;
        } else {
            budget.spend_weight(left.as_ref())?;
            budget.spend_weight(right.as_ref())?;
        }
    }
    let overload = || {
        let types = [left, right].map(|value| value.get_type().name().to_owned());
        ExecutionError::no_such_overload("_+_", types.to_vec())
    };
    let adder = left.as_adder().ok_or_else(overload)?;
    Ok(CowVal::Owned(adder.add(right.as_ref()).map_err(|_| overload())?.into_owned()))
}

/// Spends what going over, comparing or copying the value costs.
fn weigh<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let mut arguments = arguments.into_iter();
    let (Some(value), Some(budget)) = (arguments.next(), arguments.next()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    if let Some(budget) = budget.downcast_ref::<Budget>() {
        budget.spend_weight(value.as_ref())?;
    }
    Ok(value)
}

/// How many steps a copy of the value takes: its elements, theirs, and the texts in them.
pub(super) fn weight(value: &(dyn Val + '_)) -> usize {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return text.inner().len() / BYTES_A_STEP;
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().fold(0, |sum, item| sum.saturating_add(1).saturating_add(weight(&**item)));
    }
    let members = value.downcast_ref::<CelMap>().into_iter().flat_map(|map| map.inner());
    members.fold(0, |sum, (key, member)| {
        sum.saturating_add(1).saturating_add(weight(key.inner())).saturating_add(weight(&**member))
    })
}

/// The bytes of a text, the items of a list or map; 0 for what has no size.
fn size_of(value: &(dyn Val + '_)) -> usize {
    match value.downcast_ref::<CelString>() {
        Some(text) => text.inner().len(),
        None => value.as_sizer().map_or(0, |sizer| usize::try_from(*sizer.size().inner()).unwrap_or(usize::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_no_steps_left_nothing_is_weighed() {
        let list = CelList::from(Vec::<Box<dyn Val>>::new());
        let budget = Budget(AtomicU32::new(1));
        budget.spend_weight(&list).unwrap();
        budget.spend(1).unwrap();
        let error = budget.spend_weight(&list).unwrap_err().to_string();
        assert!(error.contains("too many steps"), "{error}");
    }
}
