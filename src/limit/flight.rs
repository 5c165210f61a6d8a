//! What is under way at once: in all, and of each client.
//!
//! A place is taken before a request goes out and given back when its guard is dropped, whatever becomes of the request. Nothing falls out: a
//! client that no place is left for in its set (eight others of the same set are under way) is not counted by itself, only in all. To bring
//! that about, a stranger needs tens of thousands of requests under way, which the limit in all stops long before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::counter::Who;
use super::slots::Slots;

/// How many are under way in all.
#[derive(Default)]
pub struct Places {
    taken: AtomicU32,
}

/// One that is under way.
pub struct Place(Arc<Places>);

impl Places {
    /// Takes a place, unless there are `most` already.
    pub fn take(self: &Arc<Self>, most: u32) -> Option<Place> {
        let one_more = |taken: u32| (taken < most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Place(Arc::clone(self)))
    }

    /// How many are under way.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many are under way of each client.
#[derive(Default)]
pub struct Crowd {
    slots: Slots,
}

/// One that is under way, of one client.
pub struct CrowdPlace {
    crowd: Arc<Crowd>,
    /// The client; none where it was not counted.
    client: Option<u64>,
}

impl Crowd {
    /// Takes a place for `who`, unless they have `most` already.
    pub fn take(self: &Arc<Self>, who: Who<'_>, most: u32) -> Option<CrowdPlace> {
        let client = self.slots.number(who);
        let place = |client| Some(CrowdPlace { crowd: Arc::clone(self), client });
        let Some(found) = self.slots.at(client) else { return place(None) };
        loop {
            let own = found.own();
            let taken = own.and_then(|slot| slot.value()).unwrap_or(0);
            if taken >= u64::from(most) {
                return None;
            }
            let free = || found.all().find(|slot| slot.value().is_none());
            let Some(slot) = own.or_else(free) else { return place(None) };
            if found.put(slot, taken + 1) {
                return place(Some(client));
            }
        }
    }

    fn give_back(&self, client: u64) {
        let Some(found) = self.slots.at(client) else { return };
        loop {
            let Some(own) = found.own() else { return };
            let given = match own.value() {
                None | Some(0 | 1) => own.free(),
                Some(taken) => found.put(own, taken - 1),
            };
            if given {
                return;
            }
        }
    }
}

impl Drop for CrowdPlace {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            self.crowd.give_back(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(subject: &str) -> Who<'_> {
        Who::Person { provider: "okta", subject }
    }

    #[test]
    fn d03_places_come_back_when_they_are_left() {
        let places = Arc::new(Places::default());
        let (first, second) = (places.take(2).unwrap(), places.take(2).unwrap());
        assert!(places.take(2).is_none());
        drop(first);
        let third = places.take(2).unwrap();
        assert!(places.take(2).is_none() && places.taken() == 2);
        drop((second, third));
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn d03_each_client_has_places_of_its_own() {
        let crowd = Arc::new(Crowd::default());
        let (first, second) = (crowd.take(person("ada"), 2).unwrap(), crowd.take(person("ada"), 2).unwrap());
        assert!(crowd.take(person("ada"), 2).is_none());
        let other = crowd.take(person("bob"), 2).unwrap();
        drop(first);
        assert!(crowd.take(person("ada"), 2).is_some());
        drop((second, other));
        assert!(crowd.take(person("ada"), 1).is_some() && crowd.take(person("bob"), 1).is_some());
    }

    #[test]
    fn d03_whoever_has_no_place_is_let_in_and_leaves_no_trace() {
        let crowd = Arc::new(Crowd::default());
        // More clients than there are places, all under way at once.
        let names: Vec<String> = (0..100_000).map(|number| number.to_string()).collect();
        let all: Vec<_> = names.iter().map(|name| crowd.take(person(name), 1)).collect();
        let uncounted = all.iter().flatten().filter(|place| place.client.is_none()).count();
        // Sets are full by chance before others are, but by far not all.
        assert!(
            (100_000 - 65_536..40_000).contains(&uncounted) && all.iter().flatten().count() > 99_900,
            "{uncounted}"
        );
        drop(all);
        let again = names.iter().filter(|name| crowd.take(person(name), 1).is_some()).count();
        assert_eq!(again, names.len(), "every place came back");
    }

    #[test]
    fn d03_workers_together_take_no_more_and_give_all_back() {
        let crowd = Arc::new(Crowd::default());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let crowd = Arc::clone(&crowd);
                std::thread::spawn(move || (0..5000).for_each(|_| drop(crowd.take(person("ada"), 2))))
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let all: Vec<_> = (0..3).filter_map(|_| crowd.take(person("ada"), 2)).collect();
        assert_eq!(all.len(), 2);
    }
}
