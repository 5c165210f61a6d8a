//! What an expression can see: the person, the session, the request, the time and the application.
//!
//! Claims are brought into the evaluator's form once per session ([`BoundClaims`]) and lent to every evaluation; request
//! and session fields are looked up by their whole name, so nothing is built that the expression does not read.
//!
//! May touch: nothing but memory. Trust boundary: requests are a stranger's; they enter as text values only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cel::ExecutionError;
use cel::common::types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::Failure;
use super::functions::{BUDGET, Budget};
use super::named::{Definitions, Found, Meaning, meaning};
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::policy::decision::{RequestFacts, SessionFacts};

/// The variables that every expression knows.
pub(super) const ROOTS: [&str; 5] = ["app", "now", "request", "session", "user"];
/// The fields of `request`.
pub(super) const REQUEST: [&str; 5] = ["client", "host", "method", "path", "query"];
/// The fields of `session`.
pub(super) const SESSION: [&str; 5] = ["acr", "age", "amr", "authenticated_at", "provider"];

/// Everything that one evaluation may look at.
#[derive(Clone, Copy)]
pub(in crate::policy) struct View<'a> {
    /// The claims as the provider wrote them.
    pub(in crate::policy) claims: &'a Claims,
    /// The same claims in the evaluator's form.
    pub(in crate::policy) bound: &'a BoundClaims,
    /// The session.
    pub(in crate::policy) session: &'a SessionFacts,
    /// The request; none while a session is prepared, when no expression that reads it is evaluated.
    pub(in crate::policy) request: Option<&'a RequestFacts<'a>>,
    /// The time of day.
    pub(in crate::policy) now: Timestamp,
    /// The application's name.
    pub(in crate::policy) app: &'a str,
    /// What the policy defines.
    pub(in crate::policy) definitions: Definitions<'a>,
}

/// Claims in the evaluator's form.
pub(in crate::policy) struct BoundClaims(CelMap<'static>);

impl BoundClaims {
    /// Brings those of `claims` into form that are `wanted`.
    pub(in crate::policy) fn bind(claims: &Claims, wanted: &BTreeSet<Box<str>>) -> Self {
        let wanted = claims.iter().filter(|(name, _)| wanted.contains(*name));
        let bound: HashMap<CelMapKey<'static>, _> =
            wanted.map(|(name, value)| (CelMapKey::from(name.to_owned()), bind(value))).collect();
        Self(CelMap::from(bound))
    }
}

fn bind(value: &ClaimValue) -> Box<dyn Val> {
    match value {
        ClaimValue::Null => Box::new(CelNull),
        ClaimValue::Bool(truth) => Box::new(CelBool::from(*truth)),
        ClaimValue::Number(text) => bind_number(text),
        ClaimValue::Text(text) => Box::new(CelString::from(text.to_string())),
        ClaimValue::List(items) => Box::new(CelList::from(items.iter().map(bind).collect::<Vec<_>>())),
        ClaimValue::Object(members) => Box::new(bind_object(members)),
    }
}

fn bind_object(members: &BTreeMap<Box<str>, ClaimValue>) -> CelMap<'static> {
    let bound: HashMap<CelMapKey<'static>, _> =
        members.iter().map(|(name, value)| (CelMapKey::from(name.to_string()), bind(value))).collect();
    CelMap::from(bound)
}

/// An integer where nothing is lost by it, otherwise the exact text (S06).
fn bind_number(text: &str) -> Box<dyn Val> {
    match (text.parse::<i64>(), text.parse::<u64>()) {
        (Ok(number), _) if number.to_string() == text => Box::new(CelInt::from(number)),
        (_, Ok(number)) if number.to_string() == text => Box::new(CelUInt::from(number)),
        _ => Box::new(CelString::from(text.to_owned())),
    }
}

/// The variables of one evaluation.
pub(super) struct Scope<'a> {
    view: &'a View<'a>,
    budget: Budget,
    found: Found,
}

impl<'a> Scope<'a> {
    /// A scope over `view` with a full budget.
    pub(super) fn new(view: &'a View<'a>) -> Self {
        Self { view, budget: Budget::full(), found: Found::default() }
    }

    /// What is looked at.
    pub(super) fn view(&self) -> &'a View<'a> {
        self.view
    }

    /// What this evaluation found out of definitions.
    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// Why a definition had no result, where that is what the error is about.
    pub(super) fn why(&self, error: &ExecutionError) -> Option<Failure> {
        let ExecutionError::UndeclaredReference(name) = error else { return None };
        meaning(self, name)?.err()
    }

    /// A condition, an alias, or the list of aliases; none where it has no result: [`Scope::why`] tells why.
    fn definition(&self, name: &str) -> Option<CowVal<'_, '_>> {
        match meaning(self, name)?.ok()? {
            Meaning::Truth(truth) => Some(CowVal::owned(CelBool::from(truth))),
            Meaning::Names(names) => {
                let names: Vec<Box<dyn Val + '_>> =
                    names.into_iter().map(|name| Box::new(CelString::from(name)) as Box<dyn Val + '_>).collect();
                Some(CowVal::owned(CelList::from(names)))
            }
        }
    }

    fn session(&self, field: &str) -> Option<CowVal<'_, '_>> {
        let session = self.view.session;
        match field {
            "provider" => Some(text(&session.provider)),
            "acr" => Some(text(session.acr.as_deref().unwrap_or_default())),
            "amr" => Some(CowVal::owned(CelList::from(texts(&session.amr)))),
            "authenticated_at" => Some(number(session.authenticated_at.seconds())),
            "age" => {
                let age = self.view.now.since(session.authenticated_at).as_secs();
                Some(number(i64::try_from(age).unwrap_or(i64::MAX)))
            }
            _ => None,
        }
    }

    fn request(&self, field: &str) -> Option<CowVal<'_, '_>> {
        let request = self.view.request?;
        match field {
            "method" => Some(text(request.method.as_str())),
            "path" => Some(text(request.path.as_str())),
            "host" => Some(text(request.host.as_str())),
            "query" => Some(text(request.query.unwrap_or_default())),
            "client" => Some(CowVal::owned(CelString::from(request.client.to_string()))),
            _ => None,
        }
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "user" => Some(CowVal::Borrowed(&self.view.bound.0)),
            "now" => Some(number(self.view.now.seconds())),
            "app" => Some(text(self.view.app)),
            BUDGET => Some(CowVal::Borrowed(&self.budget)),
            _ => match variable.split_once('.') {
                Some(("request", field)) => self.request(field),
                Some(("session", field)) => self.session(field),
                _ => self.definition(variable),
            },
        }
    }
}

fn text(text: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(text))
}

fn texts(texts: &[String]) -> Vec<Box<dyn Val + '_>> {
    texts.iter().map(|text| Box::new(CelString::from(text.as_str())) as Box<dyn Val + '_>).collect()
}

fn number<'b>(number: i64) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(number))
}
