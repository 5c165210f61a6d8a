//! One application's policy: read, compiled, decided by.
//!
//! [`compile`] turns the text of a `policies/NAME.toml` into a [`Policy`], or into all mistakes in it, each with its
//! place. [`Policy::prepare`] makes room for what depends on the person alone, evaluated once, when a request needs it; [`Policy::decide`] answers for
//! each request and is the only maker of a [`Permit`], without which nothing reaches an application.
//!
//! Layer 1, pure: no I/O, no clock; secrets come in through a closure. Trust boundary: files are an administrator's and may
//! be wrong in every way; claims are a provider's; requests are a stranger's and come in as canonical values only.
//! The language is described for administrators in `docs/policy.md`; expressions are the Common Expression Language.

mod answer;
mod app;
mod bearer;
mod brought;
mod case;
mod circumstances;
mod claim_check;
mod compared;
mod compile;
mod condition;
mod consulted;
mod coverage;
mod decide;
mod decision;
mod definitions;
mod doubt;
mod encode;
mod explain;
mod expression;
mod header;
mod header_choice;
mod header_set;
mod header_table;
mod hurdles;
mod include;
mod limits;
mod login;
mod method_set;
mod networks;
mod pattern;
mod prepared;
mod query;
mod reach;
mod reader;
mod record;
mod request_header;
mod response;
mod route;
mod route_tree;
mod rule;
mod saved;
mod schedule;
mod selector;
mod session;
mod template;
mod test_case;
mod test_table;
mod test_tls;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderName;

pub use answer::{Answer, Redirect, Respond};
pub use app::{ForgedHeaders, HostMode, KeepAlive, Login, Upstream, UpstreamTarget};
pub use bearer::{Bearer, TokenForm};
pub use brought::TestedRequest;
pub use compared::{Compare, Compared};
pub use compile::{Environment, ProviderFacts, compile, no_files};
pub use condition::ConditionText;
pub use consulted::Consulted;
pub use decision::{
    Decision, Denial, DenialReason, Permit, Reply, RequestFacts, Requirement, SessionFacts, SessionKind, Subject,
    TlsFacts, TlsVersion,
};
pub use explain::{Check, Explained, ExplainedHeader, ExplainedLimit, ExplainedRule, Standing, printed};
pub use expression::Seen;
pub use header::MAX_HEADER_VALUE;
pub use header_table::{NoSecret, SecretSource};
pub use limits::{Limits, Per, PolicyLimits, RateLimit};
pub use networks::Networks;
pub use prepared::Prepared;
pub use reach::{Coverage, Reachable};
pub use record::RecordedParameter;
pub use response::ResponseFields;
pub use saved::SavedError;
pub use session::{Posts, SessionSettings};
pub use test_case::TestOutcome;

use crate::http::{HostName, PathSwitches};
use encode::Carrier;
use hurdles::Hurdles;

/// One application's compiled policy. Immutable; shared behind an `Arc`.
pub struct Policy {
    front: Front,
    door: Door,
    app: app::App,
    login: Option<Login>,
    bearer: Option<Bearer>,
    session: SessionSettings,
    limits: PolicyLimits,
    /// The first is `[headers]` and `[cookies]`.
    header_sets: Vec<header_set::HeaderSet>,
    tests: Vec<test_case::TestCase>,
    claims_read: BTreeSet<Box<str>>,
    /// What conditions and headers use by name.
    named: Arc<expression::Named>,
    /// How many outcomes of conditions a session can keep.
    conditions: usize,
    /// The query parameters that rules select by and conditions read, for recordings.
    asked_parameters: Vec<Box<str>>,
    /// The same for the rules that only observe.
    observed_doubtful: doubt::Doubtful,
    reads_sign_in: bool,
    /// Whether the whole policy only observes.
    observes: bool,
}

/// What every decision reads of a policy, in one cache line: with many policies each further one is one more wait for memory.
#[repr(align(64))]
struct Front {
    id: u64,
    routes: route::RouteTable,
    rules: Box<[rule::Rule]>,
    /// What stands before the rules; none where nothing does.
    hurdles: Option<Box<Hurdles>>,
}

const _: () = assert!(size_of::<Front>() == 64);

/// What every request reads of a policy besides its decision, in one more line.
#[repr(align(64))]
struct Door {
    name: Arc<str>,
    /// None for `/`.
    prefix: Option<Box<str>>,
    response: ResponseFields,
    path_switches: PathSwitches,
    forged_headers: ForgedHeaders,
    keep_alive: KeepAlive,
    knows_people: bool,
}

