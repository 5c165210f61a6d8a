//! What policies read and test that no request can bring: headers that are removed from every request, paths that another application has.
//!
//! One policy alone cannot know: what is removed is the union of what all policies emit and a built-in list, and paths are shared out among the
//! applications of a host. A rule that reads such a header could never do what it says, and a test of such a request would show nothing.
//!
//! May touch: nothing. Trust boundary: the administrator's files.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderName;

use super::plan::{line_of, source_named};
use crate::diagnostic::{Diagnostic, Report, SourceFile};
use crate::forward::ScrubSet;
use crate::http::fold::fold;
use crate::http::{CanonicalPath, HostName};
use crate::policy::{ForgedHeaders, Policy, TestedRequest};
use crate::reference;

/// Policies by the hosts that they answer for.
type Hosts<'p> = HashMap<&'p HostName, Vec<&'p Policy>>;

/// Reports all of it.
pub(super) fn check(sources: &[Arc<SourceFile>], policies: &[Policy], report: &mut Report) {
    let removed = ScrubSet::new(policies.iter().flat_map(Policy::emitted_headers));
    let mut hosts = Hosts::new();
    for policy in policies.iter().filter(|policy| !policy.is_shadow()) {
        policy.hosts().iter().for_each(|host| hosts.entry(host).or_default().push(policy));
    }
    for policy in policies {
        let mut say = |finding: Diagnostic, place: &dyn Fn(&SourceFile) -> Range<usize>| {
            report.push(match source_named(sources, policy.name()) {
                Some(source) => finding.at(source, place(source)),
                None => finding,
            });
        };
        for name in policy.headers_read() {
            if HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| removed.covers(&name)) {
                say(reads(name, policies), &|source| place(source, name).unwrap_or_else(|| policy.hosts_at()));
            }
        }
        for test in policy.requests_tested() {
            let finding = elsewhere(policy, &hosts, test).or_else(|| forged(policy, &removed, test));
            if let Some(finding) = finding {
                say(finding.docs(reference::policy::TEST.docs), &|source| line_of(source, test.line));
            }
        }
    }
}

fn reads(name: &str, policies: &[Policy]) -> Diagnostic {
    let sends = |policy: &&Policy| {
        let mut emitted = policy.emitted_headers();
        emitted.any(|sent| fold(sent.as_str()) == fold(name))
    };
    let why = match policies.iter().find(sends) {
        Some(policy) => format!("because policy `{}` sends it", policy.name()),
        None => "as applications take it for a gateway's word".to_owned(),
    };
    Diagnostic::error(format!("the header `{name}` is removed from every request before rules are asked, {why}: it never has a value"))
        .help("clients cannot say what applications take for the gateway's word; forged_headers = \"reject\" refuses those who try")
        .docs(reference::policy::EXPRESSIONS_AT)
}

/// Where a header's name first stands in quotes, as expressions have it, and not in a comment.
fn place(source: &SourceFile, name: &str) -> Option<Range<usize>> {
    let text = source.text().to_ascii_lowercase();
    let quoted = format!("'{name}'");
    let is_code = |at: &usize| {
        !text
            .get(..*at)
            .is_some_and(|before| before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('#')))
    };
    let start = text.match_indices(&quoted).map(|(at, _)| at).find(is_code)? + 1;
    Some(start..start + name.len())
}

/// A test of a path that an application further down on the same host has.
fn elsewhere(policy: &Policy, hosts: &Hosts<'_>, test: TestedRequest<'_>) -> Option<Diagnostic> {
    let own = bare(policy).len();
    let has = |path: &CanonicalPath, other: &Policy| bare(other).len() > own && path.is_below(other.prefix());
    let other_reading = test.path.other_reading();
    let readings = || [Some(test.path), other_reading.as_ref()].into_iter().flatten();
    let others = hosts.get(test.host)?.iter().filter(|other| readings().any(|path| has(path, other)));
    // The one that gets it, which is the deepest.
    let other = others.max_by_key(|other| bare(other).len())?;
    let message =
        format!("`{}` on {} is for application `{}`: no rule here is asked", test.path, test.host, other.name());
    Some(Diagnostic::error(message).help(format!("move the test to the policy `{}`", other.name())))
}

/// The path below which an application lies, without a slash at its end.
fn bare(policy: &Policy) -> &str {
    policy.prefix().trim_end_matches('/')
}

/// A test of a request that is refused before any rule is asked.
fn forged(policy: &Policy, removed: &ScrubSet, test: TestedRequest<'_>) -> Option<Diagnostic> {
    if policy.forged_headers() != ForgedHeaders::Reject {
        return None;
    }
    let name = removed.forged(test.headers)?;
    let message = format!("a request with the header `{name}` is refused before any rule is asked");
    Some(Diagnostic::error(message).help("leave it away: `forged_headers` is \"reject\""))
}
