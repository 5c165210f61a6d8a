//! What an expression can see: the person, the session, the request, the time and the application.
//!
//! Claims are brought into the evaluator's form once per session, when an expression first needs that ([`BoundClaims`]), and lent to every evaluation; request
//! and session fields are looked up by their whole name, so nothing is built that the expression does not read.
//!
//! May touch: nothing but memory. Trust boundary: requests are a stranger's; they enter as text values only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::Failure;
use super::constant::Constant;
use super::functions::{BUDGET, Budget};
use super::looked_up::LookedUp;
use super::named::{Definitions, Found, Meaning, meaning};
use super::tls;
use crate::claims::{ClaimValue, Claims};
use crate::clock::Timestamp;
use crate::policy::decision::{RequestFacts, SessionFacts};
use crate::policy::query::{Parameter, parameter};
use crate::policy::request_header::{Field, field};

/// The variables that every expression knows.
pub(super) const ROOTS: [&str; 5] = ["app", "now", "request", "session", "user"];
/// The fields of `request`.
pub(super) const REQUEST: [&str; 9] =
    ["client", "headers", "host", "method", "params", "path", "query", "scheme", "tls"];
/// The fields of `session`.
pub(super) const SESSION: [&str; 6] = ["acr", "age", "amr", "authenticated_at", "kind", "provider"];

/// The variable that says whether the provider vouches for `user.email`.
pub(super) const VERIFIED: &str = "@verified";
const CONSTANT: &str = "@constant:";

/// The variable of a constant.
pub(super) fn constant(index: usize) -> String {
    format!("{CONSTANT}{index}")
}

/// A part of `request` that holds many values by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// `request.headers`
    Headers,
    /// `request.params`
    Params,
}

/// One named value of a [`Many`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen<'t> {
    /// Where it is.
    pub(super) of: Many,
    /// Its name as written.
    pub(super) name: &'t str,
    /// Whether only its being there is asked for.
    pub(super) presence: bool,
}

impl Many {
    /// The part of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "headers" => Some(Self::Headers),
            "params" => Some(Self::Params),
            _ => None,
        }
    }

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Params => "params",
        }
    }
}

impl<'t> Chosen<'t> {
    /// The variable that holds it.
    pub(super) fn variable(self) -> String {
        let asked = if self.presence { "has" } else { "value" };
        let name = match self.of {
            Many::Headers => Cow::Owned(self.name.to_ascii_lowercase()),
            Many::Params => Cow::Borrowed(self.name),
        };
        format!("@{asked}:{}:{name}", self.of.name())
    }

    fn of_variable(variable: &'t str) -> Option<Self> {
        let mut parts = variable.strip_prefix('@')?.splitn(3, ':');
        let presence = match parts.next()? {
            "has" => true,
            "value" => false,
            _ => return None,
        };
        Some(Self { of: Many::named(parts.next()?)?, name: parts.next()?, presence })
    }

    /// A variable's name as a person wrote it.
    pub(super) fn shown(variable: &'t str) -> Option<String> {
        Self::of_variable(variable).map(|chosen| format!("request.{}['{}']", chosen.of.name(), chosen.name))
    }
}

/// Everything that one evaluation may look at.
#[derive(Clone, Copy)]
pub(in crate::policy) struct View<'a> {
    /// The claims as the provider wrote them.
    pub(in crate::policy) claims: &'a Claims,
    /// The same claims in the evaluator's form, once that was asked for.
    pub(in crate::policy) bound: &'a BoundClaims,
    /// The claims that expressions may ask for.
    pub(in crate::policy) claims_read: &'a BTreeSet<Box<str>>,
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

