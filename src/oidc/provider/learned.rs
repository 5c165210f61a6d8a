//! What was learned of a provider: its metadata and keys, when it was asked, and which responses of it were used.
//!
//! A provider that is configured anew takes it over where it holds for the new settings as well. Whether a provider is away must not
//! matter when somebody corrects a number.
//!
//! May touch: nothing but memory. Trust boundary: see `provider`. Bounds: one [`Discovered`] at a time; [`USED_STATES`] remembered states, the
//! oldest falls out.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use lru::LruCache;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Provider, Readiness};
use crate::clock::Timestamp;
use crate::oidc::keys::KeySet;
use crate::oidc::metadata::Metadata;
use crate::oidc::patience::Rests;
use crate::oidc::pending;
use crate::oidc::settings::ProviderSettings;
use crate::oidc::traffic::Traffic;
use crate::oidc::transmitter_keys::TransmitterKeys;

/// How many redeemed `state` values are remembered against replay (R08), 16 bytes each.
const USED_STATES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// All that was learned of one provider.
pub(super) struct Learned {
    pub(super) discovered: ArcSwapOption<Discovered>,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Held while the provider is asked: everybody else waits for that one answer.
    pub(super) asking: Arc<tokio::sync::Mutex<Asked>>,
    pub(super) rests: Rests,
    pub(super) traffic: Traffic,
    used_states: Mutex<LruCache<[u8; 16], Timestamp>>,
}

/// When the provider was last asked out of turn.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) keys: Option<Timestamp>,
    pub(super) on_demand: Option<Timestamp>,
}

/// What is known about a provider: checked metadata and keys.
pub(in crate::oidc) struct Discovered {
    pub(in crate::oidc) metadata: Metadata,
    pub(in crate::oidc) keys: KeySet,
    pub(super) at: Timestamp,
    /// How long it is good before it is asked for again.
    pub(super) good_for: Duration,
}

impl Default for Learned {
    fn default() -> Self {
        let not_yet = Readiness::NotYet { reason: "the provider was not asked yet".to_owned() };
        Self {
            discovered: ArcSwapOption::empty(),
            readiness: watch::Sender::new(not_yet),
            asking: Arc::default(),
            rests: Rests::default(),
            traffic: Traffic::default(),
            used_states: Mutex::new(LruCache::new(USED_STATES)),
        }
    }
}

impl Learned {
    /// Notes that the response with this `state` is being redeemed; false when it was before.
    pub(super) fn first_use_of(&self, state: &str, now: Timestamp) -> bool {
        let digest = Sha256::digest(state.as_bytes());
        let Some(tag) = digest.first_chunk::<16>() else { return false };
        let mut used = self.used_states.lock().unwrap_or_else(PoisonError::into_inner);
        while used.peek_lru().is_some_and(|(_, at)| now.since(*at) > pending::LIFETIME * 2) {
            used.pop_lru();
        }
        used.put(*tag, now).is_none()
    }
}

impl Provider {
    /// What was learned, where it holds for other settings: from the same issuer, over connections that are trusted in the same way, and with all that
    /// they need.
    pub(super) fn learned_for(&self, settings: &ProviderSettings) -> Option<Arc<Learned>> {
        let known = self.learned.discovered.load();
        let suits = known.as_ref().is_none_or(|known| known.metadata.check_for(settings).is_ok());
        (self.is_same_server(settings) && suits).then(|| Arc::clone(&self.learned))
    }

    /// The transmitter's keys, where they are fetched from the same address in the same way.
    pub(super) fn transmitter_keys_for(&self, settings: &ProviderSettings) -> Option<Arc<TransmitterKeys>> {
        let address =
            |settings: &ProviderSettings| settings.signals.events.as_ref().map(|events| events.jwks_uri.clone());
        let same = self.is_same_server(settings) && address(&self.settings) == address(settings);
        same.then(|| Arc::clone(&self.transmitter_keys))
    }

    fn is_same_server(&self, settings: &ProviderSettings) -> bool {
        self.settings.issuer == settings.issuer && self.settings.ca == settings.ca
    }
}
