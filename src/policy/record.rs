//! What a recording of a request must hold so that it can be decided again: no more than rules ask for.
//!
//! May touch: nothing but memory. Trust boundary: the query is a stranger's; only parameters that a rule names leave here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Policy;
use super::condition::Condition;
use super::query::{Parameter, parameter};

/// A query parameter that rules select by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedParameter<'q> {
    /// It is not there.
    Absent,
    /// Its one value, decoded.
    One(Cow<'q, str>),
    /// Applications may read it in different ways.
    Doubtful,
}

impl Policy {
    /// The query parameters that rules select by and conditions read, each with what `query` holds.
    pub fn selected_by<'p, 'q>(
        &'p self,
        query: Option<&'q str>,
    ) -> impl Iterator<Item = (&'p str, RecordedParameter<'q>)> {
        self.asked_parameters.iter().map(move |name| {
            let recorded = match parameter(query, name) {
                Parameter::Absent => RecordedParameter::Absent,
                Parameter::One(value) => RecordedParameter::One(value),
                Parameter::Ambiguous => RecordedParameter::Doubtful,
            };
            (&**name, recorded)
        })
    }

    /// The top-level claims that conditions read; those that only headers read are not among them.
    pub fn claims_asked(&self) -> BTreeSet<&str> {
        let conditions = self.front.rules.iter().flat_map(super::rule::Rule::conditions).map(Condition::expression);
        conditions.flat_map(|expression| expression.claims()).map(|claim| &**claim).collect()
    }
}
