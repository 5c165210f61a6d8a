//! Functions of lists.
//!
//! May touch: nothing. Trust boundary: lists are claims.

use std::collections::HashSet;

use cel::ExecutionError;
use cel::common::types::{CelList, CelString};
use cel::common::value::Val;

use super::budget::weight;
use super::equal::{are_comparable, incomparable};
use super::{Answer, Arguments, Call, MAX_TEXT, copied, give_bool};

pub(super) fn first<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("first", &arguments)?;
    let list = call.list(0)?.inner();
    list.first().map(|item| copied(&**item)).ok_or_else(|| ExecutionError::no_such_key("the first element"))
}

pub(super) fn last<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("last", &arguments)?;
    let list = call.list(0)?.inner();
    list.last().map(|item| copied(&**item)).ok_or_else(|| ExecutionError::no_such_key("the last element"))
}

pub(super) fn join<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("join", &arguments)?;
    let list = call.list(0)?;
    let separator = if call.arguments.len() > 1 { call.text(1)? } else { "" };
    let mut joined = String::new();
    for (at, item) in list.inner().iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        let part = item.downcast_ref::<CelString>().ok_or_else(|| call.failed("an element is no text"))?;
        joined.push_str(part.inner());
        if joined.len() > MAX_TEXT {
            return Err(call.failed("the result is too large"));
        }
    }
    call.give(joined)
}

/// Whether the first list has any element of the second.
pub(super) fn has_any<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("hasAny", &arguments)?;
    let (held, wanted) = (Items::of(&call, 0)?, Items::of(&call, 1)?);
    let held = held.index(&call, wanted.0.len())?;
    if wanted.0.iter().any(|item| held.contains(*item)) {
        return give_bool(true);
    }
    wanted.0.iter().try_for_each(|item| held.lacks("hasAny", *item))?;
    give_bool(false)
}

/// Whether the first list has all elements of the second.
pub(super) fn has_all<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let call = Call::new("hasAll", &arguments)?;
    let (held, wanted) = (Items::of(&call, 0)?, Items::of(&call, 1)?);
    let held = held.index(&call, wanted.0.len())?;
    let mut missing = wanted.0.iter().filter(|item| !held.contains(**item)).peekable();
    if missing.peek().is_none() {
        return give_bool(true);
    }
    missing.try_for_each(|item| held.lacks("hasAll", *item))?;
    give_bool(false)
}

/// The elements of a list, or a text alone: providers send a claim of one value as that.
struct Items<'a, 'v>(Vec<&'a (dyn Val + 'v)>);

impl<'a, 'v> Items<'a, 'v> {
    fn of(call: &Call<'a, '_, 'v>, at: usize) -> Result<Self, ExecutionError> {
        let value = call.any(at)?.as_ref();
        if value.downcast_ref::<CelString>().is_some() {
            return Ok(Self(vec![value]));
        }
        let list: &'a CelList<'v> = call.list(at)?;
        Ok(Self(list.inner().iter().map(|item| &**item).collect()))
    }

    /// A form that answers `questions` quickly.
    fn index(self, call: &Call<'_, '_, '_>, questions: usize) -> Result<Index<'a, 'v>, ExecutionError> {
        let mut index = Index { texts: HashSet::with_capacity(self.0.len()), others: Vec::new() };
        for item in self.0 {
            match item.downcast_ref::<CelString>() {
                Some(text) => {
                    index.texts.insert(text.inner());
                }
                None => index.others.push(item),
            }
        }
        let others = index.others.iter().map(|other| 1 + weight(*other)).sum::<usize>();
        call.budget.spend(others.saturating_mul(questions))?;
        Ok(index)
    }
}

struct Index<'a, 'v> {
    texts: HashSet<&'a str>,
    others: Vec<&'a (dyn Val + 'v)>,
}

impl<'v> Index<'_, 'v> {
    fn contains(&self, wanted: &(dyn Val + 'v)) -> bool {
        match wanted.downcast_ref::<CelString>() {
            Some(text) => self.texts.contains(text.inner()),
            None => self.others.contains(&wanted),
        }
    }

    /// An error where what is not contained is of another kind than what is, so that nothing follows from it.
    fn lacks(&self, function: &str, wanted: &(dyn Val + 'v)) -> Result<(), ExecutionError> {
        let texts = self.texts.iter().next().map(|text| CelString::from(*text));
        let text = texts.as_ref().map(|text| text as &(dyn Val + '_));
        let mut held = self.others.iter().map(|other| *other as &(dyn Val + '_)).chain(text);
        match held.find(|held| !are_comparable(*held, wanted)) {
            Some(held) => Err(incomparable(function, held, wanted)),
            None => Ok(()),
        }
    }
}
