//! Which session of a browser is the newest, so that an answer that comes late puts none from before over it.
//!
//! An answer that renews or refreshes a session carries a cookie for it. When a step-up made another session while the application was
//! still at work, that cookie would take the new one's place, and the person would have to show their second factor again; or somebody else
//! signed in for it, and would be the first person again. So a session is noted under the root (`Session::root`) of what it takes the place of, and a cookie for one from before goes out with no answer to a request that
//! came before then, or so soon after that the browser may not have had the new one ([`ON_THE_WAY`]). A request that comes later with the old
//! one shows that the new one never got there.
//!
//! Shared by all workers behind a lock that only answers with a session's cookie take. Bound: [`SESSIONS`] roots, the oldest falls out (a
//! late answer then does what it did before). A note costs a login, so a stranger can fill nothing.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::clock::Timestamp;
use crate::session::{Session, SessionId};

/// How long an answer with a new session may be on its way to the browser.
const ON_THE_WAY: Duration = Duration::from_secs(60);
const SESSIONS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// By root, the session that last took a place under it, and when.
pub(super) struct Successors(Mutex<LruCache<SessionId, (SessionId, Timestamp)>>);

impl Default for Successors {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SESSIONS)))
    }
}

impl Successors {
    /// Notes that the session `id` is given to the browser in place of those with these roots: one that it grew out of, or somebody else's.
    pub(super) fn took_over(&self, roots: impl Iterator<Item = SessionId>, id: SessionId, now: Timestamp) {
        for root in roots {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).put(root, (id, now));
        }
    }

    /// Whether the browser that sent a request with `session` at `came` has, or will have, one in its place.
    pub(super) fn has_other(&self, session: &Session, came: Timestamp) -> bool {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner).peek(&session.root).copied();
        newest.is_some_and(|(id, at)| id != session.id && came < at.after(ON_THE_WAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::session;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn c07_only_requests_from_before_are_answered_without_the_cookie_of_the_session_from_before() {
        let successors = Successors::default();
        let (first, other) = (session(NOW), session(NOW));
        let second = Session { root: first.id, ..session(NOW) };
        successors.took_over([].into_iter(), first.id, NOW);
        assert!(!successors.has_other(&first, NOW), "it took the place of none");
        successors.took_over([first.id].into_iter(), second.id, NOW);
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        assert!(successors.has_other(&first, NOW) && successors.has_other(&first, at(59)));
        assert!(!successors.has_other(&first, at(60)), "the browser has not got the new one");
        assert!(!successors.has_other(&second, NOW) && !successors.has_other(&other, NOW));
        let third = Session { root: first.id, ..session(NOW) };
        successors.took_over([first.id].into_iter(), third.id, at(100));
        assert!(successors.has_other(&second, at(100)) && !successors.has_other(&third, at(100)));
        // Somebody else, beside whom a login had begun.
        let somebody_else = session(NOW);
        successors.took_over([third.root, other.root].into_iter(), somebody_else.id, at(200));
        assert!(successors.has_other(&third, at(200)) && successors.has_other(&other, at(200)));
        assert!(!successors.has_other(&somebody_else, at(200)));
    }

    #[test]
    fn c07_memory_is_bounded() {
        let successors = Successors::default();
        for _ in 0..SESSIONS.get() + 10 {
            successors.took_over([SessionId::new()].into_iter(), SessionId::new(), NOW);
        }
        assert_eq!(successors.0.lock().unwrap().len(), SESSIONS.get());
    }
}
