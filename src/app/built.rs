//! What is made of a plan: the providers and the snapshot. Nothing is bound, and no thread runs.
//!
//! The same at the start and at a reload, where what did not change is taken over: a provider keeps what was discovered about it, an
//! application the open connections to its servers.
//!
//! May touch: the files that policies name. Trust boundary: the administrator's files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Plan, StartError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::diagnostic::{Diagnostic, Report};
use crate::observe::Metrics;
use crate::oidc::{Provider, ProviderSettings, SharedValue, Signals, Transmitter};
use crate::policy::Policy;
use crate::snapshot::{Ingredients, Snapshot};

/// The providers by name.
pub(super) type Providers = BTreeMap<Arc<str>, Arc<Provider>>;

/// What requests are decided with.
pub(super) struct Built {
    pub(super) providers: Providers,
    pub(super) snapshot: Snapshot,
}

/// What is in use and may be taken over.
pub(super) struct Before<'a> {
    pub(super) providers: &'a Providers,
    pub(super) snapshot: &'a Snapshot,
}

impl Built {
    /// Builds everything; takes the policies out of the plan.
    pub(super) fn new(
        plan: &mut Plan,
        before: Option<Before<'_>>,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let known = before.as_ref().map(|before| before.providers);
        let providers = providers(&plan.config, known, clock)?;
        let mut report = Report::default();
        let ingredients = Ingredients {
            policies: std::mem::take::<Vec<Policy>>(&mut plan.policies),
            read: &|name, path| plan.read_for_policy(name, path),
            providers: &providers,
            metrics,
            version: before.as_ref().map_or(0, |before| before.snapshot.version()) + 1,
            before: before.as_ref().map(|before| before.snapshot),
        };
        let snapshot = Snapshot::build(ingredients, &mut report).ok_or(StartError::Refused(report))?;
        Ok(Self { providers, snapshot })
    }
}

fn providers(config: &Config, known: Option<&Providers>, clock: &Clock) -> Result<Providers, StartError> {
    let build = |provider: &config::ProviderConfig| {
        let settings = settings(provider);
        let built = match known.and_then(|known| known.get(&provider.name)) {
            Some(unchanged) if unchanged.is_configured_as(&settings) => return Ok(Arc::clone(unchanged)),
            Some(before) => before.reconfigured(settings),
            None => Provider::new(settings, clock.clone()),
        };
        built.map_err(|error| StartError::refused(Diagnostic::error(format!("provider `{}`: {error}", provider.name))))
    };
    config.providers.iter().map(|provider| Ok((Arc::clone(&provider.name), build(provider)?))).collect()
}

fn settings(provider: &config::ProviderConfig) -> ProviderSettings {
    ProviderSettings {
        client_secret: provider.client_secret.clone(),
        client_auth: provider.client_auth,
        client_key: provider.client_key.clone(),
        client_key_id: provider.client_key_id.clone(),
        assertion_audience: provider.assertion_audience,
        pushed_requests: provider.pushed_requests,
        response_mode: provider.response_mode,
        callback: provider.callback,
        algorithms: provider.algorithms.clone(),
        asking: provider.asking.clone(),
        scopes: provider.scopes.clone(),
        userinfo: provider.userinfo,
        ca: provider.ca.clone(),
        clock_skew: provider.clock_skew,
        signals: signals(provider),
        ..ProviderSettings::new(&provider.name, &provider.issuer_text, &provider.client_id)
    }
}

/// What is not said of the transmitter of events is the provider's own.
fn signals(provider: &config::ProviderConfig) -> Signals {
    let shared = |secret: &crate::crypto::Secret<String>| SharedValue::of(secret.expose());
    let events = provider.signals.events.as_ref().map(|events| Transmitter {
        issuer: events.issuer.clone().unwrap_or_else(|| provider.issuer_text.clone()),
        audience: events.audience.clone().unwrap_or_else(|| provider.client_id.clone()),
        jwks_uri: events.jwks_uri.clone(),
        authorization: events.authorization.as_ref().map(shared),
    });
    Signals { events, okta_hooks: provider.signals.okta_hooks.as_ref().map(shared) }
}
