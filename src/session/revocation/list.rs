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

use super::entry::{Cause, Effect, Entry, Kind, Kinds, Marks, Tag};
use crate::clock::Timestamp;

/// What must be done to the file for it to be as the memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This is the entry now.
    Put(Tag, Box<Entry>),
    /// There is no entry any more.
    Remove(Tag),
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
            (_, Cause::SignedOut) => Self::Own,
            (_, Cause::FrontChannel) => Self::Hearsay,
            _ => Self::Ended,
        }
    }
}

struct Kept {
    entry: Entry,
    pool: Pool,
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

    /// Adds an entry, or widens the one that is there; what that means for the file is added to `changes`.
    pub(super) fn add(&mut self, tag: Tag, mut entry: Entry, now: Timestamp, changes: &mut Vec<Change>) {
        if entry.until <= now {
            return;
        }
        let mut pool = Pool::of(&entry);
        if let Some(known) = self.entries.get(&tag) {
            widen(&mut entry, &known.entry);
            pool = pool.min(known.pool);
            if known.entry == entry && known.pool == pool {
                return;
            }
            self.take(tag);
        }
        self.make_room(pool, changes);
        self.index(pool, |order| order.insert((entry.until, tag)));
        changes.push(Change::Put(tag, Box::new(entry.clone())));
        match self.by_kind.iter_mut().find(|(kind, _)| *kind == entry.kind) {
            Some((_, count)) => *count += 1,
            None => self.by_kind.push((entry.kind, 1)),
        }
        self.entries.insert(tag, Kept { entry, pool });
    }

    /// Takes an entry back.
    pub(super) fn remove(&mut self, tag: Tag) {
        self.take(tag);
    }

    /// Lets go of what can mean nothing any more, a little at a time: workers wait meanwhile.
    pub(super) fn sweep(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        for pool in [Pool::Ended, Pool::Own, Pool::Hearsay, Pool::Messages] {
            for _ in 0..SWEPT_AT_ONCE {
                let Some((_, tag)) = self.soonest(pool).filter(|(until, _)| *until <= now) else { break };
                self.take(tag);
                changes.push(Change::Remove(tag));
            }
        }
    }

    /// The newest entries first, at most `most`; messages are none.
    pub(super) fn newest(&self, most: usize) -> Vec<Entry> {
        let people = self.entries.values().filter(|kept| kept.pool != Pool::Messages);
        let mut all: Vec<&Entry> = people.map(|kept| &kept.entry).collect();
        let newer = |a: &&Entry, b: &&Entry| b.before.cmp(&a.before).then_with(|| a.word.cmp(&b.word));
        if all.len() > most {
            all.select_nth_unstable_by(most, newer);
            all.truncate(most);
        }
        all.sort_by(newer);
        all.into_iter().cloned().collect()
    }

    fn make_room(&mut self, pool: Pool, changes: &mut Vec<Change>) {
        while self.pool(pool).map_or(0, BTreeSet::len) >= BOUNDS.get(pool as usize).copied().unwrap_or(0) {
            let Some((_, tag)) = self.soonest(pool) else { return };
            self.take(tag);
            changes.push(Change::Remove(tag));
            self.dropped += u64::from(pool != Pool::Messages);
        }
    }

    fn soonest(&self, pool: Pool) -> Option<(Timestamp, Tag)> {
        self.pool(pool)?.first().copied()
    }

    fn pool(&self, pool: Pool) -> Option<&BTreeSet<(Timestamp, Tag)>> {
        self.by_end.get(pool as usize)
    }

    fn take(&mut self, tag: Tag) {
        if let Some(kept) = self.entries.remove(&tag) {
            self.index(kept.pool, |order| order.remove(&(kept.entry.until, tag)));
            let of_kind = self.by_kind.iter_mut().filter(|(kind, _)| *kind == kept.entry.kind);
            of_kind.for_each(|(_, count)| *count = count.saturating_sub(1));
        }
    }

    fn index(&mut self, pool: Pool, change: impl FnOnce(&mut BTreeSet<(Timestamp, Tag)>) -> bool) {
        self.by_end.get_mut(pool as usize).map(change);
    }
}