const _: () = assert!(size_of::<Door>() == 64);

impl Policy {
    /// The application's name: the file's name without `.toml`.
    pub fn name(&self) -> &Arc<str> {
        &self.door.name
    }

    /// What people call the application; on pages only.
    pub fn title(&self) -> &str {
        self.app.words.title.as_deref().unwrap_or(self.name())
    }

    /// Whom people ask who are refused.
    pub fn contact(&self) -> Option<&str> {
        self.app.words.contact.as_deref()
    }

    /// Whether it only observes: a shadow of another policy, which is decided beside it and never enforced.
    pub fn is_shadow(&self) -> bool {
        self.observes
    }

    /// The hosts that it answers for, at least one.
    pub fn hosts(&self) -> &[HostName] {
        &self.app.hosts
    }

    /// Where the hosts stand in the policy's file, for messages.
    pub fn hosts_at(&self) -> Range<usize> {
        self.app.hosts_at.clone()
    }

    /// The path below which it lies: `/`, or canonical without a last slash.
    pub fn prefix(&self) -> &str {
        self.door.prefix.as_deref().unwrap_or("/")
    }

    /// What it wants kept in paths.
    pub fn path_switches(&self) -> PathSwitches {
        self.door.path_switches
    }

    /// What becomes of requests with a field that only the gateway may send.
    pub fn forged_headers(&self) -> ForgedHeaders {
        self.door.forged_headers
    }

    /// Which requests leave their connection to the application for others.
    pub fn keep_alive(&self) -> KeepAlive {
        self.door.keep_alive
    }

    /// Where the application runs.
    pub fn upstream(&self) -> &Upstream {
        &self.app.upstream
    }

    /// How people sign in; none when nobody can with a browser.
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Which tokens API clients may bring; none when they cannot.
    pub fn bearer(&self) -> Option<&Bearer> {
        self.bearer.as_ref()
    }

    /// Whether it asks who somebody is, by a session or by a token.
    pub fn knows_people(&self) -> bool {
        self.door.knows_people
    }

    /// Whether a rule asks when the person signed in (`session.age`, `session.authenticated_at`).
    pub fn reads_sign_in(&self) -> bool {
        self.reads_sign_in
    }

    /// Authentication contexts that rules ask for in `step_up`: good enough for the application at large, too.
    pub fn stronger_acr(&self) -> &[String] {
        &self.hurdles().login.stronger
    }

    /// How long a session lasts, and how it is kept.
    pub fn session(&self) -> &SessionSettings {
        &self.session
    }

    /// How much may be asked for: of the application, and by rule.
    pub fn limits(&self) -> &PolicyLimits {
        &self.limits
    }

    /// From where clients may come; everywhere when none.
    pub fn networks(&self) -> Option<&Networks> {
        self.hurdles().networks.as_ref()
    }

    /// Every identity header that this policy can emit, each once; to be removed from what clients send.
    pub fn emitted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let mut seen = BTreeSet::new();
        self.told(Carrier::Header).map(|header| &header.name).filter(move |name| seen.insert(name.as_str()))
    }

    /// The same headers as the policy spells them.
    pub fn spelled_headers(&self) -> impl Iterator<Item = &str> {
        self.told(Carrier::Header).map(|header| &*header.spelled)
    }

    /// Every cookie that this policy can emit; to be removed from what clients send and from what the application sets.
    pub fn emitted_cookies(&self) -> impl Iterator<Item = &str> {
        self.told(Carrier::Cookie).map(|cookie| &*cookie.spelled)
    }

    fn told(&self, carrier: Carrier) -> impl Iterator<Item = &header::Header> {
        let all = self.header_sets.iter().flat_map(header_set::HeaderSet::headers).map(|header| &**header);
        all.filter(move |header| header.carrier == carrier)
    }

    /// Whether anything that it tells must be signed.
    pub fn signs(&self) -> bool {
        self.header_sets.iter().flat_map(header_set::HeaderSet::headers).any(|header| header.is_signed())
    }

    /// What is added to and removed from the application's answers.
    pub fn response(&self) -> &ResponseFields {
        &self.door.response
    }

    /// The rule with this label.
    fn rule_labelled(&self, label: Option<&str>) -> Option<&rule::Rule> {
        self.front.rules.iter().find(|rule| Some(&*rule.label) == label)
    }

    /// The top-level claims that any expression reads; a session needs to keep no other.
    pub fn claims_read(&self) -> &BTreeSet<Box<str>> {
        &self.claims_read
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("name", &self.door.name).field("hosts", &self.app.hosts).finish_non_exhaustive()
    }
}
