//! What a policy reads of a request's query and head, and whether it is in doubt.
//!
//! A parameter or field that applications may read in another way than the policy denies the request before any rule is asked,
//! so that no rule can be talked past with a second value (`query`, `request_header`). Where parameters are read, so does a GET or HEAD
//! with content: many applications look for the same parameters there. And so does a path with two readings
//! (`%2F`, where the application wants it kept) for which another rule would decide, or which an expression reads.
//!
//! May touch: nothing. Trust boundary: the request is a stranger's.

use std::collections::BTreeSet;

use http::Method;

use super::decision::{DenialReason, RequestFacts};
use super::expression::Expression;
use super::query::{Parameter, parameter};
use super::request_header::{Field, field};

/// The names that some rules read, each once and in order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Doubtful {
    parameters: Vec<Box<str>>,
    headers: Vec<Box<str>>,
    /// Whether an expression reads the path.
    pub(super) path: bool,
}

impl Doubtful {
    /// Nothing is read.
    pub(super) const NOTHING: Self = Self { parameters: Vec::new(), headers: Vec::new(), path: false };

    /// What selectors and expressions read.
    pub(super) fn new<'e>(
        selected: impl Iterator<Item = &'e str>,
        expressions: impl Iterator<Item = &'e Expression>,
    ) -> Self {
        let mut parameters: BTreeSet<Box<str>> = selected.map(Into::into).collect();
        let mut headers = BTreeSet::new();
        let mut path = false;
        for expression in expressions {
            parameters.extend(expression.reads().parameters.iter().cloned());
            headers.extend(expression.reads().headers.iter().cloned());
            path |= expression.reads().path;
        }
        Self { parameters: parameters.into_iter().collect(), headers: headers.into_iter().collect(), path }
    }

    /// The fields of the head that are read.
    pub(super) fn headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|name| &**name)
    }

    /// Why a request must be denied; nothing when all is clear.
    pub(super) fn doubt(&self, request: &RequestFacts<'_>) -> Option<DenialReason> {
        if self.parameters.is_empty() {
            return self.doubtful_header(request);
        }
        if request.has_content && matches!(*request.method, Method::GET | Method::HEAD) {
            return Some(DenialReason::ContentAmbiguous);
        }
        if request.query.is_some() {
            let doubtful = |name: &&str| matches!(parameter(request.query, name), Parameter::Ambiguous);
            if let Some(name) = self.parameters.iter().map(|name| &**name).find(doubtful) {
                return Some(DenialReason::QueryAmbiguous(name.to_string()));
            }
        }
        self.doubtful_header(request)
    }

    fn doubtful_header(&self, request: &RequestFacts<'_>) -> Option<DenialReason> {
        let doubtful = |name: &&str| matches!(field(request.headers, name), Field::Ambiguous);
        self.headers().find(doubtful).map(|name| DenialReason::RequestHeaderAmbiguous(name.to_string()))
    }
}
