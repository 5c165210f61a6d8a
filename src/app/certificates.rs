//! Whether the certificates of the listeners are good for today and for the hosts that policies have; all of it warnings, because a gateway that
//! does not start helps nobody whose certificate has run out.
//!
//! May touch: memory only. Trust boundary: checked settings and compiled policies.

use crate::clock::Timestamp;
use crate::config::{Config, Listener, ServerCertificate};
use crate::diagnostic::{Diagnostic, Report};
use crate::http::{HostName, Scheme};
use crate::policy::Policy;
use crate::reference;

/// Adds what is to be said.
pub(super) fn check(config: &Config, policies: &[Policy], now: Timestamp, report: &mut Report) {
    let hosts: Vec<&HostName> = policies.iter().flat_map(Policy::hosts).collect();
    let all: Vec<_> = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).collect();
    let certificates: Vec<_> = all.iter().flat_map(|tls| tls.certificates.all()).collect();
    for certificate in &certificates {
        dates(certificate, now, report);
        if !hosts.is_empty() && !hosts.iter().any(|host| certificate.names().cover(host)) {
            let message = format!("{} has no name for any host that a policy has", certificate.path().display());
            report.push_once(warning(message).help(names(certificate)));
        }
    }
    check_redirects(config, report);
    // Another one may stand in front of a listener behind a load balancer, and browsers do not mind on loopback names.
    let elsewhere = |listener: &Listener| listener.scheme == Scheme::Https && listener.tls.is_none();
    if certificates.is_empty() || config.listeners.iter().any(elsewhere) {
        return;
    }
    let bare = |host: &&HostName| !host.is_loopback() && !certificates.iter().any(|one| one.names().cover(host));
    for host in hosts.into_iter().filter(bare) {
        let message = format!("no certificate is for `{host}`: clients are shown the first one and refuse it");
        report.push_once(warning(message).help("add a certificate with this name to `listeners.tls`"));
    }
}

fn dates(certificate: &ServerCertificate, now: Timestamp, report: &mut Report) {
    let (facts, path) = (certificate.facts(), certificate.path().display());
    let date = |seconds: i64| Timestamp::from_seconds(seconds).to_string();
    let message = if facts.not_after < now.seconds() {
        format!("{path}: the certificate expired on {}", date(facts.not_after))
    } else if facts.not_before > now.seconds() {
        format!("{path}: the certificate is not valid before {}", date(facts.not_before))
    } else {
        return;
    };
    report.push_once(warning(message).help("clients refuse it; a new file is read while the gateway runs"));
}

/// A redirect leads somewhere only when somebody listens there.
fn check_redirects(config: &Config, report: &mut Report) {
    let redirects = config.listeners.iter().any(|listener| listener.redirect.is_some());
    if redirects && !config.listeners.iter().any(|listener| listener.scheme == Scheme::Https) {
        let message = "a listener sends everybody to https, and no listener is https".to_owned();
        report.push(warning(message).help("give a listener `tls`, or `scheme = \"https\"` behind a load balancer"));
    }
}

fn names(certificate: &ServerCertificate) -> String {
    match certificate.facts().dns_names.as_slice() {
        [] => "it has no alternative names; clients do not look at its common name".to_owned(),
        names => format!("it is for {}", names.iter().take(5).cloned().collect::<Vec<_>>().join(", ")),
    }
}

fn warning(message: String) -> Diagnostic {
    Diagnostic::warning(message).docs(reference::gateway::TLS.docs)
}
