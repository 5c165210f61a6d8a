//! One refresh for each session and token, however many requests ask for it at once and on however many workers (C10).
//!
//! The first request that finds a session due leads; those that come while the provider is asked follow and share what it brings. For
//! [`GRACE`] after that, requests that still bring the old cookie are given the same; later ones have no session, and never does a token that
//! was exchanged go to the provider a second time, which would take it for stolen. After a failure nobody asks until a pause is over.
//!
//! Shared by all workers behind a lock that only sessions that are due take, for as long as a look-up. Bounds: [`SESSIONS`] sessions, the oldest
//! falls out (its old token may then be tried once more, and the provider decides); [`CARGO`] results, the oldest is let go
//! early. An entry is made for a sealed ticket only, so a stranger can fill nothing.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::session::{RefreshTicket, Session, SessionId};

/// How long the cookie from before a refresh is good.
pub(super) const GRACE: Duration = Duration::from_secs(60);
const SESSIONS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
const CARGO: usize = 4096;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How a refresh ended.
#[derive(Clone)]
pub(super) enum Landing {
    /// The session goes on with these.
    Renewed(Box<(Session, RefreshTicket)>),
    /// The provider does not stand by the session.
    Ended,
    /// The provider could not be asked; it is not asked again before this moment.
    Kept(Timestamp),
}

/// What a request that finds a session due is to do.
pub(super) enum Boarding {
    /// Ask the provider, and land.
    Lead(Lead),
    /// Wait for the one who asks.
    Follow(Waiting),
    /// It was asked just now.
    Landed(Landing),
    /// It was asked, and the grace is over.
    Late,
}

/// Whoever asks the provider; dropped without landing, the next one may ask.
pub(super) struct Lead {
    flights: Arc<Flights>,
    key: (SessionId, u32),
    failures: u32,
    landed: watch::Sender<Option<Landing>>,
}

/// What a follower waits on.
pub(super) struct Waiting(watch::Receiver<Option<Landing>>);

/// All refreshes under way and those of the last time.
pub(super) struct Flights(Mutex<Table>);

struct Table {
    sessions: LruCache<SessionId, Flight>,
    /// Results in the order in which they came.
    cargo: VecDeque<(SessionId, u32, Timestamp)>,
}

struct Flight {
    /// Of the ticket that is being exchanged or was.
    generation: u32,
    failures: u32,
    state: State,
}

enum State {
    Flying(watch::Receiver<Option<Landing>>),
    Landed(Landing),
    Past,
}

impl Default for Flights {
    fn default() -> Self {
        Self(Mutex::new(Table { sessions: LruCache::new(SESSIONS), cargo: VecDeque::new() }))
    }
}

impl Flights {
    /// Decides who asks the provider for the session of this ticket.
    pub(super) fn board(self: &Arc<Self>, ticket: &RefreshTicket, now: Timestamp) -> Boarding {
        let key = (ticket.session, ticket.generation);
        let mut table = self.table();
        table.tidy(now);
        let mut failures = 0;
        match table.sessions.peek(&ticket.session) {
            Some(flight) if flight.generation > ticket.generation => return Boarding::Late,
            Some(flight) if flight.generation == ticket.generation => {
                match &flight.state {
                    State::Flying(waiting) if waiting.has_changed().is_ok() => {
                        return Boarding::Follow(Waiting(waiting.clone()));
                    }
                    // Who led went away without landing.
                    State::Flying(_) => {}
                    State::Landed(Landing::Kept(until)) if now >= *until => {}
                    State::Landed(landing) => return Boarding::Landed(landing.clone()),
                    State::Past => return Boarding::Late,
                }
                failures = flight.failures;
            }
            _ => {}
        }
        let (landed, waiting) = watch::channel(None);
        let flight = Flight { generation: ticket.generation, failures, state: State::Flying(waiting) };
        table.sessions.put(ticket.session, flight);
        Boarding::Lead(Lead { flights: Arc::clone(self), key, failures, landed })
    }

    /// Lets go of results whose grace is over; to be called now and then.
    pub(super) fn tidy(&self, now: Timestamp) {
        self.table().tidy(now);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tidy(&mut self, now: Timestamp) {
        while self.cargo.front().is_some_and(|(_, _, at)| self.cargo.len() > CARGO || now.since(*at) >= GRACE) {
            let Some((session, generation, _)) = self.cargo.pop_front() else { return };
            if let Some(flight) = self.sessions.peek_mut(&session).filter(|flight| flight.generation == generation) {
                flight.state = State::Past;
            }
        }
    }

    fn land(&mut self, (session, generation): (SessionId, u32), failures: u32, landing: Landing, now: Timestamp) {
        let Some(flight) = self.sessions.peek_mut(&session).filter(|flight| flight.generation == generation) else {
            return;
        };
        // A session that ended stays ended; a failure is no result.
        if matches!(landing, Landing::Renewed(_)) {
            self.cargo.push_back((session, generation, now));
        }
        flight.failures = failures;
        flight.state = State::Landed(landing);
    }
}

impl Lead {
    /// What followers wait on.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.landed.subscribe())
    }

