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
        let mut changes = Changes::new(true);
        list.add(tag, entry, NOW, &mut changes);
        changes.all
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
        let mut changes = Changes::new(true);
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
    fn l05_the_same_again_or_something_older_changes_nothing_and_is_written_again() {
        let mut list = List::default();
        let mut add = |cause, before, until| {
            let ((tag, entry), mut changes) = (entry("ada", cause, before, until), Changes::new(true));
            let different = list.add(tag, entry, NOW, &mut changes);
            let [Change::Put(put, kept)] = &changes.all[..] else { panic!("{:?}", changes.all) };
            assert_eq!(*put, tag);
            (different, kept.before, kept.until, kept.cause)
        };
        let first = (at(5), at(100), Cause::Admin);
        assert_eq!(add(Cause::Admin, 5, 100), (true, first.0, first.1, first.2));
        assert_eq!(add(Cause::Admin, 5, 100), (false, first.0, first.1, first.2));
        assert_eq!(add(Cause::BackChannel, 3, 90), (false, first.0, first.1, first.2));
        assert_eq!(add(Cause::BackChannel, 6, 90), (true, at(6), at(100), Cause::BackChannel));
        // What is over already is not even begun.
        assert_eq!(self::add(&mut list, entry("grace", Cause::Admin, -9, 0)), []);
        assert_eq!(list.newest(9).len(), 1);
    }

    #[test]
    fn l06_what_is_not_in_the_file_needs_not_leave_it() {
        let mut list = List::default();
        let mut add = |name: &str, until, is_written| {
            let ((tag, entry), mut changes) = (entry(name, Cause::FrontChannel, 0, until), Changes::new(is_written));
            list.add(tag, entry, NOW, &mut changes);
            changes.all.len()
        };
        assert_eq!((add("memory", 10, false), add("file", 20, true), add("file", 30, false)), (0, 1, 0));
        let mut changes = Changes::new(false);
        list.sweep(at(30), &mut changes);
        assert_eq!(changes.all, [Change::Remove(entry("file", Cause::FrontChannel, 0, 0).0)]);
    }

    #[test]
    fn l06_entries_go_when_no_session_can_live_that_they_mean() {
        let mut list = List::default();
        let (ada, grace) = (entry("ada", Cause::Admin, 0, 100), entry("grace", Cause::Admin, 0, 200));
        add(&mut list, ada.clone());
        add(&mut list, grace.clone());
        let mut changes = Changes::new(true);
        list.sweep(at(100), &mut changes);
        assert_eq!(changes.all, [Change::Remove(ada.0)]);
        assert!(list.has(grace.0) && !list.has(ada.0));
    }

    #[test]
    fn l06_people_who_sign_out_push_out_nothing_that_was_proved() {
        let mut list = List::default();
        let admin = entry("ada", Cause::Admin, 0, 10);
        add(&mut list, admin.clone());
        for number in 0..=250_000 {
            let cause = if number % 2 == 0 { Cause::SignedOut } else { Cause::RefreshRefused };
            add(&mut list, entry(&format!("s{number}"), cause, 0, 100_000));
        }
        assert!(list.has(admin.0));
        assert_eq!((list.len(), list.dropped()), (250_001, 1));
    }

    #[test]
    fn l06_what_may_stand_in_the_file_leaves_it_however_often_it_was_written() {
        for (first, second) in [(true, true), (true, false), (false, true)] {
            let mut list = List::default();
            let ada = entry("ada", Cause::Admin, 0, 10);
            for is_written in [first, second] {
                list.add(ada.0, ada.1.clone(), NOW, &mut Changes::new(is_written));
            }
            let mut changes = Changes::new(false);
            list.sweep(at(10), &mut changes);
            assert_eq!(changes.all, [Change::Remove(ada.0)], "{first} {second}");
        }
    }

    #[test]
    fn l02_of_two_events_of_one_moment_the_one_that_ends_wins() {
        for effects in [[Effect::AskAgain, Effect::Ended], [Effect::Ended, Effect::AskAgain], [Effect::Ended; 2]] {
            let mut list = List::default();
            let (tag, ada) = entry("ada", Cause::SecurityEvent, 5, 100);
            for effect in effects {
                list.add(tag, Entry { effect, ..ada.clone() }, NOW, &mut Changes::new(true));
            }
            assert_eq!(list.newest(1)[0].effect, Effect::Ended, "{effects:?}");
        }
        // A later one says what became of it since.
        let mut list = List::default();
        for (before, effect) in [(5, Effect::Ended), (6, Effect::AskAgain)] {
            let (tag, ada) = entry("ada", Cause::SecurityEvent, before, 100);
            list.add(tag, Entry { effect, ..ada }, NOW, &mut Changes::new(true));
        }
        assert_eq!(list.newest(1)[0].effect, Effect::AskAgain);
    }
}
