//! The keys of a transmitter of events that is not the provider.
//!
//! Fetched when a token comes: the first one, one that finds them older than their answer's Cache-Control lets them be, or one that they do not
//! verify; at most once a minute. Once begun, a fetch is finished, whoever leaves.
//!
//! May touch: the network through `provider`. Trust boundary: whoever sends tokens can cause that one fetch a minute, and no more.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::availability::MetadataError;
use super::endpoint::Endpoint;
use super::freshness::good_for;
use super::keys::KeySet;
use super::provider::Provider;
use crate::clock::Timestamp;

/// At most one fetch in this time.
const KEY_WINDOW: Duration = Duration::from_secs(60);

/// What is known of a transmitter's keys.
#[derive(Default)]
pub(super) struct TransmitterKeys {
    known: ArcSwapOption<Fetched>,
    /// When they were last asked for; held while they are.
    asked: Arc<tokio::sync::Mutex<Option<Timestamp>>>,
}

/// Keys as they were then.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    at: Timestamp,
    good_for: Duration,
}

impl Fetched {
    /// Whether they need not be asked for again. A clock that went back counts as long ago.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.at <= now && now.since(self.at) < self.good_for
    }
}

impl TransmitterKeys {
    /// Those that were fetched last.
    pub(super) fn known(&self) -> Option<Arc<Fetched>> {
        self.known.load_full()
    }
}

impl Provider {
    /// Other keys than those that were `seen`; everybody who waits gets one answer.
    pub(super) async fn newer_transmitter_keys(
        &self,
        address: &str,
        seen: Option<&Arc<Fetched>>,
    ) -> Option<Arc<Fetched>> {
        let mut asked = Arc::clone(&self.transmitter_keys().asked).lock_owned().await;
        let current = self.transmitter_keys().known();
        let same = match (&current, seen) {
            (Some(current), Some(seen)) => Arc::ptr_eq(current, seen),
            (current, seen) => current.is_none() && seen.is_none(),
        };
        if !same {
            return current;
        }
        let now = self.now();
        if asked.is_some_and(|asked| now.since(asked) < KEY_WINDOW && asked <= now) {
            return None;
        }
        *asked = Some(now);
        let address = address.to_owned();
        let fetching = self.apart(|provider| async move {
            let fetched = provider.fetch_transmitter_keys(&address).await;
            match &fetched {
                Ok(keys) => provider.transmitter_keys().known.store(Some(Arc::clone(keys))),
                Err(error) => {
                    let provider = provider.name();
                    tracing::warn!(provider, %error, "the keys of the transmitter of events are not known");
                }
            }
            // Whoever waits for the lock finds them.
            drop(asked);
            fetched.ok()
        });
        fetching.await.flatten()
    }

    async fn fetch_transmitter_keys(&self, address: &str) -> Result<Arc<Fetched>, MetadataError> {
        let at = self.now();
        let answer = self.read(Endpoint::TransmitterKeys, address).await?;
        Ok(Arc::new(Fetched { keys: KeySet::parse(answer.body())?, at, good_for: good_for(answer.headers()) }))
    }
}
