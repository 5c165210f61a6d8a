//! Keys of a provider that change between two discoveries: fetched anew when a token says so, at most once a minute (R14).
//!
//! May touch: the network through [`Provider`]. Trust boundary: whoever sends tokens can cause that one fetch a minute, and no more.

use std::sync::Arc;
use std::time::Duration;

use super::{Discovered, Provider, window_is_over};
use crate::oidc::endpoint::Endpoint;
use crate::oidc::keys::KeySet;

/// At most one key fetch for unknown keys in this time.
const KEY_WINDOW: Duration = Duration::from_secs(60);

/// Why a token is refused, and whether the newest keys say so.
pub(in crate::oidc) struct Refused<E> {
    pub(in crate::oidc) error: E,
    /// Newer keys might have verified it, and could not be had.
    pub(in crate::oidc) undecided: bool,
}

impl Provider {
    /// Verifies something with the keys in `known`, and once more with newer ones where an error is of those that a change of keys
    /// can cause (R14): an unknown `kid`, or without a telling one, a signature that does not fit. Gives what the keys were found in, too.
    pub(in crate::oidc) async fn with_keys<T, E>(
        &self,
        known: Arc<Discovered>,
        verify: impl Fn(&Discovered) -> Result<T, E>,
        is_of_old_keys: fn(&E) -> bool,
    ) -> Result<(T, Arc<Discovered>), Refused<E>> {
        let error = match verify(&known) {
            Ok(verified) => return Ok((verified, known)),
            Err(error) if is_of_old_keys(&error) => error,
            Err(error) => return Err(Refused { error, undecided: false }),
        };
        let Some(newer) = self.newer_keys(&known).await else { return Err(Refused { error, undecided: true }) };
        let verified = verify(&newer).map_err(|error| Refused { error, undecided: false })?;
        Ok((verified, newer))
    }

    /// Fetches the key set again because no key that `seen` has is that of a token. None: the window is not over, or
    /// the provider did not answer. Once begun, the fetch is finished whoever leaves: it is the only one in its window.
    pub(in crate::oidc) async fn newer_keys(&self, seen: &Arc<Discovered>) -> Option<Arc<Discovered>> {
        let mut asking = Arc::clone(&self.learned.asking).lock_owned().await;
        let current = self.learned.discovered.load_full()?;
        if !Arc::ptr_eq(&current, seen) {
            return Some(current);
        }
        if !window_is_over(&mut asking.keys, self.now(), KEY_WINDOW) {
            return None;
        }
        let fetching = self.apart(|provider| async move {
            let newer = provider.fetch_keys(&current).await;
            // Whoever waits for the lock finds them.
            drop(asking);
            newer
        });
        fetching.await.flatten()
    }

    async fn fetch_keys(&self, current: &Discovered) -> Option<Arc<Discovered>> {
        let answer = self.read(Endpoint::Keys, current.metadata.jwks_uri.as_str()).await;
        let answer = answer.and_then(|answer| KeySet::parse(answer.body()));
        match answer {
            Ok(keys) => {
                let metadata = current.metadata.clone();
                let newer = Arc::new(Discovered { metadata, keys, at: current.at, good_for: current.good_for });
                self.learned.discovered.store(Some(Arc::clone(&newer)));
                Some(newer)
            }
            Err(error) => {
                tracing::warn!(provider = self.name(), %error, "key set not refreshed");
                None
            }
        }
    }
}
