//! The entries in memory: found by tag, bounded, and gone when they can mean nothing any more.
//!
//! Bounds: each of the four pools has its own, so that nobody who can fill one pushes anything out of another. When a pool is full, what
//! would have gone soonest goes: at worst sessions that end soon anyway come back for that while. Who can fill what:
//!
//! | pool | filled by | bound |
//! | --- | --- | --- |
//! | ended | verified events and operators; one entry a person or provider session | 250,000 |
//! | own | people who sign out; each entry costs a login at the provider | 250,000 |
//! | hearsay | anybody, through the front channel | 16,384 |
//! | messages | verified events, against replay | 65,536 |
//!
//! May touch: memory only. Trust boundary: none; who may write is decided before.

use std::collections::{BTreeSet, HashMap};

use foldhash::quality::RandomState;

use super::entry::{Cause, Effect, Entry, Kind, Kinds, Tag};
use super::marks::Marks;
use crate::clock::Timestamp;

/// What must be done to the file for it to be as the memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This is the entry now.
    Put(Tag, Box<Entry>),
    /// There is no entry any more.
    Remove(Tag),
}

/// What changes of the list mean for the file.
pub(super) struct Changes {
    is_written: bool,
    all: Vec<Change>,
}

impl Changes {
    /// Of changes that are written, or that memory alone is told of: then only what must leave the file is noted.
    pub(super) const fn new(is_written: bool) -> Self {
        Self { is_written, all: Vec::new() }
    }

    pub(super) const fn is_written(&self) -> bool {
        self.is_written
    }
}

impl IntoIterator for Changes {
    type Item = Change;
    type IntoIter = std::vec::IntoIter<Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

/// Where an entry counts; the first ones are the stronger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    Ended,
    Own,
    Hearsay,
    Messages,
}

/// Of each pool; the rest goes the next time.
const SWEPT_AT_ONCE: usize = 1000;
const BOUNDS: [usize; 4] = [250_000, 250_000, 16_384, 65_536];

impl Pool {
    const fn of(entry: &Entry) -> Self {
        match (entry.kind, entry.cause) {
            (Kind::Message, _) => Self::Messages,
            (_, Cause::SignedOut | Cause::RefreshRefused) => Self::Own,
            (_, Cause::FrontChannel) => Self::Hearsay,
            _ => Self::Ended,
        }
    }
}

struct Kept {
    entry: Entry,
    /// Whether something may stand under its tag in the file.
    in_file: bool,
}

/// The list.
#[derive(Default)]
pub(super) struct List {
    entries: HashMap<Tag, Kept, RandomState>,
    /// What goes soonest comes first.
    by_end: [BTreeSet<(Timestamp, Tag)>; 4],
    /// How many there are of each kind that there ever was.
    by_kind: Vec<(Kind, usize)>,
    /// How many were pushed out.
    dropped: u64,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.pool(Pool::Messages).map_or(0, BTreeSet::len)
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether this tag stands in the list.
    pub(super) fn has(&self, tag: Tag) -> bool {
        self.entries.contains_key(&tag)
    }

    /// The kinds of which there are entries.
    pub(super) fn kinds(&self) -> Kinds {
        self.by_kind.iter().filter(|(_, count)| *count > 0).fold(Kinds::default(), |kinds, (kind, _)| kinds.with(*kind))
    }

    /// What becomes of a session with these marks that began then.
    pub(super) fn meant(&self, marks: &Marks, started_at: Timestamp) -> Option<Effect> {
        marks.iter().find_map(|mark| {
            let entry = &self.entries.get(&mark)?.entry;
            let in_time = entry.kind == Kind::Session || started_at <= entry.before;
            in_time.then_some(entry.effect)
        })
    }

    /// Up to when sessions with these marks are ended by when they began.
    pub(super) fn ends_until(&self, marks: &Marks) -> Option<Timestamp> {
        let entries = marks.iter().filter_map(|mark| self.entries.get(&mark)).map(|kept| &kept.entry);
        entries.filter(|entry| entry.kind != Kind::Session).map(|entry| entry.before).max()
    }

    /// Adds an entry, or widens the one that is there, and says whether that is different from before. It is written in either case: that
    /// memory knows it does not mean that the file does.
    pub(super) fn add(&mut self, tag: Tag, mut entry: Entry, now: Timestamp, changes: &mut Changes) -> bool {
        if entry.until <= now {
            return false;
        }
        let mut in_file = changes.is_written;
        let known = self.take(tag);
        if let Some(known) = &known {
            widen(&mut entry, &known.entry);
            in_file |= known.in_file;
        }
        self.make_room(Pool::of(&entry), changes);
        if changes.is_written {
            changes.all.push(Change::Put(tag, Box::new(entry.clone())));
        }
        let different = known.is_none_or(|known| known.entry != entry);
        self.insert(tag, entry, in_file);
        different
    }

