//! A bounded shelf of things that expire, each found again by a ticket that cannot be guessed.
//!
//! Sessions, sign-ins under way, codes and tokens of the development provider all lie on such shelves. A
//! ticket is 256 random bits as text: cookie value, code or token.
//!
//! A shelf holds at most [`BOUND`] things. When it is full, what has expired is dropped, and if that is not
//! enough the thing that would expire first: a flood of new sign-ins can push out older ones, never memory.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The most things that one shelf holds.
const BOUND: usize = 50_000;

/// Things by ticket.
pub(super) struct Shelf<T> {
    entries: HashMap<String, Entry<T>>,
}

struct Entry<T> {
    thing: T,
    expires: u64,
}

impl<T> Shelf<T> {
    /// An empty shelf.
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new() }
    }

    /// Puts a thing on the shelf for `life` seconds and returns its ticket.
    pub(super) fn put(&mut self, thing: T, life: u64, now: u64) -> String {
        if self.entries.len() >= BOUND {
            self.make_room(now);
        }
        let ticket = random_text();
        let expires = now.saturating_add(life);
        self.entries.insert(ticket.clone(), Entry { thing, expires });
        ticket
    }

    /// The thing with this ticket, unless it has expired.
    pub(super) fn find(&self, ticket: &str, now: u64) -> Option<&T> {
        let entry = self.entries.get(ticket)?;
        (now < entry.expires).then_some(&entry.thing)
    }

    /// The thing with this ticket, to change it, unless it has expired.
    pub(super) fn find_mut(&mut self, ticket: &str, now: u64) -> Option<&mut T> {
        let entry = self.entries.get_mut(ticket)?;
        (now < entry.expires).then_some(&mut entry.thing)
    }

    /// Takes the thing with this ticket off the shelf, unless it has expired.
    pub(super) fn take(&mut self, ticket: &str, now: u64) -> Option<T> {
        let entry = self.entries.remove(ticket)?;
        (now < entry.expires).then_some(entry.thing)
    }

    /// Everything that has not expired, in no order.
    pub(super) fn living(&self, now: u64) -> impl Iterator<Item = &T> {
        let living = self.entries.values().filter(move |entry| now < entry.expires);
        living.map(|entry| &entry.thing)
    }

    fn make_room(&mut self, now: u64) {
        self.entries.retain(|_, entry| now < entry.expires);
        if self.entries.len() < BOUND {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.expires);
        if let Some(ticket) = oldest.map(|(ticket, _)| ticket.clone()) {
            self.entries.remove(&ticket);
        }
    }
}

/// 256 random bits as base64url text.
///
/// # Panics
/// When the operating system has no randomness, without which nothing here is safe.
#[expect(clippy::expect_used, reason = "no safe way on without randomness")]
pub(super) fn random_text() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_found_until_it_expires() {
        let mut shelf = Shelf::new();
        let ticket = shelf.put("thing", 10, 100);
        assert_eq!(shelf.find(&ticket, 109), Some(&"thing"));
        assert_eq!(shelf.find(&ticket, 110), None);
        assert_eq!(shelf.find_mut(&ticket, 110), None);
        assert_eq!(shelf.take(&ticket, 110), None);
        assert_eq!(shelf.find("", 100), None);
    }

    #[test]
    fn a_thing_is_taken_once() {
        let mut shelf = Shelf::new();
        let ticket = shelf.put("thing", 10, 100);
        assert_eq!(shelf.take(&ticket, 100), Some("thing"));
        assert_eq!(shelf.take(&ticket, 100), None);
    }

    #[test]
    fn a_full_shelf_drops_what_expires_first() {
        let mut shelf = Shelf::new();
        let first = shelf.put(0, 10, 100);
        let kept: Vec<_> = (1..BOUND).map(|number| shelf.put(number, 20, 100)).collect();
        let last = shelf.put(BOUND, 20, 100);
        assert_eq!(shelf.entries.len(), BOUND);
        assert_eq!(shelf.find(&first, 100), None);
        assert_eq!(shelf.find(&last, 100), Some(&BOUND));
        assert_eq!(shelf.find(&kept[0], 100), Some(&1));
    }
}
