//! What stands before the rules of a policy: from where clients may come, what must be clear in a request, and how good a login must be.
//!
//! Most policies have nothing of it, and then nothing is read: all of them share [`NONE`].
//!
//! May touch: nothing. Trust boundary: requests are a stranger's; how people signed in is a provider's word.

use super::app::Login;
use super::bearer::Bearer;
use super::decide::holds_one;
use super::decision::{SessionFacts, SessionKind};
use super::doubt::Doubtful;
use super::networks::Networks;
use super::prepared::Prepared;
use super::rule::Rule;

/// What stands before the rules.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Hurdles {
    /// From where clients may come; everywhere when none.
    pub(super) networks: Option<Networks>,
    /// What rules read of a query and a head; in doubt about it, a request is denied.
    pub(super) doubtful: Doubtful,
    /// How good a login must be.
    pub(super) login: LoginAccepts,
}

/// No hurdles.
pub(super) static NONE: Hurdles = Hurdles {
    networks: None,
    doubtful: Doubtful::NOTHING,
    login: LoginAccepts { asked: Vec::new(), asked_of_tokens: None, stronger: Vec::new() },
};

impl Hurdles {
    /// As a policy keeps them.
    pub(super) fn kept(self) -> Option<Box<Self>> {
        (self != NONE).then(|| Box::new(self))
    }
}

/// Which authentication contexts are good enough for the application at large.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LoginAccepts {
    /// What `[login]` asks for.
    pub(super) asked: Vec<String>,
    /// What a token must vouch for, where that is another thing.
    pub(super) asked_of_tokens: Option<Vec<String>>,
    /// What rules ask for in `step_up`: a login that was stepped up must not be asked to step down again.
    pub(super) stronger: Vec<String>,
}

impl LoginAccepts {
    /// What they ask for.
    pub(super) fn new(login: Option<&Login>, bearer: Option<&Bearer>, rules: &[Rule]) -> Self {
        let asked = login.map(|login| login.acr.clone()).unwrap_or_default();
        // A rule that observes makes nothing easier for anybody.
        let step_ups = rules.iter().filter(|rule| !rule.observes).filter_map(|rule| rule.step_up());
        let asked_of_tokens = bearer.and_then(|bearer| bearer.acr.clone());
        Self { asked, asked_of_tokens, stronger: step_ups.flat_map(|step_up| step_up.acr.iter().cloned()).collect() }
    }

    /// Whether anything is asked of anybody, so that it matters how and by what means somebody signed in.
    pub(super) fn ask(&self) -> bool {
        !self.asked.is_empty() || self.asked_of_tokens.as_ref().is_some_and(|asked| !asked.is_empty())
    }

    /// What is asked of a session of this kind; nothing when empty.
    pub(super) fn asked_of(&self, session: &SessionFacts) -> &[String] {
        match &self.asked_of_tokens {
            Some(asked) if session.kind == SessionKind::Bearer => asked,
            _ => &self.asked,
        }
    }

    /// Everything that is good enough for a session of this kind; none where nothing is asked.
    pub(super) fn accepted_of(&self, session: &SessionFacts) -> Option<Vec<String>> {
        let asked = self.asked_of(session);
        (!asked.is_empty()).then(|| asked.iter().chain(&self.stronger).cloned().collect())
    }

    /// What to ask for when the login is not good enough for the application.
    pub(super) fn lacking(&self, who: &Prepared) -> Option<&[String]> {
        // Most policies ask for nothing, and then not even where the session lies is looked up.
        if !self.ask() {
            return None;
        }
        let session = &who.subject().session;
        let asked = self.asked_of(session);
        let good = asked.is_empty() || holds_one(session, asked) || holds_one(session, &self.stronger);
        (!good).then_some(asked)
    }
}
