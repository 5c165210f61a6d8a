//! One configured provider: what was discovered about it, kept fresh in the background.
//!
//! The gateway starts without it. [`Provider::keep_discovered`] asks until it answers, with growing pauses from 1 to 60
//! seconds, then as often as its answers' Cache-Control says, hourly where it says nothing; the last good metadata and keys stay in force while the provider is away (R14, R16). An ID token
//! that no known key signed causes at most one fetch of the key set a minute, however many logins ask (R14).
//!
//! May touch: the network through `http_client`, the clock, the log (the provider's name and our own words, R17).
//! Trust boundary: the provider's documents, believed only after `metadata` and `keys` have checked them.
//! Bounds: see `learned`.

mod learned;
mod newer_keys;

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Method, StatusCode, header};

pub(super) use self::learned::Discovered;
use self::learned::Learned;
pub(super) use self::newer_keys::Refused;
use super::availability::{FetchError, MetadataError, ProviderUnavailable};
use super::endpoint::Endpoint;
use super::freshness::{REFRESH, good_for};
use super::http_client::{HttpClient, HttpResponse};
use super::introspection_cache::Introspections;
use super::keys::KeySet;
use super::metadata::Metadata;
use super::patience::{Rests, jittered};
use super::settings::{self, ProviderSettings, ResponseMode, SettingsError};
use super::traffic::{RequestOutcome, Traffic};
use super::transmitter_keys::TransmitterKeys;
use crate::clock::{Clock, Timestamp};
use crate::crypto::SignatureAlgorithm;
use crate::session::Registration;

/// At most one attempt on demand in this time.
const DEMAND_WINDOW: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whether logins at a provider can begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Metadata and keys are there and fresh.
    Ready,
    /// The provider was never reached; no login can begin.
    NotYet {
        /// What the last attempt met.
        reason: String,
    },
    /// Logins begin with the last good metadata; refreshing it failed.
    Stale {
        /// What the last attempt met.
        reason: String,
        /// When the metadata in use was fetched.
        since: Timestamp,
    },
}

/// A provider, shared by all workers.
pub struct Provider {
    /// For tasks of its own.
    me: Weak<Self>,
    settings: ProviderSettings,
    registration: Registration,
    http: HttpClient,
    clock: Clock,
    learned: Arc<Learned>,
    transmitter_keys: Arc<TransmitterKeys>,
    introspections: Introspections,
}

impl Provider {
    /// Checks the settings. Nothing is asked of the provider yet.
    pub fn new(settings: ProviderSettings, clock: Clock) -> Result<Arc<Self>, SettingsError> {
        Self::build(settings, clock, None)
    }

    /// The same with other settings in place of this one, of which what was learned stays where it holds for them, too.
    pub fn reconfigured(&self, settings: ProviderSettings) -> Result<Arc<Self>, SettingsError> {
        Self::build(settings, self.clock.clone(), Some(self))
    }

