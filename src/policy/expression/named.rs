//! What expressions use by name beside what is built in: conditions, and aliases of groups.
//!
//! A condition is an expression of its own, an alias a list of groups that a claim is compared with. Both are true or false.
//! What reads the person alone is found out once for each session ([`Truths`]), everything else once for each evaluation
//! ([`Found`]), however many expressions use it and however often; so definitions that double each other cost no more
//! than their number. Definitions are compiled in an order in which each one uses earlier ones only: there are no circles.
//!
//! May touch: nothing but memory. Trust boundary: names and groups are an administrator's, claims a provider's. A group is
//! compared as exact text; a claim in which groups cannot be told apart gives no answer rather than `false`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Expression, Failure, View, claim_at};
use crate::claims::ClaimValue;

/// The function that asks for an alias.
pub(super) const MEMBER_OF: &str = "memberOf";
/// The function that gives the names of all aliases that hold.
pub(super) const ALIASES: &str = "aliases";

/// All definitions that the expressions of a policy can use.
#[derive(Default)]
pub(in crate::policy) struct Named {
    definitions: Vec<Definition>,
    conditions: BTreeMap<Box<str>, usize>,
    aliases: BTreeMap<Box<str>, usize>,
    /// Conditions with mistakes: known by name, so that what uses them is not reported as well.
    unsound: BTreeSet<Box<str>>,
}

/// One definition.
pub(in crate::policy) struct Definition {
    name: Box<str>,
    body: Body,
}

enum Body {
    Condition { expression: Expression, source: Box<str> },
    Alias(Alias),
}

/// Groups of a provider under one name.
pub(in crate::policy) struct Alias {
    /// The claim that holds groups, as keys from the outermost.
    pub(in crate::policy) claim: Box<[Box<str>]>,
    /// The groups, any one of which makes a member.
    pub(in crate::policy) groups: BTreeSet<Box<str>>,
}

impl Named {
    /// Adds an alias, after every other; all aliases come before all conditions.
    pub(in crate::policy) fn add_alias(&mut self, name: &str, alias: Alias) -> usize {
        self.aliases.insert(name.into(), self.definitions.len());
        self.add(name, Body::Alias(alias))
    }

    /// Adds a condition that was compiled with what is here already.
    pub(in crate::policy) fn add_condition(&mut self, name: &str, source: &str, expression: Expression) -> usize {
        self.conditions.insert(name.into(), self.definitions.len());
        self.add(name, Body::Condition { expression, source: source.into() })
    }

    /// Adds a condition that cannot be used.
    pub(in crate::policy) fn add_unsound(&mut self, name: &str) {
        self.unsound.insert(name.into());
    }

    fn add(&mut self, name: &str, body: Body) -> usize {
        self.definitions.push(Definition { name: name.into(), body });
        self.definitions.len() - 1
    }

    /// How many there are.
    pub(in crate::policy) fn len(&self) -> usize {
        self.definitions.len()
    }

    /// The definition with this number.
    pub(in crate::policy) fn get(&self, id: usize) -> Option<&Definition> {
        self.definitions.get(id)
    }

    /// The names of all conditions, unsound ones too.
    pub(super) fn condition_names(&self) -> impl Iterator<Item = &str> {
        self.conditions.keys().chain(&self.unsound).map(|name| &**name)
    }

    /// Whether there is a condition of this name, sound or not.
    pub(super) fn is_condition(&self, name: &str) -> bool {
        self.conditions.contains_key(name) || self.unsound.contains(name)
    }

    /// The number of a sound condition.
    pub(super) fn condition(&self, name: &str) -> Option<usize> {
        self.conditions.get(name).copied()
    }

    /// The number of an alias.
    pub(super) fn alias(&self, name: &str) -> Option<usize> {
        self.aliases.get(name).copied()
    }

    /// The aliases in the order of the files.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.definitions.iter().map(|definition| &*definition.name);
        names.enumerate().take(self.aliases.len())
    }

    /// How many levels a name adds to the tree of the expression that uses it, its own included.
    pub(super) fn depth(&self, name: &str) -> usize {
        let definition = self.condition(name).and_then(|id| self.get(id));
        definition.and_then(Definition::expression).map_or(0, |expression| expression.about.depth + 2)
    }

    /// How many operators these definitions have together, each counted once.
    pub(super) fn operators(&self, uses: &BTreeSet<usize>) -> usize {
        let used = uses.iter().filter_map(|id| self.get(*id)).filter_map(Definition::expression);
        used.map(|expression| expression.about.operators).sum()
    }
}

impl Definition {
    /// Its name.
    pub(in crate::policy) fn name(&self) -> &str {
        &self.name
    }

    /// The condition's text as it stands in the file; none for an alias.
    pub(in crate::policy) fn source(&self) -> Option<&str> {
        match &self.body {
            Body::Condition { source, .. } => Some(source),
            Body::Alias(_) => None,
        }
    }

    /// The condition; none for an alias.
    pub(in crate::policy) fn expression(&self) -> Option<&Expression> {
        match &self.body {
            Body::Condition { expression, .. } => Some(expression),
            Body::Alias(_) => None,
        }
    }

    /// The top-level claim of an alias.
    pub(super) fn alias_claim(&self) -> Option<&str> {
        match &self.body {
            Body::Condition { .. } => None,
            Body::Alias(alias) => alias.claim.first().map(|claim| &**claim),
        }
    }

    fn is_per_request(&self) -> bool {
        self.expression().is_some_and(Expression::is_per_request)
    }
}

