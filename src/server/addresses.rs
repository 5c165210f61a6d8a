//! How many connections each client address has open, so that no single one takes all places (D03).
//!
//! An IPv6 client is its /64, because a single machine is commonly given one. Peers in `trusted_proxies` are not counted where
//! they do not say whom they speak for: their connections carry many clients.
//!
//! May touch: memory only. Bound: one small entry for an address that has a connection open, so never more than connections.
//! Locks: taken when a connection is accepted and when it ends, never for a request; addresses are spread over [`SHARDS`] of them by a
//! hash that strangers cannot know.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use crate::limit::counted_as;

const SHARDS: usize = 16;

/// The addresses that have connections open.
pub(super) struct Addresses {
    most: usize,
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, usize, RandomState>>; SHARDS],
}

/// Who is counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        match counted_as(address) {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// One address's place for one connection; given back when it is dropped.
pub(super) struct Place {
    addresses: Arc<Addresses>,
    key: Key,
}

impl Addresses {
    /// Gives each address this many places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, hasher: RandomState::default(), shards: Default::default() })
    }

    /// A place for one more connection of `address`; none when it has taken all of its own.
    pub(super) fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let key = Key::from(address);
        let mut open = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: Arc::clone(self), key })
    }

    fn shard(&self, key: Key) -> Option<&Mutex<HashMap<Key, usize, RandomState>>> {
        self.shards.get(self.hasher.hash_one(key) as usize % SHARDS)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(shard) = self.addresses.shard(self.key) else { return };
        let mut open = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(addresses: &Arc<Addresses>, address: &str) -> Option<Place> {
        addresses.place(address.parse().unwrap())
    }

    fn entries(addresses: &Addresses) -> usize {
        addresses.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn d03_an_address_has_its_places_and_gets_them_back() {
        let addresses = Addresses::new(2);
        let held = [place(&addresses, "198.51.100.7").unwrap(), place(&addresses, "::ffff:198.51.100.7").unwrap()];
        assert!(place(&addresses, "198.51.100.7").is_none());
        assert!(place(&addresses, "198.51.100.8").is_some());
        drop(held);
        assert!(place(&addresses, "198.51.100.7").is_some());
    }

    #[test]
    fn d03_an_ipv6_client_is_its_64() {
        let addresses = Addresses::new(1);
        let _held = place(&addresses, "2001:db8:1:2::1").unwrap();
        assert!(place(&addresses, "2001:db8:1:2:ffff:ffff:ffff:ffff").is_none());
        assert!(place(&addresses, "2001:db8:1:3::1").is_some());
        // No IPv4 address has the number of an IPv6 network.
        assert!(place(&addresses, "0.0.0.0").is_some());
    }

    #[test]
    fn d03_nothing_is_kept_of_an_address_without_connections() {
        let addresses = Addresses::new(1);
        let held: Vec<_> = (0..500_u16).map(|i| place(&addresses, &format!("10.0.{}.{}", i / 250, i % 250))).collect();
        assert_eq!(entries(&addresses), 500);
        assert!(place(&addresses, "10.0.0.0").is_none());
        drop(held);
        assert_eq!(entries(&addresses), 0);
    }
}