    fn build(settings: ProviderSettings, clock: Clock, before: Option<&Self>) -> Result<Arc<Self>, SettingsError> {
        settings::check(&settings)?;
        let http = HttpClient::new(settings.ca.as_deref(), settings.limits)?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            registration: Registration::new(&settings.issuer, &settings.client_id),
            learned: before.and_then(|before| before.learned_for(&settings)).unwrap_or_default(),
            transmitter_keys: before.and_then(|before| before.transmitter_keys_for(&settings)).unwrap_or_default(),
            introspections: Introspections::new(),
            settings,
            http,
            clock,
        }))
    }

    /// The name that policies use.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether logins can begin; for `/readyz`.
    pub fn readiness(&self) -> Readiness {
        self.learned.readiness.borrow().clone()
    }

    /// Waits until the first discovery succeeded.
    pub async fn ready(&self) {
        let mut changes = self.learned.readiness.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = changes.wait_for(|readiness| !matches!(readiness, Readiness::NotYet { .. })).await;
    }

    /// Keeps metadata and keys fresh until the task is dropped. Spawn it once per provider.
    pub async fn keep_discovered(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = {
                let _asking = self.learned.asking.lock().await;
                self.discover().await
            };
            let wait = match outcome {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.discovered().map_or(REFRESH, |discovered| discovered.good_for)
                }
                Err(_) => {
                    let wait = pause.max(self.rest());
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            tokio::time::sleep(jittered(wait)).await;
        }
    }

    /// Asks the provider now if it was never reached, at most once in 5 seconds; others wait for the same answer, and
    /// nobody longer than twice the limit of one request.
    pub async fn discovered_now(&self) -> Result<(), ProviderUnavailable> {
        if self.discovered().is_err() {
            let _ = tokio::time::timeout(self.settings.limits.total * 2, self.discover_on_demand()).await;
        }
        self.discovered().map(drop)
    }

    async fn discover_on_demand(&self) {
        let mut asking = Arc::clone(&self.learned.asking).lock_owned().await;
        if self.discovered().is_err() && window_is_over(&mut asking.on_demand, self.now(), DEMAND_WINDOW) {
            let discovering = self.apart(|provider| async move {
                // What it met is in the readiness, which `discovered` reads.
                let _ = provider.discover().await;
                drop(asking);
            });
            discovering.await;
        }
    }

    /// Does what is done for many in a task of its own: whoever gave cause for it may leave before it ends. None: there was no end.
    pub(super) async fn apart<F>(&self, work: impl FnOnce(Arc<Self>) -> F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(work(self.me.upgrade()?)).await.ok()
    }

    /// One attempt at metadata and keys; what was there before stays when it fails.
    async fn discover(&self) -> Result<(), MetadataError> {
        match self.fetch_all().await {
            Ok(discovered) => {
                if self.learned.discovered.swap(Some(Arc::new(discovered))).is_none() {
                    tracing::info!(provider = self.name(), "provider discovered");
                }
                self.learned.readiness.send_replace(Readiness::Ready);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(provider = self.name(), %error, "provider discovery failed");
                let reason = error.to_string();
                self.learned.readiness.send_replace(match self.learned.discovered.load_full() {
                    Some(last) => Readiness::Stale { reason, since: last.at },
                    None => Readiness::NotYet { reason },
                });
                Err(error)
            }
        }
    }

    async fn fetch_all(&self) -> Result<Discovered, MetadataError> {
        let document = self.read(Endpoint::Metadata, &Metadata::address(&self.settings.issuer)).await?;
        let metadata = Metadata::parse(document.body(), &self.settings.issuer)?;
        metadata.check_for(&self.settings)?;
        let answer = self.read(Endpoint::Keys, metadata.jwks_uri.as_str()).await?;
        let good_for = good_for(answer.headers()).min(good_for(document.headers()));
        let keys = KeySet::parse(answer.body())?;
        Ok(Discovered { metadata, keys, at: self.now(), good_for })
    }

    pub(super) async fn read(&self, endpoint: Endpoint, address: &str) -> Result<HttpResponse, MetadataError> {
        let make = || {
            let request = http::Request::builder().method(Method::GET).uri(address);
            request.header(header::ACCEPT, "application/json").body(Vec::new()).map_err(|_| FetchError::BadUrl)
        };
        let response = self.fetch_patiently(endpoint, make).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            other => Err(MetadataError::Status(other.as_u16())),
        }
    }

    /// Notes that the response with this `state` is being redeemed; false when it was before (R08).
    pub(super) fn first_use_of(&self, state: &str) -> bool {
        self.learned.first_use_of(state, self.now())
    }

    /// What is known about the provider, or why nothing is.
    pub(super) fn discovered(&self) -> Result<Arc<Discovered>, ProviderUnavailable> {
        self.learned.discovered.load_full().ok_or_else(|| match self.readiness() {
            Readiness::NotYet { reason } | Readiness::Stale { reason, .. } => ProviderUnavailable { reason },
            Readiness::Ready => ProviderUnavailable { reason: String::new() },
        })
    }

    /// The algorithms that the provider's tokens may be signed with: those that are configured, or else all that are known; of them
    /// those that the provider publishes for ID tokens, where it publishes any.
    pub(super) fn algorithms_of(&self, discovered: &Discovered) -> Vec<SignatureAlgorithm> {
        let published = &discovered.metadata.id_token_signing_alg_values_supported;
        let mut algorithms = self.configured_algorithms();
        algorithms.retain(|one| {
            published.is_empty() || published.iter().any(|name| SignatureAlgorithm::parse(name) == Some(*one))
        });
        algorithms
    }

    /// The algorithms that are configured, or else all that are known: never `none`, never a shared secret.
    pub(super) fn configured_algorithms(&self) -> Vec<SignatureAlgorithm> {
        match self.settings.algorithms.as_slice() {
            [] => SignatureAlgorithm::ALL.to_vec(),
            some => some.to_vec(),
        }
    }

    /// The endpoints that are left alone because the provider asked for it, and for how much longer; for `/readyz`.
    pub fn resting(&self) -> Vec<(Endpoint, Duration)> {
        let left = |endpoint| self.learned.rests.left(endpoint, self.now()).map(|left| (endpoint, left));
        Endpoint::ALL.into_iter().filter_map(left).collect()
    }

    /// Whether its responses are posted by the browser, from a page of its own.
    pub fn posts_back(&self) -> bool {
        self.settings.response_mode == ResponseMode::FormPost
    }

    /// The path that its responses come to, on each host.
    pub fn callback_path(&self) -> String {
        self.settings.callback.path(&self.settings.name)
    }

    /// The requests to this provider since the last call, for the metrics.
    pub fn take_traffic(&self) -> Vec<(Endpoint, RequestOutcome, u64)> {
        self.learned.traffic.take()
    }

    /// For how long the provider asked not to be asked for metadata or keys.
    fn rest(&self) -> Duration {
        let left = |endpoint| self.learned.rests.left(endpoint, self.now()).unwrap_or_default();
        left(Endpoint::Metadata).max(left(Endpoint::Keys))
    }

    /// Whether it was made with these settings.
    pub fn is_configured_as(&self, settings: &ProviderSettings) -> bool {
        self.settings.is_same_as(settings)
    }

    /// The client that was registered for this gateway.
    pub fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    /// Whether `keys` are those in use.
    pub(super) fn has_still(&self, keys: &Arc<Discovered>) -> bool {
        self.learned.discovered.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, keys))
    }

    pub(super) fn introspections(&self) -> &Introspections {
        &self.introspections
    }

    /// Whose people and which client these are.
    pub const fn registration(&self) -> Registration {
        self.registration
    }

    /// The issuer, as text.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether sessions must keep the e-mail address, because events may name people by it.
    pub fn names_people_by_email(&self) -> bool {
        self.settings.signals.events.is_some()
    }

    /// How far the provider's clock may be off.
    pub fn clock_skew(&self) -> Duration {
        self.settings.clock_skew
    }

    pub(super) fn transmitter_keys(&self) -> &TransmitterKeys {
        &self.transmitter_keys
    }

    pub(super) fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    pub(super) fn http(&self) -> &HttpClient {
        &self.http
    }

    pub(super) fn rests(&self) -> &Rests {
        &self.learned.rests
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.learned.traffic
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Whether `window` has passed since `last`, which is then set to `now`. A clock that went back counts as passed.
fn window_is_over(last: &mut Option<Timestamp>, now: Timestamp, window: Duration) -> bool {
    let over = last.is_none_or(|last| now.since(last) >= window || last > now);
    if over {
        *last = Some(now);
    }
    over
}
