//! Shadows: policies in observe mode, each decided beside the enforced one of the same application.
//!
//! A shadow changes nothing for anybody: it has no route, no upstream and no session of its own. One that no enforced policy
//! stands before would look like protection and be none, so it is an error.
//!
//! Trust boundary: none; made of compiled policies.

use crate::diagnostic::Diagnostic;
use crate::policy::Policy;

/// Every shadow that has no application, or one that has a shadow already: its index, and what to say.
pub fn shadows_astray(policies: &[Policy]) -> Vec<(usize, Diagnostic)> {
    let mut owners: Vec<(&str, &Policy)> = Vec::new();
    let mut found = Vec::new();
    for (index, shadow) in policies.iter().enumerate().filter(|(_, policy)| policy.is_shadow()) {
        match policies.iter().find(|policy| belongs(shadow, policy)) {
            None => found.push((index, astray(shadow, policies))),
            Some(owner) => match owners.iter().find(|(name, _)| *name == &**owner.name()) {
                Some((name, first)) => {
                    let message = format!("`{}` and `{}` both observe beside `{name}`", first.name(), shadow.name());
                    found.push((index, Diagnostic::error(message).help("try one after the other")));
                }
                None => owners.push((owner.name(), shadow)),
            },
        }
    }
    found
}

/// Whether `shadow` is decided beside `enforced`.
pub(super) fn belongs(shadow: &Policy, enforced: &Policy) -> bool {
    shadow.is_shadow()
        && !enforced.is_shadow()
        && bare(shadow) == bare(enforced)
        && shadow.hosts().iter().all(|host| enforced.hosts().contains(host))
}

/// A prefix without its last slash: `/a` and `/a/` are the same place.
pub(super) fn bare(policy: &Policy) -> &str {
    let prefix = policy.prefix();
    prefix.strip_suffix('/').unwrap_or(prefix)
}

fn astray(shadow: &Policy, policies: &[Policy]) -> Diagnostic {
    let near = policies.iter().find(|policy| {
        !policy.is_shadow()
            && bare(policy) == bare(shadow)
            && policy.hosts().iter().any(|host| shadow.hosts().contains(host))
    });
    let foreign = near.and_then(|near| Some((near, shadow.hosts().iter().find(|host| !near.hosts().contains(host))?)));
    match foreign {
        Some((near, host)) => {
            let message = format!("`{}` observes {host}, which is no host of `{}`", shadow.name(), near.name());
            Diagnostic::error(message).help("a shadow has no host that the enforced policy has not")
        }
        None => {
            let place = shadow.hosts().first().map(ToString::to_string).unwrap_or_default();
            let message =
                format!("`{}` only observes, and no policy is enforced at {place}{}", shadow.name(), shadow.prefix());
            Diagnostic::error(message)
                .help("give it the hosts and the path of the policy that it is to replace, or remove `mode`")
        }
    }
}
