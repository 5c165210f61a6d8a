//! From host and path to application.
//!
//! Hosts are exact names; of the applications that share one, the one with the longest path prefix that the request is below wins.
//! Trust boundary: the asked host and path are checked types of a stranger's request.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Application;
use crate::diagnostic::{Diagnostic, Report};
use crate::http::{CanonicalPath, HostName};

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

/// The table.
pub(super) struct Routes(HashMap<HostName, Vec<Arc<Application>>, RandomState>);

impl Routes {
    pub(super) fn build(applications: &[Arc<Application>], report: &mut Report) -> Self {
        let mut table: HashMap<HostName, Vec<Arc<Application>>, RandomState> = HashMap::default();
        for application in applications {
            for host in application.policy().hosts() {
                let here = table.entry(host.clone()).or_default();
                if let Some(other) = here.iter().find(|other| same_prefix(other, application)) {
                    report.push(claimed_twice(host, application, other));
                    continue;
                }
                here.push(Arc::clone(application));
            }
        }
        for here in table.values_mut() {
            here.sort_by_key(|application| std::cmp::Reverse(bare(application).len()));
        }
        Self(table)
    }

    pub(super) fn find<'a>(&'a self, host: &HostName, path: &CanonicalPath) -> Option<Route<'a>> {
        let (host, neighbours) = self.0.get_key_value(host)?;
        let application = neighbours.iter().find(|application| path.is_below(application.policy().prefix()));
        Some(Route { host, application, neighbours })
    }
}

/// A prefix without its last slash: `/a` and `/a/` are the same place.
fn bare(application: &Application) -> &str {
    let prefix = application.policy().prefix();
    prefix.strip_suffix('/').unwrap_or(prefix)
}

fn same_prefix(one: &Application, other: &Application) -> bool {
    bare(one) == bare(other)
}

fn claimed_twice(host: &HostName, one: &Application, other: &Application) -> Diagnostic {
    let (one, other, prefix) = (one.policy(), other.policy(), one.policy().prefix());
    Diagnostic::error(format!("applications `{}` and `{}` both claim {host}{prefix}", other.name(), one.name()))
        .help(format!("give one of them another host, or a `path` of its own, in policies/{}.toml", one.name()))
}