/// Of two entries for the same the later date holds, and why.
fn widen(entry: &mut Entry, known: &Entry) {
    if known.before >= entry.before {
        (entry.before, entry.cause, entry.effect) = (known.before, known.cause, known.effect);
    }
    entry.until = entry.until.max(known.until);
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Wanted, Whom};
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn entry(subject: &str, cause: Cause, before: i64, until: i64) -> (Tag, Entry) {
        let whom = Whom::Person { provider: "idp", subject };
        let Wanted { tag, entry } = Wanted::new(&whom, at(before), cause, Effect::Ended);
        (tag, Entry { until: at(until), ..entry })
    }

    fn add(list: &mut List, (tag, entry): (Tag, Entry)) -> Vec<Change> {
        let mut changes = Vec::new();
        list.add(tag, entry, NOW, &mut changes);
        changes
    }

    #[test]
    fn l06_strangers_push_out_nothing_but_what_strangers_wrote() {
        let mut list = List::default();
        let (admin, own) = (entry("ada", Cause::Admin, 0, 10), entry("grace", Cause::SignedOut, 0, 10));
        add(&mut list, admin.clone());
        add(&mut list, own.clone());
        for number in 0..20_000 {
            add(&mut list, entry(&format!("s{number}"), Cause::FrontChannel, 0, 100_000));
        }
        assert!(list.has(admin.0) && list.has(own.0));
        assert_eq!((list.len(), list.dropped()), (16_384 + 2, 20_000 - 16_384));
    }

    #[test]
    fn l06_when_a_pool_is_full_what_would_go_soonest_goes_and_the_file_is_told() {
        let mut list = List::default();
        for number in 0..16_384 {
            add(&mut list, entry(&format!("s{number}"), Cause::FrontChannel, 0, 1000 + number));
        }
        let changes = add(&mut list, entry("new", Cause::FrontChannel, 0, 5000));
        assert_eq!(changes[0], Change::Remove(entry("s0", Cause::FrontChannel, 0, 0).0));
        assert!(matches!(changes[1..], [Change::Put(..)]));
    }

    #[test]
    fn l05_hearsay_about_what_is_ended_does_not_weaken_it_and_an_event_strengthens_hearsay() {
        for (first, second) in [(Cause::Admin, Cause::FrontChannel), (Cause::FrontChannel, Cause::Admin)] {
            let mut list = List::default();
            let one = entry("ada", first, 0, 100_000);
            add(&mut list, one.clone());
            add(&mut list, entry("ada", second, 1, 100_000));
            for number in 0..20_000 {
                add(&mut list, entry(&format!("s{number}"), Cause::FrontChannel, 0, 200_000));
            }
            assert!(list.has(one.0), "{first:?}");
        }
    }

    #[test]
    fn l04_the_list_knows_which_kinds_it_holds() {
        let mut list = List::default();
        assert!(!list.kinds().mean_somebody());
        let mut changes = Vec::new();
        list.add(
            Tag::message("idp", "1"),
            Entry { kind: Kind::Message, ..entry("", Cause::Admin, 0, 9).1 },
            NOW,
            &mut changes,
        );
        assert!(!list.kinds().mean_somebody());
        let ada = entry("ada", Cause::Admin, 0, 100);
        for until in [100, 200] {
            add(&mut list, entry("ada", Cause::Admin, 0, until));
            assert_eq!(list.kinds(), Kinds::default().with(Kind::Message).with(Kind::Person));
        }
        list.remove(ada.0);
        assert_eq!(list.kinds(), Kinds::default().with(Kind::Message));
    }

    #[test]
    fn l05_the_same_again_or_something_older_changes_nothing() {
        let mut list = List::default();
        assert_eq!(add(&mut list, entry("ada", Cause::Admin, 5, 100)).len(), 1);
        assert_eq!(add(&mut list, entry("ada", Cause::Admin, 5, 100)), []);
        assert_eq!(add(&mut list, entry("ada", Cause::BackChannel, 3, 90)), []);
        assert_eq!(add(&mut list, entry("ada", Cause::BackChannel, 6, 90)).len(), 1);
        // What is over already is not even begun.
        assert_eq!(add(&mut list, entry("grace", Cause::Admin, -9, 0)), []);
        assert_eq!(list.newest(9).len(), 1);
    }

    #[test]
    fn l06_entries_go_when_no_session_can_live_that_they_mean() {
        let mut list = List::default();
        let (ada, grace) = (entry("ada", Cause::Admin, 0, 100), entry("grace", Cause::Admin, 0, 200));
        add(&mut list, ada.clone());
        add(&mut list, grace.clone());
        let mut changes = Vec::new();
        list.sweep(at(100), &mut changes);
        assert_eq!(changes, [Change::Remove(ada.0)]);
        assert!(list.has(grace.0) && !list.has(ada.0));
    }
}
