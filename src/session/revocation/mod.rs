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
mod list;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::Session;
use crate::clock::Timestamp;

pub use entry::{CAUSES, Cause, Effect, Entry, Kind, Tag, TokenMarks, Wanted, Whom};
use entry::{Kinds, Marks};
pub use list::Change;
use list::List;

/// Entries stay at least this long, however short sessions are.
const LEAST: Duration = Duration::from_secs(24 * 3600);
/// Hearsay on its way to the disk at a time; more is kept in memory only, so that it never stands in the way of anything else.
const HEARSAY_AT_ONCE: u64 = 64;

/// Where changes are kept so that they survive a restart.
pub trait Keeper: Send {
    /// Has the changes written, and tells whether they are; none when too many wait already.
    fn keep(&self, changes: Vec<Change>) -> Option<BeingKept>;
}

/// Whether something was written, once that is known.
pub type BeingKept = Pin<Box<dyn Future<Output = bool> + Send>>;

/// All ended sessions of a gateway, shared by its workers.
pub struct Revocations {
    version: AtomicU64,
    list: RwLock<List>,
    keeper: Mutex<Option<Box<dyn Keeper>>>,
    longest_millis: AtomicU64,
    /// How much hearsay is on its way to the disk.
    hearsay: Arc<AtomicU64>,
}

/// What a message of a provider asks for.
#[derive(Debug)]
pub struct Order {
    /// Whom it ends; may be empty.
    pub wanted: Vec<Wanted>,
    /// What it is known by when it comes again.
    pub message: Option<Tag>,
}

/// What became of an order.
#[must_use]
pub enum Revoked {
    /// It holds from now on; it may not be written yet.
    Done(Keeping),
    /// The same message was taken before; nothing is different.
    Replayed,
}

/// The way of a change to the disk.
#[must_use]
pub struct Keeping(State);

enum State {
    /// There is nothing to write, or nowhere to.
    Nothing,
    Waiting(BeingKept, Option<Slot>),
    Refused,
}

/// A place among the hearsay that is on its way.
struct Slot(Arc<AtomicU64>);

impl Slot {
    fn take(taken: &Arc<AtomicU64>) -> Option<Self> {
        let slot = Self(Arc::clone(taken));
        // Given back by `drop`, whether there was room or not.
        (taken.fetch_add(1, Ordering::Relaxed) < HEARSAY_AT_ONCE).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Keeping {
    /// Waits until the change is written, as long as the keeper thinks is right; false when it is not.
    pub async fn is_kept(self) -> bool {
        match self.0 {
            State::Nothing => true,
            State::Refused => false,
            State::Waiting(told, _slot) => told.await,
        }
    }
}

impl Default for Revocations {
    /// A list in memory only.
    fn default() -> Self {
        Self {
            version: AtomicU64::new(1),
            list: RwLock::default(),
            keeper: Mutex::default(),
            longest_millis: AtomicU64::new(0),
            hearsay: Arc::default(),
        }
    }
}

impl Revocations {
    /// A list that `keeper` keeps, with what was kept before.
    pub fn kept_by(keeper: Box<dyn Keeper>, entries: Vec<(Tag, Entry)>, now: Timestamp) -> Self {
        let mut list = List::default();
        for (tag, entry) in entries {
            list.add(tag, entry, now, &mut Vec::new());
        }
        Self { list: RwLock::new(list), keeper: Mutex::new(Some(keeper)), ..Self::default() }
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

    /// Ends sessions, unless the order's message was taken before.
    pub fn carry_out(&self, order: Order, now: Timestamp) -> Revoked {
        let keep = Duration::from_millis(self.longest_millis.load(Ordering::Relaxed)).max(LEAST);
        let hearsay = order.wanted.iter().any(|wanted| wanted.entry.cause == Cause::FrontChannel);
        let mut changes = Vec::new();
        {
            let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
            if order.message.is_some_and(|message| list.has(message)) {
                return Revoked::Replayed;
            }
            list.sweep(now, &mut changes);
            let before = changes.len();
            for Wanted { tag, mut entry } in order.wanted {
                entry.until = entry.before.after(keep);
                list.add(tag, entry, now, &mut changes);
            }
            let different = changes.len() > before;
            if let Some(message) = order.message {
                list.add(message, noted(now), now, &mut changes);
            }
            if different {
                self.version.fetch_add(1, Ordering::Release);
            }
        }
        Revoked::Done(self.keep(changes, hearsay))
    }

    /// Ends sessions for which no message came.
    pub fn revoke(&self, wanted: Vec<Wanted>, now: Timestamp) -> Keeping {
        match self.carry_out(Order { wanted, message: None }, now) {
            Revoked::Done(keeping) => keeping,
            Revoked::Replayed => Keeping(State::Nothing),
        }
    }

    /// Forgets that a message was taken, because it could not be written: when it comes again, it is carried out again.
    pub fn forget_message(&self, message: Tag) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).remove(message);
    }

    /// Lets go of the keeper, which writes what is on its way; the list goes on in memory.
    pub fn close(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(keeper);
    }

    fn keep(&self, changes: Vec<Change>, hearsay: bool) -> Keeping {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keeper) = keeper.as_ref().filter(|_| !changes.is_empty()) else { return Keeping(State::Nothing) };
        let slot = if hearsay { Slot::take(&self.hearsay) } else { None };
        if hearsay && slot.is_none() {
            return Keeping(State::Refused);
        }
        match keeper.keep(changes) {
            Some(told) => Keeping(State::Waiting(told, slot)),
            None => Keeping(State::Refused),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, List> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
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
