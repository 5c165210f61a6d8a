//! A set of identity headers: what the application is told with the requests of the rules that use it.
//!
//! Set 0 of a policy is its `[headers]`; each rule names the set that goes with its requests. What depends on the person
//! alone is evaluated when the first request needs it and kept beside the session ([`Ready`]); a header that reads the
//! request is made for each one.
//!
//! May touch: nothing but memory. Trust boundary: values come from claims and requests; one denied header denies the
//! request, and nothing is sent in part (S03).

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::decision::{DenialReason, Headers};
use super::expression::{Expression, View};
use super::header::{Header, Outcome};

/// A field to send.
pub(super) type Field = (HeaderName, HeaderValue);

/// The headers of some rules, in the order of the file.
#[derive(Default)]
pub(super) struct HeaderSet {
    headers: Vec<Arc<Header>>,
    per_request: bool,
}

/// What is known of a set once the person is.
pub(super) enum Ready {
    /// All fields, where no header reads the request.
    Whole(Result<Box<[Field]>, DenialReason>),
    /// The outcome of each header, none where it reads the request.
    Parts(Box<[Option<Outcome>]>),
}

impl HeaderSet {
    /// A set of these headers.
    pub(super) fn new(headers: Vec<Arc<Header>>) -> Self {
        let per_request = headers.iter().any(|header| header.is_per_request());
        Self { headers, per_request }
    }

    /// The headers.
    pub(super) fn headers(&self) -> &[Arc<Header>] {
        &self.headers
    }

    /// All expressions of all headers.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.headers.iter().flat_map(|header| header.expressions())
    }

    /// The fields that go with every request, whoever sends it: none of them tells anything of a person.
    pub(super) fn for_everybody(&self) -> &[Field] {
        &[]
    }

    /// Evaluates what depends on the person alone.
    pub(super) fn prepare(&self, view: &View<'_>) -> Ready {
        if !self.per_request {
            return Ready::Whole(
                self.headers.iter().filter_map(|header| field(header, header.evaluate(view))).collect(),
            );
        }
        let each = |header: &Arc<Header>| if header.is_per_request() { None } else { Some(header.evaluate(view)) };
        Ready::Parts(self.headers.iter().map(each).collect())
    }

    /// The fields for one request; `view` evaluates what reads it.
    pub(super) fn fields<'p>(
        &self,
        ready: &'p Ready,
        evaluate: impl Fn(&Header) -> Outcome,
    ) -> Result<Headers<'p>, DenialReason> {
        let parts = match ready {
            Ready::Whole(Ok(fields)) => return Ok(Headers::Ready(fields)),
            Ready::Whole(Err(reason)) => return Err(reason.clone()),
            Ready::Parts(parts) => parts,
        };
        let mut made = Vec::with_capacity(self.headers.len());
        for (header, part) in self.headers.iter().zip(parts) {
            let outcome = part.clone().unwrap_or_else(|| evaluate(header));
            made.extend(field(header, outcome).transpose()?);
        }
        Ok(Headers::Made(made))
    }
}

/// Names an outcome; nothing where nothing is sent.
fn field(header: &Header, outcome: Outcome) -> Option<Result<Field, DenialReason>> {
    Some(outcome.transpose()?.map(|value| (header.name.clone(), value)))
}
