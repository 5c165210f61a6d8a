//! Sessions that were opened lately, so that a known cookie costs a look-up and no decryption.
//!
//! One cache a worker, never shared. The key is the cookie's whole text, hashed with a random key and compared in full. Bound: the
//! number of entries; what was used longest ago falls out. Only what opened is kept, so a stranger without a valid cookie can fill nothing.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;
use lru::LruCache;

/// A bounded map from cookie text to what it opened to.
pub struct SessionCache<T> {
    // A worker's cache is only ever asked from that worker's thread: the lock is never contended.
    entries: Mutex<LruCache<Box<[u8]>, Arc<T>, RandomState>>,
}

impl<T> SessionCache<T> {
    /// A cache of at most `capacity` sessions.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { entries: Mutex::new(LruCache::with_hasher(capacity, RandomState::default())) }
    }

    /// What this text opened to.
    pub fn find(&self, text: &[u8]) -> Option<Arc<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned()
    }

    /// Forgets everything: what it opened to is out of date.
    pub fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Keeps what this text opened to.
    pub fn keep(&self, text: &[u8], opened: Arc<T>) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).put(text.into(), opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_falls_out() {
        let cache = SessionCache::new(NonZeroUsize::new(2).unwrap());
        cache.keep(b"a", Arc::new(1));
        cache.keep(b"b", Arc::new(2));
        assert_eq!(cache.find(b"a").as_deref(), Some(&1));
        cache.keep(b"c", Arc::new(3));
        assert_eq!((cache.find(b"a").as_deref(), cache.find(b"b")), (Some(&1), None));
        cache.clear();
        assert_eq!(cache.find(b"a"), None);
    }
}
