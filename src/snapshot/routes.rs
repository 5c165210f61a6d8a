//! From host and path to application.
//!
//! Hosts are exact names; of the applications that share one, the one with the longest path prefix that the request is below wins.
//! Trust boundary: the asked host and path are checked types of a stranger's request.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Application;
use super::shadows::bare;
use crate::diagnostic::Diagnostic;
use crate::http::{CanonicalPath, HostName, PathSwitches};
use crate::policy::Policy;
use crate::reference;

/// Where a request goes.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// The host as configured.
    pub host: &'a HostName,
    /// The application; none when the host is known and the path belongs to no application on it.
    pub application: Option<&'a Arc<Application>>,
    /// All applications on this host, longest prefix first.
    pub neighbours: &'a [Arc<Application>],
}

impl<'a> Route<'a> {
    /// The application on this host that has a path.
    pub fn application_at(&self, path: &CanonicalPath) -> Option<&'a Arc<Application>> {
        self.neighbours.iter().find(|application| path.is_below(application.policy().prefix()))
    }

    /// Whether a client at `address` may come to any application on this host.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.neighbours.iter().any(|application| application.admits(address))
    }

    /// Whether people sign in at any application on this host.
    pub fn signs_in(&self) -> bool {
        self.neighbours.iter().any(|application| application.policy().knows_people())
    }
}

/// The table.
pub(super) struct Routes(HashMap<HostName, Here, RandomState>);

/// The applications on one host, longest prefix first.
enum Here {
    /// One alone, which is found without another look at memory.
    One(Arc<Application>),
    Several(Box<[Arc<Application>]>),
}

impl Here {
    fn new(mut applications: Vec<Arc<Application>>) -> Self {
        match (applications.len(), applications.pop()) {
            (1, Some(only)) => Self::One(only),
            (_, last) => {
                applications.extend(last);
                applications.sort_by_key(|application| Reverse(bare(application.policy()).len()));
                Self::Several(applications.into())
            }
        }
    }

    fn all(&self) -> &[Arc<Application>] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(all) => all,
        }
    }
}

impl Routes {
    /// The applications' claims were checked before ([`claimed_twice`]).
    pub(super) fn build(applications: &[Arc<Application>]) -> Self {
        let mut table: HashMap<HostName, Vec<Arc<Application>>, RandomState> = HashMap::default();
        for application in applications {
            for host in application.policy().hosts() {
                table.entry(host.clone()).or_default().push(Arc::clone(application));
            }
        }
        Self(table.into_iter().map(|(host, here)| (host, Here::new(here))).collect())
    }

    pub(super) fn find<'a>(&'a self, host: &HostName, path: &CanonicalPath) -> Option<Route<'a>> {
        let (host, here) = self.0.get_key_value(host)?;
        let neighbours = here.all();
        let application = neighbours.iter().find(|application| path.is_below(application.policy().prefix()));
        Some(Route { host, application, neighbours })
    }

    /// The application that has all paths of a host, and shares it with nobody.
    pub(super) fn alone_on(&self, host: &HostName) -> Option<&Arc<Application>> {
        match self.0.get(host)? {
            Here::One(only) => Some(only).filter(|only| only.policy().prefix() == "/"),
            Here::Several(_) => None,
        }
    }

    /// What any application on a host wants kept in paths.
    pub(super) fn path_switches(&self, host: &HostName) -> PathSwitches {
        let here = self.0.get(host).into_iter().flat_map(Here::all);
        here.map(|application| application.policy().path_switches()).fold(PathSwitches::default(), PathSwitches::or)
    }
}

/// Every place that a policy claims and one before it claims too (shadows claim none): the index of the later policy, and what to say.
pub fn claimed_twice(policies: &[Policy]) -> Vec<(usize, Diagnostic)> {
    let mut owners: HashMap<(&HostName, &str), &Policy> = HashMap::new();
    let mut found = Vec::new();
    for (index, policy) in policies.iter().enumerate().filter(|(_, policy)| !policy.is_shadow()) {
        for host in policy.hosts() {
            match owners.entry((host, bare(policy))) {
                Entry::Vacant(free) => {
                    free.insert(policy);
                }
                Entry::Occupied(owner) => found.push((index, twice(host, owner.get(), policy))),
            }
        }
    }
    found
}

fn twice(host: &HostName, first: &Policy, second: &Policy) -> Diagnostic {
    let (first, second, prefix) = (first.name(), second.name(), second.prefix());
    Diagnostic::error(format!("applications `{first}` and `{second}` both claim {host}{prefix}"))
        .help(format!("give one of them another host, or a `path` of its own, in policies/{second}.toml"))
        .docs(reference::policy::APP.docs)
}
