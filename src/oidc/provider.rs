//! One configured provider: what was discovered about it, kept fresh in the background.
//!
//! The gateway starts without it. [`Provider::keep_discovered`] asks until it answers, with growing pauses from 1 to 60
//! seconds, then hourly; the last good metadata and keys stay in force while the provider is away (R14, R16). An ID token
//! with an unknown key causes at most one fetch of the key set a minute, however many logins ask (R14).
//!
//! May touch: the network through `http_client`, the clock, the log (the provider's name and our own words, R17).
//! Trust boundary: the provider's documents, believed only after `metadata` and `keys` have checked them.
//! Bounds: one `Discovered` at a time; [`USED_STATES`] remembered states, the oldest falls out.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{Method, StatusCode, header};
use lru::LruCache;
use openidconnect::core::{CoreClient, CoreJsonWebKeySet};
use openidconnect::{
    AuthType, AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, IssuerUrl, RedirectUrl,
    TokenUrl,
};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::availability::{FetchError, MetadataError, ProviderUnavailable};
use super::http_client::HttpClient;
use super::metadata::Metadata;
use super::settings::{self, ClientAuth, ProviderSettings, SettingsError};
use super::signed_token::TransmitterKeys;
use super::{keys, pending};
use crate::clock::{Clock, Timestamp};
use crate::crypto::random;

/// How long fresh metadata and keys are good.
const REFRESH: Duration = Duration::from_secs(3600);
/// At most one key fetch for unknown keys in this time.
const KEY_WINDOW: Duration = Duration::from_secs(60);
/// At most one attempt on demand in this time.
const DEMAND_WINDOW: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How many redeemed `state` values are remembered against replay (R08), 16 bytes each.
const USED_STATES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// The client type of the library with the two endpoints that are used.
pub(super) type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet, EndpointNotSet>;

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
    settings: ProviderSettings,
    http: HttpClient,
    clock: Clock,
    discovered: ArcSwapOption<Discovered>,
    readiness: watch::Sender<Readiness>,
    /// Held while the provider is asked: everybody else waits for that one answer.
    asking: tokio::sync::Mutex<Asked>,
    used_states: Mutex<LruCache<[u8; 16], Timestamp>>,
    transmitter_keys: TransmitterKeys,
}

/// When the provider was last asked out of turn.
#[derive(Default)]
struct Asked {
    keys: Option<Timestamp>,
    on_demand: Option<Timestamp>,
}

/// What is known about a provider: checked metadata and keys.
pub(super) struct Discovered {
    pub(super) metadata: Metadata,
    pub(super) keys: CoreJsonWebKeySet,
    at: Timestamp,
}

impl Provider {
    /// Checks the settings. Nothing is asked of the provider yet.
    pub fn new(settings: ProviderSettings, clock: Clock) -> Result<Arc<Self>, SettingsError> {
        settings::check(&settings)?;
        let http = HttpClient::new(settings.ca.as_deref(), settings.limits)?;
        let not_yet = Readiness::NotYet { reason: "the provider was not asked yet".to_owned() };
        Ok(Arc::new(Self {
            settings,
            http,
            clock,
            discovered: ArcSwapOption::empty(),
            readiness: watch::Sender::new(not_yet),
            asking: tokio::sync::Mutex::default(),
            used_states: Mutex::new(LruCache::new(USED_STATES)),
            transmitter_keys: TransmitterKeys::default(),
        }))
    }

    /// The name that policies use.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether logins can begin; for `/readyz`.
    pub fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Waits until the first discovery succeeded.
    pub async fn ready(&self) {
        let mut changes = self.readiness.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = changes.wait_for(|readiness| !matches!(readiness, Readiness::NotYet { .. })).await;
    }

    /// Keeps metadata and keys fresh until the task is dropped. Spawn it once per provider.
    pub async fn keep_discovered(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = {
                let _asking = self.asking.lock().await;
                self.discover().await
            };
            let wait = match outcome {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    REFRESH
                }
                Err(_) => {
                    let wait = pause;
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
        let mut asking = self.asking.lock().await;
        if self.discovered().is_err() && window_is_over(&mut asking.on_demand, self.now(), DEMAND_WINDOW) {
            // What it met is in the readiness, which `discovered` reads.
            let _ = self.discover().await;
        }
    }

    /// One attempt at metadata and keys; what was there before stays when it fails.
    async fn discover(&self) -> Result<(), MetadataError> {
        match self.fetch_all().await {
            Ok(discovered) => {
                if self.discovered.swap(Some(Arc::new(discovered))).is_none() {
                    tracing::info!(provider = self.name(), "provider discovered");
                }
                self.readiness.send_replace(Readiness::Ready);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(provider = self.name(), %error, "provider discovery failed");
                let reason = error.to_string();
                self.readiness.send_replace(match self.discovered.load_full() {
                    Some(last) => Readiness::Stale { reason, since: last.at },
                    None => Readiness::NotYet { reason },
                });
                Err(error)
            }
        }
    }

    async fn fetch_all(&self) -> Result<Discovered, MetadataError> {
        let document = self.read(&Metadata::address(&self.settings.issuer)).await?;
        let metadata = Metadata::parse(&document, &self.settings.issuer)?;
        if self.settings.userinfo && metadata.userinfo_endpoint.is_none() {
            return Err(MetadataError::NoUserInfo);
        }
        let keys = keys::parse(&self.read(metadata.jwks_uri.as_str()).await?)?;
        Ok(Discovered { metadata, keys, at: self.now() })
    }

    pub(super) async fn read(&self, address: &str) -> Result<Vec<u8>, MetadataError> {
        let request =
            http::Request::builder().method(Method::GET).uri(address).header(header::ACCEPT, "application/json");
        let request: HttpRequest = request.body(Vec::new()).map_err(|_| FetchError::BadUrl)?;
        let response = self.http.fetch(request).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            other => Err(MetadataError::Status(other.as_u16())),
        }
    }

