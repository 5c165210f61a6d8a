//! Sessions that were opened lately, so that a known cookie costs a look-up and no decryption.
//!
//! One cache a worker, never shared. An entry is found by a hash of the cookie's whole text, made with a random key, and the text is compared
//! in full. Bound: the number of entries; what was used longest ago falls out. Only what opened is kept, so a stranger without a valid
//! cookie can fill nothing; and where [`SessionCache::admit`] is used, whoever has many valid ones pushes nobody out by sending each once.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;
use lru::LruCache;

use super::door::Door;

/// A bounded map from cookie text to what it opened to.
pub struct SessionCache<T> {
    hashing: RandomState,
    // A worker's cache is only ever asked from that worker's thread: the lock is never contended.
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    entries: LruCache<u64, Entry<T>, BuildHasherDefault<Hashed>>,
    door: Door,
}

struct Entry<T> {
    text: Box<[u8]>,
    opened: Arc<T>,
}

/// A text and its hash, which is made once for all that is asked of a cache.
#[derive(Clone, Copy)]
pub struct CacheKey<'t> {
    text: &'t [u8],
    hash: u64,
}

impl<T> SessionCache<T> {
    /// A cache of at most `capacity` sessions.
    pub fn new(capacity: NonZeroUsize) -> Self {
        let entries = LruCache::with_hasher(capacity, BuildHasherDefault::default());
        let door = Door::new(capacity);
        Self { hashing: RandomState::default(), kept: Mutex::new(Kept { entries, door }) }
    }

    /// What a text is looked up by.
    pub fn key<'t>(&self, text: &'t [u8]) -> CacheKey<'t> {
        CacheKey { text, hash: self.hashing.hash_one(text) }
    }

    /// What this text opened to.
    pub fn find(&self, key: CacheKey<'_>) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.entries.get(&key.hash).filter(|entry| *entry.text == *key.text)?;
        Some(Arc::clone(&entry.opened))
    }

    /// Forgets everything: what it opened to is out of date.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).entries.clear();
    }

    /// Keeps what this text opened to.
    pub fn keep(&self, key: CacheKey<'_>, opened: Arc<T>) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).keep(key, opened);
    }

    /// Keeps what this text opened to where it was brought here before: at its second sight, and where many others came between, at a later one.
    pub fn admit(&self, key: CacheKey<'_>, opened: &Arc<T>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.door.has_seen(key.hash) {
            kept.keep(key, Arc::clone(opened));
        }
    }
}

impl<T> Kept<T> {
    fn keep(&mut self, key: CacheKey<'_>, opened: Arc<T>) {
        // Two texts of one hash take each other's place; nobody can look for such a pair without the hash's key.
        self.entries.put(key.hash, Entry { text: key.text.into(), opened });
    }
}

/// Takes a number that is a hash already for its hash.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(capacity: usize) -> SessionCache<usize> {
        SessionCache::new(NonZeroUsize::new(capacity).unwrap())
    }

    fn found(cache: &SessionCache<usize>, text: &str) -> Option<usize> {
        cache.find(cache.key(text.as_bytes())).as_deref().copied()
    }

    fn admit(cache: &SessionCache<usize>, text: &str, number: usize) {
        cache.admit(cache.key(text.as_bytes()), &Arc::new(number));
    }

    #[test]
    fn what_was_used_longest_ago_falls_out() {
        let cache = cache(2);
        for (number, text) in ["a", "b"].iter().enumerate() {
            cache.keep(cache.key(text.as_bytes()), Arc::new(number));
        }
        assert_eq!(found(&cache, "a"), Some(0));
        cache.keep(cache.key(b"c"), Arc::new(2));
        assert_eq!((found(&cache, "a"), found(&cache, "b"), found(&cache, "c")), (Some(0), None, Some(2)));
        cache.clear();
        assert_eq!(found(&cache, "a"), None);
    }

    #[test]
    fn a_session_is_kept_at_its_second_sight() {
        let cache = cache(8);
        admit(&cache, "a", 1);
        assert_eq!(found(&cache, "a"), None);
        admit(&cache, "a", 2);
        assert_eq!(found(&cache, "a"), Some(2));
    }

    #[test]
    fn sessions_that_come_once_push_out_none_that_is_in_use() {
        let cache = cache(64);
        let used: Vec<String> = (0..64).map(|number| format!("used {number}")).collect();
        for text in &used {
            (0..2).for_each(|_| admit(&cache, text, 0));
        }
        assert_eq!(used.iter().filter(|text| found(&cache, text).is_some()).count(), 64);
        (0..10_000).for_each(|number| admit(&cache, &format!("once {number}"), number));
        assert_eq!(used.iter().filter(|text| found(&cache, text).is_some()).count(), 64);
    }

    #[test]
    fn sessions_in_use_are_kept_while_many_others_come_once() {
        let cache = cache(64);
        let mut opened = 0;
        for round in 0..200 {
            if found(&cache, "used").is_none() {
                admit(&cache, "used", round);
                opened += 1;
            }
            (0..100).for_each(|number| admit(&cache, &format!("once {round} {number}"), number));
        }
        // A hundred others write over half of the marks: the chance that it is opened forty times is one in 10^11.
        assert!((2..40).contains(&opened), "{opened}");
    }

    #[test]
    fn two_texts_of_one_hash_are_not_taken_for_each_other() {
        let cache = cache(8);
        let [one, other] = [b"one", b"two"].map(|text| CacheKey { text, hash: 7 });
        cache.keep(one, Arc::new(1));
        assert_eq!(cache.find(other).as_deref(), None);
        cache.keep(other, Arc::new(2));
        assert_eq!((cache.find(one).as_deref(), cache.find(other).as_deref()), (None, Some(&2)));
    }

    #[test]
    fn a_hash_is_taken_as_it_is_and_every_byte_of_anything_else_counts() {
        let building = BuildHasherDefault::<Hashed>::default();
        for hash in [0, 1, 7 << 40, u64::MAX] {
            assert_eq!(building.hash_one(hash), hash);
        }
        let mut hasher = building.build_hasher();
        hasher.write(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(hasher.finish(), 0x0102_0304_0506_0708);
        hasher.write(&[1]);
        assert_eq!(hasher.finish(), 0x0203_0405_0607_0800);
    }
}