    /// Tells everybody what the provider said.
    pub(super) fn land(self, landing: Landing, now: Timestamp) {
        let failures = 0;
        self.flights.table().land(self.key, failures, landing.clone(), now);
        self.landed.send_replace(Some(landing));
    }

    /// Tells everybody that the provider could not be asked, and when it may be again: after a pause that grows with every failure.
    pub(super) fn fail(self, now: Timestamp) {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        let landing = Landing::Kept(now.after(pause));
        self.flights.table().land(self.key, self.failures.saturating_add(1).min(10), landing.clone(), now);
        self.landed.send_replace(Some(landing));
    }
}

impl Waiting {
    /// Waits for the landing, at most `patience`; none when it takes longer, or nobody leads any more.
    pub(super) async fn landing(mut self, patience: Duration) -> Option<Landing> {
        let landed = tokio::time::timeout(patience, self.0.wait_for(Option::is_some)).await;
        landed.ok()?.ok().and_then(|landing| landing.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;
    use crate::session::tests::session;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn ticket() -> RefreshTicket {
        RefreshTicket::first(SessionId::new(), "nonce", Secret::new("token".to_owned()))
    }

    fn renewed(ticket: &RefreshTicket) -> Landing {
        Landing::Renewed(Box::new((session(NOW), ticket.next(None))))
    }

    fn lead(flights: &Arc<Flights>, ticket: &RefreshTicket, now: Timestamp) -> Lead {
        let Boarding::Lead(lead) = flights.board(ticket, now) else { panic!("somebody leads already") };
        lead
    }

    #[tokio::test]
    async fn c10_one_leads_and_all_others_get_what_it_brings() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let lead = lead(&flights, &ticket, NOW);
        let mut followers = Vec::new();
        for _ in 0..50 {
            let Boarding::Follow(waiting) = flights.board(&ticket, NOW) else { panic!("a second one leads") };
            followers.push(tokio::spawn(waiting.landing(Duration::from_secs(60))));
        }
        lead.land(renewed(&ticket), NOW);
        for follower in followers {
            assert!(matches!(follower.await.unwrap(), Some(Landing::Renewed(_))));
        }
    }

    #[test]
    fn c10_the_old_cookie_is_good_for_the_grace_and_its_token_is_never_used_again() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        lead(&flights, &ticket, NOW).land(renewed(&ticket), NOW);
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        assert!(matches!(flights.board(&ticket, at(59)), Boarding::Landed(Landing::Renewed(_))));
        assert!(matches!(flights.board(&ticket, at(60)), Boarding::Late));
        assert!(matches!(flights.board(&ticket, at(100_000)), Boarding::Late));
        let next = ticket.next(None);
        assert!(matches!(flights.board(&next, at(600)), Boarding::Lead(_)), "the new one is");
        assert!(matches!(flights.board(&ticket, at(601)), Boarding::Late), "two behind");
        assert!(flights.table().cargo.is_empty());
    }

    #[test]
    fn r03_after_a_failure_nobody_asks_until_a_growing_pause_is_over() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let mut now = NOW;
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            lead(&flights, &ticket, now).fail(now);
            let just_before = now.after(Duration::from_secs(pause - 1));
            assert!(matches!(flights.board(&ticket, just_before), Boarding::Landed(Landing::Kept(_))), "{pause}");
            now = now.after(Duration::from_secs(pause));
        }
        lead(&flights, &ticket, now).land(Landing::Ended, now);
        assert!(matches!(flights.board(&ticket, now.after(GRACE * 2)), Boarding::Landed(Landing::Ended)));
    }

    #[tokio::test]
    async fn c10_a_leader_that_goes_away_keeps_nobody_waiting() {
        let (flights, ticket) = (Arc::new(Flights::default()), ticket());
        let first = lead(&flights, &ticket, NOW);
        let Boarding::Follow(waiting) = flights.board(&ticket, NOW) else { panic!("a second one leads") };
        drop(first);
        assert!(waiting.landing(Duration::from_secs(60)).await.is_none());
        lead(&flights, &ticket, NOW);
    }

    #[test]
    fn c10_memory_is_bounded() {
        let flights = Arc::new(Flights::default());
        for _ in 0..SESSIONS.get() + 100 {
            let ticket = ticket();
            lead(&flights, &ticket, NOW).land(renewed(&ticket), NOW);
        }
        let table = flights.table();
        assert!(table.sessions.len() == SESSIONS.get() && table.cargo.len() <= CARGO + 1);
        let kept = table.sessions.iter().filter(|(_, flight)| !matches!(flight.state, State::Past)).count();
        assert!(kept <= CARGO + 1, "{kept}");
    }
}