    /// Fetches the key set again because a token names a key that `seen` does not have. None: the window is not over, or
    /// the provider did not answer.
    pub(super) async fn newer_keys(&self, seen: &Arc<Discovered>) -> Option<Arc<Discovered>> {
        let mut asking = self.asking.lock().await;
        let current = self.discovered.load_full()?;
        if !Arc::ptr_eq(&current, seen) {
            return Some(current);
        }
        if !window_is_over(&mut asking.keys, self.now(), KEY_WINDOW) {
            return None;
        }
        let answer = self.read(current.metadata.jwks_uri.as_str()).await.and_then(|json| keys::parse(&json));
        match answer {
            Ok(keys) => {
                let newer = Arc::new(Discovered { metadata: current.metadata.clone(), keys, at: current.at });
                self.discovered.store(Some(Arc::clone(&newer)));
                Some(newer)
            }
            Err(error) => {
                tracing::warn!(provider = self.name(), %error, "key set not refreshed");
                None
            }
        }
    }

    /// Notes that the response with this `state` is being redeemed; false when it was before (R08).
    pub(super) fn first_use_of(&self, state: &str) -> bool {
        let digest = Sha256::digest(state.as_bytes());
        let Some(tag) = digest.first_chunk::<16>() else { return false };
        let now = self.now();
        let mut used = self.used_states.lock().unwrap_or_else(PoisonError::into_inner);
        while used.peek_lru().is_some_and(|(_, at)| now.since(*at) > pending::LIFETIME * 2) {
            used.pop_lru();
        }
        used.put(*tag, now).is_none()
    }

    /// What is known about the provider, or why nothing is.
    pub(super) fn discovered(&self) -> Result<Arc<Discovered>, ProviderUnavailable> {
        self.discovered.load_full().ok_or_else(|| match self.readiness() {
            Readiness::NotYet { reason } | Readiness::Stale { reason, .. } => ProviderUnavailable { reason },
            Readiness::Ready => ProviderUnavailable { reason: String::new() },
        })
    }

    /// Whether it was made with these settings.
    pub fn is_configured_as(&self, settings: &ProviderSettings) -> bool {
        self.settings.is_same_as(settings)
    }

    /// The issuer, as text.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether sessions must keep the e-mail address, because events may name people by it.
    pub fn names_people_by_email(&self) -> bool {
        self.settings.signals.events.is_some()
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

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Discovered {
    /// The library's client for one callback address.
    pub(super) fn client(
        &self,
        settings: &ProviderSettings,
        redirect_uri: &str,
    ) -> Result<Client, ProviderUnavailable> {
        let bad = |what: &str| ProviderUnavailable { reason: format!("{what} is no URL") };
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|_| bad("the issuer"))?;
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| bad("the callback address"))?;
        let id = ClientId::new(settings.client_id.clone());
        let mut client = CoreClient::new(id, issuer, self.keys.clone())
            .set_auth_uri(AuthUrl::from_url(self.metadata.authorization_endpoint.clone()))
            .set_token_uri(TokenUrl::from_url(self.metadata.token_endpoint.clone()))
            .set_redirect_uri(redirect)
            .set_auth_type(match settings.client_auth {
                ClientAuth::Basic => AuthType::BasicAuth,
                ClientAuth::Post | ClientAuth::None => AuthType::RequestBody,
            });
        if let (Some(secret), ClientAuth::Basic | ClientAuth::Post) = (&settings.client_secret, settings.client_auth) {
            client = client.set_client_secret(ClientSecret::new(secret.expose().clone()));
        }
        Ok(client)
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

/// Between three quarters and all of `span`, so that many gateways do not ask at the same moment.
fn jittered(span: Duration) -> Duration {
    let [byte] = random::bytes::<1>();
    span.mul_f64(1.0 - f64::from(byte) / 1024.0)
}
