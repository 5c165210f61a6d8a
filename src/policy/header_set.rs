//! A set of identity headers: what the application is told with the requests of the rules that use it.
//!
//! Set 0 of a policy is its `[headers]` and `[cookies]`; each rule names the set that goes with its requests. What depends on the person
//! alone is evaluated when the first request needs it and kept beside the session ([`Ready`]); a signed assertion is made anew when half
//! its life is over; a header that reads the request is made for each one.
//!
//! May touch: nothing but memory. Trust boundary: values come from claims and requests; one denied header denies the
//! request, and nothing is sent in part (S03). All cookies together are one `Cookie` field, which goes before a client's own.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderName, HeaderValue};

use super::decision::{DenialReason, Headers};
use super::encode::Carrier;
use super::expression::{Expression, View};
use super::header::{Header, Outcome};
use crate::clock::Timestamp;

/// A field to send.
pub(super) type Field = (HeaderName, HeaderValue);

/// The headers and cookies of some rules, in the order of the file.
#[derive(Default)]
pub(super) struct HeaderSet {
    headers: Vec<Arc<Header>>,
    per_request: bool,
    /// How long the whole is good for one person, where a part of it gets stale.
    fresh_for: Option<Duration>,
    everybody: Vec<Field>,
}

/// What is known of a set once the person is.
pub(super) enum Ready {
    /// All fields, where no header reads the request.
    Whole(Result<Box<[Field]>, Box<DenialReason>>),
    /// All fields, where no header reads the request and one gets stale.
    Fresh(ArcSwap<Kept<Result<Arc<[Field]>, DenialReason>>>),
    /// Each header by itself, where one reads the request.
    Parts(Box<[Part]>),
}

/// One header of a set in which some read the request.
pub(super) enum Part {
    /// Made for every request.
    PerRequest,
    /// Made once.
    Known(Outcome),
    /// Made once in a while.
    Fresh(ArcSwap<Kept<Outcome>>),
}

/// What was made at one moment and is good until another.
pub(super) struct Kept<T> {
    made: Timestamp,
    until: Timestamp,
    what: T,
}

impl<T: Clone> Kept<T> {
    fn new(what: T, now: Timestamp, fresh_for: Duration) -> Self {
        Self { made: now, until: now.after(fresh_for), what }
    }

    /// What is kept while it is fresh, else what `make` makes, which is then kept. A clock that was set back makes it stale too.
    fn current(kept: &ArcSwap<Self>, now: Timestamp, fresh_for: Duration, make: impl FnOnce() -> T) -> T {
        let found = kept.load();
        if found.made <= now && now < found.until {
            return found.what.clone();
        }
        let made = Self::new(make(), now, fresh_for);
        let what = made.what.clone();
        kept.store(Arc::new(made));
        what
    }
}

impl HeaderSet {
    /// A set of these headers.
    pub(super) fn new(headers: Vec<Arc<Header>>) -> Self {
        let per_request = headers.iter().any(|header| header.is_per_request());
        let fresh_for = headers.iter().filter_map(|header| header.fresh_for()).min();
        let shared = headers.iter().filter_map(|header| Some((&**header, Ok(Some(header.for_everybody()?.clone())))));
        // Values that are there already cannot be refused.
        let everybody = assemble(shared).unwrap_or_default();
        Self { per_request, fresh_for, everybody, headers }
    }

    /// The headers and cookies.
    pub(super) fn headers(&self) -> &[Arc<Header>] {
        &self.headers
    }

    /// All top-level claims that they depend on.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().flat_map(|header| header.claims())
    }

    /// All expressions of all headers.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.headers.iter().flat_map(|header| header.expressions())
    }

    /// The fields that go with every request, whoever sends it: none of them tells anything of a person.
    pub(super) fn for_everybody(&self) -> &[Field] {
        &self.everybody
    }

    /// Evaluates what depends on the person alone.
    pub(super) fn prepare(&self, view: &View<'_>) -> Ready {
        if self.per_request {
            return Ready::Parts(self.headers.iter().map(|header| part(header, view)).collect());
        }
        let fields = self.all(|header| header.evaluate(view));
        match self.fresh_for {
            None => Ready::Whole(fields.map(Vec::into_boxed_slice).map_err(Box::new)),
            Some(fresh_for) => {
                Ready::Fresh(ArcSwap::from_pointee(Kept::new(fields.map(Into::into), view.now, fresh_for)))
            }
        }
    }

    /// The fields for one request at `now`; `evaluate` makes what reads it, or what is stale.
    pub(super) fn fields<'p>(
        &self,
        ready: &'p Ready,
        now: Timestamp,
        evaluate: impl Fn(&Header) -> Outcome,
    ) -> Result<Headers<'p>, DenialReason> {
        match ready {
            Ready::Whole(Ok(fields)) => Ok(Headers::Ready(fields)),
            Ready::Whole(Err(reason)) => Err(DenialReason::clone(reason)),
            Ready::Fresh(kept) => {
                let all = || self.all(&evaluate).map(Into::into);
                Kept::current(kept, now, self.fresh_for.unwrap_or_default(), all).map(Headers::Shared)
            }
            Ready::Parts(parts) => {
                let outcomes = self.headers.iter().map(|header| &**header).zip(parts);
                assemble(outcomes.map(|(header, part)| (header, part.outcome(header, now, &evaluate))))
                    .map(Headers::Made)
            }
        }
    }

    fn all(&self, evaluate: impl Fn(&Header) -> Outcome) -> Result<Vec<Field>, DenialReason> {
        assemble(self.headers.iter().map(|header| (&**header, evaluate(header))))
    }
}

impl Part {
    fn outcome(&self, header: &Header, now: Timestamp, evaluate: impl Fn(&Header) -> Outcome) -> Outcome {
        match self {
            Self::PerRequest => evaluate(header),
            Self::Known(outcome) => outcome.clone(),
            Self::Fresh(kept) => Kept::current(kept, now, header.fresh_for().unwrap_or_default(), || evaluate(header)),
        }
    }
}

fn part(header: &Header, view: &View<'_>) -> Part {
    match header.fresh_for() {
        _ if header.is_per_request() => Part::PerRequest,
        None => Part::Known(header.evaluate(view)),
        Some(fresh_for) => Part::Fresh(ArcSwap::from_pointee(Kept::new(header.evaluate(view), view.now, fresh_for))),
    }
}

/// Brings outcomes into the form of fields, in their order, the cookies in one field at the end; nothing where nothing is sent.
fn assemble<'h>(outcomes: impl Iterator<Item = (&'h Header, Outcome)>) -> Result<Vec<Field>, DenialReason> {
    let (mut fields, mut cookies) = (Vec::with_capacity(outcomes.size_hint().0), Vec::new());
    for (header, outcome) in outcomes {
        let Some(value) = outcome? else { continue };
        match header.carrier {
            Carrier::Header => fields.push((header.name.clone(), value)),
            Carrier::Cookie => {
                let between: &[u8] = if cookies.is_empty() { b"" } else { b"; " };
                cookies.extend([between, header.spelled.as_bytes(), b"=", value.as_bytes()].concat());
            }
        }
    }
    if let Ok(mut line) = HeaderValue::from_maybe_shared(Bytes::from(cookies))
        && !line.is_empty()
    {
        line.set_sensitive(true);
        fields.push((COOKIE, line));
    }
    Ok(fields)
}
