//! Who was seen at the door of a cache: one mark for each of the last texts, so that what comes once is not let in.
//!
//! The doorkeeper of TinyLFU (Einziger, Friedman and Manes, 2017) without its counting: a table of marks that are written over freely.
//!
//! May touch: nothing but memory. Bound: two words of 32 bits for each entry of the cache. A mark is 32 bits of a hash with a random
//! key, so nobody can choose whose mark is written over, and a text that is taken for another (one in four thousand million) is let in early.

use std::num::NonZeroUsize;

/// The marks of texts.
pub(super) struct Door {
    places: usize,
    /// None at all before the first text comes: not every cache asks.
    marks: Box<[u32]>,
}

impl Door {
    /// Room for twice as many marks as the cache has entries, or a little more.
    pub(super) fn new(entries: NonZeroUsize) -> Self {
        Self { places: entries.get().saturating_mul(2).next_power_of_two(), marks: Box::default() }
    }

    /// Whether a text of this hash stood here before; it does from now on.
    pub(super) fn has_seen(&mut self, hash: u64) -> bool {
        if self.marks.is_empty() {
            self.marks = vec![0; self.places].into();
        }
        let (mark, place) = ((hash >> 32) as u32, hash as usize & (self.places - 1));
        self.marks.get_mut(place).is_some_and(|seen| std::mem::replace(seen, mark) == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_until_another_takes_its_place() {
        let mut door = Door::new(NonZeroUsize::new(3).unwrap());
        assert_eq!((door.places, door.marks.len()), (8, 0));
        let (one, other, beside) = (1 << 32 | 5, 2 << 32 | 5, 1 << 32 | 4);
        let seen = [one, one, beside, one, other, one].map(|hash| door.has_seen(hash));
        assert_eq!(seen, [false, true, false, true, false, false]);
    }
}
