//! Counters and gauges in Prometheus's text format.
//!
//! Handles are made when an application or provider is loaded and kept, so that a request pays for an atomic addition and no label look-up.
//! Labels come from configuration only: a stranger cannot make a new time series.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use super::app_counts::{AppCounts, Applications};
use super::labels::{
    AppLabels, CertificateLabels, HandshakeLabels, LoginLabels, ProviderLabels, ProviderRequestLabels, RefusalLabels,
    ReloadLabels, RevocationLabels, SignalLabels, TimedOutLabels, TokenLabels, TurnedAwayLabels,
};
use crate::session::{CAUSES, Cause};

/// How an attempt to read everything anew ended, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// A new set is in use.
    Applied,
    /// Something was wrong with it; the old set stays.
    Refused,
    /// Nothing had changed.
    Unchanged,
}

impl Reloaded {
    /// The word in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Counts one set of policies as being in memory for as long as it lives.
pub struct InMemory(Gauge);

impl InMemory {
    /// Counts it on.
    pub fn new(metrics: &Metrics) -> Self {
        metrics.policy_sets.inc();
        Self(metrics.policy_sets.clone())
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// All metrics of this process.
pub struct Metrics {
    registry: Registry,
    apps: Arc<Applications>,
    refused: Family<RefusalLabels, Counter>,
    bearer_requests: Family<TokenLabels, Counter>,
    bearer_validations: Family<AppLabels, Counter>,
    logins: Family<LoginLabels, Counter>,
    refreshes: Family<LoginLabels, Counter>,
    provider_ready: Family<ProviderLabels, Gauge>,
    provider_stale: Family<ProviderLabels, Gauge>,
    provider_requests: Family<ProviderRequestLabels, Counter>,
    handshakes_failed: Family<HandshakeLabels, Counter>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Those of them that have nothing to do and keep little more than their socket.
    pub parked: Gauge,
    /// Connections accepted so far.
    pub accepted: Counter,
    turned_away: Family<TurnedAwayLabels, Counter>,
    timed_out: Family<TimedOutLabels, Counter>,
    /// The version of the policies in use.
    pub policy_version: Gauge<u64, AtomicU64>,
    /// When the policies in use were put in use, in seconds since 1970.
    pub policy_applied: Gauge,
    /// Sets of policies in memory: the one in use, and older ones that requests still run with.
    policy_sets: Gauge,
    certificate_expires: Family<CertificateLabels, Gauge>,
    /// 1 when the last attempt to read everything anew was refused.
    pub reload_failed: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    revocations: Family<RevocationLabels, Counter>,
    signals: Family<SignalLabels, Counter>,
    /// Lines of the access log that could not be written.
    pub log_lines_lost: Counter,
    /// Entries in the list of ended sessions.
    pub revocations_listed: Gauge,
    /// Entries that were pushed out of it.
    pub revocations_dropped: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("lychgate");
        let apps = Arc::<Applications>::default();
        registry.register_collector(Box::new(Arc::clone(&apps)));
        let into = &mut registry;
        let metrics = Self {
            apps,
            refused: registered(
                into,
                "refused",
                "Requests that the gateway refused, or answered with an error of its own, by reason",
            ),
            bearer_requests: registered(into, "bearer_requests", "Requests with an access token by what became of it"),
            bearer_validations: registered(into, "bearer_validations", "Access tokens that no worker remembered"),
            logins: registered(into, "logins", "Finished logins by outcome"),
            refreshes: registered(into, "refreshes", "Refreshes of sessions by outcome"),
            provider_ready: registered(into, "provider_ready", "Whether the provider's metadata and keys are known"),
            provider_stale: registered(
                into,
                "provider_stale",
                "Whether the provider's metadata and keys could not be fetched anew and old ones are in use",
            ),
            provider_requests: registered(
                into,
                "provider_requests",
                "Requests to the provider by endpoint and outcome",
            ),
            connections: registered(into, "connections", "Open client connections"),
            parked: registered(into, "connections_parked", "Idle client connections that keep little memory"),
            accepted: registered(into, "connections_accepted", "Client connections accepted"),
            turned_away: registered(
                into,
                "connections_turned_away",
                "Client connections closed before anything was said on them, by reason",
            ),
            timed_out: registered(
                into,
                "connections_timed_out",
                "Client connections, and answers on HTTP/2, ended by a time limit, by what was waited for",
            ),
            handshakes_failed: registered(into, "tls_handshakes_failed", "TLS handshakes that failed, by reason"),
            policy_version: registered(into, "policy_version", "Version of the policies in use"),
            policy_applied: registered(
                into,
                "policy_applied_timestamp_seconds",
                "When the policies in use were put in use",
            ),
            policy_sets: registered(into, "policy_sets_in_memory", "Sets of policies in use, or still used"),
            certificate_expires: registered(
                into,
                "certificate_expires_timestamp_seconds",
                "When the first certificate or revocation list of a file of the listeners is over",
            ),
            reload_failed: registered(into, "reload_failed", "Whether the last reload was refused"),
            reloads: registered(into, "reloads", "Reloads by outcome"),
            revocations: registered(into, "revocations", "Orders to end sessions by cause"),
            signals: registered(into, "signals", "Messages of providers by endpoint and outcome"),
            log_lines_lost: registered(
                into,
                "access_log_lines_lost",
                "Lines of the access log that could not be written",
            ),
            revocations_listed: registered(into, "revocations_listed", "Entries in the list of ended sessions"),
            revocations_dropped: registered(
                into,
                "revocations_dropped",
                "Entries pushed out of the list of ended sessions since the start",
            ),
            registry,
        };
        for outcome in [Reloaded::Applied, Reloaded::Refused, Reloaded::Unchanged] {
            drop(metrics.reloads.get_or_create(&ReloadLabels { outcome: outcome.as_str() }));
        }
        for cause in CAUSES {
            drop(metrics.revocations.get_or_create(&RevocationLabels { cause: cause.as_str() }));
        }
        metrics
    }

    /// Counts one order to end sessions.
    pub fn revoked(&self, cause: Cause) {
        self.revocations.get_or_create(&RevocationLabels { cause: cause.as_str() }).inc();
    }

    /// Counts one request that was refused; the reason is a fixed word.
    pub fn refused(&self, app: &str, reason: &'static str) {
        self.refused.get_or_create(&RefusalLabels { app: app.to_owned(), reason }).inc();
    }

    /// Counts one message to an address for providers; both words are fixed ones.
    pub fn signal(&self, endpoint: &'static str, outcome: &'static str) {
        self.signals.get_or_create(&SignalLabels { endpoint, outcome }).inc();
    }

    /// Counts one connection that was turned away; the reason is a fixed word.
    pub fn turned_away(&self, reason: &'static str) {
        self.turned_away.get_or_create(&TurnedAwayLabels { reason }).inc();
    }

    /// Counts one connection that was silent for too long; the reason is a fixed word.
    pub fn timed_out(&self, reason: &'static str) {
        self.timed_out.get_or_create(&TimedOutLabels { reason }).inc();
    }

    /// Counts one TLS handshake that failed; the reason is a fixed word.
    pub fn handshake_failed(&self, reason: &'static str) {
        self.handshakes_failed.get_or_create(&HandshakeLabels { reason }).inc();
    }

    /// Counts one attempt to read everything anew.
    pub fn reloaded(&self, outcome: Reloaded) {
        self.reloads.get_or_create(&ReloadLabels { outcome: outcome.as_str() }).inc();
        self.reload_failed.set(i64::from(outcome == Reloaded::Refused));
    }

    /// Tells when each of these files is over, in seconds since 1970, and no more of any other.
    pub fn certificates_expire(&self, files: impl Iterator<Item = (String, i64)>) {
        self.certificate_expires.clear();
        for (file, until) in files {
            let gauge = self.certificate_expires.get_or_create_owned(&CertificateLabels { file });
            let known = gauge.get();
            gauge.set(if known == 0 { until } else { known.min(until) });
        }
    }

    /// Says no more whether this provider is ready: it is no longer configured. Its logins stay counted.
    pub fn forget_provider(&self, provider: &str) {
        let labels = ProviderLabels { provider: provider.to_owned() };
        self.provider_ready.remove(&labels);
        self.provider_stale.remove(&labels);
    }

    /// The handles for one application; `-` stands for requests that found none.
    pub fn app(&self, app: &str) -> AppMetrics {
        AppMetrics(self.apps.named(app))
    }

    /// The handles for the access tokens of one application.
    pub fn tokens(&self, app: &str) -> TokenMetrics {
        let counter = |outcome| {
            let labels = TokenLabels { app: app.to_owned(), outcome };
            self.bearer_requests.get_or_create_owned(&labels)
        };
        TokenMetrics {
            accepted: counter("accepted"),
            refused: counter("refused"),
            unavailable: counter("unavailable"),
            validations: self.bearer_validations.get_or_create_owned(&AppLabels { app: app.to_owned() }),
        }
    }

    /// Counts requests to a provider.
    pub fn asked(&self, provider: &str, endpoint: &'static str, outcome: &'static str, count: u64) {
        let labels = ProviderRequestLabels { provider: provider.to_owned(), endpoint, outcome };
        self.provider_requests.get_or_create(&labels).inc_by(count);
    }

    /// The handles for one provider.
    pub fn provider(&self, provider: &str) -> ProviderMetrics {
        let login = |outcome| {
            let labels = LoginLabels { provider: provider.to_owned(), outcome };
            self.logins.get_or_create_owned(&labels)
        };
        let refresh = |outcome| {
            let labels = LoginLabels { provider: provider.to_owned(), outcome };
            self.refreshes.get_or_create_owned(&labels)
        };
        let labels = ProviderLabels { provider: provider.to_owned() };
        ProviderMetrics {
            refreshed: refresh("succeeded"),
            refresh_ended: refresh("ended"),
            refresh_failed: refresh("failed"),
            succeeded: login("succeeded"),
            failed: login("failed"),
            ready: self.provider_ready.get_or_create_owned(&labels),
            stale: self.provider_stale.get_or_create_owned(&labels),
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

/// A metric of the registry's, from nothing.
fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// One application's counters.
#[derive(Clone)]
pub struct AppMetrics(Arc<AppCounts>);

impl Deref for AppMetrics {
    type Target = AppCounts;

    fn deref(&self) -> &AppCounts {
        &self.0
    }
}

/// What becomes of one application's access tokens.
#[derive(Clone)]
pub struct TokenMetrics {
    accepted: Counter,
    refused: Counter,
    unavailable: Counter,
    /// Tokens that were verified, or asked about, because the worker did not remember them.
    pub validations: Counter,
}

impl TokenMetrics {
    /// Counts one request with a token.
    pub fn count(&self, outcome: TokenOutcome) {
        match outcome {
            TokenOutcome::Accepted => self.accepted.inc(),
            TokenOutcome::Refused => self.refused.inc(),
            TokenOutcome::Unavailable => self.unavailable.inc(),
        };
    }
}

/// What became of the token of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// It is good.
    Accepted,
    /// It is not.
    Refused,
    /// Nobody could say.
    Unavailable,
}

/// One provider's handles.
#[derive(Clone)]
pub struct ProviderMetrics {
    /// Logins that made a session.
    pub succeeded: Counter,
    /// Logins that were refused.
    pub failed: Counter,
    /// Refreshes after which a session went on.
    pub refreshed: Counter,
    /// Refreshes that ended a session.
    pub refresh_ended: Counter,
    /// Refreshes that the provider could not be asked for.
    pub refresh_failed: Counter,
    /// 1 when metadata and keys are known.
    pub ready: Gauge,
    /// 1 when they could not be fetched anew.
    pub stale: Gauge,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Decision;
    use super::*;

    #[test]
    fn a_counted_request_stands_in_the_text() {
        let metrics = Metrics::new();
        metrics.app("royalty").count(Decision::Deny, 403, Duration::from_millis(3));
        metrics.app("royalty").observed(Decision::StepUp);
        metrics.provider("okta").succeeded.inc();
        let text = metrics.render();
        assert!(text.contains(r#"lychgate_requests_total{app="royalty",decision="deny",status="4xx"} 1"#), "{text}");
        assert!(text.contains(r#"lychgate_observed_total{app="royalty",decision="step_up"} 1"#), "{text}");
        assert!(text.contains(r#"lychgate_logins_total{provider="okta",outcome="succeeded"} 1"#), "{text}");
    }
}