impl Alias {
    /// Whether the person is in one of the groups.
    fn holds(&self, view: &View<'_>) -> Result<bool, Failure> {
        match claim_at(&self.claim, view)? {
            ClaimValue::Null => Err(Failure::Absent(self.claim.join("."))),
            ClaimValue::List(items) => {
                let found = items.iter().map(|item| self.has(item)).collect::<Result<Vec<_>, _>>()?;
                Ok(found.contains(&true))
            }
            single => self.has(single),
        }
    }

    fn has(&self, group: &ClaimValue) -> Result<bool, Failure> {
        match group {
            ClaimValue::Text(text) | ClaimValue::Number(text) => Ok(self.groups.contains(&**text)),
            _ => Err(Failure::Failed(format!("`{}` holds something that is no group's name", self.claim.join(".")))),
        }
    }
}

const FALSE: u64 = 1;
const TRUE: u64 = 2;

/// What was found out for one session: two bits for each of a number of questions.
#[repr(C)]
pub(in crate::policy) struct Truths {
    /// The first questions, beside whatever holds this.
    first: [AtomicU64; WORDS],
    /// The others.
    more: Box<[AtomicU64]>,
}

/// Words that need no memory of their own.
const WORDS: usize = 3;
/// Questions of a word.
const PER_WORD: usize = 32;

impl Truths {
    /// How many bytes of it lie beside what holds it, at its start.
    pub(in crate::policy) const BESIDE: usize = WORDS * size_of::<AtomicU64>();

    /// Nothing known yet of `count` questions.
    pub(in crate::policy) fn unknown(count: usize) -> Self {
        let more = count.div_ceil(PER_WORD).saturating_sub(WORDS);
        Self { first: Default::default(), more: (0..more).map(|_| AtomicU64::default()).collect() }
    }

    fn word(&self, question: usize) -> Option<&AtomicU64> {
        let word = question / PER_WORD;
        self.first.get(word).or_else(|| self.more.get(word.checked_sub(WORDS)?))
    }

    /// What is known of a question.
    pub(in crate::policy) fn get(&self, question: usize) -> Option<bool> {
        // It follows from the session alone: whoever comes twice writes the same. Both bits together are no answer.
        match self.word(question)?.load(Ordering::Relaxed) >> shift(question) & (TRUE | FALSE) {
            TRUE => Some(true),
            FALSE => Some(false),
            _ => None,
        }
    }

    /// Keeps an answer.
    pub(in crate::policy) fn keep(&self, question: usize, truth: bool) {
        if let Some(word) = self.word(question) {
            let bits = if truth { TRUE } else { FALSE };
            word.fetch_or(bits << shift(question), Ordering::Relaxed);
        }
    }
}

const fn shift(question: usize) -> usize {
    question % PER_WORD * 2
}

/// The definitions as one evaluation sees them.
#[derive(Clone, Copy)]
pub(in crate::policy) struct Definitions<'a> {
    /// What there is.
    pub(in crate::policy) named: &'a Named,
    /// What is known of it for the session.
    pub(in crate::policy) truths: &'a Truths,
}

/// What one evaluation found out of definitions. The lock is its own: the evaluator wants something that could be shared.
#[derive(Default)]
pub(super) struct Found(Mutex<Vec<(usize, Result<bool, Failure>)>>);

impl Found {
    fn get(&self, id: usize) -> Option<Result<bool, Failure>> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().find(|(other, _)| *other == id).map(|(_, outcome)| outcome.clone())
    }

    fn note(&self, id: usize, outcome: &Result<bool, Failure>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((id, outcome.clone()));
    }
}

/// What a name stands for in one evaluation.
pub(super) enum Meaning<'a> {
    /// A condition or an alias, true or false.
    Truth(bool),
    /// The names of the aliases that hold.
    Names(Vec<&'a str>),
}

/// What `name`, as it stands in a tree, means; none when it is the name of nothing.
pub(super) fn meaning<'a>(scope: &super::scope::Scope<'a>, name: &str) -> Option<Result<Meaning<'a>, Failure>> {
    let named = scope.view().definitions.named;
    if name == ALIASES_VARIABLE {
        let held = named.aliases().map(|(id, name)| Ok((holds(scope, id)?, name)));
        let held = held.collect::<Result<Vec<_>, _>>();
        let names = |held: Vec<(bool, &'a str)>| held.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name);
        return Some(held.map(|held| Meaning::Names(names(held).collect())));
    }
    let id = match name.strip_prefix(ALIAS_VARIABLE) {
        Some(alias) => named.alias(alias),
        None => named.condition(name),
    };
    id.map(|id| holds(scope, id).map(Meaning::Truth))
}

fn holds(scope: &super::scope::Scope<'_>, id: usize) -> Result<bool, Failure> {
    let Definitions { named, truths } = scope.view().definitions;
    let definition = named.get(id).ok_or_else(|| Failure::Failed("a definition is gone".to_owned()))?;
    let kept = if definition.is_per_request() { None } else { truths.get(id) };
    if let Some(outcome) = kept.map(Ok).or_else(|| scope.found().get(id)) {
        return outcome;
    }
    let outcome = match &definition.body {
        Body::Alias(alias) => alias.holds(scope.view()),
        Body::Condition { expression, .. } => expression.test_within(scope).map_err(|why| match why {
            Failure::Failed(why) => Failure::Failed(format!("condition `{}`: {why}", definition.name)),
            absent => absent,
        }),
    };
    match outcome {
        Ok(truth) if !definition.is_per_request() => truths.keep(id, truth),
        _ => scope.found().note(id, &outcome),
    }
    outcome
}

/// The variable that stands for `aliases()` in a tree.
pub(super) const ALIASES_VARIABLE: &str = "@aliases";
/// What the name of the variable begins with that stands for `memberOf('…')` in a tree.
pub(super) const ALIAS_VARIABLE: &str = "@alias:";
