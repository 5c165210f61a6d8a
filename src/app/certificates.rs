//! Whether the certificates of the listeners are good for today and for the hosts that policies have; all of it warnings, because a gateway that
//! does not start helps nobody whose certificate has run out.
//!
//! May touch: memory only. Trust boundary: checked settings and compiled policies.

use crate::clock::Timestamp;
use crate::config::{
    self, ClientAuthority, Config, Dated, Listener, PassedOver, ServerCertificate, ServerTls, Validity,
};
use crate::diagnostic::{Diagnostic, Report};
use crate::http::{HostName, Scheme};
use crate::policy::Policy;
use crate::reference;

/// Adds what is to be said.
pub(super) fn check(config: &Config, policies: &[Policy], now: Timestamp, report: &mut Report) {
    let hosts: Vec<&HostName> = policies.iter().flat_map(Policy::hosts).collect();
    let all: Vec<_> = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).collect();
    let certificates: Vec<_> = all.iter().flat_map(|tls| tls.certificates.all()).collect();
    for finding in dates(&config::dated(&config.listeners), now) {
        report.push_once(finding);
    }
    all.iter().for_each(|tls| check_lists(tls, report));
    check_demands(&config.listeners, report);
    for certificate in &certificates {
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

/// What is over, or soon will be.
pub(super) fn dates(all: &[Dated], now: Timestamp) -> impl Iterator<Item = Diagnostic> {
    let worth = move |one: &&Dated| one.validity(now) != Validity::Good;
    all.iter().filter(worth).map(move |one| warning(one.tell(now)).help(one.advice(now)))
}

/// With revocation lists, every certificate up to the authority must be spoken for; and of lists for the same certificates one counts.
fn check_lists(tls: &ServerTls, report: &mut Report) {
    let Some(client) = tls.client.as_ref().filter(|client| !client.lists.is_empty()) else { return };
    for ClientAuthority { path, facts, .. } in client.authorities.iter().filter(|authority| !authority.listed) {
        let named = client.lists.iter().any(|(_, list)| list.issuer == facts.subject);
        let what = if named { "is signed with this key of" } else { "is of" };
        let message = format!("{}: no list in `crl` {what} the authority `{}`", path.display(), facts.subject);
        report.push_once(
            warning(message).help("every certificate that it signed is refused: add its list, or leave `crl` out"),
        );
    }
    for PassedOver { path, facts, newer, newer_update } in &client.passed_over {
        let date = |seconds: i64| Timestamp::from_seconds(seconds).to_string();
        let message = format!(
            "{}: the revocation list of `{}` of {} does not count: {} holds one of {}",
            path.display(),
            facts.issuer,
            date(facts.this_update),
            newer.display(),
            date(*newer_update)
        );
        report.push_once(
            warning(message).help("of lists for the same certificates the newest counts: remove the others"),
        );
    }
}

/// A demand holds for its listener: where another one serves the same hosts without it, only rules can demand anything.
fn check_demands(listeners: &[Listener], report: &mut Report) {
    let client =
        |listener: &Listener| listener.tls.as_ref().and_then(|tls| tls.client.as_ref().map(|client| client.required));
    let serves = |listener: &&Listener| listener.redirect.is_none() && !listener.address.ip().is_loopback();
    let demanding = listeners.iter().find(|listener| client(listener) == Some(true));
    let open = listeners.iter().filter(serves).find(|listener| client(listener) != Some(true));
    if let (Some(demanding), Some(open)) = (demanding, open) {
        let (demanding, open) = (demanding.address, open.address);
        let message =
            format!("{demanding} takes no client without a certificate, and {open} serves the same hosts without one");
        let help = "where a certificate must be, let the rule ask for `request.tls.client.verified`";
        report.push(warning(message).help(help));
    }
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