/// Claims in the evaluator's form, from the first time that an expression looks at them.
#[derive(Default)]
pub(in crate::policy) struct BoundClaims(OnceLock<Box<CelMap<'static>>>);

impl BoundClaims {
    /// The claims that are wanted, brought into form where they are not yet.
    fn map(&self, claims: &Claims, wanted: &BTreeSet<Box<str>>) -> &CelMap<'static> {
        self.0.get_or_init(|| {
            let wanted = claims.iter().filter(|(name, value)| wanted.contains(*name) && !is_null(value));
            let bound: HashMap<CelMapKey<'static>, _> =
                wanted.map(|(name, value)| (CelMapKey::from(name.to_owned()), bind(value))).collect();
            Box::new(CelMap::from(bound))
        })
    }

    /// Whether any claim was brought into this form.
    #[cfg(test)]
    pub(in crate::policy) fn is_bound(&self) -> bool {
        self.0.get().is_some()
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
        present(members).map(|(name, value)| (CelMapKey::from(name.to_string()), bind(value))).collect();
    CelMap::from(bound)
}

/// A claim or member that is `null` is absent: some providers write that for what others leave away.
fn is_null(value: &ClaimValue) -> bool {
    matches!(value, ClaimValue::Null)
}

fn present(members: &BTreeMap<Box<str>, ClaimValue>) -> impl Iterator<Item = (&Box<str>, &ClaimValue)> {
    members.iter().filter(|(_, value)| !is_null(value))
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
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    view: &'a View<'a>,
    constants: &'a [Constant],
    shared: &'a Shared,
}

/// What all expressions of one evaluation share: that of a rule, and those that it uses by name.
pub(super) struct Shared {
    budget: Budget,
    found: Found,
    looked_up: LookedUp,
}

impl Default for Shared {
    fn default() -> Self {
        Self { budget: Budget::full(), found: Found::default(), looked_up: LookedUp::default() }
    }
}

impl<'a> Scope<'a> {
    /// A scope over `view` with a full budget.
    pub(super) fn new(view: &'a View<'a>, constants: &'a [Constant], shared: &'a Shared) -> Self {
        Self { view, constants, shared }
    }

    /// The scope of another expression within the same evaluation.
    pub(super) fn of(&self, constants: &'a [Constant]) -> Self {
        Self { constants, ..*self }
    }

    /// What is looked at.
    pub(super) fn view(&self) -> &'a View<'a> {
        self.view
    }

    /// What this evaluation found out of definitions.
    pub(super) fn found(&self) -> &Found {
        &self.shared.found
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

    fn constant(&self, variable: &str) -> Option<CowVal<'_, '_>> {
        let index: usize = variable.strip_prefix(CONSTANT)?.parse().ok()?;
        self.constants.get(index).map(|constant| CowVal::Borrowed(constant as &dyn Val))
    }

    /// A parameter or field; nothing where it is absent. What is ambiguous was denied before any expression was evaluated.
    fn chosen(&self, variable: &str) -> Option<CowVal<'_, '_>> {
        let chosen = Chosen::of_variable(variable)?;
        let request = self.view.request?;
        let look = || match chosen.of {
            Many::Params => match parameter(request.query, chosen.name) {
                Parameter::One(value) => Some(value.into_owned()),
                Parameter::Absent | Parameter::Ambiguous => None,
            },
            Many::Headers => match field(request.headers, chosen.name) {
                Field::One(value) => Some(value.into_owned()),
                Field::Absent | Field::Ambiguous => None,
            },
        };
        let found = self.shared.looked_up.get_or_look(variable, look);
        if chosen.presence {
            return Some(truth(found.is_some()));
        }
        found.map(|value| CowVal::Borrowed(value as &dyn Val))
    }

    /// Whether the provider says that the person's address is theirs; some providers write it as a text.
    fn verified(&self) -> bool {
        match self.view.claims.value("email_verified") {
            Some(ClaimValue::Bool(verified)) => *verified,
            Some(ClaimValue::Text(text)) => &**text == "true",
            _ => false,
        }
    }

    fn session(&self, field: &str) -> Option<CowVal<'_, '_>> {
        let session = self.view.session;
        match field {
            "provider" => Some(text(&session.provider)),
            "kind" => Some(text(session.kind.as_str())),
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
            "client" => Some(CowVal::owned(CelString::from(request.client.to_canonical().to_string()))),
            "scheme" => Some(text(request.scheme.as_str())),
            _ => tls::value(request.tls, field.strip_prefix("tls.")?),
        }
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "user" => Some(CowVal::Borrowed(self.view.bound.map(self.view.claims, self.view.claims_read))),
            "now" => Some(number(self.view.now.seconds())),
            "app" => Some(text(self.view.app)),
            BUDGET => Some(CowVal::Borrowed(&self.shared.budget)),
            VERIFIED => Some(truth(self.verified())),
            _ if variable.starts_with('@') => {
                self.constant(variable).or_else(|| self.chosen(variable)).or_else(|| self.definition(variable))
            }
            _ => match variable.split_once('.') {
                Some(("request", field)) => self.request(field),
                Some(("session", field)) => self.session(field),
                _ => self.definition(variable),
            },
        }
    }
}

pub(super) fn text(text: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(text))
}

pub(super) fn texts(texts: &[impl AsRef<str>]) -> Vec<Box<dyn Val + '_>> {
    texts.iter().map(|text| Box::new(CelString::from(text.as_ref())) as Box<dyn Val + '_>).collect()
}

pub(super) fn truth<'b>(truth: bool) -> CowVal<'b, 'b> {
    CowVal::owned(CelBool::from(truth))
}

pub(super) fn number<'b>(number: i64) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(number))
}
