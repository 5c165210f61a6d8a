//! Sessions that are over although their cookie still opens: the list that every opened session is compared with.
//!
//! A sealed cookie says nothing of what happened since it was sealed. What ends sessions early (a sign-out, a provider's event, an
//! operator) is written here. The list has a version; an opened session remembers the version that it was last looked up in, so a request
//! costs one atomic compare while nothing changes (L04, L07).
//!
//! Memory is changed first, so that the very next request is refused; then the change is written to the state directory, and whoever
//! caused it may wait until it is. Entries go when no session can live any more that they mean: the longest `session.max`, at the
//! least a day. Bounds stand in `list`.
//!
//! Layer 1. May touch: memory only; a [`Keeper`] writes (`ledger`). Trust boundary: none here; callers verify first.

mod entry;
mod keeping;
mod list;
mod marks;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::{Session, SessionId};
use crate::clock::Timestamp;

use entry::Kinds;
pub use entry::{CAUSES, Cause, Effect, Entry, Kind, Sender, Tag, Wanted, Whom};
pub use keeping::{Done, Keeper, Keeping, Patience};
use keeping::{Slot, UnderWay, Writing};
pub use list::Change;
use list::{Changes, List};
use marks::Marks;
pub use marks::TokenMarks;

/// Entries stay at least this long, however short sessions are.
const LEAST: Duration = Duration::from_secs(24 * 3600);

/// All ended sessions of a gateway, shared by its workers.
pub struct Revocations {
    version: AtomicU64,
    list: RwLock<List>,
    /// Locked while `list` is, so that the file changes in the order in which memory does.
    file: Mutex<File>,
    longest_millis: AtomicU64,
    /// How much hearsay is on its way to the disk.
    hearsay: Arc<AtomicU64>,
}

/// What stands between the list and the disk.
#[derive(Default)]
struct File {
    keeper: Option<Box<dyn Keeper>>,
    under_way: UnderWay,
    /// What must still leave the file: it left the list when nothing could be written. Each of it stood in the file once, and since then
    /// nothing was written, so it is never more than the list holds.
    owed: Vec<Change>,
}

/// What a message of a provider asks for.
#[derive(Debug)]
pub struct Order {
    /// Whom it ends; may be empty.
    pub wanted: Vec<Wanted>,
    /// What it is known by when it comes again.
    pub message: Option<Tag>,
}

/// What became of orders.
#[must_use]
pub struct Revoked {
    /// How many of them ended something. One whose message was taken before is not among them: it changes nothing.
    pub ended: usize,
    /// The way of all of them to the disk, also of those that were taken before and are on it still.
    pub keeping: Keeping,
}

impl Default for Revocations {
    /// A list in memory only.
    fn default() -> Self {
        Self {
            version: AtomicU64::new(1),
            list: RwLock::default(),
            file: Mutex::default(),
            longest_millis: AtomicU64::new(0),
            hearsay: Arc::default(),
        }
    }
}

impl Revocations {
    /// A list that `keeper` keeps, with what was kept before. What means nothing any more, and what is too much, leaves the file.
    pub fn kept_by(keeper: Box<dyn Keeper>, entries: Vec<(Tag, Entry)>, now: Timestamp) -> Self {
        let (mut list, mut gone) = (List::default(), Vec::new());
        for (tag, entry) in entries {
            gone.extend(list.load(tag, entry, now));
        }
        if !gone.is_empty() {
            keeper.keep(gone, Done::new(None).0);
        }
        let file = File { keeper: Some(keeper), ..File::default() };
        Self { list: RwLock::new(list), file: Mutex::new(file), ..Self::default() }
    }

    /// Says how long sessions can live at most; to be told whenever policies come into use.
    pub fn sessions_last(&self, longest: Duration) {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.longest_millis.fetch_max(millis, Ordering::Relaxed);
    }

