//! One word for each client, found by a keyed hash: what rates and counts are kept in.
//!
//! A word is 20 bits that tell a client from others of its set, and 44 bits of value; 0 is a free place. A set has [`WAYS`] places in one
//! line of cache, a shard [`SETS`] sets. A shard is made when it is first needed, so a limit that few clients meet is small.
//!
//! Bound: [`SHARDS`] × [`SETS`] × [`WAYS`] = 65,536 clients, 512 KiB. What falls out is for the caller to say. The hash has a key of its own
//! for each table, so nobody can choose whose neighbour they are. Two clients that share set and mark share one value: by chance one in
//! 130,000 clients at a full table. No lock: every change is one compare-and-swap.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Places in a set.
pub(super) const WAYS: usize = 8;
/// Sets in a shard.
const SETS: usize = 128;
/// Shards.
const SHARDS: usize = 64;
/// Bits of a value.
pub(super) const VALUE_BITS: u32 = 44;
/// All bits of a value.
pub(super) const VALUE: u64 = (1 << VALUE_BITS) - 1;

type Set = [AtomicU64; WAYS];

/// The places of one limit.
pub(super) struct Slots {
    keys: RandomState,
    shards: Box<[OnceLock<Box<[Set]>>]>,
}

/// The set of a client, and the mark by which it is known there.
pub(super) struct Found<'a> {
    set: &'a Set,
    mark: u64,
}

/// A place, and the word that stood there.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    place: &'a AtomicU64,
    word: u64,
}

impl Default for Slots {
    fn default() -> Self {
        Self { keys: RandomState::new(), shards: (0..SHARDS).map(|_| OnceLock::new()).collect() }
    }
}

impl Slots {
    /// The number by which a client is known here.
    pub(super) fn number(&self, client: impl Hash) -> u64 {
        self.keys.hash_one(client)
    }

    /// Where the client of this number is, or would be.
    pub(super) fn at(&self, hash: u64) -> Option<Found<'_>> {
        let shard = self.shards.get(below(hash, SHARDS))?;
        let sets = shard.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let set = sets.get(below(hash >> 8, SETS))?;
        Some(Found { set, mark: (hash >> VALUE_BITS).max(1) })
    }

    /// How many shards there are by now.
    #[cfg(test)]
    pub(super) fn shards(&self) -> usize {
        self.shards.iter().filter(|shard| shard.get().is_some()).count()
    }
}

/// A part of a hash as a number below `bound`, a power of two.
fn below(hash: u64, bound: usize) -> usize {
    usize::try_from(hash & (bound as u64 - 1)).unwrap_or_default()
}

impl<'a> Found<'a> {
    /// The client's own place.
    pub(super) fn own(&self) -> Option<Slot<'a>> {
        self.all().find(|slot| slot.word >> VALUE_BITS == self.mark)
    }

    /// All places of the set, as they are now.
    pub(super) fn all(&self) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        self.set.iter().map(|place| Slot { place, word: place.load(Ordering::Relaxed) })
    }

    /// Puts the client with this value where `slot` was; false when somebody changed it meanwhile.
    pub(super) fn put(&self, slot: Slot<'_>, value: u64) -> bool {
        slot.replace(self.mark << VALUE_BITS | (value & VALUE))
    }
}

impl Slot<'_> {
    /// The value; none where the place is free.
    pub(super) fn value(self) -> Option<u64> {
        (self.word != 0).then_some(self.word & VALUE)
    }

    /// Frees the place; false when somebody changed it meanwhile.
    pub(super) fn free(self) -> bool {
        self.replace(0)
    }

    fn replace(self, word: u64) -> bool {
        self.place.compare_exchange(self.word, word, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