    /// Takes an entry from the file; what must leave the file for it comes back.
    pub(super) fn load(&mut self, tag: Tag, entry: Entry, now: Timestamp) -> Vec<Change> {
        if entry.until <= now {
            return vec![Change::Remove(tag)];
        }
        let mut changes = Changes::new(false);
        self.make_room(Pool::of(&entry), &mut changes);
        self.insert(tag, entry, true);
        changes.all
    }

    fn insert(&mut self, tag: Tag, entry: Entry, in_file: bool) {
        let pool = Pool::of(&entry);
        self.index(pool, |order| order.insert((entry.until, tag)));
        match self.by_kind.iter_mut().find(|(kind, _)| *kind == entry.kind) {
            Some((_, count)) => *count += 1,
            None => self.by_kind.push((entry.kind, 1)),
        }
        self.entries.insert(tag, Kept { entry, in_file });
    }

    /// Takes an entry back.
    pub(super) fn remove(&mut self, tag: Tag) {
        self.take(tag);
    }

    /// Takes an entry out of the list, and of the file where it stands there.
    fn drop_entry(&mut self, tag: Tag, changes: &mut Changes) {
        if self.take(tag).is_some_and(|kept| kept.in_file) {
            changes.all.push(Change::Remove(tag));
        }
    }

    /// Lets go of what can mean nothing any more, a little at a time: workers wait meanwhile.
    pub(super) fn sweep(&mut self, now: Timestamp, changes: &mut Changes) {
        for pool in [Pool::Ended, Pool::Own, Pool::Hearsay, Pool::Messages] {
            for _ in 0..SWEPT_AT_ONCE {
                let Some((_, tag)) = self.soonest(pool).filter(|(until, _)| *until <= now) else { break };
                self.drop_entry(tag, changes);
            }
        }
    }

    /// The newest entries first, at most `most`; messages are none.
    pub(super) fn newest(&self, most: usize) -> Vec<Entry> {
        let people = self.entries.values().filter(|kept| kept.entry.kind != Kind::Message);
        let mut all: Vec<&Entry> = people.map(|kept| &kept.entry).collect();
        let newer = |a: &&Entry, b: &&Entry| b.before.cmp(&a.before).then_with(|| a.word.cmp(&b.word));
        if all.len() > most {
            all.select_nth_unstable_by(most, newer);
            all.truncate(most);
        }
        all.sort_by(newer);
        all.into_iter().cloned().collect()
    }

    fn make_room(&mut self, pool: Pool, changes: &mut Changes) {
        while self.pool(pool).map_or(0, BTreeSet::len) >= BOUNDS.get(pool as usize).copied().unwrap_or(0) {
            let Some((_, tag)) = self.soonest(pool) else { return };
            self.drop_entry(tag, changes);
            self.dropped += u64::from(pool != Pool::Messages);
        }
    }

    fn soonest(&self, pool: Pool) -> Option<(Timestamp, Tag)> {
        self.pool(pool)?.first().copied()
    }

    fn pool(&self, pool: Pool) -> Option<&BTreeSet<(Timestamp, Tag)>> {
        self.by_end.get(pool as usize)
    }

    fn take(&mut self, tag: Tag) -> Option<Kept> {
        let kept = self.entries.remove(&tag)?;
        self.index(Pool::of(&kept.entry), |order| order.remove(&(kept.entry.until, tag)));
        let of_kind = self.by_kind.iter_mut().filter(|(kind, _)| *kind == kept.entry.kind);
        of_kind.for_each(|(_, count)| *count = count.saturating_sub(1));
        Some(kept)
    }

    fn index(&mut self, pool: Pool, change: impl FnOnce(&mut BTreeSet<(Timestamp, Tag)>) -> bool) {
        self.by_end.get_mut(pool as usize).map(change);
    }
}

/// Of two entries for the same the later date holds, with what becomes of the sessions; of one date, the end. The cause is that of the later one in the stronger
/// pool, because the pool goes by it: what was proved is not to be pushed out by what was not, whichever came last.
fn widen(entry: &mut Entry, known: &Entry) {
    let known_is_later = known.before >= entry.before;
    let keeps_cause = match Pool::of(known).cmp(&Pool::of(entry)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => known_is_later,
        std::cmp::Ordering::Greater => false,
    };
    if keeps_cause {
        entry.cause = known.cause;
    }
    match known.before.cmp(&entry.before) {
        std::cmp::Ordering::Greater => (entry.before, entry.effect) = (known.before, known.effect),
        // Two events of one moment, in whichever order they came.
        std::cmp::Ordering::Equal if known.effect == Effect::Ended => entry.effect = Effect::Ended,
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => {}
    }
    entry.until = entry.until.max(known.until);
}

#[cfg(test)]
mod tests;
