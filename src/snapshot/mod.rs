//! Everything that requests are decided with, as one immutable value.
//!
//! Layer 3. Built from compiled policies, swapped in one step, read once per request; its version stands in every log line.
//! Routing costs one look-up by host and a walk over that host's few path prefixes, however many applications there are.
//!
//! Trust boundary: none; it is made of checked configuration. Bad combinations are refused when it is built: two applications that
//! claim one host and path, a provider that does not exist, a shadow with nothing to stand beside.

mod application;
mod guard;
mod routes;
mod shadows;
mod shared;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Report};
use crate::forward::ScrubSet;
use crate::http::{HostName, PathSwitches, RequestHead};
use crate::observe::{AppMetrics, InMemory, Metrics};
use crate::oidc::Provider;
use crate::policy::Policy;

use application::Surroundings;
pub use application::{Application, BearerAccess};
pub use guard::{Guard, Limiter};
use routes::Routes;
pub use routes::{Route, claimed_twice};
pub use shadows::shadows_astray;
use shared::Shared;

/// All applications, compiled.
pub struct Snapshot {
    version: u64,
    routes: Routes,
    applications: Vec<Arc<Application>>,
    scrub: ScrubSet,
    nowhere: AppMetrics,
    _in_memory: Arc<InMemory>,
}

/// What a snapshot is built with.
pub struct Ingredients<'a> {
    /// The compiled policies.
    pub policies: Vec<Policy>,
    /// Reads a file that the policy of this name names.
    pub read: &'a dyn Fn(&str, &Path) -> io::Result<Vec<u8>>,
    /// The providers by name.
    pub providers: &'a BTreeMap<Arc<str>, Arc<Provider>>,
    /// Where the applications' counters are made.
    pub metrics: &'a Metrics,
    /// The number of this set of policies.
    pub version: u64,
    /// The set that is in use: the way to an application that is the same there goes on being used, with its open connections.
    pub before: Option<&'a Snapshot>,
}

impl Snapshot {
    /// Builds a snapshot; all findings go to `report`, and with an error there is none.
    pub fn build(ingredients: Ingredients<'_>, report: &mut Report) -> Option<Self> {
        let scrub = ScrubSet::new(ingredients.policies.iter().flat_map(Policy::emitted_headers));
        let nowhere = ingredients.metrics.app("-");
        claimed_twice(&ingredients.policies).into_iter().for_each(|(_, finding)| report.push(finding));
        shadows_astray(&ingredients.policies).into_iter().for_each(|(_, finding)| report.push(finding));
        let (mut shadows, policies): (Vec<_>, Vec<_>) =
            ingredients.policies.into_iter().partition(|policy| policy.is_shadow());
        let mut applications = Vec::with_capacity(policies.len());
        let before: HashMap<&str, &Arc<Application>> =
            ingredients.before.into_iter().flat_map(Self::applications).map(|one| (one.name(), one)).collect();
        let surroundings = Surroundings {
            read: ingredients.read,
            providers: ingredients.providers,
            metrics: ingredients.metrics,
            system_trust: OnceCell::new(),
            in_memory: Arc::new(InMemory::new(ingredients.metrics)),
            shared: Shared::default(),
        };
        for policy in policies {
            let before = before.get(&**policy.name()).map(|application| &***application);
            let shadow = shadows.iter().position(|shadow| shadows::belongs(shadow, &policy));
            let shadow = shadow.map(|place| shadows.swap_remove(place));
            match Application::build(policy, shadow, before, &surroundings) {
                Ok(application) => applications.push(Arc::new(application)),
                Err(finding) => report.push(finding),
            }
        }
        let routes = Routes::build(&applications);
        if applications.is_empty() && !report.has_errors() {
            report.push(
                Diagnostic::error("there is no application").help("name at least one policy file under `policies`"),
            );
        }
        if report.has_errors() {
            return None;
        }
        Some(Self {
            version: ingredients.version,
            routes,
            applications,
            scrub,
            nowhere,
            _in_memory: surroundings.in_memory,
        })
    }

    /// The number of this set of policies.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Finds the application that a request is for.
    pub fn route(&self, head: &RequestHead) -> Option<Route<'_>> {
        self.routes.find(&head.host, &head.path)
    }

    /// What any application on a host wants kept in paths; for [`RequestHead::parse_keeping`].
    pub fn path_switches(&self, host: &HostName) -> PathSwitches {
        self.routes.path_switches(host)
    }

    /// The application that has all of a host, where one has: whatever the path is, the request is for it.
    pub fn alone_on(&self, host: &HostName) -> Option<&Arc<Application>> {
        self.routes.alone_on(host)
    }

    /// The names to take out of every request.
    pub fn scrub_set(&self) -> &ScrubSet {
        &self.scrub
    }

    /// All applications in the order of their names.
    pub fn applications(&self) -> &[Arc<Application>] {
        &self.applications
    }

    /// How long a session can live at most, at any of the applications.
    pub fn longest_session(&self) -> Duration {
        self.applications.iter().map(|application| application.limits().max).max().unwrap_or_default()
    }

    /// The counters of requests that found no application.
    pub fn nowhere(&self) -> &AppMetrics {
        &self.nowhere
    }
}
