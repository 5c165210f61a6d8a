//! What an expression gives, as JSON for a header.
//!
//! A claim that is named directly is written with the numbers as the provider wrote them. What an expression builds has the numbers of the
//! evaluator; those that it cannot hold without loss are texts there (see [`scope`](super::scope)), and are written as texts.
//! Members stand in the order of their names, so that one value has one text.
//!
//! May touch: nothing but memory. Trust boundary: values come from claims and requests. Specification: RFC 8259.

use std::collections::BTreeMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt};
use cel::common::value::Val;

use super::outcome::{Failure, finite, text_of, type_name};
use crate::claims::{ClaimValue, MAX_DEPTH};

/// The value in the form of a claim.
pub(super) fn value_of(value: &(dyn Val + '_), depth: usize) -> Result<ClaimValue, Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::Failed(format!("the result nests deeper than {MAX_DEPTH} levels")));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let items = list.inner().iter().map(|item| value_of(&**item, depth + 1));
        return items.collect::<Result<_, _>>().map(ClaimValue::List);
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let members =
            map.inner().iter().map(|(key, member)| Ok((key_text(key.inner())?, value_of(&**member, depth + 1)?)));
        return members.collect::<Result<BTreeMap<_, _>, _>>().map(ClaimValue::Object);
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(ClaimValue::Null);
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(ClaimValue::Text(text.inner().into()));
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(ClaimValue::Bool(*truth.inner()));
    }
    number(value).map(|text| ClaimValue::Number(text.into()))
}

fn number(value: &(dyn Val + '_)) -> Result<String, Failure> {
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Ok(number.inner().to_string());
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Ok(number.inner().to_string());
    }
    match value.downcast_ref::<CelDouble>() {
        Some(number) => finite(*number.inner()),
        None => Err(Failure::Failed(format!("{} cannot be written as JSON", type_name(value)))),
    }
}

fn key_text(key: &(dyn Val + '_)) -> Result<Box<str>, Failure> {
    text_of(key).map(Into::into)
}