    /// Changes whenever something is added.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.read().len()
    }

    /// How many entries were pushed out because there were too many.
    pub fn dropped(&self) -> u64 {
        self.read().dropped()
    }

    /// The newest entries first, at most `most`.
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        self.read().newest(most)
    }

    /// Whether this message was taken before.
    pub fn knows_message(&self, message: Tag) -> bool {
        self.read().has(message)
    }

    /// Whether the sessions with this root were ended by it, whenever they began.
    pub fn has_ended(&self, root: &SessionId) -> bool {
        let list = self.read();
        [Whom::Session(root), Whom::ShortId(&root.short())].iter().any(|whom| list.has(whom.tag()))
    }

    /// Up to when sessions like this one, which stand under `name` in logs, are ended at an application of `group` by when they began. It is
    /// later than now where a clock was ahead.
    pub fn end_until(&self, session: &Session, name: &str, group: Option<&str>) -> Option<Timestamp> {
        let list = self.read();
        list.ends_until(&Marks::of(session, name, group, list.kinds()))
    }

    /// Ends sessions by orders, all at once; an order whose message was taken before is left out.
    ///
    /// A message counts as taken while it is on its way to the disk and when it is written. When it could not be written, it comes as if for
    /// the first time.
    pub fn carry_out(&self, orders: Vec<Order>, now: Timestamp) -> Revoked {
        let keep = Duration::from_millis(self.longest_millis.load(Ordering::Relaxed)).max(LEAST);
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for message in file.under_way.settle() {
            list.remove(message);
        }
        let slot = self.slot(&orders);
        let written = slot.is_ok() && file.keeper.as_ref().is_some_and(|keeper| keeper.has_room());
        let remembers = written || file.keeper.is_none();
        let mut changes = Changes::new(written);
        list.sweep(now, &mut changes);
        let (mut taken, mut ended, mut different) = (false, 0, false);
        let (mut messages, mut jobs) = (Vec::new(), Vec::new());
        for Order { wanted, message } in orders {
            if let Some(message) = message.filter(|message| list.has(*message)) {
                jobs.extend(file.under_way.job_of(message));
                continue;
            }
            taken = true;
            ended += usize::from(!wanted.is_empty());
            for Wanted { tag, mut entry } in wanted {
                entry.until = entry.before.after(keep);
                different |= list.add(tag, entry, now, &mut changes);
            }
            if let Some(message) = message.filter(|_| remembers) {
                list.add(message, noted(now), now, &mut changes);
                messages.push(message);
            }
        }
        if different {
            self.version.fetch_add(1, Ordering::Release);
        }
        let job = file.send(changes, messages, slot.unwrap_or_default());
        jobs.extend(job.filter(|_| taken));
        let refused = taken && !remembers;
        let patience = file.keeper.as_ref().map(|keeper| keeper.patience());
        Revoked { ended, keeping: if refused { Keeping::refused() } else { Keeping::of(jobs, patience) } }
    }

    /// Ends sessions for which no message came.
    pub fn revoke(&self, wanted: Vec<Wanted>, now: Timestamp) -> Keeping {
        self.carry_out(vec![Order { wanted, message: None }], now).keeping
    }

    /// Lets go of the keeper, which writes what is on its way; the list goes on in memory.
    pub fn close(&self) {
        let keeper = self.file.lock().unwrap_or_else(PoisonError::into_inner).keeper.take();
        drop(keeper);
    }

    /// The place that orders of hearsay need; an error when all are taken.
    fn slot(&self, orders: &[Order]) -> Result<Option<Slot>, NoPlace> {
        let mut wanted = orders.iter().flat_map(|order| &order.wanted);
        if wanted.any(|wanted| wanted.entry.cause == Cause::FrontChannel) {
            Slot::take(&self.hearsay).map(Some).ok_or(NoPlace)
        } else {
            Ok(None)
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, List> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All places for hearsay are taken.
struct NoPlace;

impl File {
    /// Has the changes written, and before them what is owed; where nothing can be written now, it is owed.
    fn send(&mut self, changes: Changes, messages: Vec<Tag>, slot: Option<Slot>) -> Option<Writing> {
        let keeper = self.keeper.as_ref()?;
        let is_written = changes.is_written();
        self.owed.extend(changes);
        if !is_written || self.owed.is_empty() {
            return None;
        }
        let (done, writing) = Done::new(slot);
        keeper.keep(std::mem::take(&mut self.owed), done);
        if !messages.is_empty() {
            self.under_way.add(messages, writing.clone());
        }
        Some(writing)
    }
}

/// The note that a message was taken. It is kept for a day: when it comes later than that, it means sessions that are older than itself.
fn noted(now: Timestamp) -> Entry {
    Entry {
        kind: Kind::Message,
        provider: Box::default(),
        word: Box::default(),
        before: now,
        until: now.after(LEAST),
        cause: Cause::SecurityEvent,
        effect: Effect::Ended,
    }
}

/// What an opened session remembers of the list.
#[derive(Debug)]
pub struct Standing {
    started_at: Timestamp,
    /// The version in which nothing was found.
    good_at: AtomicU64,
}

impl Standing {
    /// Of a session.
    pub fn new(session: &Session) -> Self {
        Self { started_at: session.started_at, good_at: AtomicU64::new(0) }
    }

    /// Whether the session, which stands under `name` in logs, is still good at an application of `group`: one atomic compare when the
    /// list is as it was. What it can be meant by is worked out where the list has changed and means somebody.
    pub fn check(
        &self,
        revocations: &Revocations,
        session: &Session,
        name: &str,
        group: Option<&str>,
    ) -> Result<(), Effect> {
        self.looked_up(revocations, |kinds| Marks::of(session, name, group, kinds))
    }

    fn looked_up(&self, revocations: &Revocations, marks: impl FnOnce(Kinds) -> Marks) -> Result<(), Effect> {
        let version = revocations.version();
        if self.good_at.load(Ordering::Relaxed) == version {
            return Ok(());
        }
        let list = revocations.read();
        let kinds = list.kinds();
        if kinds.mean_somebody()
            && let Some(effect) = list.meant(&marks(kinds), self.started_at)
        {
            return Err(effect);
        }
        self.good_at.store(version, Ordering::Relaxed);
        Ok(())
    }
}

/// The same of an accepted access token.
#[derive(Debug)]
pub struct TokenStanding {
    standing: Standing,
    marks: Marks,
}

impl TokenStanding {
    /// Of a token that was issued then.
    pub fn new(token: &TokenMarks<'_>, issued_at: Timestamp) -> Self {
        let standing = Standing { started_at: issued_at, good_at: AtomicU64::new(0) };
        Self { standing, marks: Marks::of_token(token) }
    }

    /// Whether the token is still good.
    pub fn check(&self, revocations: &Revocations) -> Result<(), Effect> {
        self.standing.looked_up(revocations, |_| self.marks)
    }
}

#[cfg(test)]
mod tests;
